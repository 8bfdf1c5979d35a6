/* Evaluations by all members of a training at the same time: each takes a share of the samples, in one view or
 * several, and counts or keeps what is asked for. */
#include "host/base/labels.h"
#include "host/device/views.h"
#include "host/train/trainer_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct evaluation {
    struct trainer *trainer;
    const struct members_evaluation *wanted;
    struct views views;
    pthread_mutex_t lock;            /* of the confusion */
    double (*metrics)[METRIC_COUNT]; /* [members] */
    double (*plain)[METRIC_COUNT];   /* [members]; with several views: of the first alone */
};

/* A member's, of one batch of an evaluation that looks at the answers. */
struct answers {
    float *of_view, *of_all; /* [batch x classes]; of_all with several views alone */
};

/* Rows of the last step are samples[0] to samples[valid - 1]; `samples` lies in those that are wanted. */
static void keep_losses(const struct members_evaluation *wanted, const int32_t *samples, int32_t valid,
                        const float *probabilities)
{
    float *losses = wanted->losses + (samples - wanted->samples);
    for (int32_t row = 0; row < valid; row++) {
        const float *answer = probabilities + (size_t)row * (size_t)wanted->classes;
        losses[row] =
            (float)labels_loss(wanted->label_sets, wanted->classes, wanted->labels[samples[row]], answer);
    }
}

/* The same rows into `kept`, which has a place for each sample that is wanted. */
static void keep_answers(const struct members_evaluation *wanted, const int32_t *samples, int32_t valid,
                         const float *probabilities, float *kept)
{
    const size_t classes = (size_t)wanted->classes;
    if (kept != NULL)
        memcpy(kept + (size_t)(samples - wanted->samples) * classes, probabilities,
               (size_t)valid * classes * sizeof(*kept));
}

/* What was taken for what, of one image: a class, or each of them. */
static void count_answer(const struct members_evaluation *wanted, int32_t label, const float *answer)
{
    const int32_t classes = wanted->classes;
    if (wanted->label_sets == NULL) {
        wanted->confusion[label * classes + labels_class(answer, classes)]++;
        return;
    }
    for (int32_t k = 0; k < classes; k++) {
        const bool has = labels_have(wanted->label_sets, classes, label, k);
        const bool given = answer[k] >= LABELS_THRESHOLD;
        wanted->confusion[k * LABELS_COUNTS + (has     ? given ? LABELS_TRUE_POSITIVE : LABELS_FALSE_NEGATIVE
                                               : given ? LABELS_FALSE_POSITIVE
                                                       : LABELS_TRUE_NEGATIVE)]++;
    }
}

/* The same rows; `samples` lies in those that are wanted. */
static void count_predictions(struct evaluation *evaluation, const int32_t *samples, int32_t valid,
                              const float *probabilities)
{
    const struct members_evaluation *wanted = evaluation->wanted;
    const int32_t classes = wanted->classes;
    pthread_mutex_lock(&evaluation->lock);
    for (int32_t row = 0; row < valid; row++) {
        const float *answer = probabilities + (size_t)row * (size_t)classes;
        const int32_t label = wanted->labels[samples[row]];
        count_answer(wanted, label, answer);
        if (wanted->right != NULL)
            wanted->right[samples - wanted->samples + row] =
                labels_are_right(wanted->label_sets, classes, label, answer);
    }
    pthread_mutex_unlock(&evaluation->lock);
}

/* Adds what a device would have added to its metrics. */
static void add_metrics(const struct members_evaluation *wanted, const int32_t *samples, int32_t valid,
                        const float *probabilities, double metrics[METRIC_COUNT])
{
    for (int32_t row = 0; row < valid; row++) {
        const float *answer = probabilities + (size_t)row * (size_t)wanted->classes;
        const int32_t label = wanted->labels[samples[row]];
        metrics[METRIC_LOSS] += labels_loss(wanted->label_sets, wanted->classes, label, answer);
        metrics[METRIC_CORRECT] += labels_are_right(wanted->label_sets, wanted->classes, label, answer);
        metrics[METRIC_SAMPLES] += 1.0;
    }
}

enum status member_bind_evaluation(const struct trainer *trainer, const struct member *member,
                                   const int32_t *samples, int32_t count, struct error *err)
{
    const struct device_binding binding = {
        .weights = member->weights,
        .dataset = member->device.dataset,
        .samples = samples,
        .sample_count = count,
        .use_average = trainer->settings.average > 0.0f,
    };
    return member->device.ops->program_bind(member->device.handle, member->evaluation, &binding, err);
}

/* Binding waits for the device, so it is left out where the samples are the same as the last time: the trainer's
 * own. */
static enum status bind_share(const struct evaluation *evaluation, struct member *member,
                              const int32_t *samples, int32_t count, struct error *err)
{
    const struct members_evaluation *wanted = evaluation->wanted;
    const bool validates =
        wanted->samples == member->device.validation && wanted->count == member->device.validation_count;
    if (validates && member->validates)
        return ST_OK;
    enum status st = member_bind_evaluation(evaluation->trainer, member, samples, count, err);
    member->validates = st == ST_OK && validates;
    return st;
}

/* One batch, in all views. */
static enum status run_views(struct evaluation *evaluation, int32_t number, const int32_t *samples,
                             struct step step, const struct answers *answers, struct error *err)
{
    const struct member *member = &evaluation->trainer->members[number];
    const struct device_ops *ops = member->device.ops;
    const struct members_evaluation *wanted = evaluation->wanted;
    const struct views *views = &evaluation->views;
    const size_t count = (size_t)step.valid * (size_t)wanted->classes;
    if (views->count > 1)
        memset(answers->of_all, 0, count * sizeof(float));
    for (int32_t v = 0; v < views->count; v++) {
        step.view = views->items[v];
        enum status st = ops->program_run(member->device.handle, member->evaluation, &step, err);
        if (st == ST_OK && answers->of_view != NULL)
            st = ops->program_probabilities(member->device.handle, member->evaluation, answers->of_view, err);
        if (st != ST_OK)
            return st;
        if (v == 0)
            keep_answers(wanted, samples, step.valid, answers->of_view, wanted->plain_answers);
        if (views->count > 1)
            views_add(answers->of_all, answers->of_view, count, views->weights[v],
                      wanted->label_sets != NULL);
        if (views->count > 1 && v == 0)
            add_metrics(wanted, samples, step.valid, answers->of_view, evaluation->plain[number]);
    }
    if (views->count > 1) {
        views_finish(answers->of_all, step.valid, wanted->classes, wanted->label_sets != NULL);
        add_metrics(wanted, samples, step.valid, answers->of_all, evaluation->metrics[number]);
    }
    const float *answer = views->count > 1 ? answers->of_all : answers->of_view;
    keep_answers(wanted, samples, step.valid, answer, wanted->answers);
    if (wanted->confusion != NULL)
        count_predictions(evaluation, samples, step.valid, answer);
    if (wanted->losses != NULL)
        keep_losses(wanted, samples, step.valid, answer);
    return ST_OK;
}

/* The samples batch by batch. With one view the metrics are the device's own. */
static enum status run_evaluation(struct evaluation *evaluation, int32_t number, const int32_t *samples,
                                  int32_t count, const struct answers *answers, struct error *err)
{
    const struct trainer *trainer = evaluation->trainer;
    const struct member *member = &trainer->members[number];
    const struct trainer_device *device = &member->device;
    const int32_t batch = trainer->evaluation_program.batch;
    const double zeros[METRIC_COUNT] = {0};
    enum status st = device->ops->program_set_metrics(device->handle, member->evaluation, zeros, err);
    for (int32_t first = 0; st == ST_OK && first < count; first += batch) {
        const struct step step = {.seed = trainer->settings.seed,
                                  .first = (uint32_t)first,
                                  .valid = count - first < batch ? count - first : batch};
        st = run_views(evaluation, number, samples + first, step, answers, err);
    }
    if (st == ST_OK && evaluation->views.count == 1) {
        st = device->ops->program_metrics(device->handle, member->evaluation, evaluation->metrics[number],
                                          err);
        memcpy(evaluation->plain[number], evaluation->metrics[number], sizeof(evaluation->plain[number]));
    }
    return st;
}

/* A member's share of the samples, in their order. */
static enum status evaluate_share(void *context, int32_t number, struct error *err)
{
    struct evaluation *evaluation = context;
    const struct trainer *trainer = evaluation->trainer;
    const struct members_evaluation *wanted = evaluation->wanted;
    const int32_t begin = (int32_t)((int64_t)wanted->count * number / trainer->count);
    const int32_t count = (int32_t)((int64_t)wanted->count * (number + 1) / trainer->count) - begin;
    const int32_t *samples = wanted->samples + begin;
    const size_t size = (size_t)trainer->evaluation_program.batch * (size_t)wanted->classes;
    struct answers answers = {0};

    if (count == 0)
        return ST_OK;
    if (wanted->confusion != NULL || wanted->losses != NULL || wanted->answers != NULL ||
        wanted->plain_answers != NULL) {
        answers.of_view = malloc(2 * size * sizeof(float));
        if (answers.of_view == NULL)
            return error_memory(err, "probabilities", 2 * size * sizeof(float));
        answers.of_all = answers.of_view + size;
    }
    enum status st = bind_share(evaluation, &trainer->members[number], samples, count, err);
    if (st == ST_OK)
        st = run_evaluation(evaluation, number, samples, count, &answers, err);
    free(answers.of_view);
    return st;
}

static void sum_members(const struct trainer *trainer, double (*of_members)[METRIC_COUNT],
                        double sums[METRIC_COUNT])
{
    memset(sums, 0, METRIC_COUNT * sizeof(*sums));
    for (int32_t k = 0; k < trainer->count; k++)
        for (int m = 0; m < METRIC_COUNT; m++)
            sums[m] += of_members[k][m];
}

enum status members_evaluate(struct trainer *trainer, const struct members_evaluation *wanted,
                             double metrics[METRIC_COUNT], double plain[METRIC_COUNT], struct error *err)
{
    struct evaluation evaluation = {.trainer = trainer,
                                    .wanted = wanted,
                                    .views = views_of(wanted->views),
                                    .lock = PTHREAD_MUTEX_INITIALIZER};
    evaluation.metrics = calloc(2 * (size_t)trainer->count, sizeof(*evaluation.metrics));
    if (evaluation.metrics == NULL)
        return error_memory(err, "metrics", 2 * (size_t)trainer->count * sizeof(*evaluation.metrics));
    evaluation.plain = evaluation.metrics + trainer->count;
    enum status st = members_all(trainer, &evaluation, evaluate_share, err);
    sum_members(trainer, evaluation.metrics, metrics);
    sum_members(trainer, evaluation.plain, plain);
    pthread_mutex_destroy(&evaluation.lock);
    free(evaluation.metrics);
    return st;
}

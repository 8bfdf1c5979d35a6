/* What the members of a training do at the same time: steps, metrics, weights, evaluation. */
#include "host/base/labels.h"
#include "host/device/views.h"
#include "host/train/trainer_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void break_group(void *context, int32_t member, const struct error *err)
{
    struct trainer *trainer = context;
    (void)member;
    if (trainer->group != NULL)
        trainer->members[0].device.ops->group_abort(trainer->group, err->message);
}

enum status members_all(struct trainer *trainer, void *context,
                        enum status (*work)(void *context, int32_t member, struct error *err),
                        struct error *err)
{
    const struct thread_team_work piece = {.context = context, .work = work};
    return thread_team_run(trainer->team, &piece, err);
}

struct device_program *member_training(const struct trainer *trainer, const struct member *member)
{
    return member->training[trainer->size];
}

/* ---- steps ---- */

struct step_work {
    struct trainer *trainer;
    const struct step *step;
};

static enum status run_step(void *context, int32_t number, struct error *err)
{
    const struct step_work *work = context;
    const struct member *member = &work->trainer->members[number];
    struct step step = *work->step;
    step.valid /= work->trainer->count;
    step.row = (uint32_t)(number * step.valid);
    step.first += step.row;
    return member->device.ops->program_run(member->device.handle, member_training(work->trainer, member),
                                           &step, err);
}

static void step_failed(void *context, int32_t number, const struct error *err)
{
    const struct step_work *work = context;
    break_group(work->trainer, number, err);
}

enum status members_step(struct trainer *trainer, const struct step *step, struct error *err)
{
    trainer->state.averaged = 0;
    struct step_work work = {.trainer = trainer, .step = step};
    const struct thread_team_work piece = {.context = &work, .work = run_step, .failed = step_failed};
    return thread_team_run(trainer->team, &piece, err);
}

/* ---- samples of the training ---- */

enum { KEPT_OUT_PART = 4, KEPT_OUT_MOST = 1000 };

int32_t trainer_kept_out_count(int32_t count)
{
    return count / KEPT_OUT_PART < KEPT_OUT_MOST ? count / KEPT_OUT_PART : KEPT_OUT_MOST;
}

bool trainer_keeps_out(int32_t count, int32_t position)
{
    const int64_t out = trainer_kept_out_count(count);
    return out * (position + 1) / count > out * position / count;
}

int32_t trainer_epoch_samples(const struct trainer *trainer, const struct trainer_state *state)
{
    const struct trainer_device *device = &trainer->members[0].device; /* all have the same lists */
    const int32_t joining = device->validation_count - trainer_kept_out_count(device->validation_count);
    return device->train_count + (state->joined > 0 ? joining : 0);
}

enum status member_bind_training(const struct trainer *trainer, const struct member *member,
                                 struct error *err)
{
    const struct device_binding binding = {
        .weights = member->weights,
        .dataset = member->device.dataset,
        .samples = trainer->state.joined > 0 ? trainer->joined : member->device.train,
        .sample_count = trainer_epoch_samples(trainer, &trainer->state),
        .shuffled = 1,
        .augment = trainer->settings.augment,
        .optimizer = trainer->settings.optimizer,
        .group = trainer->group,
    };
    return member->device.ops->program_bind(member->device.handle, member_training(trainer, member), &binding,
                                            err);
}

static enum status bind_joined(void *context, int32_t number, struct error *err)
{
    const struct trainer *trainer = context;
    return member_bind_training(trainer, &trainer->members[number], err);
}

enum status members_join(struct trainer *trainer, struct error *err)
{
    const struct trainer_device *device = &trainer->members[0].device; /* all have the same lists */
    const size_t train = (size_t)device->train_count, validation = (size_t)device->validation_count;
    if (trainer->joined == NULL)
        trainer->joined = malloc((train + validation) * sizeof(*trainer->joined));
    if (trainer->joined == NULL)
        return error_memory(err, "samples", (train + validation) * sizeof(*trainer->joined));
    memcpy(trainer->joined, device->train, train * sizeof(*trainer->joined));
    for (int32_t i = 0, at = device->train_count; i < device->validation_count; i++)
        if (!trainer_keeps_out(device->validation_count, i))
            trainer->joined[at++] = device->validation[i];
    if (trainer->state.joined == 0)
        trainer->state.joined = trainer->state.step;
    return members_all(trainer, trainer, bind_joined, err);
}

/* ---- metrics ---- */

static void sum_metrics(struct trainer *trainer)
{
    memset(trainer->state.metrics, 0, sizeof(trainer->state.metrics));
    for (int32_t k = 0; k < trainer->count; k++)
        for (int m = 0; m < METRIC_COUNT; m++)
            trainer->state.metrics[m] += trainer->members[k].metrics[m];
}

/* Waits for the steps that are queued: a failure of one of them may show here, and then the others wait in vain. */
static enum status read_metrics(void *context, int32_t number, struct error *err)
{
    struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    return member->device.ops->program_metrics(member->device.handle, member_training(trainer, member),
                                               member->metrics, err);
}

enum status members_metrics(struct trainer *trainer, struct error *err)
{
    const struct thread_team_work piece = {.context = trainer, .work = read_metrics, .failed = break_group};
    enum status st = thread_team_run(trainer->team, &piece, err);
    sum_metrics(trainer);
    return st;
}

static enum status write_metrics(void *context, int32_t number, struct error *err)
{
    struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    return member->device.ops->program_set_metrics(member->device.handle, member_training(trainer, member),
                                                   member->metrics, err);
}

enum status members_set_metrics(struct trainer *trainer, struct error *err)
{
    sum_metrics(trainer);
    return members_all(trainer, trainer, write_metrics, err);
}

/* ---- size of the images ---- */

/* The memory of the one program becomes that of the other. */
static enum status resize(void *context, int32_t number, struct error *err)
{
    const struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    for (int32_t size = 0; size < trainer->size; size++) {
        member->device.ops->program_free(member->device.handle, member->training[size]);
        member->training[size] = NULL;
    }
    return member_bind_training(trainer, member, err);
}

enum status members_resize(struct trainer *trainer, int32_t size, struct error *err)
{
    trainer->size = size;
    enum status st = members_all(trainer, trainer, resize, err);
    return st == ST_OK ? members_set_metrics(trainer, err) : st;
}

/* ---- weights ---- */

struct upload_work {
    struct trainer *trainer;
    enum weight_slot slot;
    const float *values;
};

static enum status upload(void *context, int32_t number, struct error *err)
{
    const struct upload_work *work = context;
    const struct member *member = &work->trainer->members[number];
    return member->device.ops->weights_upload(member->device.handle, member->weights, work->slot,
                                              work->values, err);
}

enum status members_upload(struct trainer *trainer, enum weight_slot slot, const float *values,
                           struct error *err)
{
    struct upload_work work = {.trainer = trainer, .slot = slot, .values = values};
    trainer->state.averaged = 1;
    return members_all(trainer, &work, upload, err);
}

struct copy_work {
    struct trainer *trainer;
    enum weight_slot slot;
    struct device *owner;
    const struct device_weights *weights;
};

static enum status copy(void *context, int32_t number, struct error *err)
{
    const struct copy_work *work = context;
    const struct member *member = &work->trainer->members[number];
    return member->device.ops->weights_copy(member->device.handle, member->weights, work->slot, work->owner,
                                            work->weights, SLOT_VALUE, err);
}

enum status members_copy(struct trainer *trainer, enum weight_slot slot, struct device *owner,
                         const struct device_weights *weights, struct error *err)
{
    struct copy_work work = {.trainer = trainer, .slot = slot, .owner = owner, .weights = weights};
    trainer->state.averaged = 1;
    return members_all(trainer, &work, copy, err);
}

enum status members_upload_one(struct trainer *trainer, int32_t number, enum weight_slot slot,
                               const float *values, struct error *err)
{
    const struct member *member = &trainer->members[number];
    return member->device.ops->weights_upload(member->device.handle, member->weights, slot, values, err);
}

enum status members_download(struct trainer *trainer, int32_t number, enum weight_slot slot, float *values,
                             struct error *err)
{
    const struct member *member = &trainer->members[number];
    return member->device.ops->weights_download(member->device.handle, member->weights, slot, values, err);
}

struct average_work {
    struct trainer *trainer;
    enum weight_slot slot;
};

static enum status average(void *context, int32_t number, struct error *err)
{
    const struct average_work *work = context;
    const struct member *member = &work->trainer->members[number];
    return member->device.ops->group_average(work->trainer->group, member->device.handle, member->weights,
                                             work->slot, err);
}

static void average_failed(void *context, int32_t number, const struct error *err)
{
    const struct average_work *work = context;
    break_group(work->trainer, number, err);
}

enum status members_average(struct trainer *trainer, enum weight_slot slot, struct error *err)
{
    struct average_work work = {.trainer = trainer, .slot = slot};
    const struct thread_team_work piece = {.context = &work, .work = average, .failed = average_failed};
    if (trainer->group == NULL || trainer->state.averaged)
        return ST_OK;
    enum status st = thread_team_run(trainer->team, &piece, err);
    trainer->state.averaged = st == ST_OK;
    return st;
}

/* ---- evaluation ---- */

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

static int32_t largest(const float *values, int32_t count)
{
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++) {
        if (values[i] > values[best])
            best = i;
    }
    return best;
}

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
        wanted->confusion[label * classes + largest(answer, classes)]++;
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

/* What the members of a training do at the same time: steps, metrics, weights, evaluation. */
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
    return member->device.ops->program_run(member->device.handle, member->training, &step, err);
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
    return member->device.ops->program_metrics(member->device.handle, member->training, member->metrics, err);
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
    return member->device.ops->program_set_metrics(member->device.handle, member->training, member->metrics,
                                                   err);
}

enum status members_set_metrics(struct trainer *trainer, struct error *err)
{
    sum_metrics(trainer);
    return members_all(trainer, trainer, write_metrics, err);
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
    const int32_t *samples, *labels;
    int32_t count, classes;
    int64_t *confusion;              /* NULL: not wanted */
    pthread_mutex_t lock;            /* of confusion */
    double (*metrics)[METRIC_COUNT]; /* [members] */
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

/* The last step's rows, which are samples[0] to samples[valid - 1]. */
static enum status count_predictions(struct evaluation *evaluation, const struct member *member,
                                     const int32_t *samples, int32_t valid, float *probabilities,
                                     struct error *err)
{
    const int32_t classes = evaluation->classes;
    enum status st = member->device.ops->program_probabilities(member->device.handle, member->evaluation,
                                                               probabilities, err);
    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&evaluation->lock);
    for (int32_t row = 0; row < valid; row++) {
        int32_t predicted = largest(probabilities + (size_t)row * (size_t)classes, classes);
        evaluation->confusion[evaluation->labels[samples[row]] * classes + predicted]++;
    }
    pthread_mutex_unlock(&evaluation->lock);
    return ST_OK;
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
    const bool validates = evaluation->samples == member->device.validation &&
                           evaluation->count == member->device.validation_count;
    if (validates && member->validates)
        return ST_OK;
    enum status st = member_bind_evaluation(evaluation->trainer, member, samples, count, err);
    member->validates = st == ST_OK && validates;
    return st;
}

/* The samples batch by batch. probabilities: room for a batch's, to be counted; NULL: not wanted. */
static enum status run_evaluation(struct evaluation *evaluation, const struct member *member,
                                  const int32_t *samples, int32_t count, float *probabilities,
                                  struct error *err)
{
    const struct trainer *trainer = evaluation->trainer;
    const int32_t batch = trainer->evaluation_program.batch;
    for (int32_t first = 0; first < count; first += batch) {
        const int32_t valid = count - first < batch ? count - first : batch;
        const struct step step = {.seed = trainer->settings.seed, .first = (uint32_t)first, .valid = valid};
        enum status st =
            member->device.ops->program_run(member->device.handle, member->evaluation, &step, err);
        if (st == ST_OK && probabilities != NULL)
            st = count_predictions(evaluation, member, samples + first, valid, probabilities, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* A member's share of the samples, in their order. */
static enum status evaluate_share(void *context, int32_t number, struct error *err)
{
    struct evaluation *evaluation = context;
    const struct trainer *trainer = evaluation->trainer;
    struct member *member = &trainer->members[number];
    const struct trainer_device *device = &member->device;
    const double zeros[METRIC_COUNT] = {0};
    const int32_t begin = (int32_t)((int64_t)evaluation->count * number / trainer->count);
    const int32_t count = (int32_t)((int64_t)evaluation->count * (number + 1) / trainer->count) - begin;
    const int32_t *samples = evaluation->samples + begin;
    const size_t size =
        (size_t)trainer->evaluation_program.batch * (size_t)evaluation->classes * sizeof(float);
    float *probabilities = NULL;

    memset(evaluation->metrics[number], 0, sizeof(evaluation->metrics[number]));
    if (count == 0)
        return ST_OK;
    if (evaluation->confusion != NULL) {
        probabilities = malloc(size);
        if (probabilities == NULL)
            return error_memory(err, "probabilities", size);
    }
    enum status st = bind_share(evaluation, member, samples, count, err);
    if (st != ST_OK)
        goto out;
    st = device->ops->program_set_metrics(device->handle, member->evaluation, zeros, err);
    if (st == ST_OK)
        st = run_evaluation(evaluation, member, samples, count, probabilities, err);
    if (st == ST_OK)
        st = device->ops->program_metrics(device->handle, member->evaluation, evaluation->metrics[number],
                                          err);
out:
    free(probabilities);
    return st;
}

enum status members_evaluate(struct trainer *trainer, const int32_t *samples, int32_t count, int32_t classes,
                             const int32_t *labels, int64_t *confusion, double metrics[METRIC_COUNT],
                             struct error *err)
{
    struct evaluation evaluation = {.trainer = trainer,
                                    .samples = samples,
                                    .labels = labels,
                                    .count = count,
                                    .classes = classes,
                                    .confusion = confusion,
                                    .lock = PTHREAD_MUTEX_INITIALIZER};
    evaluation.metrics = calloc((size_t)trainer->count, sizeof(*evaluation.metrics));
    if (evaluation.metrics == NULL)
        return error_memory(err, "metrics", (size_t)trainer->count * sizeof(*evaluation.metrics));
    enum status st = members_all(trainer, &evaluation, evaluate_share, err);
    memset(metrics, 0, METRIC_COUNT * sizeof(*metrics));
    for (int32_t k = 0; k < trainer->count; k++)
        for (int m = 0; m < METRIC_COUNT; m++)
            metrics[m] += evaluation.metrics[k][m];
    pthread_mutex_destroy(&evaluation.lock);
    free(evaluation.metrics);
    return st;
}

#include "host/train/trainer_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How long a member waits for the others before it takes them for lost. Far above what a step or an evaluation takes, and
 * above what a file system may keep member 0 waiting for a checkpoint. */
static const double GROUP_TIMEOUT = 300.0; /* seconds */

static void break_group(void *context, int32_t member, const struct error *err)
{
    struct trainer *trainer = context;
    (void)member;
    if (trainer->group != NULL)
        trainer->members[0].place.ops->group_abort(trainer->group, err->message);
}

static enum status all_members(struct trainer *trainer, void *context,
                               enum status (*work)(void *context, int32_t member, struct error *err),
                               struct error *err)
{
    const struct thread_team_work piece = {.context = context, .work = work};
    return thread_team_run(trainer->team, &piece, err);
}

/* ---- open and close ---- */

static enum status lower(const struct trainer *trainer, enum prog_purpose purpose, struct program *program,
                         struct error *err)
{
    const struct lower_options options = {
        .purpose = purpose,
        .batch = trainer->settings.batch / trainer->count,
        .augment = true,
        .weight_average = trainer->settings.average > 0.0f,
        .label_smoothing = trainer->settings.label_smoothing,
        .batch_norm_momentum = 0.1f,
        .members = trainer->count,
    };
    return lower_graph(&trainer->graph, &options, program, err);
}

static enum status prepare_member(void *context, int32_t number, struct error *err)
{
    struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    const struct trainer_place *place = &member->place;
    enum status st =
        place->ops->program_prepare(place->device, &trainer->training_program, &member->training, err);
    if (st == ST_OK)
        st = place->ops->program_prepare(place->device, &trainer->evaluation_program, &member->evaluation,
                                         err);
    return st;
}

static enum status bind_training(const struct trainer *trainer, const struct member *member,
                                 struct error *err)
{
    const struct device_binding binding = {
        .weights = member->weights,
        .dataset = member->place.dataset,
        .samples = member->place.train,
        .sample_count = member->place.train_count,
        .shuffled = 1,
        .augment = trainer->settings.augment,
        .optimizer = trainer->settings.optimizer,
        .group = trainer->group,
    };
    return member->place.ops->program_bind(member->place.device, member->training, &binding, err);
}

static enum status bind_evaluation(const struct trainer *trainer, const struct member *member,
                                   const int32_t *samples, int32_t count, struct error *err)
{
    const struct device_binding binding = {
        .weights = member->weights,
        .dataset = member->place.dataset,
        .samples = samples,
        .sample_count = count,
        .use_average = trainer->settings.average > 0.0f,
    };
    return member->place.ops->program_bind(member->place.device, member->evaluation, &binding, err);
}

static enum status bind_member(void *context, int32_t number, struct error *err)
{
    struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    const struct trainer_place *place = &member->place;
    enum status st = place->ops->weights_new(place->device, &trainer->training_program.weights, SLOT_GRADIENT,
                                             &member->weights, err);
    if (st == ST_OK)
        st = bind_training(trainer, member, err);
    if (st == ST_OK)
        st = bind_evaluation(trainer, member, place->validation, place->validation_count, err);
    member->validates = st == ST_OK && trainer->count == 1;
    return st;
}

static enum status open_group(struct trainer *trainer, struct error *err)
{
    const struct device_ops *ops = trainer->members[0].place.ops;
    struct device **devices = calloc((size_t)trainer->count, sizeof(struct device *));
    if (devices == NULL)
        return error_memory(err, "group of devices", (size_t)trainer->count * sizeof(struct device *));
    for (int32_t k = 0; k < trainer->count; k++)
        devices[k] = trainer->members[k].place.device;
    enum status st = ops->group_open(devices, trainer->count, GROUP_TIMEOUT, &trainer->group, err);
    free(devices);
    return st;
}

/* The fullest member's. */
static size_t needed_bytes(const struct trainer *trainer)
{
    size_t most = 0;
    for (int32_t k = 0; k < trainer->count; k++) {
        const struct member *member = &trainer->members[k];
        size_t bytes = member->place.ops->program_bytes(member->training) +
                       member->place.ops->program_bytes(member->evaluation);
        most = bytes > most ? bytes : most;
    }
    const struct trainer_place *place = &trainer->members[0].place;
    return most + trainer_weights_bytes(&trainer->training_program.weights) +
           ((size_t)place->train_count + (size_t)place->validation_count) * sizeof(int32_t);
}

enum status members_prepare(struct trainer *trainer, const struct trainer_place *places, int32_t count,
                            struct error *err)
{
    if (trainer->settings.batch % count != 0)
        return error_set(err, ST_RANGE, "train.batch: found %d, expected a multiple of the %d devices",
                         (int)trainer->settings.batch, (int)count);
    trainer->members = calloc((size_t)count, sizeof *trainer->members);
    if (trainer->members == NULL)
        return error_memory(err, "trainer", (size_t)count * sizeof *trainer->members);
    trainer->count = count;
    for (int32_t k = 0; k < count; k++)
        trainer->members[k].place = places[k];
    enum status st = thread_team_open(count, &trainer->team, err);
    if (st == ST_OK)
        st = lower(trainer, PROG_TRAIN, &trainer->training_program, err);
    if (st == ST_OK)
        st = lower(trainer, PROG_EVALUATE, &trainer->evaluation_program, err);
    if (st == ST_OK)
        st = all_members(trainer, trainer, prepare_member, err);
    return st;
}

size_t members_group_bytes(const struct trainer *trainer)
{
    return trainer->group != NULL ? trainer->members[0].place.ops->group_bytes(trainer->group) : 0;
}

static enum status check_room(size_t network, size_t group, size_t limit, struct error *err)
{
    if (network + group <= limit)
        return ST_OK;
    if (group == 0)
        return error_set(err, ST_MEMORY, "network needs %zu bytes on the device, %zu are free", network,
                         limit);
    return error_set(err, ST_MEMORY,
                     "network needs %zu bytes on the device and the group of devices %zu, %zu are free",
                     network, group, limit);
}

enum status members_bind(struct trainer *trainer, size_t bytes_limit, size_t *bytes, struct error *err)
{
    *bytes = needed_bytes(trainer);
    enum status st = check_room(*bytes, 0, bytes_limit, err);
    if (st == ST_OK && trainer->count > 1)
        st = open_group(trainer, err);
    if (st == ST_OK) /* how much the group takes is known only when it is open */
        st = check_room(*bytes, members_group_bytes(trainer), bytes_limit, err);
    if (st == ST_OK)
        st = all_members(trainer, trainer, bind_member, err);
    return st;
}

void members_close(struct trainer *trainer)
{
    thread_team_close(trainer->team);
    for (int32_t k = 0; k < trainer->count; k++) {
        struct member *member = &trainer->members[k];
        member->place.ops->program_free(member->place.device, member->training);
        member->place.ops->program_free(member->place.device, member->evaluation);
        member->place.ops->weights_free(member->place.device, member->weights);
    }
    if (trainer->group != NULL)
        trainer->members[0].place.ops->group_close(trainer->group);
    program_free(&trainer->training_program);
    program_free(&trainer->evaluation_program);
    free(trainer->members);
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
    return member->place.ops->program_run(member->place.device, member->training, &step, err);
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
    memset(trainer->state.metrics, 0, sizeof trainer->state.metrics);
    for (int32_t k = 0; k < trainer->count; k++)
        for (int m = 0; m < METRIC_COUNT; m++)
            trainer->state.metrics[m] += trainer->members[k].metrics[m];
}

/* Waits for the steps that are queued: a failure of one of them may show here, and then the others wait in vain. */
static enum status read_metrics(void *context, int32_t number, struct error *err)
{
    struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    return member->place.ops->program_metrics(member->place.device, member->training, member->metrics, err);
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
    return member->place.ops->program_set_metrics(member->place.device, member->training, member->metrics,
                                                  err);
}

enum status members_set_metrics(struct trainer *trainer, struct error *err)
{
    sum_metrics(trainer);
    return all_members(trainer, trainer, write_metrics, err);
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
    return member->place.ops->weights_upload(member->place.device, member->weights, work->slot, work->values,
                                             err);
}

enum status members_upload(struct trainer *trainer, enum weight_slot slot, const float *values,
                           struct error *err)
{
    struct upload_work work = {.trainer = trainer, .slot = slot, .values = values};
    trainer->state.averaged = 1;
    return all_members(trainer, &work, upload, err);
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
    return member->place.ops->weights_copy(member->place.device, member->weights, work->slot, work->owner,
                                           work->weights, SLOT_VALUE, err);
}

enum status members_copy(struct trainer *trainer, enum weight_slot slot, struct device *owner,
                         const struct device_weights *weights, struct error *err)
{
    struct copy_work work = {.trainer = trainer, .slot = slot, .owner = owner, .weights = weights};
    trainer->state.averaged = 1;
    return all_members(trainer, &work, copy, err);
}

enum status members_upload_one(struct trainer *trainer, int32_t number, enum weight_slot slot,
                               const float *values, struct error *err)
{
    const struct member *member = &trainer->members[number];
    return member->place.ops->weights_upload(member->place.device, member->weights, slot, values, err);
}

enum status members_download(struct trainer *trainer, int32_t number, enum weight_slot slot, float *values,
                             struct error *err)
{
    const struct member *member = &trainer->members[number];
    return member->place.ops->weights_download(member->place.device, member->weights, slot, values, err);
}

struct average_work {
    struct trainer *trainer;
    enum weight_slot slot;
};

static enum status average(void *context, int32_t number, struct error *err)
{
    const struct average_work *work = context;
    const struct member *member = &work->trainer->members[number];
    return member->place.ops->group_average(work->trainer->group, member->place.device, member->weights,
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
    enum status st = member->place.ops->program_probabilities(member->place.device, member->evaluation,
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

/* Binding waits for the device, so it is left out where the samples are the same as the last time: the trainer's own. */
static enum status bind_share(const struct evaluation *evaluation, struct member *member,
                              const int32_t *samples, int32_t count, struct error *err)
{
    const bool validates = evaluation->samples == member->place.validation &&
                           evaluation->count == member->place.validation_count;
    if (validates && member->validates)
        return ST_OK;
    enum status st = bind_evaluation(evaluation->trainer, member, samples, count, err);
    member->validates = st == ST_OK && validates;
    return st;
}

/* A member's share of the samples, in their order. */
static enum status evaluate_share(void *context, int32_t number, struct error *err)
{
    struct evaluation *evaluation = context;
    const struct trainer *trainer = evaluation->trainer;
    struct member *member = &trainer->members[number];
    const struct device_ops *ops = member->place.ops;
    const int32_t batch = trainer->evaluation_program.batch;
    const double zeros[METRIC_COUNT] = {0};
    const int32_t begin = (int32_t)((int64_t)evaluation->count * number / trainer->count);
    const int32_t count = (int32_t)((int64_t)evaluation->count * (number + 1) / trainer->count) - begin;
    const int32_t *samples = evaluation->samples + begin;
    float *probabilities = NULL;

    memset(evaluation->metrics[number], 0, sizeof evaluation->metrics[number]);
    if (count == 0)
        return ST_OK;
    enum status st = bind_share(evaluation, member, samples, count, err);
    if (st == ST_OK)
        st = ops->program_set_metrics(member->place.device, member->evaluation, zeros, err);
    if (st == ST_OK && evaluation->confusion != NULL) {
        size_t size = (size_t)batch * (size_t)evaluation->classes * sizeof(float);
        probabilities = malloc(size);
        if (probabilities == NULL)
            st = error_memory(err, "probabilities", size);
    }
    for (int32_t first = 0; st == ST_OK && first < count; first += batch) {
        const int32_t valid = count - first < batch ? count - first : batch;
        const struct step step = {.seed = trainer->settings.seed, .first = (uint32_t)first, .valid = valid};
        st = ops->program_run(member->place.device, member->evaluation, &step, err);
        if (st == ST_OK && probabilities != NULL)
            st = count_predictions(evaluation, member, samples + first, valid, probabilities, err);
    }
    if (st == ST_OK)
        st = ops->program_metrics(member->place.device, member->evaluation, evaluation->metrics[number], err);
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
    evaluation.metrics = calloc((size_t)trainer->count, sizeof *evaluation.metrics);
    if (evaluation.metrics == NULL)
        return error_memory(err, "metrics", (size_t)trainer->count * sizeof *evaluation.metrics);
    enum status st = all_members(trainer, &evaluation, evaluate_share, err);
    memset(metrics, 0, METRIC_COUNT * sizeof *metrics);
    for (int32_t k = 0; k < trainer->count; k++)
        for (int m = 0; m < METRIC_COUNT; m++)
            metrics[m] += evaluation.metrics[k][m];
    pthread_mutex_destroy(&evaluation.lock);
    free(evaluation.metrics);
    return st;
}

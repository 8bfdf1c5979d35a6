/* How a trainer begins and ends: settings from the job, programs lowered and prepared on every device of the training,
 * memory taken and bound, all of it given back. */
#include "host/device/views.h"
#include "host/train/trainer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How long a member waits for the others before it takes them for lost. Far above what a step or an evaluation takes,
 * and above what a file system may keep member 0 waiting for a checkpoint. */
static const double GROUP_TIMEOUT = 300.0; /* seconds */

/* The batch that learning rates in job files are meant for (Goyal et al. 2017: the rate grows with the
 * batch). */
static const double REFERENCE_BATCH = 128.0;

static enum optimizer_kind optimizer_of(enum job_optimizer optimizer)
{
    switch (optimizer) {
    case JOB_OPTIMIZER_SGD:
        return OPTIMIZER_SGD;
    case JOB_OPTIMIZER_ADAMW:
        return OPTIMIZER_ADAMW;
    case JOB_OPTIMIZER_MUON:
        return OPTIMIZER_MUON;
    }
    abort(); /* the schema allows no other */
}

bool trainer_is_weighted(const struct job_train *job)
{
    return job->class_weights.count > 0 && strcmp(job->class_weights.items[0], "none") != 0;
}

void trainer_settings_of(const struct job_train *job, int32_t batch, uint64_t seed,
                         struct trainer_settings *settings)
{
    *settings = (struct trainer_settings){
        .batch = batch,
        .optimizer = {.kind = optimizer_of(job->optimizer),
                      .momentum = (float)job->momentum,
                      .second = (float)job->beta2,
                      .decay = (float)job->weight_decay,
                      .bias_rate = (float)job->bias_rate,
                      .bias_decay = (float)job->bias_decay,
                      .muon_rate = (float)job->muon_rate},
        .schedule = {.kind = job->schedule,
                     .peak = job->learning_rate * batch / REFERENCE_BATCH,
                     .warmup = job->warmup,
                     .hold = job->hold},
        .augment = {.translate = job->translate, .flip = job->flip, .cutout = job->cutout},
        .label_smoothing = (float)job->label_smoothing,
        .focal = (float)job->focal,
        .weighted = trainer_is_weighted(job),
        .drop_path = (float)job->drop_path,
        .averaging = job->averaging,
        .average = (float)job->average,
        .patience = job->patience,
        .seed = seed,
    };
}

int32_t trainer_views_of(const struct job_evaluate *evaluate, const struct job_train *train)
{
    const bool automatic = evaluate->views == JOB_AUTO;
    const bool shifted = automatic ? train->translate != 0 : evaluate->views == VIEWS_MOST;
    const bool mirrored = train->flip && (automatic || evaluate->views > 1);
    return (shifted ? 3 : 1) * (mirrored ? 2 : 1);
}

/* The running statistics of batch norms remember about this many images: those of a large batch are good by themselves,
 * and old ones are of other weights (Jordan 2024 has 0.4 for batches of 1024; 0.1 is usual for 128). */
static const double STATISTICS_IMAGES = 1280.0;
/* At least, so that what they began with is forgotten in the short trainings of a ladder. */
static const double STATISTICS_LEAST = 0.1;
static const double STATISTICS_MOST = 0.4;

static float batch_norm_momentum(int32_t batch)
{
    return (float)fmin(STATISTICS_MOST, fmax(STATISTICS_LEAST, batch / STATISTICS_IMAGES));
}

/* ---- prepare: no memory yet ---- */

struct lower_options trainer_lower_options(const struct trainer_settings *settings,
                                           const struct trainer_device *device, int32_t members,
                                           enum prog_purpose purpose)
{
    return (struct lower_options){
        .purpose = purpose,
        .batch = settings->batch / members,
        .augment = true,
        .weight_average = settings->average > 0.0f,
        .orthogonalise = settings->optimizer.kind == OPTIMIZER_MUON,
        .drop_path = settings->drop_path,
        .label_smoothing = settings->label_smoothing,
        .focal = settings->focal,
        .weighted = settings->weighted,
        .sets = device->label_sets != NULL,
        .batch_norm_momentum = batch_norm_momentum(settings->batch),
        .members = members,
    };
}

static enum status lower(const struct trainer *trainer, const struct graph *graph, enum prog_purpose purpose,
                         struct program *program, struct error *err)
{
    const struct lower_options options =
        trainer_lower_options(&trainer->settings, &trainer->members[0].device, trainer->count, purpose);
    return lower_graph(graph, &options, program, err);
}

static enum status prepare_member(void *context, int32_t number, struct error *err)
{
    struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    const struct trainer_device *device = &member->device;
    enum status st = ST_OK;
    for (int32_t size = 0; st == ST_OK && size < trainer->sizes; size++)
        st = device->ops->program_prepare(device->handle, &trainer->training_programs[size],
                                          &member->training[size], err);
    if (st == ST_OK)
        st = device->ops->program_prepare(device->handle, &trainer->evaluation_program, &member->evaluation,
                                          err);
    return st;
}

/* The training's programs, the one for the full size first. */
static enum status lower_training(struct trainer *trainer, struct error *err)
{
    bool fits = false;
    enum status st = trainer->settings.progressive ? progressive_fits(&trainer->graph, &fits, err) : ST_OK;
    trainer->sizes = fits ? PROGRESSIVE_SIZES : 1;
    if (st == ST_OK)
        st =
            lower(trainer, &trainer->graph, PROG_TRAIN, &trainer->training_programs[trainer->sizes - 1], err);
    for (int32_t size = 0; st == ST_OK && size < trainer->sizes - 1; size++) {
        struct graph graph;
        st = progressive_graph(&trainer->graph, size, &graph, err);
        if (st != ST_OK)
            return st;
        st = lower(trainer, &graph, PROG_TRAIN, &trainer->training_programs[size], err);
        graph_free(&graph);
    }
    return st;
}

/* Lowers the graph, once for each size, and has every device prepare its programs. */
static enum status prepare_members(struct trainer *trainer, const struct trainer_device *devices,
                                   int32_t count, struct error *err)
{
    trainer->members = calloc((size_t)count, sizeof(*trainer->members));
    if (trainer->members == NULL)
        return error_memory(err, "trainer", (size_t)count * sizeof(*trainer->members));
    trainer->count = count;
    for (int32_t k = 0; k < count; k++)
        trainer->members[k].device = devices[k];
    enum status st = thread_team_open(count, &trainer->team, err);
    if (st == ST_OK)
        st = lower_training(trainer, err);
    if (st == ST_OK)
        st = lower(trainer, &trainer->graph, PROG_EVALUATE, &trainer->evaluation_program, err);
    if (st == ST_OK)
        st = members_all(trainer, trainer, prepare_member, err);
    return st;
}

static enum status check_batch(const struct trainer_device *device, int32_t count, int32_t batch,
                               struct error *err)
{
    if (device->train_count < batch)
        return error_set(err, ST_RANGE, "train.batch: found %d, expected at most the %d training images",
                         (int)batch, (int)device->train_count);
    if (batch % count != 0)
        return error_set(err, ST_RANGE, "train.batch: found %d, expected a multiple of the %d devices",
                         (int)batch, (int)count);
    return ST_OK;
}

enum status trainer_prepare(const struct trainer_device *devices, int32_t count, const struct graph *graph,
                            const struct trainer_settings *settings, struct trainer **prepared,
                            struct error *err)
{
    *prepared = NULL;
    enum status st = check_batch(&devices[0], count, settings->batch, err);
    if (st != ST_OK)
        return st;
    struct trainer *trainer = calloc(1, sizeof(*trainer));
    if (trainer == NULL)
        return error_memory(err, "trainer", sizeof(*trainer));
    trainer->settings = *settings;
    trainer->state.best_loss = INFINITY;
    st = graph_copy(&trainer->graph, graph, err);
    if (st == ST_OK && settings->labels != NULL) {
        const size_t bytes = (size_t)devices[0].validation_count * sizeof(*trainer->losses);
        trainer->losses = calloc((size_t)devices[0].validation_count + 1, sizeof(*trainer->losses));
        st = trainer->losses != NULL ? ST_OK : error_memory(err, "losses", bytes);
    }
    if (st == ST_OK)
        st = prepare_members(trainer, devices, count, err);
    if (st == ST_OK)
        *prepared = trainer;
    else
        trainer_close(trainer);
    return st;
}

/* ---- bind: memory is taken ---- */

static enum status bind_member(void *context, int32_t number, struct error *err)
{
    struct trainer *trainer = context;
    struct member *member = &trainer->members[number];
    const struct trainer_device *device = &member->device;
    enum status st = device->ops->weights_new(device->handle, trainer_weights(trainer), SLOT_GRADIENT,
                                              &member->weights, err);
    if (st == ST_OK)
        st = member_bind_training(trainer, member, err);
    if (st == ST_OK)
        st = member_bind_evaluation(trainer, member, device->validation, device->validation_count, err);
    member->validates = st == ST_OK && trainer->count == 1;
    return st;
}

static enum status open_group(struct trainer *trainer, struct error *err)
{
    const struct device_ops *ops = trainer->members[0].device.ops;
    struct device **devices = calloc((size_t)trainer->count, sizeof(struct device *));
    if (devices == NULL)
        return error_memory(err, "group of devices", (size_t)trainer->count * sizeof(struct device *));
    for (int32_t k = 0; k < trainer->count; k++)
        devices[k] = trainer->members[k].device.handle;
    enum status st = ops->group_open(devices, trainer->count, GROUP_TIMEOUT, &trainer->group, err);
    free(devices);
    return st;
}

/* Of its training program, the largest: one size is bound at a time. */
static size_t training_bytes(const struct trainer *trainer, const struct member *member)
{
    size_t most = 0;
    for (int32_t size = 0; size < trainer->sizes; size++) {
        const size_t bytes = member->device.ops->program_bytes(member->training[size]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* The fullest member's. */
static size_t needed_bytes(const struct trainer *trainer)
{
    size_t most = 0;
    for (int32_t k = 0; k < trainer->count; k++) {
        const struct member *member = &trainer->members[k];
        size_t bytes =
            training_bytes(trainer, member) + member->device.ops->program_bytes(member->evaluation);
        most = bytes > most ? bytes : most;
    }
    const struct trainer_device *device = &trainer->members[0].device;
    return most + trainer_weights_bytes(trainer_weights(trainer)) +
           ((size_t)device->train_count +
            (trainer->settings.use_validation ? 2 : 1) * (size_t)device->validation_count) *
               sizeof(int32_t);
}

size_t trainer_group_bytes(const struct trainer *trainer)
{
    return trainer->group != NULL ? trainer->members[0].device.ops->group_bytes(trainer->group) : 0;
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

enum status trainer_bind(struct trainer *trainer, size_t bytes_limit, size_t *bytes, struct error *err)
{
    *bytes = needed_bytes(trainer);
    enum status st = check_room(*bytes, 0, bytes_limit, err);
    if (st == ST_OK && trainer->count > 1)
        st = open_group(trainer, err);
    if (st == ST_OK) /* how much the group takes is known only when it is open */
        st = check_room(*bytes, trainer_group_bytes(trainer), bytes_limit, err);
    if (st == ST_OK)
        st = members_all(trainer, trainer, bind_member, err);
    return st;
}

enum status trainer_open(const struct trainer_device *devices, int32_t count, const struct graph *graph,
                         const struct trainer_settings *settings, size_t bytes_limit, struct trainer **opened,
                         size_t *bytes, struct error *err)
{
    enum status st = trainer_prepare(devices, count, graph, settings, opened, err);
    if (st == ST_OK)
        st = trainer_bind(*opened, bytes_limit, bytes, err);
    if (st != ST_OK) {
        trainer_close(*opened);
        *opened = NULL;
    }
    return st;
}

void trainer_close(struct trainer *trainer)
{
    if (trainer == NULL)
        return;
    thread_team_close(trainer->team);
    for (int32_t k = 0; k < trainer->count; k++) {
        struct member *member = &trainer->members[k];
        for (int32_t size = 0; size < PROGRESSIVE_SIZES; size++)
            member->device.ops->program_free(member->device.handle, member->training[size]);
        member->device.ops->program_free(member->device.handle, member->evaluation);
        member->device.ops->weights_free(member->device.handle, member->weights);
    }
    if (trainer->group != NULL)
        trainer->members[0].device.ops->group_close(trainer->group);
    for (int32_t size = 0; size < PROGRESSIVE_SIZES; size++)
        program_free(&trainer->training_programs[size]);
    program_free(&trainer->evaluation_program);
    free(trainer->members);
    free(trainer->joined);
    free(trainer->losses);
    graph_free(&trainer->graph);
    free(trainer);
}

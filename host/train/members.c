/* What the members of a training do at the same time: steps, metrics, weights. */
#include "host/train/trainer_internal.h"

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

#include "host/device/checks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- bases: each object's first member ---- */

static struct device_base *device_base(struct device *device)
{
    return (struct device_base *)(void *)device;
}

static const struct device_ops *own_of(const struct device *device)
{
    return ((const struct device_base *)(const void *)device)->own;
}

static struct device_weights_base *weights_base(struct device_weights *weights)
{
    return (struct device_weights_base *)(void *)weights;
}

static const struct device_weights_base *read_weights(const struct device_weights *weights)
{
    return (const struct device_weights_base *)(const void *)weights;
}

static struct device_group_base *group_base(struct device_group *group)
{
    return (struct device_group_base *)(void *)group;
}

static struct device_program_base *program_base(struct device_program *prepared)
{
    return (struct device_program_base *)(void *)prepared;
}

/* ---- datasets ---- */

/* Labels are classes, or numbers of sets. */
static enum status check_labels(const struct dataset_view *view, struct error *err)
{
    const int32_t labels = view->label_sets != NULL ? view->label_set_count : view->classes;
    const size_t entries = (size_t)labels * (size_t)view->classes;
    if (view->label_sets != NULL && labels < 1)
        return error_set(err, ST_RANGE, "dataset: %d sets of labels, expected at least one", (int)labels);
    for (int32_t i = 0; i < view->count; i++)
        if (view->labels[i] < 0 || view->labels[i] >= labels)
            return error_set(err, ST_RANGE, "dataset: image %d has label %d, expected 0 to %d", (int)i,
                             (int)view->labels[i], (int)labels - 1);
    for (size_t i = 0; view->label_sets != NULL && i < entries; i++)
        if (view->label_sets[i] > 1)
            return error_set(err, ST_RANGE, "dataset: set %zu has %d of class %zu, expected 0 or 1",
                             i / (size_t)view->classes, (int)view->label_sets[i], i % (size_t)view->classes);
    return ST_OK;
}

static enum status check_view(const struct dataset_view *view, struct error *err)
{
    if (view->count < 1 || view->channels < 1 || view->channels > DEVICE_MOST_CHANNELS || view->height < 1 ||
        view->width < 1)
        return error_set(
            err, ST_RANGE, "dataset: %d images of %d x %d x %d, expected at least one, of 1 to %d channels",
            (int)view->count, (int)view->channels, (int)view->height, (int)view->width, DEVICE_MOST_CHANNELS);
    for (int32_t c = 0; c < view->channels; c++)
        if (!(view->deviation[c] > 0.0f))
            return error_set(err, ST_RANGE, "dataset: channel %d has deviation %g, expected above 0", (int)c,
                             (double)view->deviation[c]);
    for (int32_t k = 0; view->class_weights != NULL && k < view->classes; k++)
        if (!(view->class_weights[k] >= 0.0f && isfinite(view->class_weights[k])))
            return error_set(err, ST_RANGE, "dataset: class %d has weight %g, expected 0 or more", (int)k,
                             (double)view->class_weights[k]);
    return check_labels(view, err);
}

enum status checked_dataset_upload(struct device *device, const struct dataset_view *view,
                                   struct device_dataset **dataset, struct error *err)
{
    *dataset = NULL;
    enum status st = check_view(view, err);
    if (st == ST_OK)
        st = own_of(device)->dataset_upload(device, view, dataset, err);
    if (st == ST_OK)
        *(struct device_dataset_base *)(void *)*dataset =
            (struct device_dataset_base){.count = view->count,
                                         .channels = view->channels,
                                         .height = view->height,
                                         .width = view->width,
                                         .classes = view->classes,
                                         .weighted = view->class_weights != NULL,
                                         .sets = view->label_sets != NULL};
    return st;
}

/* ---- weights ---- */

static enum status check_slot(const struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    const int32_t slots = read_weights(weights)->slots;
    if ((unsigned)slot < (unsigned)slots)
        return ST_OK;
    return error_set(
        err, ST_RANGE,
        "weights: slot %d, expected 0 to %d, which the set has (gradients are read as a program's tensors)",
        (int)slot, (int)slots - 1);
}

/* Whether weights that are laid out by `found` can be taken for those of `expected`. `use`: what for. */
static enum status check_network(const char *use, const struct weight_table *found,
                                 const struct weight_table *expected, struct error *err)
{
    if (found->count != expected->count || found->total != expected->total)
        return error_set(err, ST_RANGE, "%s: weights of %zu values in %d tensors, expected %zu in %d", use,
                         found->total, (int)found->count, expected->total, (int)expected->count);
    for (int32_t i = 0; i < found->count; i++) {
        const struct weight_tensor *f = &found->tensors[i], *e = &expected->tensors[i];
        if (f->offset != e->offset || memcmp(f->dims, e->dims, sizeof(f->dims)) != 0)
            return error_set(err, ST_RANGE,
                             "%s: tensor %d of the weights is %d x %d x %d x %d at %zu, "
                             "expected %d x %d x %d x %d at %zu",
                             use, (int)i, (int)f->dims[0], (int)f->dims[1], (int)f->dims[2], (int)f->dims[3],
                             f->offset, (int)e->dims[0], (int)e->dims[1], (int)e->dims[2], (int)e->dims[3],
                             e->offset);
    }
    return ST_OK;
}

static enum status check_remaps(const struct remap_list *remaps, const struct weight_table *child,
                                const struct weight_table *parent, struct error *err)
{
    for (int32_t i = 0; i < remaps->count; i++) {
        const struct remap *remap = &remaps->remaps[i];
        if (remap->child < 0 || remap->child >= child->count)
            return error_set(err, ST_RANGE, "remap %d: the child's tensor %d, expected 0 to %d", (int)i,
                             (int)remap->child, (int)child->count - 1);
        if (remap->source >= parent->count)
            return error_set(err, ST_RANGE, "remap %d: the parent's tensor %d, expected -1 to %d", (int)i,
                             (int)remap->source, (int)parent->count - 1);
    }
    return ST_OK;
}

enum status checked_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                                struct device_weights **weights, struct error *err)
{
    struct device_weights *made = NULL;
    struct weight_table copy = {0};
    *weights = NULL;
    if (slots < 1 || slots > SLOT_GRADIENT)
        return error_set(err, ST_RANGE, "weights: %d slots, expected 1 to %d", (int)slots, SLOT_GRADIENT);
    enum status st = weight_table_copy(&copy, table, err);
    if (st == ST_OK)
        st = own_of(device)->weights_new(device, table, slots, &made, err);
    if (st == ST_OK) {
        *weights_base(made) = (struct device_weights_base){.table = copy, .slots = slots};
        *weights = made;
    } else {
        weight_table_free(&copy);
    }
    return st;
}

void checked_weights_free(struct device *device, struct device_weights *weights)
{
    if (weights == NULL)
        return;
    weight_table_free(&weights_base(weights)->table);
    own_of(device)->weights_free(device, weights);
}

enum status checked_weights_upload(struct device *device, struct device_weights *weights,
                                   enum weight_slot slot, const float *values, struct error *err)
{
    enum status st = check_slot(weights, slot, err);
    return st == ST_OK ? own_of(device)->weights_upload(device, weights, slot, values, err) : st;
}

enum status checked_weights_download(struct device *device, struct device_weights *weights,
                                     enum weight_slot slot, float *values, struct error *err)
{
    enum status st = check_slot(weights, slot, err);
    return st == ST_OK ? own_of(device)->weights_download(device, weights, slot, values, err) : st;
}

enum status checked_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                                 struct device *owner, const struct device_weights *source,
                                 enum weight_slot from, struct error *err)
{
    enum status st = check_slot(weights, to, err);
    if (st == ST_OK)
        st = check_slot(source, from, err);
    if (st == ST_OK)
        st = check_network("copy", &read_weights(source)->table, &read_weights(weights)->table, err);
    return st == ST_OK ? own_of(device)->weights_copy(device, weights, to, owner, source, from, err) : st;
}

enum status checked_weights_remap(struct device *device, struct device_weights *child,
                                  const struct device_weights *parent, enum weight_slot from,
                                  const struct remap_list *remaps, uint64_t seed, struct error *err)
{
    enum status st = check_slot(parent, from, err);
    if (st == ST_OK)
        st = check_remaps(remaps, &read_weights(child)->table, &read_weights(parent)->table, err);
    return st == ST_OK ? own_of(device)->weights_remap(device, child, parent, from, remaps, seed, err) : st;
}

/* ---- groups ---- */

static enum status check_members(struct device *const *devices, int32_t count, struct error *err)
{
    if (count < 1)
        return error_set(err, ST_RANGE, "group of %d devices, expected at least 1", (int)count);
    for (int32_t k = 0; k < count; k++) {
        if (own_of(devices[k]) != own_of(devices[0]))
            return error_set(err, ST_RANGE, "group: device %d is of another kind than device 0", (int)k);
        if (device_base(devices[k])->group != NULL)
            return error_set(err, ST_RANGE, "group: device %d is in another group", (int)k);
        for (int32_t other = 0; other < k; other++)
            if (devices[other] == devices[k])
                return error_set(err, ST_RANGE, "group: device %d is device %d again, expected each once",
                                 (int)k, (int)other);
    }
    return ST_OK;
}

enum status checked_group_open(struct device *const *devices, int32_t count, double timeout,
                               struct device_group **group, struct error *err)
{
    *group = NULL;
    enum status st = check_members(devices, count, err);
    if (st != ST_OK)
        return st;
    struct device **members = malloc((size_t)count * sizeof(*members));
    if (members == NULL)
        return error_memory(err, "group of devices", (size_t)count * sizeof(*members));
    memcpy(members, devices, (size_t)count * sizeof(*members));
    st = own_of(devices[0])->group_open(devices, count, timeout, group, err);
    if (st != ST_OK) {
        free(members);
        return st;
    }
    *group_base(*group) = (struct device_group_base){.count = count, .members = members};
    for (int32_t k = 0; k < count; k++)
        device_base(members[k])->group = *group;
    return ST_OK;
}

void checked_group_close(struct device_group *group)
{
    if (group == NULL)
        return;
    const struct device_group_base base = *group_base(group);
    own_of(base.members[0])->group_close(group);
    for (int32_t k = 0; k < base.count; k++)
        device_base(base.members[k])->group = NULL;
    free(base.members);
}

static enum status check_collective(const struct device_group *group, struct device *device,
                                    const struct device_weights *weights, enum weight_slot slot,
                                    struct error *err)
{
    enum status st = check_slot(weights, slot, err);
    if (st == ST_OK && device_base(device)->group != group)
        st = error_set(err, ST_RANGE, "group: the device that calls is none of its members");
    return st;
}

enum status checked_group_average(struct device_group *group, struct device *device,
                                  struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    enum status st = check_collective(group, device, weights, slot, err);
    return st == ST_OK ? own_of(device)->group_average(group, device, weights, slot, err) : st;
}

enum status checked_group_broadcast(struct device_group *group, struct device *device,
                                    struct device_weights *weights, enum weight_slot slot, int32_t root,
                                    struct error *err)
{
    enum status st = check_collective(group, device, weights, slot, err);
    if (st == ST_OK && (root < 0 || root >= group_base(group)->count))
        st = error_set(err, ST_RANGE, "group: broadcast from member %d, expected 0 to %d", (int)root,
                       (int)group_base(group)->count - 1);
    return st == ST_OK ? own_of(device)->group_broadcast(group, device, weights, slot, root, err) : st;
}

/* ---- programs ---- */

enum status checked_program_prepare(struct device *device, const struct program *program,
                                    struct device_program **prepared, struct error *err)
{
    *prepared = NULL;
    enum status st = own_of(device)->program_prepare(device, program, prepared, err);
    if (st == ST_OK)
        *program_base(*prepared) = (struct device_program_base){.program = program};
    return st;
}

/* Muon needs the updates that a program lowered for it makes; nothing else knows what to do with them. */
static enum status check_optimizer(const struct program *program, const struct device_binding *binding,
                                   struct error *err)
{
    int32_t hidden = 0, updates = 0;
    for (int32_t w = 0; w < program->weights.count; w++)
        hidden += program->weights.tensors[w].hidden && program->weights.tensors[w].trained;
    for (int32_t i = 0; i < program->op_count; i++)
        updates += program->ops[i].kind == PROG_OP_ORTHOGONALISE;
    const int32_t expected = binding->optimizer.kind == OPTIMIZER_MUON ? hidden : 0;
    return program->purpose != PROG_TRAIN || updates == expected
               ? ST_OK
               : error_set(err, ST_RANGE, "bind: %d orthogonal updates, expected the optimizer's %d",
                           (int)updates, (int)expected);
}

static enum status check_images(const struct program *program, const struct device_binding *binding,
                                struct error *err)
{
    const struct device_dataset_base *data =
        (const struct device_dataset_base *)(const void *)binding->dataset;
    for (int32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i].kind == PROG_OP_LOSS && program->ops[i].loss.weighted && !data->weighted)
            return error_set(err, ST_RANGE, "bind: images without class weights, expected the program's");
        if (program->ops[i].kind == PROG_OP_LOSS && program->ops[i].loss.sets != data->sets)
            return error_set(err, ST_RANGE, "bind: images whose labels are %s, expected the program's %s",
                             data->sets ? "sets" : "classes", data->sets ? "classes" : "sets");
        if (program->ops[i].kind != PROG_OP_GATHER)
            continue;
        const struct shape s = program->tensors[program->ops[i].outputs[GATHER_OUT_IMAGE]].shape;
        /* The gather makes images smaller, but not larger. */
        if (s.c != data->channels || s.h > data->height || s.w > data->width)
            return error_set(
                err, ST_RANGE, "bind: images of %d x %d x %d, expected the program's %d x %d x %d or larger",
                (int)data->channels, (int)data->height, (int)data->width, (int)s.c, (int)s.h, (int)s.w);
    }
    if (program->logits >= 0 && program->tensors[program->logits].shape.c != data->classes)
        return error_set(err, ST_RANGE, "bind: images of %d classes, expected the program's %d",
                         (int)data->classes, (int)program->tensors[program->logits].shape.c);
    if (binding->sample_count < 1)
        return error_set(err, ST_RANGE, "bind: %d samples, expected at least 1", (int)binding->sample_count);
    for (int32_t i = 0; i < binding->sample_count; i++)
        if (binding->samples[i] < 0 || binding->samples[i] >= data->count)
            return error_set(err, ST_RANGE, "bind: sample %d is image %d, expected 0 to %d", (int)i,
                             (int)binding->samples[i], (int)data->count - 1);
    return ST_OK;
}

static enum status check_weights(const struct program *program, const struct device_binding *binding,
                                 struct error *err)
{
    const struct device_weights_base *weights = read_weights(binding->weights);
    const int32_t needed = program->purpose == PROG_TRAIN ? SLOT_GRADIENT
                           : binding->use_average         ? SLOT_AVERAGE + 1
                                                          : SLOT_VALUE + 1;
    enum status st = check_network("bind", &weights->table, &program->weights, err);
    if (st != ST_OK)
        return st;
    if (weights->slots < needed)
        return error_set(err, ST_RANGE, "bind: weights with %d slots, expected at least %d to %s",
                         (int)weights->slots, (int)needed,
                         program->purpose == PROG_TRAIN ? "train" : "evaluate by the average");
    return ST_OK;
}

enum status checked_program_bind(struct device *device, struct device_program *prepared,
                                 const struct device_binding *binding, struct error *err)
{
    struct device_program_base *base = program_base(prepared);
    enum status st = check_images(base->program, binding, err);
    if (st == ST_OK)
        st = check_weights(base->program, binding, err);
    if (st == ST_OK)
        st = check_optimizer(base->program, binding, err);
    if (st == ST_OK && binding->group != NULL && binding->group != device_base(device)->group)
        st = error_set(err, ST_RANGE, "bind: the device is no member of the binding's group");
    if (st != ST_OK)
        return st;
    base->samples = 0; /* when the device fails, nobody knows what is bound */
    st = own_of(device)->program_bind(device, prepared, binding, err);
    base->samples = st == ST_OK ? binding->sample_count : 0;
    return st;
}

static enum status check_bound(struct device_program *prepared, struct error *err)
{
    return program_base(prepared)->samples > 0 ? ST_OK : error_set(err, ST_RANGE, "program: it is not bound");
}

static enum status check_step(struct device_program *prepared, const struct step *step, struct error *err)
{
    const struct device_program_base *base = program_base(prepared);
    enum status st = check_bound(prepared, err);
    if (st != ST_OK)
        return st;
    if (step->valid < 1 || step->valid > base->program->batch)
        return error_set(err, ST_RANGE, "step %u: %d rows, expected 1 to %d", (unsigned)step->number,
                         (int)step->valid, (int)base->program->batch);
    if ((int64_t)step->first + step->valid > base->samples)
        return error_set(err, ST_RANGE, "step %u: rows %u to %lld, expected 0 to %d, the samples",
                         (unsigned)step->number, (unsigned)step->first,
                         (long long)step->first + step->valid - 1, (int)base->samples - 1);
    return ST_OK;
}

enum status checked_program_run(struct device *device, struct device_program *prepared,
                                const struct step *step, struct error *err)
{
    enum status st = check_step(prepared, step, err);
    return st == ST_OK ? own_of(device)->program_run(device, prepared, step, err) : st;
}

enum status checked_program_run_op(struct device *device, struct device_program *prepared, int32_t op,
                                   const struct step *step, struct error *err)
{
    const int32_t count = program_base(prepared)->program->op_count;
    enum status st = check_step(prepared, step, err);
    if (st == ST_OK && (op < 0 || op >= count))
        st = error_set(err, ST_RANGE, "program: operation %d, expected 0 to %d", (int)op, (int)count - 1);
    return st == ST_OK ? own_of(device)->program_run_op(device, prepared, op, step, err) : st;
}

enum status checked_program_probabilities(struct device *device, struct device_program *prepared,
                                          float *probabilities, struct error *err)
{
    enum status st = check_bound(prepared, err);
    if (st == ST_OK && program_base(prepared)->program->probabilities < 0)
        st = error_set(err, ST_RANGE, "program: a training yields no probabilities, expected an evaluation");
    return st == ST_OK ? own_of(device)->program_probabilities(device, prepared, probabilities, err) : st;
}

static enum status check_tensor(struct device_program *prepared, int32_t id, struct error *err)
{
    const int32_t count = program_base(prepared)->program->tensor_count;
    enum status st = check_bound(prepared, err);
    if (st == ST_OK && (id < 0 || id >= count))
        st = error_set(err, ST_RANGE, "program: tensor %d, expected 0 to %d", (int)id, (int)count - 1);
    return st;
}

enum status checked_program_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                   float *values, struct error *err)
{
    enum status st = check_tensor(prepared, id, err);
    return st == ST_OK ? own_of(device)->program_tensor(device, prepared, id, values, err) : st;
}

enum status checked_program_set_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                       const float *values, struct error *err)
{
    enum status st = check_tensor(prepared, id, err);
    if (st == ST_OK && program_base(prepared)->program->tensors[id].kind == TENSOR_WEIGHT)
        st = error_set(err, ST_UNSUPPORTED, "program: tensor %d is a weight, which is set by an upload",
                       (int)id);
    return st == ST_OK ? own_of(device)->program_set_tensor(device, prepared, id, values, err) : st;
}

/* A session, three devices of which two are a group, and a table of everything that a caller may not do with them. */
#include "tests/support/device_rules.h"

#include "host/net/start.h"
#include "tests/support/device_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 4, IMAGES = 10, CLASSES = 3, SIDE = 6, WIDTH = 8, MEMBERS = 2, DEVICES = 3 };

struct rules {
    const struct device_ops *ops;
    struct device *devices[DEVICES]; /* the first is the session's; the last is no member */
    struct device_group *group;      /* of the first MEMBERS */
    struct device_session session;   /* trains */
    struct device_session answering; /* an evaluation on the same device */
    struct device_weights *values;   /* of the same network, with one slot */
    struct device_program *unbound;
    struct remap_list remaps;
    struct error err;
};

static void demand(const struct rules *r, enum status st)
{
    if (st != ST_OK)
        fail_msg("%s: %s", r->ops->kind, r->err.message);
}

static void open_rules(struct rules *r, const struct device_ops *ops)
{
    struct graph graph = {0};
    struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH, .batch_norm_momentum = 0.1f};
    *r = (struct rules){.ops = ops};
    demand(r, start_make(&graph, "cnn", WIDTH, (struct shape){0, 3, SIDE, SIDE}, CLASSES, &r->err));
    for (int32_t k = 0; k < DEVICES; k++)
        demand(r, ops->open(&(struct device_options){.index = k, .threads = 1, .untimed = true},
                            &r->devices[k], &r->err));
    demand(r, ops->group_open(r->devices, MEMBERS, 60.0, &r->group, &r->err));
    session_open_with(&r->session, ops, r->devices[0], &graph, &options, IMAGES, 1);
    options.purpose = PROG_EVALUATE;
    session_open_with(&r->answering, ops, r->devices[0], &graph, &options, IMAGES, 1);
    const struct weight_table *table = &r->session.program.weights;
    demand(r, ops->weights_new(r->devices[0], table, 1, &r->values, &r->err));
    demand(r, ops->program_prepare(r->devices[0], &r->session.program, &r->unbound, &r->err));
    demand(r, remap_list_new(&r->remaps, table, table, &r->err));
    graph_free(&graph);
}

static void close_rules(struct rules *r)
{
    remap_list_free(&r->remaps);
    r->ops->program_free(r->devices[0], r->unbound);
    r->ops->weights_free(r->devices[0], r->values);
    session_close(&r->answering);
    session_close(&r->session);
    r->ops->group_close(r->group);
    for (int32_t k = 0; k < DEVICES; k++)
        r->ops->close(r->devices[k]);
}

/* ---- datasets ---- */

static enum status upload(struct rules *r, const struct dataset_view *view)
{
    struct device_dataset *dataset = NULL;
    enum status st = r->ops->dataset_upload(r->devices[0], view, &dataset, &r->err);
    r->ops->dataset_free(r->devices[0], dataset);
    return st;
}

static enum status no_images(struct rules *r)
{
    struct dataset_view view = r->session.images.view;
    view.count = 0;
    return upload(r, &view);
}

static enum status five_channels(struct rules *r)
{
    struct dataset_view view = r->session.images.view;
    view.channels = 5;
    return upload(r, &view);
}

static enum status label_is_no_class(struct rules *r)
{
    int32_t *label = &r->session.images.labels[4], before = *label;
    *label = CLASSES;
    enum status st = upload(r, &r->session.images.view);
    *label = before;
    return st;
}

static enum status no_deviation(struct rules *r)
{
    struct dataset_view view = r->session.images.view;
    view.deviation[1] = 0;
    return upload(r, &view);
}

/* ---- weights ---- */

static enum status new_weights(struct rules *r, int32_t slots)
{
    struct device_weights *weights = NULL;
    enum status st =
        r->ops->weights_new(r->devices[0], &r->session.program.weights, slots, &weights, &r->err);
    r->ops->weights_free(r->devices[0], weights);
    return st;
}

static enum status no_slots(struct rules *r)
{
    return new_weights(r, 0);
}

static enum status slot_of_gradients(struct rules *r)
{
    return new_weights(r, SLOT_COUNT);
}

static enum status upload_to_gradients(struct rules *r)
{
    return r->ops->weights_upload(r->devices[0], r->session.weights, SLOT_GRADIENT, r->session.values,
                                  &r->err);
}

static enum status download_of_no_slot(struct rules *r)
{
    return r->ops->weights_download(r->devices[0], r->values, SLOT_AVERAGE, r->session.values, &r->err);
}

static enum status copy(struct rules *r, struct device_weights *to, enum weight_slot slot_to,
                        const struct device_weights *from, enum weight_slot slot_from)
{
    return r->ops->weights_copy(r->devices[0], to, slot_to, r->devices[0], from, slot_from, &r->err);
}

static enum status copy_to_no_slot(struct rules *r)
{
    return copy(r, r->values, SLOT_SECOND, r->session.weights, SLOT_VALUE);
}

static enum status copy_from_no_slot(struct rules *r)
{
    return copy(r, r->session.weights, SLOT_VALUE, r->values, SLOT_FIRST);
}

/* Does what `use` does with weights of another network, of which it may change the table. */
static enum status with_others(struct rules *r, void (*change)(struct weight_table *table),
                               enum status (*use)(struct rules *r, struct device_weights *others))
{
    struct weight_table table = {0};
    struct device_weights *others = NULL;
    demand(r, weight_table_copy(&table, &r->session.program.weights, &r->err));
    change(&table);
    demand(r, r->ops->weights_new(r->devices[0], &table, SLOT_GRADIENT, &others, &r->err));
    enum status st = use(r, others);
    r->ops->weights_free(r->devices[0], others);
    weight_table_free(&table);
    return st;
}

/* As many values, but another kernel. */
static void turn_kernel(struct weight_table *table)
{
    int32_t *dims = table->tensors[0].dims, out = dims[0];
    dims[0] = dims[1];
    dims[1] = out;
}

static void drop_last(struct weight_table *table)
{
    table->total = table->tensors[--table->count].offset;
}

static enum status copy_of(struct rules *r, struct device_weights *others)
{
    return copy(r, r->session.weights, SLOT_VALUE, others, SLOT_VALUE);
}

static enum status bind_of(struct rules *r, struct device_weights *others)
{
    struct device_binding binding = r->session.binding;
    binding.weights = others;
    return r->ops->program_bind(r->devices[0], r->session.prepared, &binding, &r->err);
}

static enum status copy_of_other_kernel(struct rules *r)
{
    return with_others(r, turn_kernel, copy_of);
}

static enum status copy_of_fewer_values(struct rules *r)
{
    return with_others(r, drop_last, copy_of);
}

static enum status remap(struct rules *r, const struct device_weights *parent, enum weight_slot from)
{
    return r->ops->weights_remap(r->devices[0], r->session.weights, parent, from, &r->remaps, 1, &r->err);
}

static enum status remap_of_no_slot(struct rules *r)
{
    return remap(r, r->values, SLOT_AVERAGE);
}

static enum status remap_to_no_tensor(struct rules *r)
{
    int32_t *child = &r->remaps.remaps[1].child, before = *child;
    *child = r->session.program.weights.count;
    enum status st = remap(r, r->values, SLOT_VALUE);
    *child = before;
    return st;
}

static enum status remap_from_no_tensor(struct rules *r)
{
    int32_t *source = &r->remaps.remaps[2].source, before = *source;
    *source = r->session.program.weights.count;
    enum status st = remap(r, r->values, SLOT_VALUE);
    *source = before;
    return st;
}

/* ---- groups ---- */

static enum status open_group(struct rules *r, struct device *const *devices, int32_t count)
{
    struct device_group *group = NULL;
    enum status st = r->ops->group_open(devices, count, 60.0, &group, &r->err);
    r->ops->group_close(group);
    return st;
}

static enum status group_of_none(struct rules *r)
{
    return open_group(r, r->devices, 0);
}

static enum status group_of_one_twice(struct rules *r)
{
    return open_group(r, (struct device *[2]){r->devices[2], r->devices[2]}, 2);
}

static enum status group_of_members(struct rules *r)
{
    return open_group(r, (struct device *[2]){r->devices[2], r->devices[0]}, 2);
}

static enum status group_of_two_kinds(struct rules *r)
{
    const struct device_ops *other = r->ops == &ref_device_ops ? &cpu_device_ops : &ref_device_ops;
    struct device *stranger;
    demand(r, other->open(&(struct device_options){.threads = 1}, &stranger, &r->err));
    enum status st = open_group(r, (struct device *[2]){r->devices[2], stranger}, 2);
    other->close(stranger);
    return st;
}

static enum status average_of_no_slot(struct rules *r)
{
    return r->ops->group_average(r->group, r->devices[0], r->values, SLOT_AVERAGE, &r->err);
}

static enum status average_by_no_member(struct rules *r)
{
    return r->ops->group_average(r->group, r->devices[2], r->values, SLOT_VALUE, &r->err);
}

static enum status broadcast_of_no_slot(struct rules *r)
{
    return r->ops->group_broadcast(r->group, r->devices[0], r->values, SLOT_AVERAGE, 0, &r->err);
}

static enum status broadcast_by_no_member(struct rules *r)
{
    return r->ops->group_broadcast(r->group, r->devices[2], r->values, SLOT_VALUE, 0, &r->err);
}

static enum status broadcast_from_no_member(struct rules *r)
{
    return r->ops->group_broadcast(r->group, r->devices[0], r->values, SLOT_VALUE, MEMBERS, &r->err);
}

/* ---- bindings ---- */

static enum status bind(struct rules *r, const struct device_binding *binding)
{
    return r->ops->program_bind(r->devices[0], r->session.prepared, binding, &r->err);
}

static enum status bind_images(struct rules *r, const struct dataset_view *view)
{
    struct device_binding binding = r->session.binding;
    demand(r, r->ops->dataset_upload(r->devices[0], view, &binding.dataset, &r->err));
    enum status st = bind(r, &binding);
    r->ops->dataset_free(r->devices[0], binding.dataset);
    return st;
}

static enum status bind_lower_images(struct rules *r)
{
    struct dataset_view view = r->session.images.view;
    view.height--;
    return bind_images(r, &view);
}

static enum status bind_more_classes(struct rules *r)
{
    struct dataset_view view = r->session.images.view;
    view.classes++;
    return bind_images(r, &view);
}

static enum status bind_other_kernel(struct rules *r)
{
    return with_others(r, turn_kernel, bind_of);
}

static enum status bind_fewer_values(struct rules *r)
{
    return with_others(r, drop_last, bind_of);
}

static enum status train_without_slots(struct rules *r)
{
    return bind_of(r, r->values);
}

static enum status evaluate_no_average(struct rules *r)
{
    struct device_binding binding = r->answering.binding;
    binding.weights = r->values;
    binding.use_average = 1;
    return r->ops->program_bind(r->devices[0], r->answering.prepared, &binding, &r->err);
}

static enum status bind_no_samples(struct rules *r)
{
    struct device_binding binding = r->session.binding;
    binding.sample_count = 0;
    return bind(r, &binding);
}

static enum status bind_no_image(struct rules *r)
{
    r->session.samples[3] = IMAGES;
    enum status st = bind(r, &r->session.binding);
    r->session.samples[3] = 3;
    return st;
}

static enum status bind_negative_image(struct rules *r)
{
    r->session.samples[0] = -1;
    enum status st = bind(r, &r->session.binding);
    r->session.samples[0] = 0;
    return st;
}

static enum status bind_group_of_others(struct rules *r)
{
    struct device_group *others;
    struct device_binding binding = r->session.binding;
    demand(r, r->ops->group_open(&r->devices[2], 1, 60.0, &others, &r->err));
    binding.group = others;
    enum status st = bind(r, &binding);
    r->ops->group_close(others);
    return st;
}

/* ---- programs ---- */

static const struct step STEP = {.valid = BATCH, .learning_rate = 0.01f};

static enum status run(struct rules *r, struct device_program *prepared, struct step step)
{
    return r->ops->program_run(r->devices[0], prepared, &step, &r->err);
}

static enum status run_unbound(struct rules *r)
{
    return run(r, r->unbound, STEP);
}

static enum status run_op_unbound(struct rules *r)
{
    return r->ops->program_run_op(r->devices[0], r->unbound, 0, &STEP, &r->err);
}

static enum status run_no_rows(struct rules *r)
{
    return run(r, r->session.prepared, (struct step){.number = 7});
}

static enum status run_too_many_rows(struct rules *r)
{
    return run(r, r->session.prepared, (struct step){.number = 7, .valid = BATCH + 1});
}

static enum status run_behind_the_samples(struct rules *r)
{
    return run(r, r->session.prepared,
               (struct step){.number = 7, .valid = BATCH, .first = IMAGES - BATCH + 1});
}

static enum status run_op_no_rows(struct rules *r)
{
    return r->ops->program_run_op(r->devices[0], r->session.prepared, 0, &(struct step){0}, &r->err);
}

static enum status run_no_op(struct rules *r)
{
    return r->ops->program_run_op(r->devices[0], r->session.prepared, -1, &STEP, &r->err);
}

static enum status run_op_behind(struct rules *r)
{
    return r->ops->program_run_op(r->devices[0], r->session.prepared, r->session.program.op_count, &STEP,
                                  &r->err);
}

static enum status read_unbound(struct rules *r)
{
    return r->ops->program_tensor(r->devices[0], r->unbound, 0, r->session.values, &r->err);
}

static enum status read_no_tensor(struct rules *r)
{
    return r->ops->program_tensor(r->devices[0], r->session.prepared, -1, r->session.values, &r->err);
}

static enum status write_unbound(struct rules *r)
{
    return r->ops->program_set_tensor(r->devices[0], r->unbound, 0, r->session.values, &r->err);
}

static enum status write_no_tensor(struct rules *r)
{
    return r->ops->program_set_tensor(r->devices[0], r->session.prepared, r->session.program.tensor_count,
                                      r->session.values, &r->err);
}

static enum status write_weight(struct rules *r)
{
    int32_t id = 0;
    while (r->session.program.tensors[id].kind != TENSOR_WEIGHT)
        id++;
    return r->ops->program_set_tensor(r->devices[0], r->session.prepared, id, r->session.values, &r->err);
}

static enum status probabilities_of_training(struct rules *r)
{
    return r->ops->program_probabilities(r->devices[0], r->session.prepared, r->session.values, &r->err);
}

static enum status probabilities_unbound(struct rules *r)
{
    struct device_program *prepared = NULL;
    demand(r, r->ops->program_prepare(r->devices[0], &r->answering.program, &prepared, &r->err));
    enum status st = r->ops->program_probabilities(r->devices[0], prepared, r->answering.values, &r->err);
    r->ops->program_free(r->devices[0], prepared);
    return st;
}

/* ---- the table ---- */

static const struct rule {
    enum status (*broken)(struct rules *r);
    enum status status;
    const char *text;
} RULES[] = {
    {no_images, ST_RANGE, "dataset: 0 images of 3 x 6 x 6, expected at least one, of 1 to 4 channels"},
    {five_channels, ST_RANGE, "dataset: 10 images of 5 x 6 x 6, expected at least one, of 1 to 4 channels"},
    {label_is_no_class, ST_RANGE, "dataset: image 4 has label 3, expected 0 to 2"},
    {no_deviation, ST_RANGE, "dataset: channel 1 has deviation 0, expected above 0"},
    {no_slots, ST_RANGE, "weights: 0 slots, expected 1 to 4"},
    {slot_of_gradients, ST_RANGE, "weights: 5 slots, expected 1 to 4"},
    {upload_to_gradients, ST_RANGE,
     "weights: slot 4, expected 0 to 3, which the set has (gradients are read as a program's tensors)"},
    {download_of_no_slot, ST_RANGE,
     "weights: slot 1, expected 0 to 0, which the set has (gradients are read as a program's tensors)"},
    {copy_to_no_slot, ST_RANGE,
     "weights: slot 3, expected 0 to 0, which the set has (gradients are read as a program's tensors)"},
    {copy_from_no_slot, ST_RANGE,
     "weights: slot 2, expected 0 to 0, which the set has (gradients are read as a program's tensors)"},
    {copy_of_other_kernel, ST_RANGE,
     "copy: tensor 0 of the weights is 3 x 8 x 3 x 3 at 0, expected 8 x 3 x 3 x 3 at 0"},
    {copy_of_fewer_values, ST_RANGE, "copy: weights of 1728 values in 21 tensors, expected 1744 in 22"},
    {remap_of_no_slot, ST_RANGE,
     "weights: slot 1, expected 0 to 0, which the set has (gradients are read as a program's tensors)"},
    {remap_to_no_tensor, ST_RANGE, "remap 1: the child's tensor 22, expected 0 to 21"},
    {remap_from_no_tensor, ST_RANGE, "remap 2: the parent's tensor 22, expected -1 to 21"},
    {group_of_none, ST_RANGE, "group of 0 devices, expected at least 1"},
    {group_of_one_twice, ST_RANGE, "group: device 1 is device 0 again, expected each once"},
    {group_of_members, ST_RANGE, "group: device 1 is in another group"},
    {group_of_two_kinds, ST_RANGE, "group: device 1 is of another kind than device 0"},
    {average_of_no_slot, ST_RANGE,
     "weights: slot 1, expected 0 to 0, which the set has (gradients are read as a program's tensors)"},
    {average_by_no_member, ST_RANGE, "group: the device that calls is none of its members"},
    {broadcast_of_no_slot, ST_RANGE,
     "weights: slot 1, expected 0 to 0, which the set has (gradients are read as a program's tensors)"},
    {broadcast_by_no_member, ST_RANGE, "group: the device that calls is none of its members"},
    {broadcast_from_no_member, ST_RANGE, "group: broadcast from member 2, expected 0 to 1"},
    {bind_lower_images, ST_RANGE, "bind: images of 3 x 5 x 6, expected the program's 3 x 6 x 6"},
    {bind_more_classes, ST_RANGE, "bind: images of 4 classes, expected the program's 3"},
    {bind_other_kernel, ST_RANGE,
     "bind: tensor 0 of the weights is 3 x 8 x 3 x 3 at 0, expected 8 x 3 x 3 x 3 at 0"},
    {bind_fewer_values, ST_RANGE, "bind: weights of 1728 values in 21 tensors, expected 1744 in 22"},
    {train_without_slots, ST_RANGE, "bind: weights with 1 slots, expected at least 4 to train"},
    {evaluate_no_average, ST_RANGE,
     "bind: weights with 1 slots, expected at least 2 to evaluate by the average"},
    {bind_no_samples, ST_RANGE, "bind: 0 samples, expected at least 1"},
    {bind_no_image, ST_RANGE, "bind: sample 3 is image 10, expected 0 to 9"},
    {bind_negative_image, ST_RANGE, "bind: sample 0 is image -1, expected 0 to 9"},
    {bind_group_of_others, ST_RANGE, "bind: the device is no member of the binding's group"},
    {run_unbound, ST_RANGE, "program: it is not bound"},
    {run_op_unbound, ST_RANGE, "program: it is not bound"},
    {run_no_rows, ST_RANGE, "step 7: 0 rows, expected 1 to 4"},
    {run_too_many_rows, ST_RANGE, "step 7: 5 rows, expected 1 to 4"},
    {run_behind_the_samples, ST_RANGE, "step 7: rows 7 to 10, expected 0 to 9, the samples"},
    {run_op_no_rows, ST_RANGE, "step 0: 0 rows, expected 1 to 4"},
    {run_no_op, ST_RANGE, "program: operation -1, expected 0 to 30"},
    {run_op_behind, ST_RANGE, "program: operation 31, expected 0 to 30"},
    {read_unbound, ST_RANGE, "program: it is not bound"},
    {read_no_tensor, ST_RANGE, "program: tensor -1, expected 0 to 71"},
    {write_unbound, ST_RANGE, "program: it is not bound"},
    {write_no_tensor, ST_RANGE, "program: tensor 72, expected 0 to 71"},
    {write_weight, ST_UNSUPPORTED, "program: tensor 0 is a weight, which is set by an upload"},
    {probabilities_of_training, ST_RANGE,
     "program: a training yields no probabilities, expected an evaluation"},
    {probabilities_unbound, ST_RANGE, "program: it is not bound"},
};

void device_rules_check(const struct device_ops *ops)
{
    struct rules r;
    open_rules(&r, ops);
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
        r.err.message[0] = '\0';
        assert_int_equal(RULES[i].broken(&r), RULES[i].status);
        assert_int_equal(r.err.status, RULES[i].status);
        assert_string_equal(r.err.message, RULES[i].text);
        session_run(&r.session, &STEP);
    }
    close_rules(&r);
}

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
    struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = BATCH, .weighted = true, .batch_norm_momentum = 0.1f};
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

/* What follows does one thing wrongly: with `wrong` where it ought to be another number. */

/* ---- datasets ---- */

static enum status upload(struct rules *r, const struct dataset_view *view)
{
    struct device_dataset *dataset = NULL;
    enum status st = r->ops->dataset_upload(r->devices[0], view, &dataset, &r->err);
    r->ops->dataset_free(r->devices[0], dataset);
    return st;
}

static enum status images(struct rules *r, int32_t wrong)
{
    struct dataset_view view = r->session.images.view;
    view.count = wrong;
    return upload(r, &view);
}

static enum status channels(struct rules *r, int32_t wrong)
{
    struct dataset_view view = r->session.images.view;
    view.channels = wrong;
    return upload(r, &view);
}

static enum status label(struct rules *r, int32_t wrong)
{
    int32_t *label = &r->session.images.labels[4], right = *label;
    *label = wrong;
    enum status st = upload(r, &r->session.images.view);
    *label = right;
    return st;
}

/* Sets of which there are so many. */
static struct dataset_view with_sets(struct rules *r, int32_t count)
{
    struct dataset_view view = r->session.images.view;
    view.label_sets = r->session.images.label_sets;
    view.label_set_count = count;
    return view;
}

static enum status set_count(struct rules *r, int32_t wrong)
{
    const struct dataset_view view = with_sets(r, wrong);
    return upload(r, &view);
}

static enum status set_label(struct rules *r, int32_t wrong)
{
    const struct dataset_view view = with_sets(r, RANDOM_SETS);
    int32_t *label = &r->session.images.labels[4], right = *label;
    *label = wrong;
    enum status st = upload(r, &view);
    *label = right;
    return st;
}

static enum status set_entry(struct rules *r, int32_t wrong)
{
    const struct dataset_view view = with_sets(r, RANDOM_SETS);
    uint8_t *entry = &r->session.images.label_sets[4 * CLASSES + 1], right = *entry;
    *entry = (uint8_t)wrong;
    enum status st = upload(r, &view);
    *entry = right;
    return st;
}

static enum status class_weight(struct rules *r, int32_t wrong)
{
    float *weight = &r->session.images.class_weights[1], right = *weight;
    *weight = (float)wrong;
    enum status st = upload(r, &r->session.images.view);
    *weight = right;
    return st;
}

static enum status deviation(struct rules *r, int32_t wrong)
{
    struct dataset_view view = r->session.images.view;
    view.deviation[1] = (float)wrong;
    return upload(r, &view);
}

/* ---- weights ---- */

static enum status slots(struct rules *r, int32_t wrong)
{
    struct device_weights *weights = NULL;
    enum status st =
        r->ops->weights_new(r->devices[0], &r->session.program.weights, wrong, &weights, &r->err);
    r->ops->weights_free(r->devices[0], weights);
    return st;
}

static enum status upload_to(struct rules *r, int32_t wrong)
{
    return r->ops->weights_upload(r->devices[0], r->session.weights, (enum weight_slot)wrong,
                                  r->session.values, &r->err);
}

static enum status download_of(struct rules *r, int32_t wrong)
{
    return r->ops->weights_download(r->devices[0], r->values, (enum weight_slot)wrong, r->session.values,
                                    &r->err);
}

static enum status copy_to(struct rules *r, int32_t wrong)
{
    return r->ops->weights_copy(r->devices[0], r->values, (enum weight_slot)wrong, r->devices[0],
                                r->session.weights, SLOT_VALUE, &r->err);
}

static enum status copy_from(struct rules *r, int32_t wrong)
{
    return r->ops->weights_copy(r->devices[0], r->session.weights, SLOT_VALUE, r->devices[0], r->values,
                                (enum weight_slot)wrong, &r->err);
}

/* Weights of another network: without the last tensor, or with as many values, but another kernel. */
enum { FEWER_VALUES, OTHER_KERNEL };

static struct device_weights *weights_of_another(struct rules *r, int32_t wrong)
{
    struct weight_table table = {0};
    struct device_weights *weights = NULL;
    demand(r, weight_table_copy(&table, &r->session.program.weights, &r->err));
    int32_t *dims = table.tensors[0].dims, out = dims[0];
    if (wrong == FEWER_VALUES) {
        table.total = table.tensors[--table.count].offset;
    } else {
        dims[0] = dims[1];
        dims[1] = out;
    }
    demand(r, r->ops->weights_new(r->devices[0], &table, SLOT_GRADIENT, &weights, &r->err));
    weight_table_free(&table);
    return weights;
}

static enum status copy_of_another(struct rules *r, int32_t wrong)
{
    struct device_weights *weights = weights_of_another(r, wrong);
    enum status st = r->ops->weights_copy(r->devices[0], r->session.weights, SLOT_VALUE, r->devices[0],
                                          weights, SLOT_VALUE, &r->err);
    r->ops->weights_free(r->devices[0], weights);
    return st;
}

static enum status remap(struct rules *r, enum weight_slot from)
{
    return r->ops->weights_remap(r->devices[0], r->session.weights, r->values, from, &r->remaps, 1, &r->err);
}

static enum status remap_from(struct rules *r, int32_t wrong)
{
    return remap(r, (enum weight_slot)wrong);
}

static enum status remap_child(struct rules *r, int32_t wrong)
{
    int32_t *child = &r->remaps.remaps[1].child, right = *child;
    *child = wrong;
    enum status st = remap(r, SLOT_VALUE);
    *child = right;
    return st;
}

static enum status remap_source(struct rules *r, int32_t wrong)
{
    int32_t *source = &r->remaps.remaps[2].source, right = *source;
    *source = wrong;
    enum status st = remap(r, SLOT_VALUE);
    *source = right;
    return st;
}

/* ---- groups ---- */

static enum status group(struct rules *r, struct device *first, struct device *second, int32_t count)
{
    struct device *devices[2] = {first, second};
    struct device_group *group = NULL;
    enum status st = r->ops->group_open(devices, count, 60.0, &group, &r->err);
    r->ops->group_close(group);
    return st;
}

static enum status members(struct rules *r, int32_t wrong)
{
    return group(r, r->devices[2], NULL, wrong);
}

static enum status second_member(struct rules *r, int32_t wrong)
{
    return group(r, r->devices[2], r->devices[wrong], 2);
}

static enum status member_of_another_kind(struct rules *r, int32_t wrong)
{
    const struct device_ops *other = r->ops == &ref_device_ops ? &cpu_device_ops : &ref_device_ops;
    struct device *stranger;
    demand(r, other->open(&(struct device_options){.index = wrong, .threads = 1}, &stranger, &r->err));
    enum status st = group(r, r->devices[2], stranger, 2);
    other->close(stranger);
    return st;
}

static enum status average_of(struct rules *r, int32_t wrong)
{
    return r->ops->group_average(r->group, r->devices[0], r->values, (enum weight_slot)wrong, &r->err);
}

static enum status average_by(struct rules *r, int32_t wrong)
{
    return r->ops->group_average(r->group, r->devices[wrong], r->values, SLOT_VALUE, &r->err);
}

static enum status broadcast_of(struct rules *r, int32_t wrong)
{
    return r->ops->group_broadcast(r->group, r->devices[0], r->values, (enum weight_slot)wrong, 0, &r->err);
}

static enum status broadcast_by(struct rules *r, int32_t wrong)
{
    return r->ops->group_broadcast(r->group, r->devices[wrong], r->values, SLOT_VALUE, 0, &r->err);
}

static enum status broadcast_from(struct rules *r, int32_t wrong)
{
    return r->ops->group_broadcast(r->group, r->devices[0], r->values, SLOT_VALUE, wrong, &r->err);
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

static enum status bind_height(struct rules *r, int32_t wrong)
{
    struct dataset_view view = r->session.images.view;
    view.height = wrong;
    return bind_images(r, &view);
}

static enum status bind_unweighted(struct rules *r, int32_t wrong)
{
    struct dataset_view view = r->session.images.view;
    view.class_weights = wrong ? NULL : view.class_weights;
    return bind_images(r, &view);
}

static enum status bind_sets(struct rules *r, int32_t wrong)
{
    const struct dataset_view view = with_sets(r, wrong);
    return bind_images(r, &view);
}

/* Images of one class each, to a program for sets. */
static enum status bind_no_sets(struct rules *r, int32_t of_loss)
{
    struct prog_op *loss = &r->session.program.ops[session_find_op(&r->session, PROG_OP_LOSS, of_loss)];
    loss->loss.sets = true;
    enum status st = bind(r, &r->session.binding);
    loss->loss.sets = false;
    return st;
}

static enum status bind_classes(struct rules *r, int32_t wrong)
{
    struct dataset_view view = r->session.images.view;
    view.classes = wrong;
    return bind_images(r, &view);
}

static enum status bind_samples(struct rules *r, int32_t wrong)
{
    struct device_binding binding = r->session.binding;
    binding.sample_count = wrong;
    return bind(r, &binding);
}

static enum status bind_image(struct rules *r, int32_t wrong)
{
    r->session.samples[3] = wrong;
    enum status st = bind(r, &r->session.binding);
    r->session.samples[3] = 3;
    return st;
}

static enum status bind_another(struct rules *r, int32_t wrong)
{
    struct device_binding binding = r->session.binding;
    binding.weights = weights_of_another(r, wrong);
    enum status st = bind(r, &binding);
    r->ops->weights_free(r->devices[0], binding.weights);
    return st;
}

/* Weights that have their values alone. */
static enum status bind_values(struct rules *r, int32_t evaluates)
{
    struct device_session *session = evaluates ? &r->answering : &r->session;
    struct device_binding binding = session->binding;
    binding.weights = r->values;
    binding.use_average = evaluates;
    return r->ops->program_bind(r->devices[0], session->prepared, &binding, &r->err);
}

static enum status bind_group_of(struct rules *r, int32_t wrong)
{
    struct device_group *others;
    struct device_binding binding = r->session.binding;
    demand(r, r->ops->group_open(&r->devices[wrong], 1, 60.0, &others, &r->err));
    binding.group = others;
    enum status st = bind(r, &binding);
    r->ops->group_close(others);
    return st;
}

static enum status bind_optimizer(struct rules *r, int32_t wrong)
{
    struct device_binding binding = r->session.binding;
    binding.optimizer.kind = (enum optimizer_kind)wrong;
    return bind(r, &binding);
}

/* ---- programs ---- */

static const struct step STEP = {.number = 7, .valid = BATCH, .learning_rate = 0.01f};

static enum status rows(struct rules *r, int32_t wrong)
{
    const struct step step = {.number = 7, .valid = wrong};
    return r->ops->program_run(r->devices[0], r->session.prepared, &step, &r->err);
}

static enum status rows_from(struct rules *r, int32_t wrong)
{
    const struct step step = {.number = 7, .valid = BATCH, .first = (uint32_t)wrong};
    return r->ops->program_run(r->devices[0], r->session.prepared, &step, &r->err);
}

static enum status rows_of_op(struct rules *r, int32_t wrong)
{
    const struct step step = {.number = 7, .valid = wrong};
    return r->ops->program_run_op(r->devices[0], r->session.prepared, 0, &step, &r->err);
}

static enum status run_op(struct rules *r, int32_t wrong)
{
    return r->ops->program_run_op(r->devices[0], r->session.prepared, wrong, &STEP, &r->err);
}

static enum status read_tensor(struct rules *r, int32_t wrong)
{
    return r->ops->program_tensor(r->devices[0], r->session.prepared, wrong, r->session.values, &r->err);
}

static enum status write_tensor(struct rules *r, int32_t wrong)
{
    return r->ops->program_set_tensor(r->devices[0], r->session.prepared, wrong, r->session.values, &r->err);
}

static enum status probabilities(struct rules *r, int32_t wrong)
{
    (void)wrong; /* it is the program */
    return r->ops->program_probabilities(r->devices[0], r->session.prepared, r->session.values, &r->err);
}

/* Of a program that is not bound. */
enum { RUN, RUN_OP, READ, WRITE, PROBABILITIES };

static enum status unbound(struct rules *r, int32_t what)
{
    const struct device_ops *ops = r->ops;
    struct device *device = r->devices[0];
    float *values = r->session.values;
    switch (what) {
    case RUN:
        return ops->program_run(device, r->unbound, &STEP, &r->err);
    case RUN_OP:
        return ops->program_run_op(device, r->unbound, 0, &STEP, &r->err);
    case READ:
        return ops->program_tensor(device, r->unbound, 0, values, &r->err);
    case WRITE:
        return ops->program_set_tensor(device, r->unbound, 0, values, &r->err);
    default:
        return ops->program_probabilities(device, r->unbound, values, &r->err);
    }
}

/* ---- the table ---- */

#define NO_SLOT ", expected 0 to 0, which the set has (gradients are read as a program's tensors)"

static const struct rule {
    enum status (*broken)(struct rules *r, int32_t wrong);
    int32_t wrong;
    enum status status;
    const char *text;
} RULES[] = {
    {images, 0, ST_RANGE, "dataset: 0 images of 3 x 6 x 6, expected at least one, of 1 to 4 channels"},
    {channels, 5, ST_RANGE, "dataset: 10 images of 5 x 6 x 6, expected at least one, of 1 to 4 channels"},
    {label, CLASSES, ST_RANGE, "dataset: image 4 has label 3, expected 0 to 2"},
    {label, -1, ST_RANGE, "dataset: image 4 has label -1, expected 0 to 2"},
    {set_count, 0, ST_RANGE, "dataset: 0 sets of labels, expected at least one"},
    {set_label, RANDOM_SETS, ST_RANGE, "dataset: image 4 has label 7, expected 0 to 6"},
    {set_label, -1, ST_RANGE, "dataset: image 4 has label -1, expected 0 to 6"},
    {set_entry, 2, ST_RANGE, "dataset: set 4 has 2 of class 1, expected 0 or 1"},
    {deviation, 0, ST_RANGE, "dataset: channel 1 has deviation 0, expected above 0"},
    {class_weight, -1, ST_RANGE, "dataset: class 1 has weight -1, expected 0 or more"},
    {slots, 0, ST_RANGE, "weights: 0 slots, expected 1 to 4"},
    {slots, SLOT_COUNT, ST_RANGE, "weights: 5 slots, expected 1 to 4"},
    {upload_to, SLOT_GRADIENT, ST_RANGE,
     "weights: slot 4, expected 0 to 3, which the set has (gradients are read as a program's tensors)"},
    {download_of, SLOT_AVERAGE, ST_RANGE, "weights: slot 1" NO_SLOT},
    {copy_to, SLOT_SECOND, ST_RANGE, "weights: slot 3" NO_SLOT},
    {copy_from, SLOT_FIRST, ST_RANGE, "weights: slot 2" NO_SLOT},
    {copy_of_another, FEWER_VALUES, ST_RANGE,
     "copy: weights of 1728 values in 21 tensors, expected 1744 in 22"},
    {copy_of_another, OTHER_KERNEL, ST_RANGE,
     "copy: tensor 0 of the weights is 3 x 8 x 3 x 3 at 0, expected 8 x 3 x 3 x 3 at 0"},
    {remap_from, SLOT_AVERAGE, ST_RANGE, "weights: slot 1" NO_SLOT},
    {remap_child, 22, ST_RANGE, "remap 1: the child's tensor 22, expected 0 to 21"},
    {remap_child, -1, ST_RANGE, "remap 1: the child's tensor -1, expected 0 to 21"},
    {remap_source, 22, ST_RANGE, "remap 2: the parent's tensor 22, expected -1 to 21"},
    {members, 0, ST_RANGE, "group of 0 devices, expected at least 1"},
    {second_member, 2, ST_RANGE, "group: device 1 is device 0 again, expected each once"},
    {second_member, 0, ST_RANGE, "group: device 1 is in another group"},
    {member_of_another_kind, 0, ST_RANGE, "group: device 1 is of another kind than device 0"},
    {average_of, SLOT_AVERAGE, ST_RANGE, "weights: slot 1" NO_SLOT},
    {average_by, 2, ST_RANGE, "group: the device that calls is none of its members"},
    {broadcast_of, SLOT_AVERAGE, ST_RANGE, "weights: slot 1" NO_SLOT},
    {broadcast_by, 2, ST_RANGE, "group: the device that calls is none of its members"},
    {broadcast_from, MEMBERS, ST_RANGE, "group: broadcast from member 2, expected 0 to 1"},
    {broadcast_from, -1, ST_RANGE, "group: broadcast from member -1, expected 0 to 1"},
    {bind_height, SIDE - 1, ST_RANGE,
     "bind: images of 3 x 5 x 6, expected the program's 3 x 6 x 6 or larger"},
    {bind_unweighted, 1, ST_RANGE, "bind: images without class weights, expected the program's"},
    {bind_sets, RANDOM_SETS, ST_RANGE, "bind: images whose labels are sets, expected the program's classes"},
    {bind_no_sets, 0, ST_RANGE, "bind: images whose labels are classes, expected the program's sets"},
    {bind_classes, CLASSES + 1, ST_RANGE, "bind: images of 4 classes, expected the program's 3"},
    {bind_samples, 0, ST_RANGE, "bind: 0 samples, expected at least 1"},
    {bind_image, IMAGES, ST_RANGE, "bind: sample 3 is image 10, expected 0 to 9"},
    {bind_image, -1, ST_RANGE, "bind: sample 3 is image -1, expected 0 to 9"},
    {bind_another, FEWER_VALUES, ST_RANGE, "bind: weights of 1728 values in 21 tensors, expected 1744 in 22"},
    {bind_another, OTHER_KERNEL, ST_RANGE,
     "bind: tensor 0 of the weights is 3 x 8 x 3 x 3 at 0, expected 8 x 3 x 3 x 3 at 0"},
    {bind_values, 0, ST_RANGE, "bind: weights with 1 slots, expected at least 4 to train"},
    {bind_values, 1, ST_RANGE, "bind: weights with 1 slots, expected at least 2 to evaluate by the average"},
    {bind_optimizer, OPTIMIZER_MUON, ST_RANGE, "bind: 0 orthogonal updates, expected the optimizer's 2"},
    {bind_group_of, 2, ST_RANGE, "bind: the device is no member of the binding's group"},
    {rows, 0, ST_RANGE, "step 7: 0 rows, expected 1 to 4"},
    {rows, BATCH + 1, ST_RANGE, "step 7: 5 rows, expected 1 to 4"},
    {rows_from, IMAGES - BATCH + 1, ST_RANGE, "step 7: rows 7 to 10, expected 0 to 9, the samples"},
    {rows_of_op, 0, ST_RANGE, "step 7: 0 rows, expected 1 to 4"},
    {run_op, -1, ST_RANGE, "program: operation -1, expected 0 to 30"},
    {run_op, 31, ST_RANGE, "program: operation 31, expected 0 to 30"},
    {read_tensor, -1, ST_RANGE, "program: tensor -1, expected 0 to 71"},
    {write_tensor, 72, ST_RANGE, "program: tensor 72, expected 0 to 71"},
    {write_tensor, 0, ST_UNSUPPORTED, "program: tensor 0 is a weight, which is set by an upload"},
    {probabilities, 0, ST_RANGE, "program: a training yields no probabilities, expected an evaluation"},
    {unbound, RUN, ST_RANGE, "program: it is not bound"},
    {unbound, RUN_OP, ST_RANGE, "program: it is not bound"},
    {unbound, READ, ST_RANGE, "program: it is not bound"},
    {unbound, WRITE, ST_RANGE, "program: it is not bound"},
    {unbound, PROBABILITIES, ST_RANGE, "program: it is not bound"},
};

void device_rules_check(const struct device_ops *ops)
{
    struct rules r;
    open_rules(&r, ops);
    for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]); i++) {
        r.err.message[0] = '\0';
        assert_int_equal(RULES[i].broken(&r, RULES[i].wrong), RULES[i].status);
        assert_int_equal(r.err.status, RULES[i].status);
        assert_string_equal(r.err.message, RULES[i].text);
        session_run(&r.session, &STEP);
    }
    close_rules(&r);
}

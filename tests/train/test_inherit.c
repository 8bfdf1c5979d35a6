/* Inheritance on the reference and the CPU device: children answer as their parents, and what does not is
 * refused. */
#include "host/train/inherit.h"

#include "host/net/cell.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct device_ops *const DEVICES[] = {&ref_device_ops, &cpu_device_ops};
enum { DEVICE_COUNT = 2 };

/* The tiny graph's layers: 1 conv, 2 batch norm, 3 relu, 4 max pool, 5 dense. Later morphs may name layers
 * that earlier ones have kept. */
static const struct morph CHAIN[] = {
    {.kind = MORPH_WIDEN, .a = 1, .amount = 8},
    {.kind = MORPH_DEEPEN, .a = 3, .variant = DEEPEN_CONV_RELU, .amount = 3},
    {.kind = MORPH_KERNEL, .a = 1, .amount = 2},
    {.kind = MORPH_RESIDUAL, .a = 4, .amount = 3},
    {.kind = MORPH_SEPARABLE, .a = 3, .amount = 3},
};
enum { CHAIN_LENGTH = 5 };

/* What came of inheriting from weights on the host. */
struct child {
    struct inheritance inherited;
    float *values; /* on ST_OK */
};

static enum status inherit_as(const struct tiny_task *task, const float *values, const struct morph *morphs,
                              int32_t count, float noise, int32_t id, struct child *child, struct error *err)
{
    const struct device_ops *ops = task->ops;
    struct device_weights *parent;
    struct weight_table table;
    struct error ignored;
    *child = (struct child){0};
    assert_int_equal(weight_table_new(&table, &task->graph, err), ST_OK);
    assert_int_equal(ops->weights_new(task->device, &table, 1, &parent, err), ST_OK);
    assert_int_equal(ops->weights_upload(task->device, parent, SLOT_VALUE, values, err), ST_OK);
    weight_table_free(&table);
    const struct inherit_order order = {.device = &task->trainer_device,
                                        .batch = TINY_BATCH,
                                        .parent = &task->graph,
                                        .parent_weights = parent,
                                        .morphs = morphs,
                                        .morph_count = count,
                                        .noise = noise,
                                        .seed = 1,
                                        .id = id};
    enum status st = inherit(&order, &child->inherited, err);
    ops->weights_free(task->device, parent);
    if (st == ST_OK) {
        assert_int_equal(weight_table_new(&table, &child->inherited.graph, &ignored), ST_OK);
        child->values = calloc(table.total, sizeof(float));
        assert_non_null(child->values);
        assert_int_equal(ops->weights_download(task->device, child->inherited.weights, SLOT_VALUE,
                                               child->values, &ignored),
                         ST_OK);
        weight_table_free(&table);
    }
    return st;
}

static void child_free(const struct tiny_task *task, struct child *child)
{
    inheritance_free(&task->trainer_device, &child->inherited);
    free(child->values);
    *child = (struct child){0};
}

static enum status inherit_chain(const struct tiny_task *task, const float *values, float noise,
                                 struct child *child, struct error *err)
{
    return inherit_as(task, values, CHAIN, CHAIN_LENGTH, noise, 7, child, err);
}

static enum status ignore_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context;
    (void)epoch;
    (void)err;
    return ST_OK;
}

/* Weights a few steps from the start, so that no layer is trivial. */
static float *trained_values(const struct tiny_task *task)
{
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = 5};
    const struct trainer_events events = {.on_epoch = ignore_epoch, .tick_seconds = 1e9};
    const struct trainer_settings settings = tiny_task_settings();
    struct trainer_result result;
    struct error err;
    struct trainer *trainer = tiny_task_trainer(task, &settings);
    float *values = malloc(trainer_weights(trainer)->total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(trainer_run(trainer, limit, &events, &result, &err), ST_OK);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    trainer_close(trainer);
    return values;
}

static struct trainer_result evaluate(const struct tiny_task *task, const struct graph *graph,
                                      const float *values)
{
    const struct trainer_settings settings = tiny_task_settings();
    struct trainer *trainer;
    struct trainer_result result;
    struct error err;
    size_t bytes;
    assert_int_equal(
        trainer_open(&task->trainer_device, 1, graph, &settings, SIZE_MAX, &trainer, &bytes, &err), ST_OK);
    assert_int_equal(trainer_load_values(trainer, values, &err), ST_OK);
    assert_int_equal(trainer_evaluate(trainer, task->samples, TINY_IMAGES, &result, &err), ST_OK);
    trainer_close(trainer);
    return result;
}

static void test_children_answer_alike(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct child child = {0};
        struct error err = {0};
        tiny_task_open(&task, DEVICES[d], true);
        float *values = trained_values(&task);
        if (inherit_chain(&task, values, 0.0f, &child, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(child.inherited.count, CHAIN_LENGTH);
        for (int32_t i = 0; i < child.inherited.count; i++)
            assert_true(child.inherited.differences[i] >= 0.0 && child.inherited.differences[i] <= 1e-5);
        assert_true(child.inherited.graph.count > task.graph.count);
        struct trainer_result before = evaluate(&task, &task.graph, values);
        struct trainer_result after = evaluate(&task, &child.inherited.graph, child.values);
        assert_true(fabs(after.loss - before.loss) <= 1e-5 * before.loss);
        child_free(&task, &child);
        free(values);
        tiny_task_close(&task);
    }
}

/* Networks of random cells, changed in all their repeats, then deeper and wider. */
static void test_cells_answer_alike(void **state)
{
    (void)state;
    for (uint32_t part = 0; part < 6; part++) {
        struct random_sequence random = {.seed = 5, .stream = RANDOM_TEST, .part = part};
        struct tiny_task task;
        struct child child = {0};
        struct error err = {0};
        struct morph morphs[] = {{0},
                                 {.kind = MORPH_REPEAT, .amount = 2, .cells = true},
                                 {.kind = MORPH_WIDEN_NET, .amount = 100}};
        const struct cells cells = cells_draw(&random);
        tiny_task_open(&task, DEVICES[part % DEVICE_COUNT], true);
        graph_free(&task.graph);
        assert_int_equal(cells_make(&task.graph, &cells, 1, 8, (struct shape){0, 1, TINY_SIDE, TINY_SIDE},
                                    TINY_CLASSES, &err),
                         ST_OK);
        assert_int_equal(morph_draw_in_cells(&task.graph, MORPH_OF_CELLS, &random, &morphs[0], &err), ST_OK);
        float *values = trained_values(&task);
        if (inherit_as(&task, values, morphs, 3, 0.0f, 7, &child, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(child.inherited.count, 3);
        for (int32_t i = 0; i < 3; i++)
            assert_true(child.inherited.differences[i] >= 0.0 && child.inherited.differences[i] <= 1e-5);
        assert_int_equal(cell_count(&child.inherited.graph, CELL_NORMAL), 3 * CELL_STAGES);
        child_free(&task, &child);
        free(values);
        tiny_task_close(&task);
    }
}

/* A past of five steps, by way of a file. */
static void past_of(const struct tiny_task *task, const struct trainer_settings *settings,
                    struct trainer_past *past)
{
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = 5};
    const struct trainer_events events = {.on_epoch = ignore_epoch, .tick_seconds = 1e9};
    struct trainer_result result;
    struct error err;
    char path[] = "/tmp/nasrun-inherit-XXXXXX";
    close(mkstemp(path));
    struct trainer *trainer = tiny_task_trainer(task, settings);
    assert_int_equal(trainer_run(trainer, limit, &events, &result, &err), ST_OK);
    assert_int_equal(trainer_checkpoint(trainer, path, 0, &err), ST_OK);
    assert_int_equal(trainer_past_read(past, path, trainer_weights(trainer), &err), ST_OK);
    trainer_close(trainer);
    unlink(path);
}

static double size_of(const float *values, const struct weight_tensor *tensor)
{
    double sum = 0.0;
    for (size_t i = 0; i < tensor->count; i++)
        sum += fabs((double)values[tensor->offset + i]);
    return sum;
}

/* A morph that does not keep the function is let through, with the loss that it leaves on the validation samples. */
static void test_smaller_children(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct child child = {0};
        struct error err = {0};
        struct graph deeper;
        struct remap_list remaps;
        tiny_task_open(&task, DEVICES[d], true);
        assert_int_equal(morph_apply(&CHAIN[1], &task.graph, 0.0f, &deeper, &remaps, &err), ST_OK);
        remap_list_free(&remaps);
        graph_free(&task.graph);
        task.graph = deeper;
        float *values = tiny_task_weights(&task.graph, 1, NULL);
        const struct morph morphs[] = {
            {.kind = MORPH_REMOVE, .a = task.graph.layers[5].id, .b = task.graph.layers[3].id},
            CHAIN[0],
            {.kind = MORPH_PRUNE, .a = 1, .amount = 4}};
        assert_int_equal(task.graph.layers[5].kind, LAYER_RELU);
        if (inherit_as(&task, values, morphs, 3, 0.0f, 7, &child, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_true(child.inherited.differences[0] > 0.1);
        assert_true(child.inherited.differences[1] <= 1e-5 && isnan(child.inherited.losses[1]));
        assert_int_equal(child.inherited.graph.count, task.graph.count - 2);
        assert_int_equal(child.inherited.graph.layers[1].shape.c, 12);
        assert_true(isnan(child.inherited.losses[1]) && child.inherited.losses[0] > 0.0);
        const struct trainer_settings settings = tiny_task_settings();
        struct trainer *trainer;
        struct trainer_result result;
        size_t bytes;
        assert_int_equal(trainer_open(&task.trainer_device, 1, &child.inherited.graph, &settings, SIZE_MAX,
                                      &trainer, &bytes, &err),
                         ST_OK);
        assert_int_equal(trainer_load_values(trainer, child.values, &err), ST_OK);
        assert_int_equal(
            trainer_evaluate(trainer, task.trainer_device.validation, TINY_VALIDATION, &result, &err), ST_OK);
        trainer_close(trainer);
        if (!(fabs(child.inherited.losses[2] - result.loss) <= 1e-4 * result.loss))
            fail_msg("%s: loss %g, expected %g", DEVICES[d]->kind, child.inherited.losses[2], result.loss);
        child_free(&task, &child);
        free(values);
        tiny_task_close(&task);
    }
}

/* A child's past answers as the parent's, in values and in averages. The optimizer goes on with what it knew of the
 * weights that the parent had, and knows nothing of new layers. */
static void test_past_goes_along(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct child child = {0};
        struct trainer_past past = {0};
        struct weight_table parent, table;
        struct error err = {0};
        tiny_task_open(&task, DEVICES[d], true);
        struct trainer_settings settings = tiny_task_settings();
        settings.average = 0.5f;
        past_of(&task, &settings, &past);
        const struct trainer_result before[] = {evaluate(&task, &task.graph, past.values[SLOT_VALUE]),
                                                evaluate(&task, &task.graph, past.values[SLOT_AVERAGE])};
        assert_true(before[0].loss != before[1].loss);
        assert_ptr_equal(trainer_past_evaluated(&past, settings.average), past.values[SLOT_AVERAGE]);
        assert_ptr_equal(trainer_past_evaluated(&past, 0.0f), past.values[SLOT_VALUE]);
        assert_int_equal(weight_table_new(&parent, &task.graph, &err), ST_OK);
        double known = 0.0;
        for (int32_t w = 0; w < parent.count; w++)
            known += size_of(past.values[SLOT_FIRST], &parent.tensors[w]);
        if (inherit_chain(&task, past.values[SLOT_AVERAGE], 0.0f, &child, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(inherit_past(&task.graph, CHAIN, &child.inherited, 1, 7, &past, &err), ST_OK);

        const struct graph *graph = &child.inherited.graph;
        for (int slot = SLOT_VALUE; slot <= SLOT_AVERAGE; slot++) {
            const struct trainer_result after = evaluate(&task, graph, past.values[slot]);
            assert_true(fabs(after.loss - before[slot].loss) <= 1e-5 * before[slot].loss);
        }
        assert_int_equal(weight_table_new(&table, graph, &err), ST_OK);
        double kept = 0.0, fresh = 0.0;
        for (int32_t w = 0; w < table.count; w++)
            *(table.tensors[w].layer_id <= 5 ? &kept : &fresh) +=
                size_of(past.values[SLOT_FIRST], &table.tensors[w]);
        assert_true(known > 0.0 && fabs(kept - known) <= 1e-5 * known);
        assert_true(fresh == 0.0);

        struct trainer *trainer;
        size_t bytes;
        assert_int_equal(
            trainer_open(&task.trainer_device, 1, graph, &settings, SIZE_MAX, &trainer, &bytes, &err), ST_OK);
        assert_int_equal(trainer_go_on(trainer, &past, &err), ST_OK);
        assert_int_equal(trainer_state(trainer)->begun, 5);
        trainer_close(trainer);
        weight_table_free(&parent);
        weight_table_free(&table);
        child_free(&task, &child);
        trainer_past_free(&past);
        tiny_task_close(&task);
    }
}

/* The little noise that breaks symmetry shows, and stays within the tolerance; the same seed and candidate
 * give the same bits, another candidate other ones. */
static void test_noise(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct child first = {0}, again = {0}, other = {0};
        struct error err = {0};
        double most = 0.0;
        size_t total;
        tiny_task_open(&task, DEVICES[d], true);
        float *values = trained_values(&task);
        if (inherit_chain(&task, values, 1e-5f, &first, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(inherit_chain(&task, values, 1e-5f, &again, &err), ST_OK);
        assert_int_equal(inherit_as(&task, values, CHAIN, CHAIN_LENGTH, 1e-5f, 8, &other, &err), ST_OK);
        for (int32_t i = 0; i < CHAIN_LENGTH; i++)
            most = fmax(most, first.inherited.differences[i]);
        assert_true(most > 0.0 && most <= INHERIT_TOLERANCE);
        free(tiny_task_weights(&first.inherited.graph, 1, &total));
        assert_memory_equal(first.values, again.values, total * sizeof(float));
        assert_memory_not_equal(first.values, other.values, total * sizeof(float));
        child_free(&task, &first);
        child_free(&task, &again);
        child_free(&task, &other);
        free(values);
        tiny_task_close(&task);
    }
}

/* Noise that would change the answers is taken down until it does not. That of the last morph is none of it: a scale of
 * 0 stands behind it. */
static void test_too_much_noise(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct child child = {0}, quiet = {0};
        struct error err = {0};
        size_t total;
        tiny_task_open(&task, DEVICES[d], true);
        float *values = trained_values(&task);
        const int32_t count = CHAIN_LENGTH - 1;
        assert_int_equal(inherit_as(&task, values, CHAIN, count, 1.0f, 7, &child, &err), ST_OK);
        assert_int_equal(inherit_as(&task, values, CHAIN, count, 0.0f, 7, &quiet, &err), ST_OK);
        for (int32_t i = 0; i < count; i++)
            assert_true(child.inherited.differences[i] <= INHERIT_TOLERANCE);
        free(tiny_task_weights(&child.inherited.graph, 1, &total));
        assert_memory_equal(child.values, quiet.values, total * sizeof(float));
        child_free(&task, &child);
        child_free(&task, &quiet);
        free(values);
        tiny_task_close(&task);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct child child = {0};
        struct error err = {0};
        tiny_task_open(&task, DEVICES[d], true);
        float *values = trained_values(&task);

        /* the second morph names a layer that does not exist */
        struct morph wrong[2] = {CHAIN[0], CHAIN[1]};
        wrong[1].a = 99;
        assert_int_equal(inherit_as(&task, values, wrong, 2, 0.0f, 7, &child, &err), ST_RANGE);
        assert_non_null(strstr(err.message, "morph 2, deepen"));
        child_free(&task, &child);

        /* NaN is no answer at all */
        size_t total;
        free(tiny_task_weights(&task.graph, 1, &total));
        for (size_t i = 0; i < total; i++)
            values[i] = NAN;
        assert_int_equal(inherit_chain(&task, values, 0.0f, &child, &err), ST_DIVERGED);
        child_free(&task, &child);
        free(values);
        tiny_task_close(&task);
    }
}

/* Weights go from a trainer to a kept set to another trainer as they are. */
static void test_kept_weights(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        const struct trainer_settings settings = tiny_task_settings();
        const struct trainer_limit limit = {.seconds = INFINITY, .steps = 5};
        const struct trainer_events events = {.on_epoch = ignore_epoch, .tick_seconds = 1e9};
        struct device_weights *kept;
        struct trainer_result result;
        struct tiny_task task;
        struct error err;
        tiny_task_open(&task, DEVICES[d], true);
        struct trainer *first = tiny_task_trainer(&task, &settings);
        struct trainer *second = tiny_task_trainer(&task, &settings);
        const size_t bytes = trainer_weights(first)->total * sizeof(float);
        float *expected = calloc(1, bytes), *found = calloc(1, bytes);
        assert_true(expected != NULL && found != NULL);
        assert_int_equal(trainer_run(first, limit, &events, &result, &err), ST_OK);
        assert_int_equal(trainer_values(first, expected, &err), ST_OK);
        assert_int_equal(trainer_keep(first, &kept, &err), ST_OK);
        trainer_close(first);
        assert_int_equal(trainer_values(second, found, &err), ST_OK);
        assert_memory_not_equal(found, expected, bytes);
        assert_int_equal(trainer_load_weights(second, task.device, kept, &err), ST_OK);
        assert_int_equal(trainer_values(second, found, &err), ST_OK);
        assert_memory_equal(found, expected, bytes);
        task.ops->weights_free(task.device, kept);
        trainer_close(second);
        free(expected);
        free(found);
        tiny_task_close(&task);
    }
}

static void test_seeds_differ(void **state)
{
    uint64_t seeds[4 * 4];
    (void)state;
    for (int32_t i = 0; i < 16; i++) {
        seeds[i] = inherit_seed(1, i / 4, i % 4 - 1);
        assert_true(seeds[i] == inherit_seed(1, i / 4, i % 4 - 1));
        assert_true(seeds[i] != inherit_seed(2, i / 4, i % 4 - 1));
        for (int32_t j = 0; j < i; j++)
            assert_true(seeds[i] != seeds[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children_answer_alike),
        cmocka_unit_test(test_cells_answer_alike),
        cmocka_unit_test(test_smaller_children),
        cmocka_unit_test(test_past_goes_along),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_too_much_noise),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_kept_weights),
        cmocka_unit_test(test_seeds_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

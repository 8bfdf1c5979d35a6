/* What morphs add is trained to be something of its own: on the CPU device, after steps of training behind the
 * morph. */
#include "host/train/inherit.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS_BEFORE = 20, STEPS_AFTER = 200, CHANNELS = 8, TAPS = 9 };

/* The layers' ids, in order of the network; two convolutions, so that the second has many weights a channel. */
enum { FIRST = 1, FIRST_NORM, FIRST_RELU, SECOND, SECOND_NORM, SECOND_RELU, POOL, LOGITS };

/* A trained network, and the device it lives on. */
struct grown {
    struct tiny_task task;
    struct graph graph;
    struct weight_table table;
    float *values;
};

static void demand(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static void append(struct graph *graph, struct layer layer)
{
    struct error err = {0};
    layer.input_count = 1;
    layer.inputs[0] = graph->count - 1;
    layer.stride = layer.stride == 0 ? 1 : layer.stride;
    layer.groups = 1;
    demand(graph_append(graph, layer, NULL, &err), &err);
}

static void make_graph(struct graph *graph)
{
    const struct layer conv = {
        .kind = LAYER_CONV, .out_channels = CHANNELS, .kernel_h = 3, .kernel_w = 3, .pad_h = 1, .pad_w = 1};
    struct error err = {0};
    demand(graph_new(graph, 1, TINY_SIDE, TINY_SIDE, &err), &err);
    for (int i = 0; i < 2; i++) {
        append(graph, conv);
        append(graph, (struct layer){.kind = LAYER_BATCH_NORM});
        append(graph, (struct layer){.kind = LAYER_RELU});
    }
    append(graph, (struct layer){.kind = LAYER_MAX_POOL, .kernel_h = 2, .kernel_w = 2, .stride = 2});
    append(graph, (struct layer){.kind = LAYER_DENSE, .out_channels = TINY_CLASSES, .bias = true});
    demand(graph_infer(graph, &err), &err);
}

static enum status ignore_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context;
    (void)epoch;
    (void)err;
    return ST_OK;
}

static void train(struct grown *grown, uint32_t steps)
{
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = steps};
    const struct trainer_events events = {.on_epoch = ignore_epoch, .tick_seconds = 1e9};
    const struct trainer_settings settings = tiny_task_settings();
    struct trainer_result result;
    struct trainer *trainer;
    struct error err = {0};
    size_t bytes;
    demand(trainer_open(&grown->task.trainer_device, 1, &grown->graph, &settings, SIZE_MAX, &trainer, &bytes,
                        &err),
           &err);
    demand(trainer_load_values(trainer, grown->values, &err), &err);
    demand(trainer_run(trainer, limit, &events, &result, &err), &err);
    demand(trainer_values(trainer, grown->values, &err), &err);
    trainer_close(trainer);
}

static void take_table(struct grown *grown)
{
    struct error err = {0};
    weight_table_free(&grown->table);
    demand(weight_table_new(&grown->table, &grown->graph, &err), &err);
}

static void start(struct grown *grown)
{
    *grown = (struct grown){0};
    tiny_task_open(&grown->task, &cpu_device_ops, true);
    make_graph(&grown->graph);
    take_table(grown);
    grown->values = tiny_task_weights(&grown->graph, 1, NULL);
    train(grown, STEPS_BEFORE);
}

static void stop(struct grown *grown)
{
    free(grown->values);
    weight_table_free(&grown->table);
    graph_free(&grown->graph);
    tiny_task_close(&grown->task);
}

/* Replaces the network by its child, as a search does. */
static void grow(struct grown *grown, struct morph morph, float noise)
{
    const struct device_ops *ops = grown->task.ops;
    struct device *device = grown->task.device;
    struct inheritance inherited;
    struct device_weights *parent;
    struct error err = {0};
    demand(ops->weights_new(device, &grown->table, 1, &parent, &err), &err);
    demand(ops->weights_upload(device, parent, SLOT_VALUE, grown->values, &err), &err);
    const struct inherit_order order = {.device = &grown->task.trainer_device,
                                        .batch = TINY_BATCH,
                                        .parent = &grown->graph,
                                        .parent_weights = parent,
                                        .morphs = &morph,
                                        .morph_count = 1,
                                        .noise = noise,
                                        .seed = 1,
                                        .id = 3};
    demand(inherit(&order, &inherited, &err), &err);
    ops->weights_free(device, parent);
    graph_free(&grown->graph);
    demand(graph_copy(&grown->graph, &inherited.graph, &err), &err);
    take_table(grown);
    free(grown->values);
    grown->values = calloc(grown->table.total, sizeof(float));
    assert_non_null(grown->values);
    demand(ops->weights_download(device, inherited.weights, SLOT_VALUE, grown->values, &err), &err);
    inheritance_free(&grown->task.trainer_device, &inherited);
}

static const struct weight_tensor *tensor_of(const struct grown *grown, uint32_t id, enum weight_role role)
{
    const int32_t found = weight_find(&grown->table, id, role);
    assert_true(found >= 0);
    return &grown->table.tensors[found];
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Of any two of the layer's filters. */
static double largest_cosine(const struct grown *grown, uint32_t id)
{
    const struct weight_tensor *kernel = tensor_of(grown, id, WEIGHT_KERNEL);
    const float *values = grown->values + kernel->offset;
    const size_t size = kernel->count / (size_t)kernel->dims[0];
    double most = -1.0;
    for (size_t i = 0; i < (size_t)kernel->dims[0]; i++)
        for (size_t j = 0; j < i; j++) {
            const float *a = values + i * size, *b = values + j * size;
            most = fmax(most, dot(a, b, size) / sqrt(dot(a, a, size) * dot(b, b, size)));
        }
    return most;
}

static const struct morph WIDER = {.kind = MORPH_WIDEN, .a = SECOND, .amount = CHANNELS};

static void test_no_two_channels_are_alike(void **state)
{
    static const float noises[] = {0.0f, 0.00025f, 1.0f};
    (void)state;
    for (int n = 0; n < 3; n++) {
        struct grown grown;
        start(&grown);
        assert_true(largest_cosine(&grown, SECOND) < 0.9); /* nor were they before */
        grow(&grown, WIDER, noises[n]);
        train(&grown, STEPS_AFTER);
        const double cosine = largest_cosine(&grown, SECOND);
        print_message("noise %g: largest cosine of two of %d channels after %d steps %.3f\n",
                      (double)noises[n], 2 * CHANNELS, STEPS_AFTER, cosine);
        assert_true(cosine < 0.9);
        stop(&grown);
    }
}

/* Noise that would be too much for the outputs is taken away, the new channels' weights are not. */
static void test_fresh_weights_are_no_noise(void **state)
{
    (void)state;
    for (int noisy = 0; noisy < 2; noisy++) {
        struct grown grown;
        start(&grown);
        grow(&grown, WIDER, noisy ? 1.0f : 0.0f);
        const struct weight_tensor *kernel = tensor_of(&grown, SECOND, WEIGHT_KERNEL);
        const float *values = grown.values + kernel->offset;
        const size_t half = kernel->count / 2;
        assert_int_equal(half, CHANNELS * CHANNELS * TAPS);
        const double old = dot(values, values, half), fresh = dot(values + half, values + half, half);
        assert_true(fresh / old > 0.5 && fresh / old < 2.0);
        stop(&grown);
    }
}

/* Logits read the new channels with 0 at first, and not for long. */
static void test_new_channels_come_to_be_read(void **state)
{
    struct grown grown;
    const size_t pixels = (TINY_SIDE / 2) * (TINY_SIDE / 2);
    (void)state;
    start(&grown);
    grow(&grown, WIDER, 0.0f);
    for (int trained = 0; trained < 2; trained++) {
        const float *kernel = grown.values + tensor_of(&grown, LOGITS, WEIGHT_KERNEL)->offset;
        for (size_t channel = CHANNELS; channel < 2 * CHANNELS; channel++) {
            double square = 0.0;
            for (size_t o = 0; o < TINY_CLASSES; o++) {
                const float *read = kernel + (o * 2 * CHANNELS + channel) * pixels;
                square += dot(read, read, pixels);
            }
            assert_true((square > 0.0) == (trained == 1));
        }
        train(&grown, STEPS_AFTER);
    }
    stop(&grown);
}

/* Every scale of a block's last batch norm leaves 0, and every filter behind it changes. */
static void test_a_block_begins_to_work(void **state)
{
    struct grown grown;
    (void)state;
    start(&grown);
    grow(&grown, (struct morph){.kind = MORPH_RESIDUAL, .a = SECOND_RELU, .amount = 3}, 0.0f);
    const uint32_t conv = LOGITS + 1, norm = LOGITS + 5; /* conv, norm, ReLU, conv, norm, add */
    const struct weight_tensor *kernel = tensor_of(&grown, conv, WEIGHT_KERNEL);
    float before[CHANNELS * CHANNELS * TAPS];
    assert_int_equal(kernel->count, sizeof(before) / sizeof(*before));
    memcpy(before, grown.values + kernel->offset, sizeof(before));
    for (int trained = 0; trained < 2; trained++) {
        const float *scale = grown.values + tensor_of(&grown, norm, WEIGHT_SCALE)->offset;
        for (int j = 0; j < CHANNELS; j++)
            assert_true((scale[j] != 0.0f) == (trained == 1));
        train(&grown, STEPS_AFTER);
    }
    for (int j = 0; j < CHANNELS; j++)
        assert_memory_not_equal(before + j * CHANNELS * TAPS,
                                grown.values + kernel->offset + j * CHANNELS * TAPS,
                                CHANNELS * TAPS * sizeof(float));
    stop(&grown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_two_channels_are_alike),
        cmocka_unit_test(test_fresh_weights_are_no_noise),
        cmocka_unit_test(test_new_channels_come_to_be_read),
        cmocka_unit_test(test_a_block_begins_to_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

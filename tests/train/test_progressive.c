/* Progressive resolution: which networks it is for, its sizes and costs, and a training through all of them, that goes
 * on bit by bit from a checkpoint in any of them. */
#include "host/net/start.h"
#include "host/train/progressive.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Sides of 16, 16 (19.2 is nearer to it than to 24) and 24 pixels. */
enum { SIDE = 24, IMAGES = 56, TRAIN = 40, BATCH = 8, STEPS = 24 };

static const struct device_ops *const DEVICES[] = {&ref_device_ops, &cpu_device_ops};

static char checkpoint[64]; /* a path of this process; set by main */

static void demand(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

/* ---- networks ---- */

static void start(struct graph *graph, const char *name, int32_t height, int32_t width)
{
    struct error err;
    demand(start_make(graph, name, 0, (struct shape){0, 3, height, width}, 10, &err), &err);
}

static void assert_image(const struct graph *graph, int32_t size, int32_t height, int32_t width)
{
    struct graph smaller;
    struct error err;
    demand(progressive_graph(graph, size, &smaller, &err), &err);
    assert_int_equal(smaller.layers[0].shape.h, height);
    assert_int_equal(smaller.layers[0].shape.w, width);
    graph_free(&smaller);
}

static void test_sizes(void **state)
{
    struct graph graph;
    (void)state;
    start(&graph, "res9", 64, 100);
    assert_image(&graph, 0, 40, 64);
    assert_image(&graph, 1, 48, 80);
    assert_image(&graph, 2, 64, 100);
    graph_free(&graph);
    assert_int_equal(progressive_size_at(0.0), 0);
    assert_int_equal(progressive_size_at(0.33), 0);
    assert_int_equal(progressive_size_at(0.34), 1);
    assert_int_equal(progressive_size_at(0.67), 2);
    assert_int_equal(progressive_size_at(1.5), 2);
    assert_true(progressive_pays((struct shape){0, 3, 64, 100}));
    assert_false(progressive_pays((struct shape){0, 3, 63, 100}));
}

static void check_network(const struct graph *graph, const char *name, bool expected)
{
    const struct cost_rates rates = cost_rates_of(1e11, 2e10);
    struct error err;
    bool fits;
    demand(progressive_fits(graph, &fits, &err), &err);
    if (fits != expected)
        fail_msg("%s: fits %d, expected %d", name, fits, expected);
    const double full = cost_seconds(graph, &rates), mean = progressive_cost(graph, &rates);
    if (expected ? !(mean > 0.4 * full && mean < 0.8 * full) : mean != full)
        fail_msg("%s: costs %g, in full size %g", name, mean, full);
}

/* Those that end with one value a channel take images of any size; a dense layer over a map does not. */
static void test_networks(void **state)
{
    static const char *const names[] = {"lean", "res9", "air", "air_deep", "cnn", "resnet", "densenet"};
    struct tiny_task task;
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct graph graph;
        start(&graph, names[i], 64, 64);
        check_network(&graph, names[i], true);
        graph_free(&graph);
    }
    tiny_task_open(&task, &ref_device_ops, false);
    task.graph.layers[0].shape.h = task.graph.layers[0].shape.w = 64;
    struct error err;
    demand(graph_infer(&task.graph, &err), &err);
    check_network(&task.graph, "dense over a map", false);
    tiny_task_close(&task);
}

/* ---- trainings ---- */

struct task {
    const struct device_ops *ops;
    struct device *device;
    struct graph graph;
    int32_t labels[IMAGES], samples[IMAGES];
    struct trainer_device trainer_device;
    struct trainer *trainer;
    uint32_t stop_at; /* step at which a tick saves and stops; 0: never */
};

static void append(struct graph *graph, struct layer layer)
{
    struct error err;
    layer.input_count = 1;
    layer.inputs[0] = graph->count - 1;
    demand(graph_append(graph, layer, NULL, &err), &err);
}

static void task_open(struct task *task, const struct device_ops *ops, bool progressive)
{
    const struct device_options options = {.threads = 1, .precision = PRECISION_FP32};
    uint8_t *pixels = malloc((size_t)IMAGES * SIDE * SIDE);
    struct error err;
    assert_non_null(pixels);
    *task = (struct task){.ops = ops};
    for (size_t i = 0; i < (size_t)IMAGES * SIDE * SIDE; i++)
        pixels[i] = (uint8_t)random_draw(1, RANDOM_TEST, i, 0).v[0];
    for (int32_t i = 0; i < IMAGES; i++) {
        task->samples[i] = i;
        task->labels[i] = i % 3;
    }
    const struct dataset_view view = {.count = IMAGES,
                                      .channels = 1,
                                      .height = SIDE,
                                      .width = SIDE,
                                      .classes = 3,
                                      .pixels = pixels,
                                      .labels = task->labels,
                                      .mean = {0.5f},
                                      .deviation = {0.25f}};
    task->trainer_device = (struct trainer_device){.ops = ops,
                                                   .train = task->samples,
                                                   .train_count = TRAIN,
                                                   .validation = task->samples + TRAIN,
                                                   .validation_count = IMAGES - TRAIN};
    demand(ops->open(&options, &task->device, &err), &err);
    task->trainer_device.handle = task->device;
    demand(ops->dataset_upload(task->device, &view, &task->trainer_device.dataset, &err), &err);
    free(pixels);

    demand(graph_new(&task->graph, 1, SIDE, SIDE, &err), &err);
    append(&task->graph, (struct layer){.kind = LAYER_CONV,
                                        .out_channels = 8,
                                        .kernel_h = 3,
                                        .kernel_w = 3,
                                        .stride = 1,
                                        .pad_h = 1,
                                        .pad_w = 1,
                                        .groups = 1});
    append(&task->graph, (struct layer){.kind = LAYER_BATCH_NORM});
    append(&task->graph, (struct layer){.kind = LAYER_RELU});
    append(&task->graph, (struct layer){.kind = LAYER_GLOBAL_POOL});
    append(&task->graph, (struct layer){.kind = LAYER_DENSE, .out_channels = 3, .bias = true});
    demand(graph_infer(&task->graph, &err), &err);

    struct trainer_settings settings = tiny_task_settings();
    size_t bytes;
    settings.batch = BATCH;
    settings.augment = (struct augment){.translate = 2, .flip = 1, .cutout = 5};
    settings.average = 0.9f;
    settings.progressive = progressive;
    demand(trainer_open(&task->trainer_device, 1, &task->graph, &settings, SIZE_MAX, &task->trainer, &bytes,
                        &err),
           &err);
    float *values = tiny_task_weights(&task->graph, 1, NULL);
    demand(trainer_load_values(task->trainer, values, &err), &err);
    free(values);
}

static void task_close(struct task *task)
{
    trainer_close(task->trainer);
    task->ops->dataset_free(task->device, task->trainer_device.dataset);
    task->ops->close(task->device);
    graph_free(&task->graph);
}

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context, (void)err;
    assert_true(isfinite(epoch->train.loss));
    return ST_OK;
}

static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    const struct task *task = context;
    (void)progress;
    if (task->stop_at == 0 || state->step < task->stop_at)
        return ST_OK;
    demand(trainer_checkpoint(task->trainer, checkpoint, 1, err), err);
    return error_set(err, ST_INTERRUPTED, "stopped at step %u", state->step);
}

static enum status train(struct task *task)
{
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = STEPS};
    const struct trainer_events events = {.context = task, .on_epoch = on_epoch, .on_tick = on_tick};
    struct trainer_result result;
    struct error err;
    enum status st = trainer_run(task->trainer, limit, &events, &result, &err);
    if (st != ST_OK && st != ST_INTERRUPTED)
        fail_msg("%s", err.message);
    return st;
}

/* The largest difference of their weights. */
static double difference(const struct task *a, const struct task *b)
{
    const size_t total = trainer_weights(a->trainer)->total;
    float *of_a = malloc(total * sizeof(*of_a)), *of_b = malloc(total * sizeof(*of_b));
    struct error err;
    double most = 0.0;
    assert_true(of_a != NULL && of_b != NULL);
    demand(trainer_values(a->trainer, of_a, &err), &err);
    demand(trainer_values(b->trainer, of_b, &err), &err);
    for (size_t i = 0; i < total; i++)
        most = fmax(most, fabs((double)of_a[i] - (double)of_b[i]));
    free(of_a);
    free(of_b);
    return most;
}

/* Steps 8 and 16 are the first ones of a size. The reference device's doubles are rounded by a checkpoint. */
static void test_goes_on(void **state)
{
    static const uint32_t stops[] = {3, 8, 11, 16, 20};
    struct error err;
    (void)state;
    for (int d = 0; d < 2; d++) {
        struct task whole;
        task_open(&whole, DEVICES[d], true);
        assert_int_equal(train(&whole), ST_OK);
        assert_int_equal(trainer_state(whole.trainer)->step, STEPS);
        for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
            struct task part, rest;
            uint64_t note;
            task_open(&part, DEVICES[d], true);
            part.stop_at = stops[i];
            assert_int_equal(train(&part), ST_INTERRUPTED);
            task_open(&rest, DEVICES[d], true);
            demand(trainer_restore(rest.trainer, checkpoint, &note, &err), &err);
            assert_int_equal(train(&rest), ST_OK);
            const double found = difference(&whole, &rest);
            if (DEVICES[d] == &ref_device_ops ? !(found <= 1e-4) : found != 0.0)
                fail_msg("%s, stopped at step %u: differs by %g", DEVICES[d]->kind, stops[i], found);
            task_close(&part);
            task_close(&rest);
        }
        task_close(&whole);
    }
    unlink(checkpoint);
}

/* Both devices see the same smaller images: their weights stay together, and apart from those of full size. */
static void test_devices_agree(void **state)
{
    struct task ref, cpu, full;
    (void)state;
    task_open(&ref, &ref_device_ops, true);
    task_open(&cpu, &cpu_device_ops, true);
    task_open(&full, &cpu_device_ops, false);
    assert_int_equal(train(&ref), ST_OK);
    assert_int_equal(train(&cpu), ST_OK);
    assert_int_equal(train(&full), ST_OK);
    const double apart = difference(&ref, &cpu), other = difference(&cpu, &full);
    if (!(apart <= 1e-3) || !(other >= 10.0 * apart))
        fail_msg("ref and cpu differ by %g, with and without by %g", apart, other);
    task_close(&ref);
    task_close(&cpu);
    task_close(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_devices_agree),
    };
    snprintf(checkpoint, sizeof(checkpoint), "/tmp/nasrun-progressive-%ld", (long)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}

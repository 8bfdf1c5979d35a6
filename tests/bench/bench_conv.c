/* What convolutions of one layer take the CPU, forward and both gradients, beside what it could do:
 *
 *     bench_conv [--threads N] [--batch B] [--seconds S] [--precision bf16|fp32] [C:OUT:KERNEL:SIDE:STRIDE:GROUPS ...]
 *
 * C channels to OUT, an image of SIDE x SIDE pixels; without layers a few depthwise ones and some in groups. Prints for
 * each direction 10^9 operations a second, and 10^9 bytes a second: what it reads and writes of activations, once,
 * beside which an activation of a large array stands in the first line. Depthwise convolutions compute so little that
 * they should be as fast as that one moves. The best of the runs of S seconds counts. */
#include "host/base/clock.h"
#include "host/device/device.h"
#include "host/program/lower.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLASSES = 10,
    LAYER = 2 /* its index: behind the image and what gives it its channels */,
    LEAST_RUNS = 3
};

struct bench {
    const struct device_ops *ops;
    struct device *device;
    struct device_info info;
    int32_t batch;
    double seconds; /* of each direction */
    double element; /* bytes of an activation */
};

struct window {
    int32_t in, out, kernel, side, stride, groups;
};

static const struct window SOME[] = {
    {64, 64, 3, 32, 1, 64},   {128, 128, 3, 16, 1, 128}, {256, 256, 3, 8, 1, 256},  {512, 512, 3, 4, 1, 512},
    {96, 96, 3, 32, 2, 96},   {144, 144, 5, 16, 1, 144}, {100, 100, 3, 16, 1, 100}, {64, 64, 3, 32, 1, 4},
    {128, 128, 3, 16, 1, 32}, {48, 48, 3, 16, 1, 6},     {128, 128, 1, 16, 1, 1},   {64, 64, 3, 32, 1, 1},
};

static enum status make_graph(const struct window *w, struct graph *graph, struct error *err)
{
    const struct layer expand = {.kind = LAYER_CONV,
                                 .input_count = 1,
                                 .out_channels = w->in,
                                 .kernel_h = 1,
                                 .kernel_w = 1,
                                 .stride = 1,
                                 .groups = 1};
    const struct layer layer = {.kind = LAYER_CONV,
                                .input_count = 1,
                                .inputs = {1},
                                .out_channels = w->out,
                                .kernel_h = w->kernel,
                                .kernel_w = w->kernel,
                                .stride = w->stride,
                                .pad_h = w->kernel / 2,
                                .pad_w = w->kernel / 2,
                                .groups = w->groups};
    const struct layer pool = {
        .kind = LAYER_GLOBAL_POOL, .input_count = 1, .inputs = {2}, .stride = 1, .groups = 1};
    const struct layer dense = {.kind = LAYER_DENSE,
                                .input_count = 1,
                                .inputs = {3},
                                .out_channels = CLASSES,
                                .bias = true,
                                .stride = 1,
                                .groups = 1};
    const struct layer layers[] = {expand, layer, pool, dense};
    enum status st = graph_new(graph, 3, w->side, w->side, err);
    for (size_t i = 0; st == ST_OK && i < sizeof(layers) / sizeof(layers[0]); i++)
        st = graph_append(graph, layers[i], NULL, err);
    return st == ST_OK ? graph_infer(graph, err) : st;
}

/* What a training of the network needs: noise for images, weights. */
struct task {
    struct graph graph;
    struct program program;
    struct device_dataset *dataset;
    struct device_weights *weights;
    struct device_program *prepared;
    int32_t *samples;
};

static enum status upload(const struct bench *bench, struct task *task, int32_t side, struct error *err)
{
    const size_t pixel_count = (size_t)bench->batch * 3 * (size_t)side * (size_t)side,
                 total = task->program.weights.total;
    uint8_t *pixels = malloc(pixel_count);
    int32_t *labels = calloc((size_t)bench->batch, sizeof(*labels));
    float *values = calloc(total + 1, sizeof(*values));
    task->samples = calloc((size_t)bench->batch, sizeof(*task->samples));
    enum status st = ST_OK;
    if (pixels == NULL || labels == NULL || values == NULL || task->samples == NULL) {
        st = error_memory(err, "images and weights", pixel_count + total * sizeof(*values));
        goto out;
    }
    for (size_t i = 0; i < pixel_count; i++)
        pixels[i] = (uint8_t)random_draw(1, RANDOM_TEST, i, 0).v[0];
    for (int32_t i = 0; i < bench->batch; i++)
        task->samples[i] = i;
    const struct dataset_view view = {.count = bench->batch,
                                      .channels = 3,
                                      .height = side,
                                      .width = side,
                                      .classes = CLASSES,
                                      .pixels = pixels,
                                      .labels = labels,
                                      .mean = {0.5f, 0.5f, 0.5f},
                                      .deviation = {0.25f, 0.25f, 0.25f}};
    weight_initialise(&task->program.weights, &task->graph, 1, NULL, values);
    st = bench->ops->dataset_upload(bench->device, &view, &task->dataset, err);
    if (st == ST_OK)
        st = bench->ops->weights_new(bench->device, &task->program.weights, SLOT_GRADIENT, &task->weights,
                                     err);
    if (st == ST_OK)
        st = bench->ops->weights_upload(bench->device, task->weights, SLOT_VALUE, values, err);
out:
    free(values);
    free(labels);
    free(pixels);
    return st;
}

static enum status open_task(const struct bench *bench, const struct window *w, struct task *task,
                             struct error *err)
{
    const struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = bench->batch, .batch_norm_momentum = 0.1f};
    enum status st = make_graph(w, &task->graph, err);
    if (st == ST_OK)
        st = lower_graph(&task->graph, &options, &task->program, err);
    if (st == ST_OK)
        st = upload(bench, task, w->side, err);
    if (st == ST_OK)
        st = bench->ops->program_prepare(bench->device, &task->program, &task->prepared, err);
    if (st != ST_OK)
        return st;
    const struct device_binding binding = {.weights = task->weights,
                                           .dataset = task->dataset,
                                           .samples = task->samples,
                                           .sample_count = bench->batch,
                                           .optimizer = {.kind = OPTIMIZER_SGD, .bias_rate = 1.0f}};
    st = bench->ops->program_bind(bench->device, task->prepared, &binding, err);
    const struct step step = {.seed = 1, .valid = bench->batch};
    return st == ST_OK ? bench->ops->program_run(bench->device, task->prepared, &step, err) : st;
}

static void close_task(const struct bench *bench, struct task *task)
{
    bench->ops->program_free(bench->device, task->prepared);
    bench->ops->weights_free(bench->device, task->weights);
    bench->ops->dataset_free(bench->device, task->dataset);
    program_free(&task->program);
    graph_free(&task->graph);
    free(task->samples);
}

/* The best time of the operation. */
static enum status time_operation(const struct bench *bench, struct task *task, int32_t op, double *best,
                                  struct error *err)
{
    const struct step step = {.seed = 1, .valid = bench->batch};
    const double began = clock_seconds();
    *best = INFINITY;
    for (int32_t run = 0; run < LEAST_RUNS || clock_seconds() - began < bench->seconds; run++) {
        const double before = clock_seconds();
        enum status st = bench->ops->program_run_op(bench->device, task->prepared, op, &step, err);
        if (st != ST_OK)
            return st;
        *best = fmin(*best, clock_seconds() - before);
    }
    return ST_OK;
}

static enum status bench_window(const struct bench *bench, const struct window *w, struct error *err)
{
    struct task task = {0};
    enum status st = open_task(bench, w, &task, err);
    if (st == ST_OK)
        printf("%4d -> %4d  %dx%d @%-3d stride %d groups %-4d", (int)w->in, (int)w->out, (int)w->kernel,
               (int)w->kernel, (int)w->side, (int)w->stride, (int)w->groups);
    const struct layer *layer = st == ST_OK ? &task.graph.layers[LAYER] : NULL;
    for (int32_t op = 0; st == ST_OK && op < task.program.op_count; op++) {
        const enum prog_op_kind kind = task.program.ops[op].kind;
        const bool convolves = kind == PROG_OP_CONV || kind == PROG_OP_CONV_BACKWARD_DATA ||
                               kind == PROG_OP_CONV_BACKWARD_WEIGHTS;
        if (task.program.ops[op].layer_id != layer->id || !convolves)
            continue;
        double seconds;
        st = time_operation(bench, &task, op, &seconds, err);
        const double outputs = (double)bench->batch * w->out * layer->shape.h * layer->shape.w,
                     inputs = (double)bench->batch * w->in * w->side * w->side,
                     flops = 2.0 * outputs * w->in / w->groups * w->kernel * w->kernel;
        printf("  %s %6.1f %5.1f",
               kind == PROG_OP_CONV                 ? "forward"
               : kind == PROG_OP_CONV_BACKWARD_DATA ? "data"
                                                    : "weights",
               1e-9 * flops / seconds, 1e-9 * bench->element * (inputs + outputs) / seconds);
    }
    printf("\n");
    fflush(stdout);
    close_task(bench, &task);
    return st;
}

/* False for a wrong command line. */
static bool parse(int count, char **arguments, struct bench *bench, struct device_options *options,
                  int *first)
{
    int at = 1;
    for (; at + 1 < count && strncmp(arguments[at], "--", 2) == 0; at += 2) {
        const char *value = arguments[at + 1];
        if (strcmp(arguments[at], "--threads") == 0)
            options->threads = atoi(value);
        else if (strcmp(arguments[at], "--batch") == 0)
            bench->batch = atoi(value);
        else if (strcmp(arguments[at], "--seconds") == 0)
            bench->seconds = atof(value);
        else if (strcmp(arguments[at], "--precision") == 0 && strcmp(value, "bf16") == 0)
            options->precision = PRECISION_BF16;
        else if (strcmp(arguments[at], "--precision") == 0 && strcmp(value, "fp32") == 0)
            options->precision = PRECISION_FP32;
        else
            return false;
    }
    *first = at;
    return bench->batch >= 1 && (at == count || arguments[at][0] != '-');
}

int main(int count, char **arguments)
{
    struct bench bench = {.ops = &cpu_device_ops, .batch = 128, .seconds = 0.3};
    struct device_options options = {0};
    struct error err = {0};
    int first;
    enum status st = ST_OK;
    if (!parse(count, arguments, &bench, &options, &first)) {
        fprintf(stderr, "usage: bench_conv [--threads N] [--batch B] [--seconds S] [--precision bf16|fp32] "
                        "[C:OUT:KERNEL:SIDE:STRIDE:GROUPS ...]\n");
        return 2;
    }
    st = bench.ops->open(&options, &bench.device, &err);
    if (st == ST_OK) {
        bench.ops->info(bench.device, &bench.info);
        bench.element = bench.info.precision == PRECISION_BF16 ? 2.0 : 4.0;
        printf("%s, %d threads: convolution %.1f GFLOP/s, memory %.1f GB/s; batch %d; GFLOP/s and GB/s of\n",
               bench.info.name, (int)bench.info.threads, 1e-9 * bench.info.flops, 1e-9 * bench.info.bytes,
               (int)bench.batch);
    }
    for (size_t i = 0; st == ST_OK && first == count && i < sizeof(SOME) / sizeof(SOME[0]); i++)
        st = bench_window(&bench, &SOME[i], &err);
    for (int i = first; st == ST_OK && i < count; i++) {
        struct window w;
        if (sscanf(arguments[i], "%d:%d:%d:%d:%d:%d", &w.in, &w.out, &w.kernel, &w.side, &w.stride,
                   &w.groups) != 6)
            st = error_set(&err, ST_RANGE, "\"%s\": expected C:OUT:KERNEL:SIDE:STRIDE:GROUPS", arguments[i]);
        else
            st = bench_window(&bench, &w, &err);
    }
    if (bench.device != NULL)
        bench.ops->close(bench.device);
    if (st != ST_OK)
        fprintf(stderr, "bench_conv: %s\n", err.message);
    return st == ST_OK ? 0 : 1;
}

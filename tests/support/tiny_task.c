#include "tests/support/tiny_task.h"

#include "host/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PIXELS = TINY_SIDE * TINY_SIDE };

static void demand(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static void append(struct graph *graph, struct layer layer)
{
    struct error err;
    layer.input_count = 1;
    layer.inputs[0] = graph->count - 1;
    demand(graph_append(graph, layer, NULL, &err), &err);
}

static void make_graph(struct graph *graph, bool batch_norm)
{
    struct error err;
    demand(graph_new(graph, 1, TINY_SIDE, TINY_SIDE, &err), &err);
    append(graph, (struct layer){.kind = LAYER_CONV,
                                 .out_channels = 8,
                                 .kernel_h = 3,
                                 .kernel_w = 3,
                                 .stride = 1,
                                 .pad_h = 1,
                                 .pad_w = 1,
                                 .groups = 1,
                                 .bias = !batch_norm});
    if (batch_norm)
        append(graph, (struct layer){.kind = LAYER_BATCH_NORM});
    append(graph, (struct layer){.kind = LAYER_RELU});
    append(graph, (struct layer){.kind = LAYER_MAX_POOL, .kernel_h = 2, .kernel_w = 2, .stride = 2});
    append(graph, (struct layer){.kind = LAYER_DENSE, .out_channels = TINY_CLASSES, .bias = true});
    demand(graph_infer(graph, &err), &err);
}

/* Of a set. */
static void draw_image(uint32_t index, int32_t set, uint8_t pixels[PIXELS])
{
    for (int32_t i = 0; i < PIXELS; i++) {
        int32_t row = i / TINY_SIDE, column = i % TINY_SIDE;
        uint32_t noise = random_draw(1, RANDOM_TEST, (uint64_t)i, index).v[0] % 160;
        bool lit = set >> (row / (TINY_SIDE / 2) * 2 + column / (TINY_SIDE / 2)) & 1;
        pixels[i] = (uint8_t)(noise + (lit ? 90 : 0));
    }
}

static void open_on(struct tiny_task *task, const struct device_ops *ops,
                    const struct device_options *options, bool batch_norm, bool sets)
{
    struct error err;
    uint8_t *pixels = malloc((size_t)TINY_IMAGES * PIXELS);

    assert_non_null(pixels);
    *task = (struct tiny_task){.ops = ops};
    make_graph(&task->graph, batch_norm);
    for (int32_t i = 0; i < TINY_IMAGES; i++) {
        task->samples[i] = i;
        task->labels[i] = i % (sets ? TINY_SETS : TINY_CLASSES);
        draw_image((uint32_t)i, sets ? task->labels[i] : 1 << task->labels[i], pixels + (size_t)i * PIXELS);
    }
    for (int32_t i = 0; i < TINY_SETS * TINY_CLASSES; i++)
        task->label_sets[i] = i / TINY_CLASSES >> i % TINY_CLASSES & 1;
    const struct dataset_view view = {.count = TINY_IMAGES,
                                      .channels = 1,
                                      .height = TINY_SIDE,
                                      .width = TINY_SIDE,
                                      .classes = TINY_CLASSES,
                                      .pixels = pixels,
                                      .labels = task->labels,
                                      .label_sets = sets ? task->label_sets : NULL,
                                      .label_set_count = sets ? TINY_SETS : 0,
                                      .mean = {0.4f},
                                      .deviation = {0.25f}};
    demand(ops->open(options, &task->device, &err), &err);
    demand(ops->dataset_upload(task->device, &view, &task->dataset, &err), &err);
    free(pixels);
    task->trainer_device = (struct trainer_device){.ops = ops,
                                                   .handle = task->device,
                                                   .dataset = task->dataset,
                                                   .train = task->samples,
                                                   .train_count = TINY_TRAIN,
                                                   .validation = task->samples + TINY_TRAIN,
                                                   .validation_count = TINY_VALIDATION,
                                                   .label_sets = view.label_sets};
}

void tiny_task_open_at(struct tiny_task *task, const struct device_ops *ops, int32_t index, bool batch_norm)
{
    const struct device_options options = {
        .index = index, .threads = 1, .precision = ops->on_host ? PRECISION_FP32 : PRECISION_AUTO};
    open_on(task, ops, &options, batch_norm, false);
}

void tiny_task_open_in(struct tiny_task *task, const struct device_ops *ops, enum device_precision precision,
                       bool batch_norm)
{
    open_on(task, ops, &(struct device_options){.threads = 1, .precision = precision}, batch_norm, false);
}

void tiny_task_open_sets(struct tiny_task *task, const struct device_ops *ops, int32_t index,
                         enum device_precision precision, bool batch_norm)
{
    const struct device_options options = {.index = index, .threads = 1, .precision = precision};
    open_on(task, ops, &options, batch_norm, true);
}

void tiny_task_open(struct tiny_task *task, const struct device_ops *ops, bool batch_norm)
{
    tiny_task_open_at(task, ops, 0, batch_norm);
}

void tiny_task_close(struct tiny_task *task)
{
    task->ops->dataset_free(task->device, task->dataset);
    task->ops->close(task->device);
    graph_free(&task->graph);
}

struct trainer_settings tiny_task_settings(void)
{
    return (struct trainer_settings){
        .batch = TINY_BATCH,
        .optimizer = {.kind = OPTIMIZER_SGD,
                      .momentum = 0.9f,
                      .second = 0.999f,
                      .decay = 1e-4f,
                      .bias_rate = 1.0f,
                      .muon_rate = 0.2f},
        .schedule = {.kind = JOB_SCHEDULE_COSINE, .peak = 0.02},
        .seed = 1,
    };
}

float *tiny_task_weights(const struct graph *graph, uint64_t seed, size_t *total)
{
    struct weight_table table = {0};
    struct error err;
    demand(weight_table_new(&table, graph, &err), &err);
    float *values = calloc(table.total, sizeof(*values));
    assert_non_null(values);
    weight_initialise(&table, graph, seed, NULL, values);
    if (total != NULL)
        *total = table.total;
    weight_table_free(&table);
    return values;
}

struct trainer *tiny_task_trainer(const struct tiny_task *task, const struct trainer_settings *settings)
{
    struct trainer *trainer;
    struct error err;
    size_t bytes;
    float *values = tiny_task_weights(&task->graph, 1, NULL);
    demand(trainer_open(&task->trainer_device, 1, &task->graph, settings, SIZE_MAX, &trainer, &bytes, &err),
           &err);
    demand(trainer_load_values(trainer, values, &err), &err);
    free(values);
    return trainer;
}

/* Random graphs: layers are drawn and appended one after another, then what nobody reads is joined for the
 * classifier. */
#include "tests/support/random_graph.h"

#include "host/base/random.h"
#include "tests/support/activations.h"

#include <math.h>
#include <stdlib.h>

struct drawing {
    struct graph *graph;
    struct random_sequence random;
    int32_t block_kind; /* which residual block comes next, so that all occur */
};

static int32_t draw_between(struct drawing *drawing, int32_t low, int32_t high)
{
    return low + (int32_t)random_next_below(&drawing->random, (uint32_t)(high - low + 1));
}

static struct shape shape_of(const struct drawing *drawing, int32_t layer)
{
    return drawing->graph->layers[layer].shape;
}

/* A layer to read: mostly the newest, so that chains arise. */
static int32_t draw_input(struct drawing *drawing)
{
    int32_t last = drawing->graph->count - 1;
    return draw_between(drawing, 0, 2) > 0 ? last : draw_between(drawing, 0, last);
}

/* Appends and returns the index, or -1 where the layer does not fit (a window larger than the image, say). */
static int32_t append(struct drawing *drawing, struct layer layer)
{
    struct error ignored;
    int32_t index = -1;
    return graph_append(drawing->graph, layer, &index, &ignored) == ST_OK ? index : -1;
}

static int32_t append_simple(struct drawing *drawing, enum layer_kind kind, int32_t input)
{
    struct layer layer = {.kind = kind, .input_count = 1, .inputs = {input}, .stride = 1, .groups = 1};
    if (kind == LAYER_DROPOUT)
        layer.rate = 0.25f;
    return append(drawing, layer);
}

/* Which one follows from seed and index, and is not drawn: of seeds in a row each kind has its turn. */
static int32_t append_activation(struct drawing *drawing, int32_t index, int32_t input)
{
    uint64_t kind = (drawing->random.seed + (uint64_t)index) % ACTIVATION_COUNT;
    return append_simple(drawing, activation_layer((enum activation_kind)kind), input);
}

static int32_t append_add(struct drawing *drawing, int32_t left, int32_t right)
{
    struct layer layer = {
        .kind = LAYER_ADD, .input_count = 2, .inputs = {left, right}, .stride = 1, .groups = 1};
    return append(drawing, layer);
}

static int32_t append_window(struct drawing *drawing, enum layer_kind kind, int32_t input)
{
    struct layer layer = {.kind = kind, .input_count = 1, .inputs = {input}, .groups = 1};
    layer.kernel_h = draw_between(drawing, 1, 3);
    layer.kernel_w = draw_between(drawing, 1, 3);
    layer.stride = draw_between(drawing, 0, 3) == 0 ? 2 : 1;
    layer.pad_h = draw_between(drawing, 0, layer.kernel_h - 1);
    layer.pad_w = draw_between(drawing, 0, layer.kernel_w - 1);
    if (kind == LAYER_CONV) {
        int32_t channels = shape_of(drawing, input).c;
        int32_t groups = draw_between(drawing, 1, channels);
        layer.groups = channels % groups == 0 ? groups : 1;
        layer.out_channels = layer.groups * draw_between(drawing, 1, layer.groups > 3 ? 1 : 3);
        layer.bias = draw_between(drawing, 0, 1) == 1;
    }
    return append(drawing, layer);
}

static int32_t append_concat(struct drawing *drawing)
{
    struct layer layer = {.kind = LAYER_CONCAT, .input_count = 1, .inputs = {draw_input(drawing)}};
    layer.stride = layer.groups = 1;
    struct shape shape = shape_of(drawing, layer.inputs[0]);
    int32_t channels = shape.c;
    for (int32_t tries = 0; tries < 6; tries++) {
        int32_t other = draw_between(drawing, 0, drawing->graph->count - 1);
        struct shape found = shape_of(drawing, other);
        bool fits = found.h == shape.h && found.w == shape.w && channels + found.c <= 10;
        bool twice = other == layer.inputs[0] && draw_between(drawing, 0, 5) > 0; /* rarely, not never */
        if (fits && !twice && layer.input_count < GRAPH_MAX_INPUTS) {
            layer.inputs[layer.input_count++] = other;
            channels += found.c;
        }
    }
    return layer.input_count > 1 ? append(drawing, layer) : -1;
}

/* What the newest layer computes, gated by itself: by a dense layer behind a pool, or where it has one pixel by its own
 * values. Draws nothing. */
static void append_gate(struct drawing *drawing)
{
    const int32_t x = drawing->graph->count - 1;
    const struct shape shape = shape_of(drawing, x);
    struct layer gate = {.kind = LAYER_GATE, .input_count = 2, .inputs = {x, x}, .stride = 1, .groups = 1};
    if (shape.h > 1 || shape.w > 1) {
        struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .out_channels = shape.c, .bias = true};
        dense.stride = dense.groups = 1;
        dense.inputs[0] = append_simple(drawing, LAYER_GLOBAL_POOL, x);
        gate.inputs[1] = append(drawing, dense);
    }
    append(drawing, gate);
}

static int32_t append_any_add(struct drawing *drawing)
{
    int32_t left = draw_input(drawing), right = left;
    struct shape shape = shape_of(drawing, left);
    for (int32_t tries = 0; tries < 6 && right == left; tries++) {
        int32_t other = draw_between(drawing, 0, drawing->graph->count - 1);
        struct shape found = shape_of(drawing, other);
        if (found.c == shape.c && found.h == shape.h && found.w == shape.w)
            right = other;
    }
    return append_add(drawing, left, right);
}

/* conv, batch norm, add, ReLU in the ways that fusion tells apart. */
static void append_block(struct drawing *drawing)
{
    int32_t input = draw_input(drawing);
    int32_t kind = drawing->block_kind++ % 4;
    struct layer conv = {
        .kind = LAYER_CONV, .input_count = 1, .inputs = {input}, .kernel_h = 3, .kernel_w = 3};
    conv.stride = conv.pad_h = conv.pad_w = conv.groups = 1;
    conv.out_channels = shape_of(drawing, input).c;
    int32_t branch = append_simple(drawing, LAYER_BATCH_NORM, append(drawing, conv));
    int32_t shortcut =
        kind == 1 ? append_simple(drawing, LAYER_BATCH_NORM, input) : input; /* both batch norms */
    int32_t sum = append_add(drawing, shortcut, branch);
    if (kind == 2)
        append_simple(drawing, LAYER_DROPOUT, branch); /* the batch norm has a second reader */
    if (kind != 3)
        append_simple(drawing, LAYER_RELU, sum);
}

static void append_random(struct drawing *drawing)
{
    switch (draw_between(drawing, 0, 9)) {
    case 0:
    case 1:
        append_window(drawing, LAYER_CONV, draw_input(drawing));
        break;
    case 2:
        append_simple(drawing, LAYER_BATCH_NORM, draw_input(drawing));
        break;
    case 3:
        append_activation(drawing, drawing->graph->count, draw_input(drawing));
        break;
    case 4:
        append_window(drawing, LAYER_MAX_POOL, draw_input(drawing));
        break;
    case 5:
        append_window(drawing, LAYER_AVERAGE_POOL, draw_input(drawing));
        break;
    case 6:
        append_any_add(drawing);
        break;
    case 7:
        append_concat(drawing);
        break;
    case 8:
        append_simple(drawing, LAYER_DROPOUT, draw_input(drawing));
        break;
    default:
        append_block(drawing);
        break;
    }
}

/* One layer that is nobody's input, -1 when there is none below `end`. */
static int32_t find_unread(const struct graph *graph, int32_t end)
{
    for (int32_t i = 0; i < end; i++) {
        bool read = false;
        for (int32_t j = i + 1; j < graph->count && !read; j++)
            for (int32_t k = 0; k < graph->layers[j].input_count; k++)
                read = read || graph->layers[j].inputs[k] == i;
        if (!read)
            return i;
    }
    return -1;
}

static int32_t append_dense(struct drawing *drawing, int32_t input, int32_t width)
{
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {input}, .out_channels = width};
    dense.stride = dense.groups = 1;
    dense.bias = draw_between(drawing, 0, 3) > 0;
    return append(drawing, dense);
}

/* Makes vectors of all unread layers and joins them, two at a time. Returns the layer for the classifier. */
static int32_t join_unread(struct drawing *drawing)
{
    int32_t joined = -1, unread;
    for (int32_t end = drawing->graph->count; (unread = find_unread(drawing->graph, end)) >= 0;) {
        bool only = joined < 0 && unread == drawing->graph->count - 1;
        if (only && draw_between(drawing, 0, 1) == 1)
            return unread; /* the classifier reads a whole image */
        int32_t vector = draw_between(drawing, 0, 3) == 0 ? append_dense(drawing, unread, 3)
                                                          : append_simple(drawing, LAYER_GLOBAL_POOL, unread);
        if (joined < 0) {
            joined = vector;
            continue;
        }
        struct layer concat = {.kind = LAYER_CONCAT, .input_count = 2, .inputs = {joined, vector}};
        concat.stride = concat.groups = 1;
        joined = append(drawing, concat);
    }
    return joined;
}

/* Follows from seed and index, and is not drawn: of seeds in a row each has its turn. */
static void choose_training(struct graph *graph, uint64_t seed)
{
    for (int32_t l = 0; l < graph->count; l++) {
        struct layer *layer = &graph->layers[l];
        const uint64_t turn = seed + (uint64_t)l;
        if (layer->kind == LAYER_CONV) {
            layer->init =
                (enum layer_init)(turn % (layer->groups > 1 ? LAYER_INIT_WHITEN : LAYER_INIT_COUNT));
            layer->frozen = turn % 7 == 0;
            layer->bias = layer->bias && !layer->frozen;
        }
        if (layer->kind == LAYER_BATCH_NORM)
            layer->frozen = turn % 5 == 0;
        if (layer->kind == LAYER_DENSE)
            layer->gain = turn % 3 == 0 ? 0.5f : 1.0f;
    }
}

enum status random_graph_make(struct graph *graph, uint64_t seed, struct error *err)
{
    struct drawing drawing = {graph, {.seed = seed, .stream = RANDOM_TEST}, (int32_t)(seed % 4)};
    int32_t channels = draw_between(&drawing, 1, 3), height = draw_between(&drawing, 5, 9);
    if (graph_new(graph, channels, height, draw_between(&drawing, 5, 9), err) != ST_OK)
        return err->status;
    int32_t layers = draw_between(&drawing, 4, 12);
    while (graph->count < layers) {
        append_random(&drawing);
        if ((seed + (uint64_t)graph->count) % 9 == 0)
            append_gate(&drawing);
    }
    int32_t features = join_unread(&drawing);
    features = append_activation(&drawing, 0, features);
    append_dense(&drawing, features, draw_between(&drawing, 2, 5));
    choose_training(graph, seed);
    if (graph_infer(graph, err) != ST_OK) {
        graph_free(graph);
        return err->status;
    }
    return ST_OK;
}

/* A multiple of 2^-16 in [middle - reach, middle + reach]. */
static float draw_value(struct random_sequence *random, double middle, double reach)
{
    double value = middle + reach * (2 * (double)random_next_unit(random) - 1);
    return (float)(round(value * 65536) / 65536);
}

void random_graph_weights(const struct weight_table *table, uint64_t seed, float *values)
{
    for (size_t i = 0; i < table->total; i++)
        values[i] = 0;
    for (int32_t k = 0; k < table->count; k++) {
        const struct weight_tensor *tensor = &table->tensors[k];
        struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST, .part = 1 + (uint32_t)k};
        int64_t fan_in = (int64_t)tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
        double middle = tensor->role == WEIGHT_SCALE || tensor->role == WEIGHT_RUNNING_VAR ? 1 : 0;
        double reach = tensor->role == WEIGHT_KERNEL ? sqrt(3.0 / (double)fan_in) : 0.5;
        for (size_t i = 0; i < tensor->count; i++)
            values[tensor->offset + i] = draw_value(&random, middle, reach);
    }
}

enum status random_images_make(struct random_images *images, const struct graph *graph, int32_t count,
                               uint64_t seed, struct error *err)
{
    struct shape shape = graph->layers[0].shape;
    size_t pixels = (size_t)count * (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
    struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST};
    int32_t classes = graph->layers[graph->count - 1].out_channels;
    images->pixels = malloc(pixels);
    images->labels = malloc((size_t)count * sizeof(*images->labels));
    images->class_weights = malloc((size_t)classes * sizeof(*images->class_weights));
    images->label_sets = calloc((size_t)RANDOM_SETS * (size_t)classes, sizeof(*images->label_sets));
    if (!images->pixels || !images->labels || !images->class_weights || !images->label_sets) {
        random_images_free(images);
        return error_memory(err, "random images", pixels);
    }
    for (size_t i = 0; i < pixels; i++)
        images->pixels[i] = (uint8_t)random_next_below(&random, 256);
    for (int32_t i = 0; i < count; i++)
        images->labels[i] = (int32_t)random_next_below(&random, (uint32_t)classes);
    for (int32_t k = 0; k < classes; k++)
        images->class_weights[k] = 0.25f * (float)(1 + (k + (int32_t)seed) % 8);
    images->view = (struct dataset_view){
        .count = count,
        .channels = shape.c,
        .height = shape.h,
        .width = shape.w,
        .classes = classes,
        .pixels = images->pixels,
        .labels = images->labels,
        .class_weights = images->class_weights,
        .mean = {0.5f, 0.45f, 0.4f, 0.5f},
        .deviation = {0.25f, 0.3f, 0.2f, 0.25f},
    };
    return ST_OK;
}

void random_images_use_sets(struct random_images *images, uint64_t seed)
{
    struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST, .part = 7};
    const int32_t classes = images->view.classes;
    for (int32_t i = classes; i < RANDOM_SETS * classes; i++)
        images->label_sets[i] = (uint8_t)random_next_below(&random, 2);
    for (int32_t i = 0; i < images->view.count; i++)
        images->labels[i] = (int32_t)random_next_below(&random, RANDOM_SETS);
    images->view.label_sets = images->label_sets;
    images->view.label_set_count = RANDOM_SETS;
}

void random_images_free(struct random_images *images)
{
    free(images->label_sets);
    images->label_sets = NULL;
    free(images->pixels);
    free(images->labels);
    free(images->class_weights);
    images->class_weights = NULL;
    images->pixels = NULL;
    images->labels = NULL;
}

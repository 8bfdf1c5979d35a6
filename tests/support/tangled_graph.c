#include "tests/support/tangled_graph.h"

#include "tests/support/activations.h"

#include <math.h>
#include <string.h>

static int32_t below(struct random_sequence *random, int32_t n)
{
    return (int32_t)random_next_below(random, (uint32_t)n);
}

static struct layer new_layer(enum layer_kind kind, int32_t input)
{
    return (struct layer){.kind = kind, .input_count = 1, .inputs = {input}, .groups = 1, .stride = 1};
}

/* Kernel and padding that leave at least one pixel of `side`. */
static void random_window(struct random_sequence *random, int32_t side, int32_t most, int32_t *kernel,
                          int32_t *pad)
{
    *kernel = 1 + below(random, most);
    *pad = below(random, *kernel / 2 + 1);
    if (*kernel > side + 2 * *pad)
        *kernel = side + 2 * *pad;
}

static enum status add_conv(struct graph *graph, struct random_sequence *random, int32_t input,
                            struct error *err)
{
    const struct shape *in = &graph->layers[input].shape;
    struct layer layer = new_layer(LAYER_CONV, input);
    layer.out_channels = 1 + below(random, 8);
    layer.bias = below(random, 2) == 0;
    switch (below(random, 6)) {
    case 0: /* depthwise, with 1 or 2 filters a channel */
        layer.groups = in->c;
        layer.out_channels = in->c * (1 + below(random, 2));
        break;
    case 1: /* two groups where the input can be halved */
        layer.groups = in->c % 2 == 0 ? 2 : 1;
        layer.out_channels = 2 * (1 + below(random, 4));
        break;
    case 2: /* a shape that adds can join */
        layer.out_channels = in->c;
        layer.kernel_h = layer.kernel_w = 3;
        layer.pad_h = layer.pad_w = 1;
        return graph_append(graph, layer, NULL, err);
    default:
        break;
    }
    random_window(random, in->h, 5, &layer.kernel_h, &layer.pad_h);
    random_window(random, in->w, 5, &layer.kernel_w, &layer.pad_w);
    layer.stride = 1 + (below(random, 4) == 0);
    return graph_append(graph, layer, NULL, err);
}

static enum status add_pool(struct graph *graph, struct random_sequence *random, int32_t input,
                            struct error *err)
{
    const struct shape *in = &graph->layers[input].shape;
    struct layer layer = new_layer(below(random, 2) == 0 ? LAYER_MAX_POOL : LAYER_AVERAGE_POOL, input);
    random_window(random, in->h, 3, &layer.kernel_h, &layer.pad_h);
    random_window(random, in->w, 3, &layer.kernel_w, &layer.pad_w);
    layer.stride = 1 + below(random, 2);
    return graph_append(graph, layer, NULL, err);
}

/* An add or a concat of `input` with layers that fit it, drawn with repetition. An add of a layer with itself
 * only where no other fits. */
static enum status add_joint(struct graph *graph, struct random_sequence *random, int32_t input,
                             struct error *err)
{
    struct shape shape = graph->layers[input].shape;
    struct layer layer = new_layer(below(random, 2) == 0 ? LAYER_ADD : LAYER_CONCAT, input);
    int32_t wanted = layer.kind == LAYER_ADD ? 2 : 2 + below(random, 2), start = below(random, graph->count);
    for (int32_t k = 0; k < 2 * graph->count && layer.input_count < wanted; k++) {
        int32_t other = (start + k) % graph->count;
        struct shape found = graph->layers[other].shape;
        bool fits = found.h == shape.h && found.w == shape.w &&
                    (layer.kind == LAYER_CONCAT ? found.c <= 12 : found.c == shape.c);
        if (fits && (other != input || k >= graph->count || layer.kind == LAYER_CONCAT))
            layer.inputs[layer.input_count++] = other;
    }
    return layer.input_count < wanted ? ST_OK : graph_append(graph, layer, NULL, err);
}

/* A gate behind the newest layer, opened by a dense layer behind a pool. Draws nothing. */
static enum status add_gate(struct graph *graph, struct error *err)
{
    const int32_t x = graph->count - 1;
    struct layer dense = new_layer(LAYER_DENSE, -1), gate = new_layer(LAYER_GATE, x);
    dense.out_channels = graph->layers[x].shape.c;
    dense.bias = true;
    gate.input_count = 2;
    enum status st = graph_append(graph, new_layer(LAYER_GLOBAL_POOL, x), &dense.inputs[0], err);
    if (st == ST_OK)
        st = graph_append(graph, dense, &gate.inputs[1], err);
    return st == ST_OK ? graph_append(graph, gate, NULL, err) : st;
}

static enum status add_any(struct graph *graph, struct random_sequence *random, struct error *err)
{
    int32_t input = below(random, 4) == 0 ? below(random, graph->count) : graph->count - 1;
    struct layer layer;
    switch (below(random, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return add_conv(graph, random, input, err);
    case 4:
        return graph_append(graph, new_layer(LAYER_BATCH_NORM, input), NULL, err);
    case 5:
        return graph_append(graph, new_layer(LAYER_RELU, input), NULL, err);
    case 6: /* by the index: nothing is drawn */
        return graph_append(
            graph,
            new_layer(activation_layer((enum activation_kind)(graph->count % ACTIVATION_COUNT)), input), NULL,
            err);
    case 7:
        return add_pool(graph, random, input, err);
    case 8:
        layer = new_layer(LAYER_DROPOUT, input);
        layer.rate = 0.3f;
        return graph_append(graph, layer, NULL, err);
    default:
        return add_joint(graph, random, input, err);
    }
}

static bool is_used(const struct graph *graph, int32_t index)
{
    for (int32_t i = index + 1; i < graph->count; i++)
        for (int32_t k = 0; k < graph->layers[i].input_count; k++)
            if (graph->layers[i].inputs[k] == index)
                return true;
    return false;
}

/* Pools every loose end and joins them, one concat a pair. */
static enum status join_ends(struct graph *graph, struct error *err)
{
    int32_t count = graph->count, joined = -1;
    for (int32_t i = 0; i < count; i++) {
        if (is_used(graph, i))
            continue;
        int32_t pooled = -1;
        enum status st = graph_append(graph, new_layer(LAYER_GLOBAL_POOL, i), &pooled, err);
        if (st == ST_OK && joined >= 0) {
            struct layer concat = new_layer(LAYER_CONCAT, joined);
            concat.inputs[concat.input_count++] = pooled;
            st = graph_append(graph, concat, &pooled, err);
        }
        if (st != ST_OK)
            return st;
        joined = pooled;
    }
    return ST_OK;
}

static enum status add_dense(struct graph *graph, struct random_sequence *random, int32_t outputs,
                             struct error *err)
{
    struct layer dense = new_layer(LAYER_DENSE, graph->count - 1);
    dense.out_channels = outputs;
    dense.bias = below(random, 2) == 0;
    return graph_append(graph, dense, NULL, err);
}

enum status tangled_graph_make(struct graph *graph, struct random_sequence *random, struct error *err)
{
    enum status st = graph_new(graph, 1 + below(random, 3), 4 + below(random, 9), 4 + below(random, 9), err);
    int32_t wanted = 3 + below(random, 9), loose = 0;
    for (int32_t i = 0; st == ST_OK && i < wanted; i++)
        st = graph->count % 7 == 6 && graph->layers[graph->count - 1].shape.c <= 16
                 ? add_gate(graph, err)
                 : add_any(graph, random, err);
    for (int32_t i = 0; st == ST_OK && i < graph->count; i++)
        loose += !is_used(graph, i);
    if (st == ST_OK && (loose > 1 || below(random, 2) == 0))
        st = join_ends(graph, err);
    if (st == ST_OK && below(random, 2) == 0) {
        st = add_dense(graph, random, 1 + below(random, 8), err);
        if (st == ST_OK && below(random, 2) == 0)
            st = graph_append(graph, new_layer(LAYER_RELU, graph->count - 1), NULL, err);
    }
    if (st == ST_OK)
        st = add_dense(graph, random, 2 + below(random, 4), err);
    if (st == ST_OK)
        st = graph_infer(graph, err);
    if (st != ST_OK)
        graph_free(graph);
    return st;
}

static double random_normal(struct random_sequence *random)
{
    double first, second;
    random_normal2(random_draw(random->seed, random->stream, random->counter++, random->part), &first,
                   &second);
    return first;
}

void tangled_graph_weights(const struct weight_table *table, struct random_sequence *random, float *values)
{
    memset(values, 0, table->total * sizeof(*values));
    for (int32_t t = 0; t < table->count; t++) {
        const struct weight_tensor *tensor = &table->tensors[t];
        double fan_in = (double)tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
        for (size_t i = 0; i < tensor->count; i++) {
            double value = 0.3 * random_normal(random);
            if (tensor->role == WEIGHT_KERNEL)
                value = sqrt(2.0 / fan_in) * random_normal(random);
            else if (tensor->role == WEIGHT_SCALE)
                value += 1.0;
            else if (tensor->role == WEIGHT_RUNNING_VAR)
                value = 0.5 + 1.5 * (double)random_next_unit(random);
            values[tensor->offset + i] = (float)value;
        }
    }
}

/* The architecture graph: building, checking, shape inference. Weights: weights.c. */
#include "host/net/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checks of one layer ---- */

/* "layer 7 (conv): NAME is FOUND, expected LOW to HIGH" unless the value lies between. */
static enum status check_range(const struct layer *layer, const char *name, int64_t found, int64_t low,
                               int64_t high, struct error *err)
{
    if (found >= low && found <= high)
        return ST_OK;
    return error_set(err, ST_RANGE, "layer %u (%s): %s is %lld, expected %lld to %lld", (unsigned)layer->id,
                     layer_kind_name(layer->kind), name, (long long)found, (long long)low, (long long)high);
}

/* The same for what grows with the network: a valid one that is too large is not a wrong one. */
static enum status check_size(const struct layer *layer, const char *name, int64_t found, int64_t most,
                              struct error *err)
{
    if (found <= most)
        return ST_OK;
    return error_set(err, ST_UNSUPPORTED, "layer %u (%s): %s is %lld, expected at most %lld",
                     (unsigned)layer->id, layer_kind_name(layer->kind), name, (long long)found,
                     (long long)most);
}

/* Extent of a window's output along one axis. */
static enum status window_extent(const struct layer *layer, const char *axis, int32_t side, int32_t kernel,
                                 int32_t pad, int32_t *out, struct error *err)
{
    char name[32];
    snprintf(name, sizeof(name), "kernel %s", axis);
    if (check_range(layer, name, kernel, 1, GRAPH_MAX_SIDE, err) != ST_OK)
        return err->status;
    snprintf(name, sizeof(name), "padding %s", axis);
    /* Below the kernel's extent, so that no window lies wholly in the padding. */
    if (check_range(layer, name, pad, 0, kernel - 1, err) != ST_OK)
        return err->status;
    if (kernel > side + 2 * pad)
        return error_set(
            err, ST_RANGE, "layer %u (%s): kernel %s is %d, expected at most %d (input %d, padding %d)",
            (unsigned)layer->id, layer_kind_name(layer->kind), axis, kernel, side + 2 * pad, side, pad);
    *out = (side + 2 * pad - kernel) / layer->stride + 1;
    return ST_OK;
}

static enum status window_shape(const struct layer *layer, struct shape in, struct shape *out,
                                struct error *err)
{
    if (check_range(layer, "stride", layer->stride, 1, GRAPH_MAX_SIDE, err) != ST_OK)
        return err->status;
    enum status st = window_extent(layer, "height", in.h, layer->kernel_h, layer->pad_h, &out->h, err);
    if (st != ST_OK)
        return st;
    return window_extent(layer, "width", in.w, layer->kernel_w, layer->pad_w, &out->w, err);
}

static enum status conv_shape(const struct layer *layer, struct shape in, struct shape *out,
                              struct error *err)
{
    if (check_range(layer, "out_channels", layer->out_channels, 1, GRAPH_MAX_CHANNELS, err) != ST_OK ||
        check_range(layer, "groups", layer->groups, 1, in.c, err) != ST_OK)
        return err->status;
    if (in.c % layer->groups != 0 || layer->out_channels % layer->groups != 0)
        return error_set(
            err, ST_RANGE,
            "layer %u (conv): groups is %d, expected a divisor of %d input and %d output channels",
            (unsigned)layer->id, layer->groups, in.c, layer->out_channels);
    enum status st = window_shape(layer, in, out, err);
    if (st != ST_OK)
        return st;
    if ((unsigned)layer->init >= LAYER_INIT_COUNT)
        return error_set(err, ST_RANGE, "layer %u (conv): init is %d, expected 0 to %d", (unsigned)layer->id,
                         (int)layer->init, LAYER_INIT_COUNT - 1);
    if (layer->frozen && layer->bias)
        return error_set(err, ST_RANGE, "layer %u (conv): a frozen kernel has a bias, expected none",
                         (unsigned)layer->id);
    if (layer->init == LAYER_INIT_WHITEN && layer->groups > 1)
        return error_set(err, ST_RANGE, "layer %u (conv): init is whiten in %d groups, expected one group",
                         (unsigned)layer->id, layer->groups);
    out->c = layer->out_channels;
    int64_t weights =
        (int64_t)layer->out_channels * (in.c / layer->groups) * layer->kernel_h * layer->kernel_w;
    return check_size(layer, "number of weights", weights, GRAPH_MAX_ELEMENTS, err);
}

static enum status dense_shape(const struct layer *layer, struct shape in, struct shape *out,
                               struct error *err)
{
    if (check_range(layer, "out_channels", layer->out_channels, 1, GRAPH_MAX_CHANNELS, err) != ST_OK)
        return err->status;
    if (!(layer->gain > 0.0f && (double)layer->gain <= GRAPH_MAX_GAIN))
        return error_set(err, ST_RANGE, "layer %u (dense): gain is %g, expected above 0 and at most %g",
                         (unsigned)layer->id, (double)layer->gain, GRAPH_MAX_GAIN);
    *out = (struct shape){0, layer->out_channels, 1, 1};
    int64_t weights = (int64_t)in.c * in.h * in.w * layer->out_channels;
    return check_size(layer, "number of weights", weights, GRAPH_MAX_ELEMENTS, err);
}

/* Add and concat: what the further inputs must share with the first. */
static enum status join_shape(const struct graph *graph, const struct layer *layer, struct shape *out,
                              struct error *err)
{
    int64_t channels = out->c;
    for (int32_t i = 1; i < layer->input_count; i++) {
        struct shape other = graph->layers[layer->inputs[i]].shape;
        bool same_plane = other.h == out->h && other.w == out->w;
        if (!same_plane || (layer->kind == LAYER_ADD && other.c != out->c))
            return error_set(
                err, ST_RANGE,
                "layer %u (%s): input %d is %d x %d x %d, expected %s like input 0, %d x %d x %d",
                (unsigned)layer->id, layer_kind_name(layer->kind), i, other.c, other.h, other.w,
                layer->kind == LAYER_ADD ? "the shape" : "height and width", out->c, out->h, out->w);
        channels += other.c;
    }
    if (layer->kind == LAYER_ADD)
        return ST_OK;
    out->c = (int32_t)channels; /* at most GRAPH_MAX_INPUTS * GRAPH_MAX_CHANNELS */
    return check_size(layer, "number of channels", channels, GRAPH_MAX_CHANNELS, err);
}

/* The second input is what the gate opens by, of one pixel. */
static enum status gate_shape(const struct graph *graph, const struct layer *layer, struct shape in,
                              struct error *err)
{
    const struct shape gate = graph->layers[layer->inputs[1]].shape;
    if (gate.c == in.c && gate.h == 1 && gate.w == 1)
        return ST_OK;
    return error_set(err, ST_RANGE,
                     "layer %u (gate): input 1 is %d x %d x %d, expected %d x 1 x 1 like input 0",
                     (unsigned)layer->id, gate.c, gate.h, gate.w, in.c);
}

static enum status check_inputs(const struct layer *layer, int32_t index, struct error *err)
{
    const struct layer_traits *traits = layer_traits(layer->kind);
    if (check_range(layer, "number of inputs", layer->input_count, traits->least_inputs, traits->most_inputs,
                    err) != ST_OK)
        return err->status;
    for (int32_t i = 0; i < layer->input_count; i++)
        if (check_range(layer, "index of an input", layer->inputs[i], 0, index - 1, err) != ST_OK)
            return err->status;
    return ST_OK;
}

/* The shape of `layer` as it would stand at `index` (above 0), behind layers whose shapes are known. */
static enum status layer_shape(const struct graph *graph, const struct layer *layer, int32_t index,
                               struct shape *shape, struct error *err)
{
    if ((unsigned)layer->kind >= LAYER_KIND_COUNT || layer->kind == LAYER_INPUT)
        return error_set(err, ST_RANGE, "layer %u: kind is %d (%s), expected %d to %d", (unsigned)layer->id,
                         (int)layer->kind, layer_kind_name(layer->kind), LAYER_INPUT + 1,
                         LAYER_KIND_COUNT - 1);
    enum status st = check_inputs(layer, index, err);
    if (st != ST_OK)
        return st;
    struct shape in = graph->layers[layer->inputs[0]].shape, out = in;
    switch (layer_traits(layer->kind)->family) {
    case FAMILY_CONV:
        st = conv_shape(layer, in, &out, err);
        break;
    case FAMILY_MAX_POOL:
    case FAMILY_AVERAGE_POOL:
        st = window_shape(layer, in, &out, err);
        break;
    case FAMILY_GLOBAL_POOL:
        out.h = out.w = 1;
        break;
    case FAMILY_ADD:
    case FAMILY_CONCAT:
        st = join_shape(graph, layer, &out, err);
        break;
    case FAMILY_GATE:
        st = gate_shape(graph, layer, in, err);
        break;
    case FAMILY_DENSE:
        st = dense_shape(layer, in, &out, err);
        break;
    case FAMILY_DROPOUT:
        if (!(layer->rate >= 0.0f && layer->rate < 1.0f))
            st = error_set(err, ST_RANGE, "layer %u (dropout): rate is %g, expected at least 0 and below 1",
                           (unsigned)layer->id, (double)layer->rate);
        break;
    case FAMILY_BATCH_NORM: /* shape of the input */
    case FAMILY_ACTIVATION:
    case FAMILY_INPUT: /* refused above */
        break;
    }
    if (st == ST_OK && !(layer->pace > 0.0f && layer->pace <= 1.0f))
        st = error_set(err, ST_RANGE, "layer %u (%s): pace is %g, expected above 0 and at most 1",
                       (unsigned)layer->id, layer_kind_name(layer->kind), (double)layer->pace);
    if (st != ST_OK)
        return st;
    if (check_range(layer, "output height", out.h, 1, GRAPH_MAX_SIDE, err) != ST_OK ||
        check_range(layer, "output width", out.w, 1, GRAPH_MAX_SIDE, err) != ST_OK ||
        check_size(layer, "number of output values", (int64_t)out.c * out.h * out.w, GRAPH_MAX_ELEMENTS,
                   err) != ST_OK)
        return err->status;
    *shape = out;
    return ST_OK;
}

static enum status check_input_layer(const struct layer *layer, struct error *err)
{
    if (layer->kind != LAYER_INPUT || layer->id != 0 || layer->input_count != 0)
        return error_set(err, ST_RANGE, "layer 0: found %s with id %u and %d inputs, expected input, 0 and 0",
                         layer_kind_name(layer->kind), (unsigned)layer->id, layer->input_count);
    struct shape s = layer->shape;
    if (check_range(layer, "number of channels", s.c, 1, GRAPH_MAX_CHANNELS, err) != ST_OK ||
        check_range(layer, "height", s.h, 1, GRAPH_MAX_SIDE, err) != ST_OK ||
        check_range(layer, "width", s.w, 1, GRAPH_MAX_SIDE, err) != ST_OK)
        return err->status;
    return check_range(layer, "number of values", (int64_t)s.c * s.h * s.w, 1, GRAPH_MAX_ELEMENTS, err);
}

/* ---- building ---- */

static enum status graph_reserve(struct graph *graph, int32_t capacity, struct error *err)
{
    if (capacity <= graph->capacity)
        return ST_OK;
    int32_t larger = graph->capacity * 2 > capacity ? graph->capacity * 2 : capacity;
    size_t bytes = (size_t)larger * sizeof(*graph->layers);
    struct layer *layers = realloc(graph->layers, bytes);
    if (layers == NULL)
        return error_memory(err, "layers of a graph", bytes);
    graph->layers = layers;
    graph->capacity = larger;
    return ST_OK;
}

enum status graph_new(struct graph *graph, int32_t channels, int32_t height, int32_t width, struct error *err)
{
    struct layer input = {
        .kind = LAYER_INPUT, .groups = 1, .stride = 1, .shape = {0, channels, height, width}};
    *graph = (struct graph){.next_id = 1};
    enum status st = check_input_layer(&input, err);
    if (st != ST_OK)
        return st;
    st = graph_reserve(graph, 16, err);
    if (st != ST_OK)
        return st;
    graph->layers[0] = input;
    graph->count = 1;
    return ST_OK;
}

void graph_free(struct graph *graph)
{
    free(graph->layers);
    *graph = (struct graph){0};
}

enum status graph_copy(struct graph *copy, const struct graph *graph, struct error *err)
{
    *copy = (struct graph){.next_id = graph->next_id};
    enum status st = graph_reserve(copy, graph->count, err);
    if (st != ST_OK)
        return st;
    memcpy(copy->layers, graph->layers, (size_t)graph->count * sizeof(*graph->layers));
    copy->count = graph->count;
    return ST_OK;
}

enum status graph_append(struct graph *graph, struct layer layer, int32_t *index, struct error *err)
{
    int32_t at = graph->count;
    enum status st = graph_insert(graph, at, layer, err);
    if (st == ST_OK && index != NULL)
        *index = at;
    return st;
}

enum status graph_insert(struct graph *graph, int32_t index, struct layer layer, struct error *err)
{
    if (layer.id == 0)
        layer.id = graph->next_id;
    else if (graph_find(graph, layer.id) >= 0)
        return error_set(err, ST_RANGE, "layer %u (%s): the id is in use, expected a new one",
                         (unsigned)layer.id, layer_kind_name(layer.kind));
    if (check_range(&layer, "id", layer.id, 1, GRAPH_MAX_ID, err) != ST_OK ||
        check_range(&layer, "index", index, 1, graph->count, err) != ST_OK)
        return err->status;
    if (graph->count >= GRAPH_MAX_LAYERS)
        return error_set(err, ST_UNSUPPORTED,
                         "layer %u (%s): the graph has %d layers already, expected below %d",
                         (unsigned)layer.id, layer_kind_name(layer.kind), graph->count, GRAPH_MAX_LAYERS);
    if (layer.gain == 0.0f)
        layer.gain = 1.0f;
    if (layer.pace == 0.0f)
        layer.pace = 1.0f;
    enum status st = layer_shape(graph, &layer, index, &layer.shape, err);
    if (st != ST_OK)
        return st;
    st = graph_reserve(graph, graph->count + 1, err);
    if (st != ST_OK)
        return st;

    memmove(graph->layers + index + 1, graph->layers + index,
            (size_t)(graph->count - index) * sizeof(*graph->layers));
    graph->layers[index] = layer;
    graph->count++;
    if (layer.id >= graph->next_id)
        graph->next_id = layer.id + 1;
    for (int32_t l = index + 1; l < graph->count; l++)
        for (int32_t i = 0; i < graph->layers[l].input_count; i++)
            if (graph->layers[l].inputs[i] >= index)
                graph->layers[l].inputs[i]++;
    return ST_OK;
}

int32_t graph_find(const struct graph *graph, uint32_t id)
{
    for (int32_t i = 0; i < graph->count; i++)
        if (graph->layers[i].id == id)
            return i;
    return -1;
}

/* ---- the whole graph ---- */

static enum status check_ids(const struct graph *graph, struct error *err)
{
    for (int32_t i = 1; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        if (check_range(layer, "id", layer->id, 1, (int64_t)graph->next_id - 1, err) != ST_OK)
            return err->status;
        int32_t first = graph_find(graph, layer->id);
        if (first != i)
            return error_set(err, ST_RANGE,
                             "layer %u (%s): stands at indices %d and %d, expected ids used once",
                             (unsigned)layer->id, layer_kind_name(layer->kind), first, i);
    }
    return ST_OK;
}

static enum status check_used(const struct graph *graph, struct error *err)
{
    bool used[GRAPH_MAX_LAYERS] = {false};
    for (int32_t l = 1; l < graph->count; l++)
        for (int32_t i = 0; i < graph->layers[l].input_count; i++)
            used[graph->layers[l].inputs[i]] = true;
    for (int32_t l = 0; l < graph->count - 1; l++)
        if (!used[l])
            return error_set(err, ST_RANGE, "layer %u (%s): no layer reads it, expected at least one",
                             (unsigned)graph->layers[l].id, layer_kind_name(graph->layers[l].kind));
    return ST_OK;
}

enum status graph_infer(struct graph *graph, struct error *err)
{
    if (graph->count < 2 || graph->count > GRAPH_MAX_LAYERS)
        return error_set(err, ST_RANGE, "graph: found %d layers, expected 2 to %d", graph->count,
                         GRAPH_MAX_LAYERS);
    if (graph->next_id > GRAPH_MAX_ID + 1)
        return error_set(err, ST_RANGE, "graph: next_id is %u, expected at most %u", (unsigned)graph->next_id,
                         (unsigned)GRAPH_MAX_ID + 1);
    enum status st = check_input_layer(&graph->layers[0], err);
    for (int32_t i = 1; st == ST_OK && i < graph->count; i++)
        st = layer_shape(graph, &graph->layers[i], i, &graph->layers[i].shape, err);
    if (st == ST_OK)
        st = check_ids(graph, err);
    if (st == ST_OK)
        st = check_used(graph, err);
    if (st != ST_OK)
        return st;
    const struct layer *last = &graph->layers[graph->count - 1];
    if (last->kind != LAYER_DENSE)
        return error_set(err, ST_RANGE, "layer %u (%s): stands last, expected a dense layer",
                         (unsigned)last->id, layer_kind_name(last->kind));
    return ST_OK;
}

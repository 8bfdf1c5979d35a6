/* Costs from shapes alone. Training is counted as the fused program runs it (host/program/lower.h): a ReLU or
 * an add behind a batch norm that nothing else reads moves few bytes of its own. */
#include "host/net/cost.h"

#include <math.h>
#include <stdbool.h>

enum { FLOAT_BYTES = 4, CHANNEL_BLOCK = 16, IMAGE_CHANNELS = 4, SMALL_WINDOW = 9 };

/* What is known of the layers around a layer. */
struct surroundings {
    int32_t uses[GRAPH_MAX_LAYERS];      /* how many inputs read the layer */
    bool has_gradient[GRAPH_MAX_LAYERS]; /* whether a gradient of its output is wanted: trained weights lie
                                            before it */
    bool ends_fusion[GRAPH_MAX_LAYERS];  /* batch norm, or add fused behind one: a following ReLU fuses */
};

/* What a layer costs, and which units its operations and bytes of training are; COST_UNIT_COUNT: none. */
struct layer_cost {
    double parameters, forward_flops, train_flops, train_bytes;
    enum cost_unit operations, bytes;
};

static struct layer_cost counted_as(enum cost_unit operations, enum cost_unit bytes, struct layer_cost cost)
{
    cost.operations = operations;
    cost.bytes = bytes;
    return cost;
}

static double elements(struct shape shape)
{
    return (double)shape.c * shape.h * shape.w;
}

/* Which input an add or a ReLU fuses with, -1: none. Nothing else may read it. */
static int32_t fused_input(const struct graph *graph, const struct surroundings *around, int32_t index)
{
    const struct layer *layer = &graph->layers[index];
    for (int32_t i = 0; i < layer->input_count; i++) {
        int32_t input = layer->inputs[i];
        if (around->uses[input] == 1 && around->ends_fusion[input] &&
            (layer->kind == LAYER_RELU || graph->layers[input].kind == LAYER_BATCH_NORM))
            return i;
    }
    return -1;
}

static void look_around(const struct graph *graph, struct surroundings *around)
{
    for (int32_t l = 0; l < graph->count; l++) {
        around->uses[l] = 0;
        for (int32_t i = 0; i < graph->layers[l].input_count; i++)
            around->uses[graph->layers[l].inputs[i]]++;
    }
    for (int32_t l = 0; l < graph->count; l++) {
        const struct layer *layer = &graph->layers[l];
        enum layer_kind kind = layer->kind;
        around->has_gradient[l] = layer_is_trained(layer);
        for (int32_t i = 0; i < layer->input_count; i++)
            around->has_gradient[l] |= around->has_gradient[layer->inputs[i]];
        around->ends_fusion[l] =
            kind == LAYER_BATCH_NORM || (kind == LAYER_ADD && fused_input(graph, around, l) >= 0);
    }
}

/* Convolution and dense layer: one product forward, one for each gradient that is wanted, which that of a
 * frozen kernel is not. */
static struct layer_cost product_cost(const struct graph *graph, const struct layer *layer,
                                      bool input_gradient)
{
    struct shape in = graph->layers[layer->inputs[0]].shape;
    double outputs = elements(layer->shape), fan_in = elements(in);
    if (layer->kind == LAYER_CONV)
        fan_in = (double)in.c / layer->groups * layer->kernel_h * layer->kernel_w;
    double passes = 1.0 + !layer->frozen + input_gradient;
    struct layer_cost cost = {0};
    cost.parameters = fan_in * layer->out_channels + (layer->bias ? layer->out_channels : 0);
    cost.forward_flops = outputs * (2.0 * fan_in + (layer->bias ? 1.0 : 0.0));
    cost.train_flops = passes * cost.forward_flops;
    /* Each product reads or writes both the input's and the output's side once. */
    cost.train_bytes = passes * FLOAT_BYTES * (elements(in) + outputs);
    return cost;
}

/* The other kinds: `forward` and `backward` operations a value of the larger side. */
static struct layer_cost plain_cost(double values, double forward, double backward, double moved)
{
    return (struct layer_cost){.forward_flops = forward * values,
                               .train_flops = (forward + backward) * values,
                               .train_bytes = FLOAT_BYTES * moved};
}

static struct layer_cost pool_cost(double window, double inputs, double outputs, bool gradient)
{
    return plain_cost(outputs, window, gradient ? window : 0.0, (gradient ? 2.0 : 1.0) * (inputs + outputs));
}

static struct layer_cost batch_norm_cost(const struct layer *layer)
{
    double values = elements(layer->shape);
    /* Forward reads x twice (statistics, result) and writes y; backward reads x and dy twice and writes dx.
     */
    struct layer_cost cost = plain_cost(values, 2.0, 0.0, 8.0 * values);
    cost.train_flops = values * (6.0 + 9.0);
    cost.parameters = 2.0 * layer->shape.c;
    return cost;
}

/* Forward reads x, writes y; backward reads x or y and dy, writes dx. */
static struct layer_cost activation_cost(const struct graph *graph, const struct surroundings *around,
                                         int32_t index, bool gradient)
{
    const struct layer *layer = &graph->layers[index];
    const struct activation_traits *traits = activation_traits(layer_traits(layer->kind)->activation);
    double outputs = elements(layer->shape);
    if (layer->kind == LAYER_RELU && fused_input(graph, around, index) >= 0)
        return plain_cost(outputs, traits->forward, traits->backward, 0.0);
    return plain_cost(outputs, traits->forward, gradient ? traits->backward : 0.0,
                      (gradient ? 5.0 : 2.0) * outputs);
}

static enum cost_unit unit_of_conv(const struct graph *graph, const struct layer *layer)
{
    const int32_t window = layer->kernel_h * layer->kernel_w;
    const int32_t channels = graph->layers[layer->inputs[0]].shape.c;
    const bool is_image = channels <= IMAGE_CHANNELS;
    if (layer->groups > 1 && layer->groups == channels && layer->out_channels == channels)
        return COST_DEPTHWISE;
    return layer->groups > 1        ? COST_CONV_GROUPED
           : is_image               ? COST_CONV_IMAGE
           : window == 1            ? COST_CONV_1X1
           : window <= SMALL_WINDOW ? COST_CONV_3X3
                                    : COST_CONV_LARGE;
}

static struct layer_cost conv_cost(const struct graph *graph, const struct layer *layer, bool gradient)
{
    const enum cost_unit unit = unit_of_conv(graph, layer);
    return counted_as(unit, unit == COST_DEPTHWISE ? COST_DEPTHWISE_BYTES : COST_CONV_BYTES,
                      product_cost(graph, layer, gradient));
}

/* All that is known of a kind of layer: what it costs, and what that is counted as. */
static struct layer_cost cost_of_layer(const struct graph *graph, const struct surroundings *around,
                                       int32_t index)
{
    const struct layer *layer = &graph->layers[index];
    double outputs = elements(layer->shape), inputs = 0.0;
    bool gradient = false; /* of some input */
    for (int32_t i = 0; i < layer->input_count; i++) {
        inputs += elements(graph->layers[layer->inputs[i]].shape);
        gradient |= around->has_gradient[layer->inputs[i]];
    }
    double both_ways = gradient ? 2.0 : 1.0;
    double window = (double)layer->kernel_h * layer->kernel_w;
    const enum cost_unit none = COST_UNIT_COUNT;

    switch (layer_traits(layer->kind)->family) {
    case FAMILY_INPUT:
        break;
    case FAMILY_CONV:
        return conv_cost(graph, layer, gradient);
    case FAMILY_DENSE:
        return counted_as(COST_DENSE, none, product_cost(graph, layer, gradient));
    case FAMILY_BATCH_NORM:
        return counted_as(none, COST_BATCH_NORM, batch_norm_cost(layer));
    case FAMILY_ACTIVATION:
        return counted_as(COST_ACTIVATION_OPERATIONS, COST_ACTIVATION_BYTES,
                          activation_cost(graph, around, index, gradient));
    case FAMILY_ADD:
        /* Fused: reads the other summand, writes its gradient. Alone: three tensors each way. */
        return counted_as(
            none, COST_ADD,
            plain_cost(outputs, 1.0, gradient ? 1.0 : 0.0,
                       (fused_input(graph, around, index) >= 0 ? 1.0 : 3.0) * both_ways * outputs));
    case FAMILY_MAX_POOL:
        return counted_as(none, COST_MAX_POOL, pool_cost(window, inputs, outputs, gradient));
    case FAMILY_AVERAGE_POOL:
        return counted_as(none, COST_AVERAGE_POOL, pool_cost(window, inputs, outputs, gradient));
    case FAMILY_GLOBAL_POOL:
        return counted_as(none, COST_COPY,
                          plain_cost(inputs, 1.0, gradient ? 1.0 : 0.0, both_ways * (inputs + outputs)));
    case FAMILY_GATE:
        /* Forward x to y, backward x and dy to dx; what is as small as a pixel moves nothing to speak of. */
        return counted_as(COST_ACTIVATION_OPERATIONS, COST_ACTIVATION_BYTES,
                          plain_cost(outputs, 1.0, gradient ? 3.0 : 0.0, (gradient ? 5.0 : 2.0) * outputs));
    case FAMILY_CONCAT:
        return counted_as(none, COST_COPY, plain_cost(outputs, 0.0, 0.0, both_ways * (inputs + outputs)));
    case FAMILY_DROPOUT:
        /* Free in inference. */
        return counted_as(COST_DROPOUT, none,
                          (struct layer_cost){.train_flops = both_ways * outputs,
                                              .train_bytes = FLOAT_BYTES * both_ways * (inputs + outputs)});
    }
    return counted_as(none, none, (struct layer_cost){0});
}

struct cost cost_of_graph(const struct graph *graph)
{
    struct surroundings around;
    look_around(graph, &around);
    struct cost cost = {0};
    double parameters = 0.0; /* whole numbers below 2^53: exact */
    for (int32_t l = 0; l < graph->count; l++) {
        struct layer_cost layer = cost_of_layer(graph, &around, l);
        parameters += layer.parameters;
        cost.forward_flops += layer.forward_flops;
        cost.train_flops += layer.train_flops;
        cost.train_bytes += layer.train_bytes;
        cost.activation_bytes += FLOAT_BYTES * elements(graph->layers[l].shape);
    }
    cost.parameters = (int64_t)parameters;
    return cost;
}

/* ---- units ---- */

const char *cost_unit_name(enum cost_unit unit)
{
    static const char *const names[] = {
#define COST_UNIT(NAME, name, meaning) #name,
        COST_UNITS(COST_UNIT)
#undef COST_UNIT
    };
    return names[unit];
}

/* Operations that a convolution would have more if its channels came in whole blocks. */
static double padding(const struct graph *graph, const struct layer *layer, const struct layer_cost *cost)
{
    if (layer->kind != LAYER_CONV || layer->groups > 1 || cost->operations == COST_CONV_IMAGE)
        return 0.0;
    const double in = graph->layers[layer->inputs[0]].shape.c, out = layer->out_channels,
                 block = CHANNEL_BLOCK * CHANNEL_BLOCK;
    return cost->train_flops *
           (ceil(in / CHANNEL_BLOCK) * ceil(out / CHANNEL_BLOCK) * block / (in * out) - 1.0);
}

/* Operations that Muon's update of a layer's kernel takes: five rounds of Newton and Schulz. */
static double orthogonal(const struct graph *graph, const struct layer *layer)
{
    if (layer->kind != LAYER_CONV || layer->frozen || layer->groups > 1 || layer->inputs[0] == 0)
        return 0.0;
    const double rows = layer->out_channels,
                 columns =
                     (double)graph->layers[layer->inputs[0]].shape.c * layer->kernel_h * layer->kernel_w,
                 side = fmin(rows, columns);
    return 5.0 * (4.0 * side * rows * columns + 2.0 * side * side * side);
}

struct cost_units cost_units_of(const struct graph *graph, int32_t batch)
{
    struct surroundings around;
    struct cost_units units = {0};
    look_around(graph, &around);
    for (int32_t l = 0; l < graph->count; l++) {
        const struct layer *layer = &graph->layers[l];
        const struct layer_cost cost = cost_of_layer(graph, &around, l);
        if (cost.operations < COST_UNIT_COUNT)
            units.of[cost.operations] += cost.train_flops;
        if (cost.bytes < COST_UNIT_COUNT)
            units.of[cost.bytes] += cost.train_bytes;
        units.of[COST_CONV_PADDING] += padding(graph, layer, &cost);
        units.of[COST_PARAMETERS] += cost.parameters / batch;
        units.of[COST_ORTHOGONAL] += orthogonal(graph, layer) / batch;
    }
    units.of[COST_PIXELS] = elements(graph->layers[0].shape);
    units.of[COST_LAYERS] = (double)graph->count / batch;
    return units;
}

/* ---- seconds ---- */

struct cost_rates cost_rates_of(double flops, double bytes)
{
    return (struct cost_rates){.flops = flops, .bytes = bytes};
}

static double seconds_by_rates(const struct graph *graph, double flops, double bytes)
{
    struct surroundings around;
    look_around(graph, &around);
    double seconds = 0.0;
    for (int32_t l = 0; l < graph->count; l++) {
        struct layer_cost layer = cost_of_layer(graph, &around, l);
        double computing = flops > 0.0 ? layer.train_flops / flops : 0.0;
        double moving = bytes > 0.0 ? layer.train_bytes / bytes : 0.0;
        seconds += computing > moving ? computing : moving;
    }
    return seconds;
}

double cost_of_units(const struct cost_units *units, const struct cost_rates *rates)
{
    double seconds = 0.0;
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        seconds += units->of[unit] * rates->seconds[unit];
    return seconds;
}

double cost_seconds(const struct graph *graph, const struct cost_rates *rates)
{
    if (rates->batch == 0)
        return seconds_by_rates(graph, rates->flops, rates->bytes);
    const struct cost_units units = cost_units_of(graph, rates->batch);
    return cost_of_units(&units, rates);
}

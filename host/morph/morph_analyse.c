/* Questions about a graph, and the layers that morphs add. */
#include "host/morph/morph_internal.h"

#include <stdlib.h>

enum status morph_find_layer(const struct graph *graph, uint32_t id, const char *what, int32_t *index,
                             struct error *err)
{
    *index = graph_find(graph, id);
    if (*index < 0)
        return error_set(err, ST_RANGE,
                         "%s: layer %u is not in the graph, expected the id of one of its layers", what,
                         (unsigned)id);
    if (*index == graph->count - 1)
        return error_set(err, ST_RANGE, "%s: layer %u is the last, expected one before it", what,
                         (unsigned)id);
    return ST_OK;
}

enum status morph_never_negative(const struct graph *graph, int32_t index, bool *answer, struct error *err)
{
    bool *never = calloc((size_t)index + 1, sizeof(*never));
    if (!never)
        return error_memory(err, "signs of a graph's layers", (unsigned long long)index + 1);
    for (int32_t i = 0; i <= index; i++) {
        const struct layer *layer = &graph->layers[i];
        switch (layer_traits(layer->kind)->sign) {
        case LAYER_SIGN_ANY:
            break;
        case LAYER_SIGN_NEVER_NEGATIVE:
            never[i] = true;
            break;
        case LAYER_SIGN_OF_FIRST:
            never[i] = never[layer->inputs[0]];
            break;
        case LAYER_SIGN_OF_INPUTS:
            never[i] = true;
            for (int32_t k = 0; k < layer->input_count; k++)
                never[i] = never[i] && never[layer->inputs[k]];
            break;
        }
    }
    *answer = never[index];
    free(never);
    return ST_OK;
}

void morph_reach(const struct graph *graph, int32_t from, bool *reached)
{
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        reached[i] = i == from;
        for (int32_t k = 0; k < layer->input_count; k++)
            reached[i] = reached[i] || reached[layer->inputs[k]];
    }
}

bool morph_is_fixed(const struct graph *graph, int32_t index)
{
    const struct layer *layer = &graph->layers[index];
    return layer->kind == LAYER_CONV && (layer->frozen || layer->init == LAYER_INIT_WHITEN);
}

struct morph_style morph_style_of(const struct graph *graph)
{
    int32_t kinds[LAYER_KIND_COUNT] = {0}, dirac = 0, frozen = 0;
    struct morph_style style = {.activation = LAYER_RELU};
    for (int32_t i = 1; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        if (morph_is_fixed(graph, i))
            continue;
        kinds[layer->kind]++;
        dirac += layer->kind == LAYER_CONV && layer->init == LAYER_INIT_DIRAC;
        frozen += layer->kind == LAYER_BATCH_NORM && layer->frozen;
    }
    for (int kind = 0; kind < LAYER_KIND_COUNT; kind++)
        if (layer_traits((enum layer_kind)kind)->family == FAMILY_ACTIVATION &&
            kinds[kind] > kinds[style.activation])
            style.activation = (enum layer_kind)kind;
    style.init = 2 * dirac > kinds[LAYER_CONV] ? LAYER_INIT_DIRAC : LAYER_INIT_HE;
    style.frozen_norm = 2 * frozen > kinds[LAYER_BATCH_NORM];
    return style;
}

enum status morph_check_kernel(const char *what, int32_t kernel, struct error *err)
{
    if (kernel != 1 && kernel != 3 && kernel != 5)
        return error_set(err, ST_RANGE, "%s: kernel is %d, expected 1, 3 or 5", what, (int)kernel);
    return ST_OK;
}

int32_t morph_next_kernel(const struct layer *conv)
{
    return (conv->kernel_h > conv->kernel_w ? conv->kernel_h : conv->kernel_w) + MORPH_KERNEL_STEP;
}

int32_t morph_whole_width(int32_t channels)
{
    return (channels + MORPH_WIDTH_MULTIPLE - 1) / MORPH_WIDTH_MULTIPLE * MORPH_WIDTH_MULTIPLE;
}

int32_t morph_squeezed(int32_t channels)
{
    return morph_whole_width((channels + 3) / 4);
}

int32_t morph_pruned(int32_t channels, int32_t quarters)
{
    const int32_t left = channels * quarters / 4 / MORPH_WIDTH_MULTIPLE * MORPH_WIDTH_MULTIPLE;
    return left > MORPH_WIDTH_MULTIPLE ? left : MORPH_WIDTH_MULTIPLE;
}

bool morph_is_depthwise(const struct graph *graph, int32_t index)
{
    const struct layer *layer = &graph->layers[index];
    return layer->kind == LAYER_CONV && layer->groups > 1 &&
           layer->groups == graph->layers[layer->inputs[0]].shape.c;
}

struct layer morph_layer(enum layer_kind kind, int32_t input)
{
    return (struct layer){.kind = kind, .input_count = 1, .inputs = {input}, .groups = 1, .stride = 1};
}

struct layer morph_conv_layer(int32_t input, int32_t channels, int32_t kernel, bool bias)
{
    struct layer layer = morph_layer(LAYER_CONV, input);
    layer.out_channels = channels;
    layer.kernel_h = layer.kernel_w = kernel;
    layer.pad_h = layer.pad_w = kernel / 2;
    layer.bias = bias;
    return layer;
}

struct layer morph_mixing_layer(const struct graph *graph, int32_t input, int32_t channels, bool bias)
{
    const struct shape *shape = &graph->layers[input].shape;
    if (shape->h > 1 || shape->w > 1)
        return morph_conv_layer(input, channels, 1, bias);
    struct layer layer = morph_layer(LAYER_DENSE, input);
    layer.out_channels = channels;
    layer.bias = bias;
    return layer;
}

bool morph_has_channels(const struct graph *graph, int32_t index)
{
    return (graph->layers[index].kind == LAYER_CONV || graph->layers[index].kind == LAYER_DENSE) &&
           !morph_is_fixed(graph, index);
}

bool morph_is_activation(const struct graph *graph, int32_t index)
{
    return layer_traits(graph->layers[index].kind)->family == FAMILY_ACTIVATION;
}

bool morph_is_one_pixel(const struct shape *shape)
{
    return shape->h == 1 && shape->w == 1;
}

bool morph_kernel_fits(int32_t kernel, const struct shape *input)
{
    return kernel / 2 < (input->h > input->w ? input->h : input->w);
}

bool morph_is_beside(const struct graph *graph, int32_t index, enum layer_kind kind)
{
    if (graph->layers[index].kind == kind)
        return true;
    for (int32_t i = index + 1; i < graph->count; i++)
        if (graph->layers[i].kind == kind && graph->layers[i].inputs[0] == index)
            return true;
    return false;
}

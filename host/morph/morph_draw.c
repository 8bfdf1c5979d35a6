/* Drawing morphs at random. What is worth drawing is decided here, what is possible where the morphs are
 * made: every draw is tried out on the graph. */
#include "host/morph/morph_internal.h"

#include <assert.h>
#include <stdlib.h>

enum {
    DRAW_TRIES = 64,
    DRAW_MAX_KERNEL = 7,    /* a grown kernel's; beyond it two smaller ones are cheaper */
    DRAW_WIDTH_MULTIPLE = 8 /* channels come in these, for the devices' vector units */
};

/* A random layer among those that `wants` accepts; the input and the last layer never stand to choice. -1:
 * none. */
static int32_t pick(const struct graph *graph, bool (*wants)(const struct graph *graph, int32_t index),
                    struct random_sequence *random)
{
    int32_t fitting = 0;
    for (int32_t i = 1; i < graph->count - 1; i++)
        fitting += wants(graph, i);
    if (fitting == 0)
        return -1;
    int32_t chosen = (int32_t)random_next_below(random, (uint32_t)fitting);
    for (int32_t i = 1;; i++)
        if (wants(graph, i) && chosen-- == 0)
            return i;
}

static bool wants_any(const struct graph *graph, int32_t index)
{
    (void)graph;
    (void)index;
    return true;
}

static bool wants_activation(const struct graph *graph, int32_t index)
{
    return layer_traits(graph->layers[index].kind)->family == FAMILY_ACTIVATION;
}

static bool wants_channels(const struct graph *graph, int32_t index)
{
    return graph->layers[index].kind == LAYER_CONV || graph->layers[index].kind == LAYER_DENSE;
}

static bool wants_conv(const struct graph *graph, int32_t index)
{
    return graph->layers[index].kind == LAYER_CONV;
}

/* Three times of four behind an activation, where whole blocks end: a convolution, its batch norm and its ReLU
 * stay together and are run as one by the devices. */
static int32_t pick_block_end(const struct graph *graph, struct random_sequence *random)
{
    int32_t chosen = random_next_below(random, 4) < 3 ? pick(graph, wants_activation, random) : -1;
    return chosen >= 0 ? chosen : pick(graph, wants_any, random);
}

static bool beside_batch_norm(const struct graph *graph, int32_t index)
{
    if (graph->layers[index].kind == LAYER_BATCH_NORM)
        return true;
    for (int32_t i = index + 1; i < graph->count; i++)
        if (graph->layers[i].kind == LAYER_BATCH_NORM && graph->layers[i].inputs[0] == index)
            return true;
    return false;
}

/* Variants by weight. Residual and conv+relu keep the function in training too and add what a network is made
 * of. A ReLU alone is never drawn: where it is allowed it does nothing, and training can't change that. */
static enum status draw_deepen(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                               struct error *err)
{
    int32_t a = pick_block_end(graph, random);
    if (a < 0)
        return error_set(err, ST_NONE, "deepen: found no layer between input and output, expected one");
    const struct shape *shape = &graph->layers[a].shape;
    bool one_pixel = shape->h == 1 && shape->w == 1, never_negative = false;
    enum status st = morph_never_negative(graph, a, &never_negative, err);
    if (st != ST_OK)
        return st;
    const uint32_t weights[DEEPEN_VARIANT_COUNT] = {
        [DEEPEN_CONV] = one_pixel ? 0 : 1,     [DEEPEN_CONV_RELU] = one_pixel || !never_negative ? 0 : 4,
        [DEEPEN_RESIDUAL] = one_pixel ? 0 : 4, [DEEPEN_BATCH_NORM] = beside_batch_norm(graph, a) ? 0 : 1,
        [DEEPEN_DENSE] = one_pixel ? 4 : 0,
    };
    uint32_t total = 0;
    for (int v = 0; v < DEEPEN_VARIANT_COUNT; v++)
        total += weights[v];
    uint32_t draw = random_next_below(random, total); /* above 0: one of conv and dense is always there */
    int32_t variant = 0;
    while (draw >= weights[variant])
        draw -= weights[variant++];

    static const int32_t kernels[] = {1, 3, 3, 3, 3, 5}; /* mostly 3 x 3, the best filled per operation */
    int32_t kernel = kernels[random_next_below(random, sizeof(kernels) / sizeof(*kernels))];
    int32_t larger = shape->h > shape->w ? shape->h : shape->w;
    while (kernel > 1 && kernel / 2 >= larger) /* no tap that only ever sees padding */
        kernel -= 2;
    *morph =
        (struct morph){.kind = MORPH_DEEPEN, .a = graph->layers[a].id, .amount = kernel, .variant = variant};
    return ST_OK;
}

/* By half or double, rounded up to the multiple, at most double (each channel can be copied once). */
static enum status draw_widen(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                              struct error *err)
{
    int32_t a = pick(graph, wants_channels, random);
    if (a < 0)
        return error_set(err, ST_NONE, "widen: found no conv or dense layer but the last, expected one");
    int32_t channels = graph->layers[a].shape.c;
    int32_t more = random_next_below(random, 2) == 0 ? channels / 2 : channels;
    int32_t wide = (channels + more + DRAW_WIDTH_MULTIPLE - 1) / DRAW_WIDTH_MULTIPLE * DRAW_WIDTH_MULTIPLE;
    if (wide > 2 * channels)
        wide = 2 * channels;
    *morph = (struct morph){.kind = MORPH_WIDEN, .a = graph->layers[a].id, .amount = wide - channels};
    return ST_OK;
}

/* b first, then a among the layers on its ways from the input, the input included. */
static enum status draw_skip(const struct graph *graph, enum morph_kind kind, struct random_sequence *random,
                             struct morph *morph, struct error *err)
{
    int32_t b = pick_block_end(graph, random);
    if (b < 0)
        return error_set(err, ST_NONE, "skip: found no layer between input and output, expected one");
    bool *before = calloc((size_t)graph->count, sizeof(*before));
    if (!before)
        return error_memory(err, "marks of a graph's layers", (unsigned long long)graph->count);
    before[b] = true;
    uint32_t fitting = 0;
    for (int32_t i = b; i >= 0; i--) {
        if (!before[i])
            continue;
        fitting += i < b;
        for (int32_t k = 0; k < graph->layers[i].input_count; k++)
            before[graph->layers[i].inputs[k]] = true;
    }
    uint32_t chosen = random_next_below(random, fitting); /* above 0: every layer depends on the input */
    int32_t a = 0;
    while (!before[a] || chosen-- != 0)
        a++;
    free(before);
    *morph = (struct morph){.kind = kind, .a = graph->layers[a].id, .b = graph->layers[b].id};
    return ST_OK;
}

static enum status draw_kernel(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                               struct error *err)
{
    int32_t a = pick(graph, wants_conv, random);
    if (a < 0)
        return error_set(err, ST_NONE, "kernel: found no conv, expected one");
    const struct layer *layer = &graph->layers[a];
    const struct shape *in = &graph->layers[layer->inputs[0]].shape;
    int32_t kernel = (layer->kernel_h > layer->kernel_w ? layer->kernel_h : layer->kernel_w) + 2;
    int32_t larger = in->h > in->w ? in->h : in->w;
    if (kernel > DRAW_MAX_KERNEL || kernel / 2 >= larger)
        return error_set(
            err, ST_NONE,
            "kernel: conv %u would get a kernel of %d, expected at most %d, and %d for %d pixels",
            (unsigned)layer->id, (int)kernel, DRAW_MAX_KERNEL, (int)(2 * larger - 1), (int)larger);
    *morph = (struct morph){.kind = MORPH_KERNEL, .a = layer->id, .amount = 2};
    return ST_OK;
}

static enum status draw_once(const struct graph *graph, enum morph_kind kind, struct random_sequence *random,
                             struct morph *morph, struct error *err)
{
    switch (kind) {
    case MORPH_DEEPEN:
        return draw_deepen(graph, random, morph, err);
    case MORPH_WIDEN:
        return draw_widen(graph, random, morph, err);
    case MORPH_KERNEL:
        return draw_kernel(graph, random, morph, err);
    case MORPH_ADD_SKIP:
    case MORPH_CONCAT_SKIP:
    case MORPH_KIND_COUNT:
        break;
    }
    return draw_skip(graph, kind, random, morph, err);
}

enum status morph_draw(const struct graph *graph, uint32_t allowed, struct random_sequence *random,
                       struct morph *morph, struct error *err)
{
    enum morph_kind kinds[MORPH_KIND_COUNT];
    uint32_t count = 0;
    for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
        if (allowed >> kind & 1)
            kinds[count++] = (enum morph_kind)kind;
    assert(count > 0);
    enum status st = ST_NONE;
    struct error last = {0};
    for (int i = 0; i < DRAW_TRIES && st == ST_NONE; i++) {
        struct morph drawn;
        st = draw_once(graph, kinds[random_next_below(random, count)], random, &drawn, &last);
        if (st != ST_OK)
            continue;
        struct morph_edit edit;
        st = morph_edit_make(&edit, &drawn, graph, 0, &last);
        if (st != ST_OK)
            continue;
        morph_edit_free(&edit);
        *morph = drawn;
    }
    if (st != ST_OK)
        *err = last;
    return st == ST_NONE ? error_prefix(err, "draw of a morph: none of %d fits, the last", DRAW_TRIES) : st;
}

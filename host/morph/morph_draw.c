/* Drawing morphs at random. What is worth drawing is decided here, what is possible where the morphs are
 * made: every draw is tried out on the graph. */
#include "host/morph/morph_internal.h"

#include <assert.h>
#include <stdlib.h>

enum {
    DRAW_TRIES = 64,
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

static bool wants_conv(const struct graph *graph, int32_t index)
{
    return graph->layers[index].kind == LAYER_CONV && !morph_is_fixed(graph, index);
}

static bool wants_add(const struct graph *graph, int32_t index)
{
    return graph->layers[index].kind == LAYER_ADD;
}

/* Three times of four behind an activation, where whole blocks end: a convolution, its batch norm and its ReLU
 * stay together and are run as one by the devices. */
static int32_t pick_block_end(const struct graph *graph, struct random_sequence *random)
{
    int32_t chosen = random_next_below(random, 4) < 3 ? pick(graph, morph_is_activation, random) : -1;
    return chosen >= 0 ? chosen : pick(graph, wants_any, random);
}

/* A kernel for a new convolution behind a tensor of that shape: mostly 3 x 3, the best filled per operation. */
static int32_t draw_new_kernel(const struct shape *shape, struct random_sequence *random)
{
    static const int32_t kernels[] = {1, 3, 3, 3, 3, 5};
    int32_t kernel = kernels[random_next_below(random, sizeof(kernels) / sizeof(*kernels))];
    while (!morph_kernel_fits(kernel, shape)) /* one of 1 does */
        kernel -= 2;
    return kernel;
}

/* Variants by weight. conv+relu and dense+relu keep the function in training too and add what a network is made of. */
static enum status draw_deepen(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                               struct error *err)
{
    int32_t a = pick_block_end(graph, random);
    if (a < 0)
        return error_set(err, ST_NONE, "deepen: found no layer between input and output, expected one");
    const struct shape *shape = &graph->layers[a].shape;
    bool one_pixel = morph_is_one_pixel(shape), never_negative = false;
    enum status st = morph_never_negative(graph, a, &never_negative, err);
    if (st != ST_OK)
        return st;
    const uint32_t weights[DEEPEN_VARIANT_COUNT] = {
        [DEEPEN_CONV_RELU] = !one_pixel && never_negative ? 4 : 0,
        [DEEPEN_BATCH_NORM] = morph_is_beside(graph, a, LAYER_BATCH_NORM) ? 0 : 1,
        [DEEPEN_DENSE_RELU] = one_pixel && never_negative ? 4 : 0,
    };
    uint32_t total = 0;
    for (int v = 0; v < DEEPEN_VARIANT_COUNT; v++)
        total += weights[v];
    if (total == 0)
        return error_set(err, ST_NONE,
                         "deepen: found nothing that is the identity behind layer %u, expected something",
                         (unsigned)graph->layers[a].id);
    uint32_t draw = random_next_below(random, total);
    int32_t variant = 0;
    while (draw >= weights[variant])
        draw -= weights[variant++];
    *morph = (struct morph){.kind = MORPH_DEEPEN,
                            .a = graph->layers[a].id,
                            .amount = draw_new_kernel(shape, random),
                            .variant = variant};
    return ST_OK;
}

/* Of a depthwise convolution at least 3 x 3: it is all that such a block does in space. */
static enum status draw_residual(const struct graph *graph, enum morph_kind kind,
                                 struct random_sequence *random, struct morph *morph, struct error *err)
{
    int32_t a = pick_block_end(graph, random);
    const struct shape *shape = a < 0 ? NULL : &graph->layers[a].shape;
    if (!shape || morph_is_one_pixel(shape))
        return error_set(err, ST_NONE, "%s: found no layer of several pixels, expected one",
                         morph_kind_name(kind));
    const int32_t kernel = draw_new_kernel(shape, random);
    *morph = (struct morph){
        .kind = kind, .a = graph->layers[a].id, .amount = kind == MORPH_SEPARABLE && kernel < 3 ? 3 : kernel};
    return ST_OK;
}

static enum status draw_repeat(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                               struct error *err)
{
    int32_t a = pick(graph, wants_add, random);
    if (a < 0)
        return error_set(err, ST_NONE, "repeat: found no add, expected one");
    *morph = (struct morph){.kind = MORPH_REPEAT, .a = graph->layers[a].id};
    return ST_OK;
}

static enum status draw_squeeze(const struct graph *graph, struct random_sequence *random,
                                struct morph *morph, struct error *err)
{
    int32_t a = pick_block_end(graph, random);
    const struct shape *shape = a < 0 ? NULL : &graph->layers[a].shape;
    if (!shape || morph_is_one_pixel(shape))
        return error_set(err, ST_NONE, "squeeze: found no layer of several pixels, expected one");
    *morph =
        (struct morph){.kind = MORPH_SQUEEZE, .a = graph->layers[a].id, .amount = morph_squeezed(shape->c)};
    return ST_OK;
}

/* By half or double, rounded up to the multiple. */
static enum status draw_widen(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                              struct error *err)
{
    int32_t a = pick(graph, morph_has_channels, random);
    if (a < 0)
        return error_set(err, ST_NONE, "widen: found no conv or dense layer but the last, expected one");
    int32_t channels = graph->layers[a].shape.c;
    int32_t more = random_next_below(random, 2) == 0 ? channels / 2 : channels;
    *morph = (struct morph){.kind = MORPH_WIDEN,
                            .a = graph->layers[a].id,
                            .amount = morph_whole_width(channels + more) - channels};
    return ST_OK;
}

/* A stage by half or double, the whole network by a quarter or half: that costs the square of it. */
static enum status draw_widen_many(const struct graph *graph, enum morph_kind kind,
                                   struct random_sequence *random, struct morph *morph, struct error *err)
{
    const bool net = kind == MORPH_WIDEN_NET;
    int32_t a = net ? 0 : pick(graph, morph_has_channels, random);
    if (a < 0)
        return error_set(err, ST_NONE,
                         "widen_stage: found no conv or dense layer but the last, expected one");
    *morph = (struct morph){
        .kind = kind, .a = graph->layers[a].id, .amount = (net ? 25 : 50) << random_next_below(random, 2)};
    return ST_OK;
}

/* b first, then a among the layers on its ways from the input. */
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
        fitting += i < b && i > 0;
        for (int32_t k = 0; k < graph->layers[i].input_count; k++)
            before[graph->layers[i].inputs[k]] = true;
    }
    uint32_t chosen = fitting > 0 ? random_next_below(random, fitting) : 0;
    int32_t a = 1;
    while (fitting > 0 && (!before[a] || chosen-- != 0))
        a++;
    free(before);
    if (fitting == 0)
        return error_set(err, ST_NONE, "skip: found no layer between image and layer %u, expected one",
                         (unsigned)graph->layers[b].id);
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
    const int32_t kernel = morph_next_kernel(layer), larger = in->h > in->w ? in->h : in->w;
    if (kernel > MORPH_MAX_KERNEL || !morph_kernel_fits(kernel, in))
        return error_set(
            err, ST_NONE,
            "kernel: conv %u would get a kernel of %d, expected at most %d, and %d for %d pixels",
            (unsigned)layer->id, (int)kernel, MORPH_MAX_KERNEL, (int)(2 * larger - 1), (int)larger);
    *morph = (struct morph){.kind = MORPH_KERNEL, .a = layer->id, .amount = MORPH_KERNEL_STEP};
    return ST_OK;
}

/* To half or three quarters, in whole multiples. */
static enum status draw_prune(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                              struct error *err)
{
    const int32_t a = pick(graph, morph_has_channels, random),
                  channels = a < 0 ? 0 : graph->layers[a].shape.c;
    const int32_t left = morph_pruned(channels, 2 + (int32_t)random_next_below(random, 2));
    if (left >= channels)
        return error_set(err, ST_NONE, "prune: found no conv or dense layer of more than %d channels",
                         MORPH_WIDTH_MULTIPLE);
    *morph = (struct morph){.kind = MORPH_PRUNE, .a = graph->layers[a].id, .amount = channels - left};
    return ST_OK;
}

static enum status draw_remove(const struct graph *graph, struct random_sequence *random, struct morph *morph,
                               struct error *err)
{
    const int32_t a = pick(graph, wants_any, random), b = a < 0 ? -1 : morph_find_without(graph, a);
    if (b < 0)
        return error_set(err, ST_NONE, "remove: found no layer that another one could stand for");
    *morph = (struct morph){.kind = MORPH_REMOVE, .a = graph->layers[a].id, .b = graph->layers[b].id};
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
    case MORPH_RESIDUAL:
    case MORPH_SEPARABLE:
        return draw_residual(graph, kind, random, morph, err);
    case MORPH_REPEAT:
        return draw_repeat(graph, random, morph, err);
    case MORPH_SQUEEZE:
        return draw_squeeze(graph, random, morph, err);
    case MORPH_WIDEN_STAGE:
    case MORPH_WIDEN_NET:
        return draw_widen_many(graph, kind, random, morph, err);
    case MORPH_REMOVE:
        return draw_remove(graph, random, morph, err);
    case MORPH_PRUNE:
        return draw_prune(graph, random, morph, err);
    case MORPH_ADD_SKIP:
    case MORPH_CONCAT_SKIP:
    case MORPH_KIND_COUNT:
        break;
    }
    return draw_skip(graph, kind, random, morph, err);
}

/* With `cells` a morph of cells; all others are drawn with the same chance as without. */
static enum status draw(const struct graph *graph, uint32_t allowed, bool cells,
                        struct random_sequence *random, struct morph *morph, struct error *err)
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
        drawn.cells = cells;
        if (cells && !morph_fits_cells(&drawn)) {
            st = error_set(&last, ST_NONE, "layer %u is in no cell, or behind its exit", drawn.a);
            continue;
        }
        struct morph_edit edit;
        st = morph_edit_make(&edit, &drawn, graph, &last);
        if (st != ST_OK)
            continue;
        morph_edit_free(&edit);
        *morph = drawn;
    }
    if (st != ST_OK)
        *err = last;
    return st == ST_NONE ? error_prefix(err, "draw of a morph: none of %d fits, the last", DRAW_TRIES) : st;
}

enum status morph_draw(const struct graph *graph, uint32_t allowed, struct random_sequence *random,
                       struct morph *morph, struct error *err)
{
    return draw(graph, allowed, false, random, morph, err);
}

enum status morph_draw_in_cells(const struct graph *graph, uint32_t allowed, struct random_sequence *random,
                                struct morph *morph, struct error *err)
{
    if ((allowed & MORPH_OF_CELLS) == 0)
        return error_set(err, ST_NONE, "none of the allowed morphs is one of cells");
    return draw(graph, allowed & MORPH_OF_CELLS, true, random, morph, err);
}

/* All that could be drawn, as a list. */
#include "host/base/array.h"
#include "host/morph/morph_internal.h"
#include "host/net/cell.h"

#include <stdlib.h>

/* A list in the making. */
struct list {
    const struct graph *graph;
    bool cells; /* of morphs of cells */
    struct morph *items;
    int32_t count, capacity;
};

/* Whether it is one of cells, at the first of those that it changes. */
static bool is_of_cells(const struct morph *morph)
{
    struct cell_place place;
    return morph_fits_cells(morph) && cell_place_of(morph->a, &place) && place.index == 0;
}

/* Adds it if the graph has room for it. */
static enum status add(struct list *list, const struct morph *one, struct error *err)
{
    struct morph morph = *one;
    struct morph_edit edit;
    if (list->cells && !is_of_cells(&morph))
        return ST_OK;
    morph.cells = list->cells;
    enum status st = morph_edit_make(&edit, &morph, list->graph, err);
    if (st != ST_OK)
        return st == ST_NONE || st == ST_UNSUPPORTED ? ST_OK : st;
    morph_edit_free(&edit);
    struct morph *items =
        array_with_room(list->items, list->count, &list->capacity, sizeof(*items), "morphs", err);
    if (items == NULL)
        return ST_MEMORY;
    list->items = items;
    items[list->count++] = morph;
    return ST_OK;
}

/* Convolutions behind layer a, by themselves or in a residual block: of each kernel from the morph's on that sees more
 * than padding. */
static enum status add_kernels(struct list *list, int32_t a, struct morph morph, struct error *err)
{
    enum status st = ST_OK;
    for (; st == ST_OK && morph.amount <= MORPH_MAX_KERNEL; morph.amount += 2)
        if (morph_kernel_fits(morph.amount, &list->graph->layers[a].shape))
            st = add(list, &morph, err);
    return st;
}

static enum status add_deepen(struct list *list, int32_t a, struct error *err)
{
    const struct layer *layer = &list->graph->layers[a];
    const bool one_pixel = morph_is_one_pixel(&layer->shape);
    struct morph morph = {.kind = MORPH_DEEPEN, .a = layer->id, .amount = 1};
    bool never_negative = false;
    enum status st = morph_never_negative(list->graph, a, &never_negative, err);
    if (st == ST_OK && never_negative) {
        morph.variant = one_pixel ? DEEPEN_DENSE_RELU : DEEPEN_CONV_RELU;
        st = one_pixel ? add(list, &morph, err) : add_kernels(list, a, morph, err);
    }
    morph.variant = DEEPEN_BATCH_NORM;
    return st == ST_OK && !morph_is_beside(list->graph, a, LAYER_BATCH_NORM) ? add(list, &morph, err) : st;
}

/* By half and double, in multiples. */
static enum status add_widths(struct list *list, int32_t a, struct error *err)
{
    const int32_t channels = list->graph->layers[a].shape.c;
    enum status st = ST_OK;
    int32_t last = 0;
    for (int32_t more = channels / 2; st == ST_OK && more <= channels; more += channels - channels / 2) {
        const struct morph morph = {.kind = MORPH_WIDEN,
                                    .a = list->graph->layers[a].id,
                                    .amount = morph_whole_width(channels + more) - channels};
        st = morph.amount != last ? add(list, &morph, err) : ST_OK;
        last = morph.amount;
    }
    return st;
}

/* Of layers of equal size the first stands for all. */
static bool is_first_of_stage(const struct graph *graph, int32_t a)
{
    for (int32_t i = 1; i < a; i++)
        if (morph_has_channels(graph, i) && graph->layers[i].shape.h == graph->layers[a].shape.h &&
            graph->layers[i].shape.w == graph->layers[a].shape.w)
            return false;
    return true;
}

static enum status add_many_widths(struct list *list, enum morph_kind kind, int32_t a, struct error *err)
{
    const int32_t least = kind == MORPH_WIDEN_NET ? 25 : 50;
    enum status st = ST_OK;
    for (int32_t amount = least; st == ST_OK && amount <= 2 * least; amount += least) {
        const struct morph morph = {.kind = kind, .a = list->graph->layers[a].id, .amount = amount};
        st = add(list, &morph, err);
    }
    return st;
}

static enum status add_kernel(struct list *list, int32_t a, struct error *err)
{
    const struct layer *layer = &list->graph->layers[a];
    const int32_t kernel = morph_next_kernel(layer);
    const struct morph morph = {.kind = MORPH_KERNEL, .a = layer->id, .amount = MORPH_KERNEL_STEP};
    if (kernel > MORPH_MAX_KERNEL || !morph_kernel_fits(kernel, &list->graph->layers[layer->inputs[0]].shape))
        return ST_OK;
    return add(list, &morph, err);
}

/* Between the ends of blocks. */
static enum status add_skips(struct list *list, enum morph_kind kind, int32_t a, struct error *err)
{
    const struct graph *graph = list->graph;
    bool *reached = calloc((size_t)graph->count, sizeof(*reached));
    enum status st = ST_OK;
    if (reached == NULL)
        return error_memory(err, "marks of a graph's layers", (unsigned long long)graph->count);
    morph_reach(graph, a, reached);
    for (int32_t b = a + 1; st == ST_OK && b < graph->count - 1; b++) {
        const struct morph morph = {.kind = kind, .a = graph->layers[a].id, .b = graph->layers[b].id};
        if (reached[b] && morph_is_activation(graph, b))
            st = add(list, &morph, err);
    }
    free(reached);
    return st;
}

static enum status add_pruned(struct list *list, int32_t a, struct error *err)
{
    const struct layer *layer = &list->graph->layers[a];
    enum status st = ST_OK;
    int32_t last = layer->shape.c;
    for (int32_t quarters = 3; st == ST_OK && quarters >= 2; quarters--) {
        const int32_t left = morph_pruned(layer->shape.c, quarters);
        if (left >= last)
            continue;
        st = add(list, &(struct morph){.kind = MORPH_PRUNE, .a = layer->id, .amount = layer->shape.c - left},
                 err);
        last = left;
    }
    return st;
}

static enum status add_removal(struct list *list, int32_t a, struct error *err)
{
    const int32_t b = morph_find_without(list->graph, a);
    if (b < 0)
        return ST_OK;
    const struct morph morph = {
        .kind = MORPH_REMOVE, .a = list->graph->layers[a].id, .b = list->graph->layers[b].id};
    return add(list, &morph, err);
}

static enum status add_at(struct list *list, enum morph_kind kind, int32_t a, struct error *err)
{
    const struct graph *graph = list->graph;
    const struct layer *layer = &graph->layers[a];
    const bool one_pixel = morph_is_one_pixel(&layer->shape);
    struct morph morph = {.kind = kind, .a = layer->id};
    switch (kind) {
    case MORPH_DEEPEN:
        return add_deepen(list, a, err);
    case MORPH_WIDEN:
        return morph_has_channels(graph, a) ? add_widths(list, a, err) : ST_OK;
    case MORPH_ADD_SKIP:
    case MORPH_CONCAT_SKIP:
        return morph_is_activation(graph, a) ? add_skips(list, kind, a, err) : ST_OK;
    case MORPH_KERNEL:
        return layer->kind == LAYER_CONV && !morph_is_fixed(graph, a) ? add_kernel(list, a, err) : ST_OK;
    case MORPH_RESIDUAL:
    case MORPH_SEPARABLE: /* of one pixel it would be a number */
        morph.amount = kind == MORPH_SEPARABLE ? 3 : 1;
        return one_pixel ? ST_OK : add_kernels(list, a, morph, err);
    case MORPH_REPEAT:
        return layer->kind == LAYER_ADD ? add(list, &morph, err) : ST_OK;
    case MORPH_SQUEEZE:
        morph.amount = morph_squeezed(layer->shape.c);
        return one_pixel ? ST_OK : add(list, &morph, err);
    case MORPH_WIDEN_STAGE:
        return morph_has_channels(graph, a) && is_first_of_stage(graph, a)
                   ? add_many_widths(list, kind, a, err)
                   : ST_OK;
    case MORPH_WIDEN_NET:
        return a == 1 ? add_many_widths(list, kind, 0, err) : ST_OK;
    case MORPH_REMOVE:
        return add_removal(list, a, err);
    case MORPH_PRUNE:
        return morph_has_channels(graph, a) ? add_pruned(list, a, err) : ST_OK;
    case MORPH_KIND_COUNT:
        break;
    }
    return ST_OK;
}

static enum status list_all(const struct graph *graph, uint32_t allowed, bool cells, struct morph **morphs,
                            int32_t *count, struct error *err)
{
    struct list list = {.graph = graph, .cells = cells};
    enum status st = ST_OK;
    for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
        for (int32_t a = 1; st == ST_OK && (allowed >> kind & 1) && a < graph->count - 1; a++)
            st = add_at(&list, (enum morph_kind)kind, a, err);
    if (st != ST_OK) {
        free(list.items);
        list = (struct list){0};
    }
    *morphs = list.items;
    *count = list.count;
    return st;
}

enum status morph_list(const struct graph *graph, uint32_t allowed, struct morph **morphs, int32_t *count,
                       struct error *err)
{
    return list_all(graph, allowed, false, morphs, count, err);
}

enum status morph_list_in_cells(const struct graph *graph, uint32_t allowed, struct morph **morphs,
                                int32_t *count, struct error *err)
{
    return list_all(graph, allowed & MORPH_OF_CELLS, true, morphs, count, err);
}

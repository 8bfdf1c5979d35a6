/* Morphs of cells: the same in all cells of a kind, one after the other; what is new gets the same slots in each of
 * them. And whole cells behind those that are there. */
#include "host/morph/morph_internal.h"
#include "host/net/cell.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- where ---- */

static bool adds_layers(enum morph_kind kind)
{
    return kind != MORPH_WIDEN && kind != MORPH_KERNEL;
}

static bool is_skip(enum morph_kind kind)
{
    return kind == MORPH_ADD_SKIP || kind == MORPH_CONCAT_SKIP;
}

bool morph_fits_cells(const struct morph *morph)
{
    struct cell_place a, b;
    if (!(MORPH_OF_CELLS >> morph->kind & 1) || !cell_place_of(morph->a, &a))
        return false;
    if (adds_layers(morph->kind) && a.slot < CELL_INSIDE)
        return false;
    return !is_skip(morph->kind) ||
           (cell_place_of(morph->b, &b) && b.kind == a.kind && b.index == a.index && b.slot >= CELL_INSIDE);
}

/* ---- the same in all cells of a kind ---- */

/* The first slot of the cell behind all that it has. */
static int32_t free_slot(const struct graph *graph, struct cell_place cell)
{
    int32_t slot = CELL_INSIDE;
    for (int32_t i = 0; i < graph->count; i++) {
        struct cell_place place;
        if (cell_place_of(graph->layers[i].id, &place) && place.kind == cell.kind &&
            place.index == cell.index && place.slot >= slot)
            slot = place.slot + 1;
    }
    return slot;
}

/* What was added since ids were below `from` and fresh layers so many gets ids of the cell. */
static enum status name_added(struct morph_edit *edit, struct cell_place cell, uint32_t from, int32_t fresh,
                              struct error *err)
{
    cell.slot = free_slot(&edit->child, cell);
    for (int32_t i = 0; i < edit->child.count; i++) {
        struct layer *layer = &edit->child.layers[i];
        if (layer->id < from)
            continue;
        if (cell.slot >= CELL_MOST_SLOTS)
            return error_set(err, ST_NONE, "a cell has %d layers already", CELL_MOST_SLOTS);
        for (int32_t f = fresh; f < edit->fresh_count; f++)
            if (edit->fresh[f].id == layer->id)
                edit->fresh[f].id = cell_id(cell);
        layer->id = cell_id(cell);
        cell.slot++;
    }
    edit->child.next_id = from;
    return ST_OK;
}

/* The morph in one cell: its layers, and of MORPH_SQUEEZE its amount. */
static enum status in_cell(const struct morph *morph, const struct graph *graph, struct cell_place cell,
                           struct morph *own, struct error *err)
{
    struct cell_place a = cell, b = cell, place;
    *own = *morph;
    own->cells = false;
    (void)cell_place_of(morph->a, &place);
    a.slot = place.slot;
    own->a = cell_id(a);
    if (is_skip(morph->kind)) {
        (void)cell_place_of(morph->b, &place);
        b.slot = place.slot;
        own->b = cell_id(b);
    }
    const int32_t here = graph_find(graph, own->a), there = graph_find(graph, morph->a);
    if (here < 0 || there < 0)
        return error_set(err, ST_RANGE, "%s: not every cell has such a layer as %u",
                         morph_kind_name(morph->kind), (unsigned)morph->a);
    if (morph->kind == MORPH_SQUEEZE)
        own->amount =
            (int32_t)((int64_t)morph->amount * graph->layers[here].shape.c / graph->layers[there].shape.c);
    return ST_OK;
}

static enum status edit_cell(struct morph_edit *edit, const struct morph *morph, struct cell_place cell,
                             struct error *err)
{
    const uint32_t from = edit->child.next_id;
    const int32_t fresh = edit->fresh_count;
    struct graph before;
    struct morph own;
    enum status st = in_cell(morph, &edit->child, cell, &own, err);
    if (st != ST_OK)
        return st;
    st = graph_copy(&before, &edit->child, err);
    if (st == ST_OK)
        st = morph_edit_place(edit, &own, &before, err);
    if (st == ST_OK)
        st = name_added(edit, cell, from, fresh, err);
    graph_free(&before);
    return st;
}

/* ---- more cells ---- */

static bool is_in(const struct layer *layer, struct cell_place cell, struct cell_place *place)
{
    return cell_place_of(layer->id, place) && place->kind == cell.kind && place->index == cell.index;
}

/* Behind the cell, whose result is layer `out`, another one like it. */
static enum status insert_cell(struct morph_edit *edit, struct cell_place cell, int32_t out, int32_t number,
                               struct error *err)
{
    int32_t *copies = calloc((size_t)out + 1, sizeof(*copies)); /* of the cell's layers; 0: of another */
    if (copies == NULL)
        return error_memory(err, "copies of a cell's layers", ((size_t)out + 1) * sizeof(*copies));
    enum status st = ST_OK;
    edit->behind = -1;
    edit->added = 0;
    for (int32_t i = 0; i <= out && st == ST_OK; i++) {
        struct layer layer = edit->child.layers[i];
        struct cell_place place;
        if (!is_in(&layer, cell, &place))
            continue;
        const enum morph_start start = place.slot == CELL_EXIT_NORM ? START_ZERO : START_LIKE;
        const bool has_weights = layer_traits(layer.kind)->weights != LAYER_WEIGHTS_NONE;
        const uint32_t like = layer.id;
        place.index = number;
        layer.id = cell_id(place);
        for (int32_t k = 0; k < layer.input_count; k++)
            layer.inputs[k] = copies[layer.inputs[k]] > 0 ? copies[layer.inputs[k]] : out;
        st = has_weights ? morph_edit_insert_fresh(edit, out, layer, start, &copies[i], err)
                         : morph_edit_insert(edit, out, layer, &copies[i], err);
        if (st == ST_OK && has_weights)
            edit->fresh[edit->fresh_count - 1].like = like;
    }
    free(copies);
    return st;
}

/* Whether nothing of the same height and width follows that is a normal cell's. */
static bool ends_stage(const struct graph *graph, int32_t out)
{
    for (int32_t i = out + 1; i < graph->count; i++) {
        struct cell_place place;
        if (!cell_place_of(graph->layers[i].id, &place))
            continue;
        if (place.kind == CELL_REDUCTION)
            return true;
        if (place.slot == CELL_OUT)
            return false;
    }
    return true;
}

static enum status repeat_cells(struct morph_edit *edit, const struct morph *morph,
                                const struct graph *parent, struct error *err)
{
    const int32_t count = cell_count(parent, CELL_NORMAL);
    int32_t number = count;
    enum status st = ST_OK;
    if (morph->amount < 1)
        return error_set(err, ST_RANGE, "repeat: found %d cells, expected 1 or more", (int)morph->amount);
    for (int32_t index = 0; index < count && st == ST_OK; index++) {
        const struct cell_place cell = {.kind = CELL_NORMAL, .index = index, .slot = CELL_OUT};
        if (!ends_stage(parent, cell_find(parent, cell)))
            continue;
        for (int32_t i = 0; i < morph->amount && st == ST_OK; i++) {
            if (number == CELL_MOST)
                return error_set(err, ST_NONE, "repeat: found %d cells, expected at most %d", (int)number + 1,
                                 CELL_MOST);
            st = insert_cell(edit, cell, cell_find(&edit->child, cell), number++, err);
            if (st == ST_OK)
                st = morph_edit_joined(edit, err);
        }
    }
    return st;
}

enum status morph_edit_cells(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                             struct error *err)
{
    struct cell_place cell;
    enum status st = ST_OK;
    if (cell_count(parent, CELL_NORMAL) == 0)
        return error_set(err, ST_NONE, "%s: the network has no cells", morph_kind_name(morph->kind));
    if (morph->kind == MORPH_REPEAT)
        return repeat_cells(edit, morph, parent, err);
    if (!morph_fits_cells(morph))
        return error_set(err, ST_RANGE, "%s: layer %u is in no cell, or behind its exit",
                         morph_kind_name(morph->kind), (unsigned)morph->a);
    if (morph->kind == MORPH_WIDEN)
        return morph_edit_place(edit, morph, parent, err);
    (void)cell_place_of(morph->a, &cell);
    for (cell.index = 0; st == ST_OK && cell_is_there(parent, cell.kind, cell.index); cell.index++)
        st = edit_cell(edit, morph, cell, err);
    return st;
}

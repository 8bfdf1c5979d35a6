#include "host/net/cell.h"

#include "host/net/builder.h"
#include "host/net/start.h"

#include <stdio.h>
#include <string.h>

/* Halving stops below the first, as with the other starting networks (start.c); the stem halves images until their
 * short side is at most the second: cells at full size would spend most of a CPU's time on few channels. */
enum { SMALLEST_HALVED_SIDE = 4, LARGEST_STAGE_SIDE = 24, LARGEST_FULL_SIDE = 64 };

/* An id is kind + 1, index and slot; those of layers outside of cells lie below or above all. */
enum { CELL_KIND_SHIFT = 18, CELL_INDEX_SHIFT = 10, CELL_IDS_END = (CELL_KINDS + 1) << CELL_KIND_SHIFT };
_Static_assert(1 << CELL_INDEX_SHIFT == CELL_MOST_SLOTS, "slots fill their bits");
_Static_assert(CELL_MOST << CELL_INDEX_SHIFT == 1 << CELL_KIND_SHIFT, "cells fill their bits");

/* ---- cells ---- */

static const char *const operation_names[CELL_OPERATION_COUNT] = {
#define NAME(constant, word) [CELL_##constant] = #word,
    CELL_OPERATIONS(NAME)
#undef NAME
};

/* One block: small to begin with, and the search makes more of it. */
static const struct cells usual_cells = {
    .of = {
        [CELL_NORMAL] = {1, {{{0, 0}, {CELL_CONV3, CELL_IDENTITY}, false}}},
        [CELL_REDUCTION] = {1, {{{0, 0}, {CELL_CONV3, CELL_MAX_POOL}, false}}},
    }};

struct cells cells_draw(struct random_sequence *random)
{
    struct cells cells = {0};
    for (int kind = 0; kind < CELL_KINDS; kind++) {
        struct cell *cell = &cells.of[kind];
        cell->count = 2 + (int32_t)random_next_below(random, 2);
        for (int32_t b = 0; b < cell->count; b++) {
            struct cell_block *block = &cell->blocks[b];
            for (int k = 0; k < 2; k++) {
                block->nodes[k] = (int32_t)random_next_below(random, (uint32_t)b + 1);
                block->operations[k] = (enum cell_operation)random_next_below(random, CELL_OPERATION_COUNT);
            }
            /* The one side at least computes something. */
            if (block->operations[0] == CELL_IDENTITY && block->operations[1] == CELL_IDENTITY)
                block->operations[0] = CELL_CONV3;
            block->concat = random_next_below(random, 4) == 0;
        }
    }
    return cells;
}

bool cells_of_start(const char *name, uint64_t seed, struct cells *cells)
{
    struct random_sequence random = {.seed = seed, .stream = RANDOM_SEARCH, .part = UINT32_MAX};
    if (strcmp(name, "cell") == 0)
        *cells = usual_cells;
    else if (strcmp(name, "random_cell") == 0)
        *cells = cells_draw(&random);
    else
        return false;
    return true;
}

void cell_text(const struct cell *cell, char text[CELL_TEXT])
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t b = 0; b < cell->count && used < CELL_TEXT; b++) {
        const struct cell_block *block = &cell->blocks[b];
        used += (size_t)snprintf(text + used, CELL_TEXT - used, "%s%d.%s%c%d.%s", b > 0 ? " " : "",
                                 (int)block->nodes[0], operation_names[block->operations[0]],
                                 block->concat ? '|' : '+', (int)block->nodes[1],
                                 operation_names[block->operations[1]]);
    }
}

/* ---- ids ---- */

uint32_t cell_id(struct cell_place place)
{
    return ((uint32_t)place.kind + 1) << CELL_KIND_SHIFT | (uint32_t)place.index << CELL_INDEX_SHIFT |
           (uint32_t)place.slot;
}

bool cell_place_of(uint32_t id, struct cell_place *place)
{
    if (id < 1u << CELL_KIND_SHIFT || id >= CELL_IDS_END)
        return false;
    *place = (struct cell_place){.kind = (enum cell_kind)((id >> CELL_KIND_SHIFT) - 1),
                                 .index = (int32_t)(id >> CELL_INDEX_SHIFT & (CELL_MOST - 1)),
                                 .slot = (int32_t)(id & (CELL_MOST_SLOTS - 1))};
    return true;
}

int32_t cell_find(const struct graph *graph, struct cell_place place)
{
    return graph_find(graph, cell_id(place));
}

bool cell_is_there(const struct graph *graph, enum cell_kind kind, int32_t index)
{
    return index < CELL_MOST &&
           cell_find(graph, (struct cell_place){.kind = kind, .index = index, .slot = CELL_EXIT}) >= 0;
}

int32_t cell_count(const struct graph *graph, enum cell_kind kind)
{
    int32_t count = 0;
    while (cell_is_there(graph, kind, count))
        count++;
    return count;
}

/* ---- the network ---- */

struct writer {
    struct builder to;
    const struct cell *cell;
    int32_t width; /* of the stage */
};

/* One of the slots that every cell has. */
static void put_in_slot(struct writer *w, struct cell_place place, enum cell_slot slot, struct layer layer)
{
    place.slot = (int32_t)slot;
    layer.id = cell_id(place);
    builder_add(&w->to, layer);
}

static void conv(struct writer *w, int32_t kernel, int32_t stride)
{
    builder_conv(&w->to, w->width, kernel, stride, false);
    builder_batch_norm_relu(&w->to);
}

static void separable(struct writer *w, int32_t kernel, int32_t stride)
{
    struct layer depthwise = builder_conv_layer(w->width, kernel, stride);
    depthwise.groups = w->width;
    builder_add(&w->to, depthwise);
    builder_batch_norm_relu(&w->to);
    conv(w, 1, 1);
}

/* On a node, whose layer is w->to.at. */
static void operation(struct writer *w, enum cell_operation operation, int32_t stride)
{
    switch (operation) {
    case CELL_IDENTITY: /* of half the size there is none */
        if (stride > 1)
            conv(w, 1, stride);
        return;
    case CELL_CONV1:
        conv(w, 1, stride);
        return;
    case CELL_CONV3:
        conv(w, 3, stride);
        return;
    case CELL_CONV5:
        conv(w, 5, stride);
        return;
    case CELL_SEPARABLE3:
        separable(w, 3, stride);
        return;
    case CELL_SEPARABLE5:
        separable(w, 5, stride);
        return;
    case CELL_MAX_POOL:
        builder_pool(&w->to, LAYER_MAX_POOL, 3, stride, 1);
        return;
    case CELL_AVERAGE_POOL:
        builder_pool(&w->to, LAYER_AVERAGE_POOL, 3, stride, 1);
        return;
    case CELL_OPERATION_COUNT:
        break;
    }
    w->to.status = error_set(w->to.err, ST_RANGE, "cell: operation %d is none", (int)operation);
}

/* Where both sides are one layer the block is that layer. */
static void join(struct writer *w, bool concat, int32_t first, int32_t second)
{
    w->to.at = first;
    if (first == second)
        return;
    builder_join(&w->to, concat ? LAYER_CONCAT : LAYER_ADD, first, second);
    if (concat)
        conv(w, 1, 1);
}

/* Those that nobody reads, side by side. */
static void gather(struct writer *w, const int32_t *nodes, const bool *read)
{
    struct layer concat = {.kind = LAYER_CONCAT};
    for (int32_t n = 1; n <= w->cell->count; n++)
        if (!read[n])
            concat.inputs[concat.input_count++] = nodes[n];
    if (concat.input_count == 1)
        w->to.at = concat.inputs[0];
    else
        builder_add(&w->to, concat);
}

static bool block_is_sound(const struct cell_block *block, int32_t number)
{
    return block->nodes[0] >= 0 && block->nodes[0] <= number && block->nodes[1] >= 0 &&
           block->nodes[1] <= number;
}

static void write_cell(struct writer *w, enum cell_kind kind, int32_t index, int32_t stride)
{
    int32_t nodes[CELL_MOST_BLOCKS + 1];
    bool read[CELL_MOST_BLOCKS + 1] = {false};
    const int32_t before = w->to.at;
    const struct cell_place place = {.kind = kind, .index = index, .slot = CELL_INSIDE};
    w->to.next_id = cell_id(place);
    conv(w, 1, 1);
    nodes[0] = w->to.at;
    for (int32_t b = 0; b < w->cell->count && w->to.status == ST_OK; b++) {
        const struct cell_block *block = &w->cell->blocks[b];
        int32_t sides[2];
        if (!block_is_sound(block, b)) {
            w->to.status =
                error_set(w->to.err, ST_RANGE, "cell: block %d reads node %d and %d, expected 0 to %d",
                          (int)b, (int)block->nodes[0], (int)block->nodes[1], (int)b);
            return;
        }
        for (int k = 0; k < 2; k++) {
            w->to.at = nodes[block->nodes[k]];
            operation(w, block->operations[k], block->nodes[k] == 0 ? stride : 1);
            sides[k] = w->to.at;
            read[block->nodes[k]] = true;
        }
        join(w, block->concat, sides[0], sides[1]);
        nodes[b + 1] = w->to.at;
    }
    if (w->to.status == ST_OK)
        gather(w, nodes, read);
    put_in_slot(w, place, CELL_EXIT, builder_conv_layer(w->width, 1, 1));
    put_in_slot(w, place, CELL_EXIT_NORM, (struct layer){.kind = LAYER_BATCH_NORM});
    if (kind == CELL_NORMAL)
        put_in_slot(w, place, CELL_SUM,
                    (struct layer){.kind = LAYER_ADD, .input_count = 2, .inputs = {before, w->to.at}});
    put_in_slot(w, place, CELL_OUT, (struct layer){.kind = LAYER_RELU});
    w->to.next_id = 0;
}

static void write_stem(struct writer *w)
{
    conv(w, 3, builder_short_side(&w->to) > LARGEST_FULL_SIDE ? 2 : 1);
    while (w->to.status == ST_OK && builder_short_side(&w->to) > LARGEST_STAGE_SIDE)
        builder_pool(&w->to, LAYER_MAX_POOL, 3, 2, 1);
}

static void write_network(struct writer *w, const struct cells *cells, int32_t repeats, int32_t classes)
{
    write_stem(w);
    for (int32_t stage = 0; stage < CELL_STAGES; stage++) {
        w->cell = &cells->of[CELL_REDUCTION];
        if (stage > 0) {
            w->width *= 2;
            write_cell(w, CELL_REDUCTION, stage - 1,
                       w->to.status == ST_OK && builder_short_side(&w->to) >= SMALLEST_HALVED_SIDE ? 2 : 1);
        }
        w->cell = &cells->of[CELL_NORMAL];
        for (int32_t r = 0; r < repeats && w->to.status == ST_OK; r++)
            write_cell(w, CELL_NORMAL, stage * repeats + r, 1);
    }
    w->to.graph->next_id = CELL_IDS_END;
    builder_add(&w->to, (struct layer){.kind = LAYER_GLOBAL_POOL});
    builder_dense(&w->to, classes);
}

enum status cells_make(struct graph *graph, const struct cells *cells, int32_t repeats, int32_t width,
                       struct shape image, int32_t classes, struct error *err)
{
    *graph = (struct graph){0};
    if (width == 0)
        width = CELL_WIDTH;
    if (width < START_WIDTH_STEP || width > START_MAX_WIDTH || width % START_WIDTH_STEP != 0)
        return error_set(err, ST_RANGE, "cells: width is %d, expected 0 or a multiple of 8 from 8 to %d",
                         (int)width, START_MAX_WIDTH);
    if (repeats < 1 || repeats > CELL_MOST / CELL_STAGES)
        return error_set(err, ST_RANGE, "cells: found %d a stage, expected 1 to %d", (int)repeats,
                         CELL_MOST / CELL_STAGES);
    for (int kind = 0; kind < CELL_KINDS; kind++)
        if (cells->of[kind].count < 1 || cells->of[kind].count > CELL_MOST_BLOCKS)
            return error_set(err, ST_RANGE, "cells: found %d blocks, expected 1 to %d",
                             (int)cells->of[kind].count, CELL_MOST_BLOCKS);
    enum status st = graph_new(graph, image.c, image.h, image.w, err);
    struct writer writer = {.to = {.graph = graph, .err = err}, .width = width};
    if (st == ST_OK) {
        write_network(&writer, cells, repeats, classes);
        st = writer.to.status;
    }
    if (st == ST_OK)
        st = graph_infer(graph, err);
    if (st != ST_OK) {
        graph_free(graph);
        return error_prefix(err, "network of cells");
    }
    return ST_OK;
}

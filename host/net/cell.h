/* Cells: small networks that are repeated (Zoph et al. 2018, "Learning transferable architectures for scalable image
 * recognition"). A network of cells is stem, CELL_STAGES stages of `repeats` normal cells each, between them a
 * reduction cell that halves the image and doubles the channels, and head. It is an ordinary graph, in which the ids of
 * layers say what belongs together: layers of one kind of cell and one slot are the same layer of its repeats. So the
 * cell of a network is known from the graph alone, wherever that comes from.
 *
 * A cell has nodes: node 0 is what came out of the cell before it, brought to the stage's width by a 1 x 1 convolution;
 * block i makes node i + 1 of two nodes before it, an operation on each, and a sum or a concatenation. Nodes that
 * nobody reads are concatenated, brought to the stage's width, and in a normal cell added to what the cell before it
 * made. (NASNet's cells also read the cell before that one; here the sum stands for it, so that a cell whose last batch
 * norm has scale 0 computes nothing, and a network can become deeper without losing its function.) No node and no
 * cell's output is ever negative. */
#ifndef NASRUN_NET_CELL_H
#define NASRUN_NET_CELL_H

#include "host/base/random.h"
#include "host/net/graph.h"

enum { CELL_MOST_BLOCKS = 4, CELL_STAGES = 3, CELL_WIDTH = 32, CELL_TEXT = 96 };

/* X(constant, word) */
#define CELL_OPERATIONS(X)                                                                                   \
    X(IDENTITY, identity)                                                                                    \
    X(CONV1, conv1)                                                                                          \
    X(CONV3, conv3)                                                                                          \
    X(CONV5, conv5)                                                                                          \
    X(SEPARABLE3, sep3)                                                                                      \
    X(SEPARABLE5, sep5)                                                                                      \
    X(MAX_POOL, max)                                                                                         \
    X(AVERAGE_POOL, average)

enum cell_operation {
#define CELL_OPERATION(constant, word) CELL_##constant,
    CELL_OPERATIONS(CELL_OPERATION)
#undef CELL_OPERATION
        CELL_OPERATION_COUNT
};

struct cell_block {
    int32_t nodes[2]; /* each at most the block's number, counted from 0 */
    enum cell_operation operations[2];
    bool concat; /* otherwise they are added */
};

enum cell_kind { CELL_NORMAL, CELL_REDUCTION, CELL_KINDS };

struct cell {
    int32_t count;
    struct cell_block blocks[CELL_MOST_BLOCKS];
};

struct cells {
    struct cell of[CELL_KINDS];
};

/* Cells by the name of their starting network: "cell", ours, and "random_cell", drawn by `seed`. False for any other
 * name. */
bool cells_of_start(const char *name, uint64_t seed, struct cells *cells);

/* Of two or three blocks a kind. */
struct cells cells_draw(struct random_sequence *random);

/* "0.conv3+0.identity 1.sep3|0.max": node and operation; + a sum, | a concatenation. */
void cell_text(const struct cell *cell, char text[CELL_TEXT]);

/* Writes the network: `repeats` normal cells a stage, the first of `width` channels (0: CELL_WIDTH). The stem halves
 * images until their short side is at most 24 pixels. ST_RANGE for a width that is no multiple of 8 or
 * cells that are none, ST_UNSUPPORTED where it becomes too large. */
enum status cells_make(struct graph *graph, const struct cells *cells, int32_t repeats, int32_t width,
                       struct shape image, int32_t classes, struct error *err);

/* ---- ids ---- */

/* Slots that every cell has; from CELL_INSIDE on they come as they are made. */
enum cell_slot { CELL_EXIT, CELL_EXIT_NORM, CELL_SUM, CELL_OUT, CELL_INSIDE };

/* Slots of a cell, and cells of a kind. */
enum { CELL_MOST_SLOTS = 1024, CELL_MOST = 256 };

/* Where a layer stands. */
struct cell_place {
    enum cell_kind kind;
    int32_t index; /* of the cell among those of its kind; says nothing of their order */
    int32_t slot;
};

uint32_t cell_id(struct cell_place place);
/* False for a layer outside of cells. */
bool cell_place_of(uint32_t id, struct cell_place *place);

/* Index of the layer, -1: there is none. */
int32_t cell_find(const struct graph *graph, struct cell_place place);

/* Whether it has that cell: each has an exit. The cells of a kind are those from 0 on. */
bool cell_is_there(const struct graph *graph, enum cell_kind kind, int32_t index);

/* Number of cells of the kind; 0 for a network of no cells. */
int32_t cell_count(const struct graph *graph, enum cell_kind kind);

#endif

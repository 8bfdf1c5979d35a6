/* A C file that is being written, shared by the files of this room. Errors of the stream are looked at once, at the
 * end. */
#ifndef NASRUN_CSOURCE_CSOURCE_H
#define NASRUN_CSOURCE_CSOURCE_H

#include "host/inference/code.h"
#include "host/inference/evaluate.h"

#include <stdio.h>

/* What the file's own functions are called and made of, in the order in which they stand there. */
enum csource_piece {
    PIECE_NONE, /* what calls none */
    PIECE_CUT,
    PIECE_PRODUCTS,
    PIECE_CONVOLVE,
    PIECE_CONVOLVE_CHANNELS,
    PIECE_LOGITS,
    PIECE_MAX_POOL,
    PIECE_AVERAGE_POOL,
    PIECE_MEAN,
    PIECE_SCALE,
    PIECE_ADD,
    PIECE_JOIN,
    PIECE_GATE,
    PIECE_LOOK_UP,
    PIECE_ACTIVATION, /* and those behind it, one each */
    PIECES = PIECE_ACTIVATION + ACTIVATION_COUNT
};

struct csource {
    const struct evaluation *evaluation;
    const char *name;
    FILE *out;
};

/* ---- what is asked of layers ---- */
const struct layer *csource_layer(const struct csource *source, int32_t index);
const struct weight_tensor *csource_weight(const struct csource *source, const struct layer *layer,
                                           enum weight_role role);
struct coding csource_coding(const struct csource *source, int32_t index);
bool csource_is_depthwise(const struct csource *source, const struct layer *layer);
/* Where in the model's kernel stands what has that place in the file's order: output, row, column, input. */
size_t csource_kernel_place(const struct weight_tensor *kernel, const int32_t place[4]);

/* ---- numbers, a line of them after the other ---- */
void csource_float(struct csource *source, float value); /* the shortest text that is read as the same */
/* "static const TYPE NAME_ID[COUNT] = {", the numbers by csource_item_*, "};" */
void csource_open(struct csource *source, const char *type, const char *name, uint32_t id, size_t count);
void csource_item_float(struct csource *source, size_t i, float value);
void csource_item_int(struct csource *source, size_t i, int32_t value);
void csource_item_rescale(struct csource *source, size_t i, struct rescale rescale);
void csource_close(struct csource *source);

/* "static const struct window layer_ID = {" and what pools are in both kinds of files; the caller goes on behind it. */
void csource_open_pool(struct csource *source, const struct layer *layer);
/* The same of a struct convolution; `layer` is that of plan_convolution. */
void csource_open_convolution(struct csource *source, const struct layer *layer);

/* ---- the two kinds of files ---- */
/* The constants of a layer; its statements. */
void csource_float_constants(struct csource *source, int32_t index);
void csource_float_statement(struct csource *source, int32_t index);
const char *csource_float_types(void);
const char *csource_float_piece(int piece);
void csource_code_constants(struct csource *source, int32_t index);
void csource_code_statement(struct csource *source, int32_t index);
const char *csource_code_types(void);
const char *csource_code_piece(int piece);

#endif

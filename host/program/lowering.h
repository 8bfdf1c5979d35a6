/* Private to host/program: the state while a graph is lowered, and the helpers that append to the program.
 *
 *     lower_graph: allocates for the worst case -> lower.c finds the fusions -> lower_forward ->
 * lower_backward
 *     -> prog_finish checks the result
 *
 * The arrays are large enough for any program of the graph (lower.c counts), so appending can't fail. */
#ifndef NASRUN_PROGRAM_LOWERING_H
#define NASRUN_PROGRAM_LOWERING_H

#include "host/program/lower.h"

/* What is known about a layer. */
struct layer_state {
    int32_t source; /* the layer whose value this one has: itself, or what a dropout reads in inference */
    int32_t reader_count; /* inputs of layers that read it, by their sources */
    int32_t reader;       /* the last layer that reads it */
    int32_t norm; /* the batch norm that this layer's operation computes (itself when not fused); -1: none */
    int32_t addend;       /* the layer whose value that batch norm adds; -1: none */
    bool relu;            /* that batch norm ends with a ReLU */
    bool absorbed;        /* a later layer's operation computes it; it has no value of its own */
    int32_t depth;        /* layers on the longest way from the image */
    float drop_path;      /* of an add: rate at which its branch is left out; 0 */
    int32_t branch;       /* of such an add: which of its inputs that is */
    bool trained;         /* a trained weight lies in it or before it, so it needs a gradient */
    int32_t value;        /* tensor; -1 */
    int32_t gradient;     /* tensor, the sum over the readers seen so far; -1 */
    int32_t mean, invstd; /* tensors that a batch norm keeps for backward; -1 */
    int32_t index;        /* the tensor that a max pool keeps; -1 */
};

struct lowering {
    const struct graph *graph;
    const struct lower_options *options;
    struct program *program;
    struct layer_state *layers; /* [graph->count] */
    int32_t *weight_of;         /* [graph->count * WEIGHT_ROLE_COUNT] indices into the weight table; -1 */
    int32_t op_capacity, tensor_capacity;
    int32_t dlogits; /* the loss' gradient; -1 in evaluation */
};

/* Appends operation `kind`, all operands absent; `layer` is the graph's index, -1: none. */
struct prog_op *lower_op(struct lowering *lowering, enum prog_op_kind kind, int32_t layer);

/* The operation's window from the layer's kernel, stride, padding and groups. */
void lower_window(struct lowering *lowering, struct prog_op *op, int32_t layer);

/* The value of what the layer computes, a tensor. */
int32_t lower_value(const struct lowering *lowering, int32_t layer);

/* The graph's layer that is the layer's k-th input, and its value. */
int32_t lower_input_layer(const struct lowering *lowering, int32_t layer, int32_t k);
int32_t lower_input(const struct lowering *lowering, int32_t layer, int32_t k);

/* The layer's weight, a tensor; -1 when it has no such weight. */
int32_t lower_weight(const struct lowering *lowering, int32_t layer, enum weight_role role);

/* A new tensor of the kind that ops.def names as the operation's output at that position. Returns its id. */
int32_t lower_write(struct lowering *lowering, struct prog_op *op, int32_t position, struct shape shape);

/* The gradient of the layer's weight as the output at that position. Does nothing when the layer has no such weight. */
void lower_write_gradient(struct lowering *lowering, struct prog_op *op, int32_t position, int32_t layer,
                          enum weight_role role);

/* The layer's output shape with the batch in n. */
struct shape lower_shape(const struct lowering *lowering, int32_t layer);

void lower_forward(struct lowering *lowering);     /* gather, layers, loss */
void lower_backward(struct lowering *lowering);    /* after lower_forward: gradients of all trained weights */
void lower_collectives(struct lowering *lowering); /* after lower_backward: all-reduces */

#endif

/* Programs: a network's step as a flat list of operations over tensors, in execution order. Lowered from a graph
 * (lower.h), prepared once and run step by step by a device (device.h).
 *
 * A program is a value in host memory: it owns three arrays and points to nothing else. Tensors are written once (no
 * operation updates a tensor in place, except weights, their slots and the metrics); their lifetimes follow.
 *
 * Contracts of the operations. Their inputs and outputs are those of ops.def, here in small letters: x of conv is
 * op->inputs[CONV_IN_X], a tensor id. What ops.def calls optional stands in brackets and is -1 where it is absent; so
 * are all positions from input_count and output_count on.
 *   gather        -> image [N,C,H,W], labels [N].  Row r of step `s` is sample gather_sample() of the bound sample
 *                 list, augmented as augment.h says when `gather.augment`, then (value / 255 - mean[c]) / deviation[c].
 *                 H x W may be smaller than the data set's images: of these, augmented in their own size, the mean over
 *                 the area of each pixel (augment_area_part).
 *                 Rows from step.valid on repeat row 0 and are ignored by the loss.
 *   conv          x, kernel[, bias] -> y.     Cross-correlation, zero padding.
 *   conv_backward_data      dy, kernel -> dx
 *   conv_backward_weights   x, dy -> dkernel[, dbias]
 *   batch_norm    x, scale, shift, running_mean, running_var[, addend] -> y, mean, invstd.
 *                 y = f(scale * (x - mean) * invstd + shift + addend), f = ReLU if `relu`; mean and biased variance
 *                 over N, H, W. Also updates the running statistics, the only inputs that an operation writes:
 *                 running = (1 - m) * running + m * batch, m = `momentum`, biased variance.
 *   batch_norm_backward  x[, y], dy, scale, mean, invstd -> dx, dscale, dshift[, daddend].  With `relu`, dy counts
 *                 where y > 0; y is absent otherwise. daddend = that dy. dx is always there, even where nobody reads
 *                 it; daddend only with relu (the addend's gradient is dy itself otherwise).
 *   batch_norm_inference  x, scale, shift, running_mean, running_var[, addend] -> y.  At the positions that they have
 *                 in batch_norm, whose names serve both.
 *   activation    x -> y = f(x), f = `activation.function`, see activation.h.
 *   activation_backward  seen (x or y, as activation_traits() says), dy -> dx
 *   add           a, b -> sum = a + b.  Also sums gradients where branches of the network join.
 *   concat        x (one or more) -> y        split   dy -> dx (all of them, wanted or not: their channels say where
 *                 each begins)
 *   max_pool      x -> y[, index]             max_pool_backward   dy, index -> dx.  Of equals the first, row by row.
 *                 `index` is the device's own affair in type and meaning; its shape is y's; it is absent where no
 *                 backward pass reads it. pad < kernel.
 *   average_pool  x -> y; divides by the number of pixels inside the image.  average_pool_backward   dy -> dx
 *   global_pool   x -> y [N,C,1,1]            global_pool_backward   dy -> dx
 *   dense         x, kernel[, bias] -> y [N,K,1,1].  kernel [K,C,H,W] over the whole input.
 *   dense_backward_data  dy, kernel -> dx     dense_backward_weights   x, dy -> dkernel[, dbias]
 *   gate          x, gate [N,C,1,1] -> y = x * activation_gate(gate), see activation.h.
 *   gate_backward x, gate, dy -> dx, dgate (both, wanted or not)
 *   dropout       x -> y; element e (index in N,C,H,W order) of this op is kept when random_unit of
 *                 random_draw(step.seed, RANDOM_DROPOUT, step.number << 24 | e / 4, layer_id).v[e % 4] >= rate (e
 *                 below 2^24 * 4; the shift makes room), and divided by 1 - rate. e counts from step.row, as if the
 *                 batches of all members of a group were one.     dropout_backward   dy -> dx, the same mask
 *   drop_path     x -> y; image r is multiplied by drop_path_factor() of row step.row + r, this op's layer_id and rate
 *                 times step.drop_path.     drop_path_backward   dy -> dx, the same factors
 *   loss          logits, labels -> metrics[, probabilities [N,K,1,1]][, dlogits].  Per valid row: cross-entropy
 *                 against (1 - s) * one-hot + s / K, s = `smoothing`, each class's part multiplied by (1 - p)^`focal`,
 *                 all by the label's weight of the dataset where `weighted` holds; dlogits is its derivative over
 *                 step.valid, without both (p - target) / step.valid; 0 in rows that are not valid. metrics accumulate,
 *                 in double: METRIC_* below. A row is correct when its largest logit, of equals the first, is the
 *                 label's.
 *                 With `sets` the label is a set of the dataset's (labels.h), each class an answer of its own, with
 *                 probability sigmoid(logit). Per valid row: the sum over the classes of the binary cross-entropy
 *                 against (1 - s) * t + s / 2, t = 1 where the set has the class, else 0; the part of the target by the
 *                 class's weight where `weighted` holds, as positives are often rare; both parts by what the other's
 *                 probability is to the power of `focal`. A row is correct when exactly the set's classes have logits
 *                 of at least 0.
 *   all_reduce    The gradients of the trained weights `reduce.first` to `reduce.last` of the weight table become
 *                 their mean over the members of the bound group. Stands behind the last operation that writes one of
 *                 them, so that a device may send them while the backward pass goes on. Only in programs lowered for
 *                 several members.
 *   orthogonalise dkernel -> update.  Muon's part of the optimizer for one hidden kernel, seen as a matrix
 *                 [out][in * h * w]: changes the kernel's slot FIRST, by the gradient. Stands behind the backward pass
 *                 and the all-reduces. See optimizer.h.
 *   optimizer     over all trained weights at once: value, gradient or update, slots. See optimizer.h.
 *   weight_average  average = d * average + (1 - d) * value for *all* weights, d = step.average_decay.
 */
#ifndef NASRUN_PROGRAM_PROGRAM_H
#define NASRUN_PROGRAM_PROGRAM_H

#include "host/net/graph.h"

#include <stdio.h>

enum prog_op_kind {
#define PROG_OP(KIND, ...) PROG_OP_##KIND,
#include "host/program/ops.def"
#undef PROG_OP
    PROG_OP_KIND_COUNT
};

/* The positions of the operands: CONV_IN_X, CONV_IN_KERNEL, CONV_IN_BIAS, and CONV_INPUTS how many they are;
 * CONV_OUT_Y, CONV_OUTPUTS. A variadic operand counts once. */
#define NONE
#define IN(KIND, NAME, ...)  KIND##_IN_##NAME,
#define OUT(KIND, NAME, ...) KIND##_OUT_##NAME,
#define PROG_OP(KIND, name, text, settings, inputs, outputs)                                                 \
    enum { inputs KIND##_INPUTS };                                                                           \
    enum { outputs KIND##_OUTPUTS };
#include "host/program/ops.def"
#undef PROG_OP
#undef OUT
#undef IN
#undef NONE

enum tensor_kind {
    TENSOR_ACTIVATION, /* lives in the arena from its first to its last use; gradients of activations too */
    TENSOR_LABELS,     /* int32 [N]; in the arena */
    TENSOR_VECTOR,     /* float32 per channel (saved mean, invstd); in the arena */
    TENSOR_INDEX,      /* max pool's winners; in the arena */
    TENSOR_WEIGHT,     /* `weight` is its index in the weight table; lives in the bound weights */
    TENSOR_GRADIENT,   /* of that weight; lives in the device's gradient buffer */
    TENSOR_UPDATE, /* of that weight: what the optimizer takes in the gradient's place; float32, in the arena */
    TENSOR_METRICS, /* METRIC_COUNT doubles; lives as long as the program */
    TENSOR_OUTPUT, /* probabilities, float32 [N,K,1,1]; lives as long as the program, may be read after a step */
};

enum metric {
    METRIC_LOSS, /* sums over valid rows since the last reset */
    METRIC_CORRECT,
    METRIC_SAMPLES,
    METRIC_SUMS, /* how many of them are sums; behind them is what a device with half precision remembers */
    METRIC_SCALE = METRIC_SUMS, /* what gradients are multiplied by; 0: the device's first choice */
    METRIC_GOOD,                /* steps since the scale has changed */
    METRIC_COUNT
};

/* As many as concat and split have at most. */
enum { PROG_MAX_INPUTS = GRAPH_MAX_INPUTS, PROG_MAX_OUTPUTS = GRAPH_MAX_INPUTS };

struct prog_tensor {
    enum tensor_kind kind;
    /* vectors: {1, c, 1, 1}; labels {n, 1, 1, 1}; weights as in the weight table's dims */
    struct shape shape;
    int32_t weight; /* weight table index; -1 */
    /* operations that write it first and use it last (set by prog_finish); -1 when never */
    int32_t first, last;
};

struct prog_op {
    enum prog_op_kind kind;
    uint32_t layer_id; /* of the graph's layer it comes from; 0: none */
    int32_t input_count, output_count;
    int32_t inputs[PROG_MAX_INPUTS];   /* tensor ids, at the positions above; -1: absent */
    int32_t outputs[PROG_MAX_OUTPUTS]; /* likewise */
    union {                            /* prog_op_traits.settings says which */
        struct {
            int32_t kernel_h, kernel_w, stride, pad_h, pad_w, groups;
        } window;
        struct {
            bool relu;
            float momentum;
        } norm;
        struct {
            enum activation_kind function;
        } activation;
        struct {
            float rate;
        } dropout;
        struct {
            float smoothing;
            float focal;   /* gamma; 0: none */
            bool weighted; /* by the dataset's class weights */
            bool sets;     /* labels are the dataset's sets of classes */
        } loss;
        struct {
            bool augment;
        } gather;
        struct {
            int32_t first, last; /* indices into the weight table, both included */
        } reduce;
    };
};

enum prog_settings {
    PROG_SETTINGS_NONE,
    PROG_SETTINGS_WINDOW,
    PROG_SETTINGS_NORM,
    PROG_SETTINGS_ACTIVATION,
    PROG_SETTINGS_DROPOUT,
    PROG_SETTINGS_LOSS,
    PROG_SETTINGS_GATHER,
    PROG_SETTINGS_REDUCE,
};

enum operand_presence {
    OPERAND_SINGLE,   /* always there */
    OPERAND_OPTIONAL, /* may be absent */
    OPERAND_VARIADIC, /* one or more, to the end */
};

struct prog_operand {
    const char *name; /* "KERNEL" */
    enum tensor_kind kind;
    enum operand_presence presence;
};

struct prog_op_traits {
    const char *name; /* "convolution" */
    enum prog_settings settings;
    int32_t input_count, output_count; /* CONV_INPUTS, CONV_OUTPUTS */
    struct prog_operand inputs[PROG_MAX_INPUTS], outputs[PROG_MAX_OUTPUTS];
};

enum prog_purpose {
    PROG_TRAIN,    /* gather, forward, loss, backward, orthogonalisations, optimizer, weight average */
    PROG_EVALUATE, /* gather, forward in inference, loss with metrics and probabilities */
};

struct program {
    enum prog_purpose purpose;
    int32_t batch; /* rows of a step, N */
    int32_t tensor_count, op_count;
    struct prog_tensor *tensors;
    struct prog_op *ops;
    int32_t metrics; /* tensor ids; -1 when absent */
    int32_t probabilities;
    int32_t logits;
    struct weight_table weights; /* the graph's, owned */
};

void program_free(struct program *program); /* a zeroed program is allowed */

const char *prog_op_name(enum prog_op_kind kind); /* "batch norm backward" */

/* What ops.def says of an operation. */
const struct prog_op_traits *prog_op_traits(enum prog_op_kind kind);

/* `op` as a new operation without settings and with all operands absent, as many as ops.def names. Who appends more
 * to a variadic one counts them in input_count or output_count. */
void prog_op_start(struct prog_op *op, enum prog_op_kind kind);

/* Sets every tensor's first and last and checks the program: ids in range, operands present and of the kinds that
 * ops.def names, inputs written before they are read, tensors written once, in training the gradient of every trained
 * weight written, and in a group reduced. The error names operation and tensor. */
enum status prog_finish(struct program *program, struct error *err);

/* The tensor that the optimizer takes in the place of the weight's gradient; -1: there is none. */
int32_t prog_update_of(const struct program *program, int32_t weight);

/* Offsets for all arena tensors, by the lifetimes that overlap. sizes[t] is the device's size of tensor t in bytes (0:
 * not in the arena); offsets[t] receives its offset, a multiple of 64; *arena_bytes the arena's size. Greedy by size,
 * so the result lies near the largest sum of live tensors. A tensor that no operation uses gets no room. Allocates
 * scratch. */
enum status prog_arena_offsets(const struct program *program, const size_t *sizes, size_t *offsets,
                               size_t *arena_bytes, struct error *err);

/* Writes the program for people: one line an operation with shapes. */
void prog_print(const struct program *program, FILE *out);

#endif

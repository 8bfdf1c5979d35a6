/* The architecture graph: layers and the edges between them. A graph is a value: it holds no weights and
 * knows no device.
 *
 * Layers stand in topological order: the inputs of layer i are layers with smaller indices; layer 0 is the
 * input image; the last layer is a dense layer and yields the logits. Every layer has one output tensor, of
 * shape C x H x W an image. A layer keeps its `id` for life, also through morphs: weights are named by it.
 */
#ifndef NASRUN_NET_GRAPH_H
#define NASRUN_NET_GRAPH_H

#include "host/base/error.h"
#include "host/net/layer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GRAPH_MAX_INPUTS = LAYER_MAX_INPUTS,
    GRAPH_MAX_LAYERS = 2048,
    GRAPH_MAX_CHANNELS = 65536,
    GRAPH_MAX_SIDE = 4096,          /* height and width, in pixels */
    GRAPH_MAX_ELEMENTS = INT32_MAX, /* of a layer's output for one image, and of a weight tensor */
    GRAPH_MAX_ID = (1 << 29) - 2    /* so that id * 8 + role fits 32 bits (random counters) */
};

#define GRAPH_BATCH_NORM_EPSILON 1e-5f
#define GRAPH_MAX_GAIN           16.0

struct shape {
    int32_t n, c, h, w; /* n is 0 in graphs, the batch in programs */
};

/* What the kinds compute:
 *   conv          cross-correlation, zero padding; out_channels, kernel, stride, pad, groups, bias, init; frozen: the
 *                 kernel is not trained, and there is no bias
 *   batch_norm    over N, H, W; epsilon GRAPH_BATCH_NORM_EPSILON; frozen: the scale is not trained, the shift is
 *   max_pool      kernel, stride, pad
 *   average_pool  kernel, stride, pad; padding does not count in the mean
 *   global_pool   mean over H and W: C x 1 x 1
 *   add           two inputs of equal shape
 *   concat        two to GRAPH_MAX_INPUTS inputs of equal H x W, joined along C in order of inputs
 *   dense         out_channels; input flattened as C x H x W; bias; gain
 *   gate          two inputs of as many channels, the second of one pixel: channel c of the first times twice the
 *                 logistic function of the second's, which is 1 where that is 0 (host/program/activation.h)
 *   dropout       rate; element by element, kept values divided by 1 - rate; identity in inference
 *   activations   element by element: host/program/activation.h */
struct layer {
    enum layer_kind kind;
    uint32_t id; /* unique in the graph, above 0; the input's is 0 */
    int32_t input_count;
    int32_t inputs[GRAPH_MAX_INPUTS]; /* indices of layers */
    int32_t out_channels;             /* conv, dense */
    int32_t kernel_h, kernel_w;       /* conv, pools */
    int32_t stride, pad_h, pad_w;     /* conv, pools */
    int32_t groups;                   /* conv: divides both channel counts; 1 otherwise */
    bool bias;                        /* conv, dense */
    float rate;                       /* dropout: share of values dropped, in [0, 1) */
    enum layer_init init;             /* conv */
    bool frozen;                      /* conv: its kernel, batch_norm: its scale is not trained */
    /* dense: trained as if it computed gain times its result with weights that are 1 / gain times as large: they begin
     * gain times as large, and learn gain^2 times as fast. In (0, 16]; 0 is taken as 1. */
    float gain;
    /* conv, batch_norm, dense: what the learning rate of its weights is multiplied by, for networks that were trained
     * elsewhere. In (0, 1]; 0 is taken as 1. */
    float pace;
    struct shape shape; /* of the output; set by graph_infer */
};

struct graph {
    int32_t count, capacity;
    uint32_t next_id; /* above every id in use */
    struct layer *layers;
};

/* An empty graph with its input layer for images of channels x height x width. */
enum status graph_new(struct graph *graph, int32_t channels, int32_t height, int32_t width,
                      struct error *err);
void graph_free(struct graph *graph); /* a zeroed graph is allowed */
enum status graph_copy(struct graph *copy, const struct graph *graph, struct error *err);

/* Appends `layer` (its id is set here when it is 0) and infers its shape. *index is where it stands; NULL is
 * allowed. ST_UNSUPPORTED when it would become too large, also by its layers. On error the graph is as it was. */
enum status graph_append(struct graph *graph, struct layer layer, int32_t *index, struct error *err);

/* Inserts `layer` at `index` (1 .. count), shifting what follows and every index in later layers that
 * points there. layer.inputs name layers below `index`; its id is set here when it is 0; only its own shape
 * is inferred. No consumer reads it yet: rewire them, then call graph_infer. On error the graph is as it was.
 */
enum status graph_insert(struct graph *graph, int32_t index, struct layer layer, struct error *err);

/* Sets every shape anew and checks everything the head of this file promises: order, counts, ids, ranges,
 * shapes, that every layer but the last is used and that the last is dense. ST_RANGE
 * for a wrong one, ST_UNSUPPORTED for one that has grown too large (channels, values, weights). The error names
 * layer, found, expected. */
enum status graph_infer(struct graph *graph, struct error *err);

/* Index of the layer with that id, -1 when absent. */
int32_t graph_find(const struct graph *graph, uint32_t id);

/* ---- weights ----
 * The weight tensors of a graph in a fixed order: by layer, in the order of enum weight_role. */
enum weight_role {
    WEIGHT_KERNEL,       /* conv: out, in / groups, kernel_h, kernel_w.  dense: out, C, H, W of its input */
    WEIGHT_BIAS,         /* out */
    WEIGHT_SCALE,        /* batch norm's gamma: c */
    WEIGHT_SHIFT,        /* batch norm's beta: c */
    WEIGHT_RUNNING_MEAN, /* c; not trained */
    WEIGHT_RUNNING_VAR,  /* c; not trained; the biased variance */
    WEIGHT_ROLE_COUNT
};

struct weight_tensor {
    uint32_t layer_id;
    int32_t layer; /* index */
    enum weight_role role;
    int32_t dims[4]; /* out, in, kernel_h, kernel_w; vectors are {c, 1, 1, 1} */
    size_t offset;   /* in floats, into one flat array of all tensors; a multiple of 16 */
    size_t count;    /* floats */
    bool trained;    /* false for the running statistics and for what is frozen */
    bool hidden;     /* the kernel of a convolution without groups that does not read the image */
    float gain;      /* its layer's; 1 where that has none */
    float rate;      /* what its learning rate is multiplied by: gain^2, times its layer's pace */
};

struct weight_table {
    int32_t count;
    struct weight_tensor *tensors;
    size_t total; /* floats of the flat array, gaps included (a gap holds zeros) */
};

/* The table of an inferred graph, and a copy of one; zeroed on errors. weight_table_free allows a zeroed table. */
enum status weight_table_new(struct weight_table *table, const struct graph *graph, struct error *err);
enum status weight_table_copy(struct weight_table *table, const struct weight_table *from, struct error *err);
void weight_table_free(struct weight_table *table);

/* Index of the layer's tensor of that role, -1 when absent. */
int32_t weight_find(const struct weight_table *table, uint32_t layer_id, enum weight_role role);
const char *weight_role_name(enum weight_role role); /* PyTorch's: "weight", "bias", "running_mean", ... */
bool weight_is_statistic(enum weight_role role);     /* the running mean or variance */

/* Whether it has weights of its own that are trained. A frozen batch norm has: its shift. */
bool layer_is_trained(const struct layer *layer);

/* The filters of a whitening convolution over images of `channels` channels: GRAPH_WHITENING_SIDE wide and high, twice
 * as many as a patch has values, the second half the first's negatives. filters[out][in][y][x]. Made by whitening.h. */
enum { GRAPH_WHITENING_SIDE = 2, GRAPH_WHITENING_CHANNELS = 4 };
struct whitening {
    int32_t channels; /* 0: unknown */
    float filters[2 * 4 * GRAPH_WHITENING_CHANNELS * 4 * GRAPH_WHITENING_CHANNELS];
};

/* Fresh weights into values[table->total]: kernels by He et al. 2015 (normal, variance 2 / fan-in; the last dense
 * layer 1 / fan-in, times its gain), biases and shifts 0, scales 1, running mean 0, variance 1. A trained scale is 0
 * where its batch norm ends a residual branch (Goyal et al. 2017, "Accurate, large minibatch SGD", section 5.1), as
 * after the morph that adds one: networks of many blocks would not train otherwise. A function of seed, layer id and
 * index only: values 2k and 2k + 1 of a tensor are the two normal numbers of random_draw(seed, RANDOM_WEIGHTS, k, id *
 * 8 + role). LAYER_INIT_DIRAC: the first outputs of each group are its inputs, further ones have the variance 1 / (3
 * fan-in) that PyTorch gives them. LAYER_INIT_WHITEN: the filters of `whitening`, where it fits the kernel; NULL or
 * unfitting: as LAYER_INIT_HE. */
void weight_initialise(const struct weight_table *table, const struct graph *graph, uint64_t seed,
                       const struct whitening *whitening, float *values);

/* Kernels that are trained become `kept` of themselves and `added` of those in `fresh`; all else stays. */
void weight_shrink(const struct weight_table *table, const float *fresh, double kept, double added,
                   float *values);

#endif

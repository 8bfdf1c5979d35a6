/* What is known while an ONNX file is read: values by their names, and the network so far. */
#ifndef NASRUN_ONNX_ONNX_READING_H
#define NASRUN_ONNX_ONNX_READING_H

#include "host/inference/quantise.h"
#include "host/onnx/onnx_tensor.h"

#include <stdbool.h>

enum { ONNX_CHANNELS = 4 };
#define ONNX_BATCH INT64_MIN

/* What a name stands for. Formulas are known by their parts: a value that is not a layer's yet may become one. */
enum onnx_value_kind {
    ONNX_VALUE_NONE,     /* of no use: a dropout's mask */
    ONNX_VALUE_TENSOR,   /* a constant */
    ONNX_VALUE_CODES,    /* a constant of whole numbers */
    ONNX_VALUE_INTS,     /* a few numbers that say shapes or axes */
    ONNX_VALUE_CODED,    /* whole numbers that stand for what the layer yields */
    ONNX_VALUE_PIXELS,   /* the images, normalised so far by reading.factor and reading.summand */
    ONNX_VALUE_LAYER,    /* `factor` times what the layer yields */
    ONNX_VALUE_FLAT,     /* the same, flattened */
    ONNX_VALUE_LOGISTIC, /* factor times the logistic function of `inner` times the layer */
    ONNX_VALUE_MOVED,    /* the layer + 3 */
    ONNX_VALUE_HARD,     /* factor times the layer / 6 + 1 / 2, in [0, 1] */
    ONNX_VALUE_ERF,      /* the error function of the layer / sqrt 2 */
    ONNX_VALUE_NORMAL, /* that plus 1: factor times the share of the normal distribution below the layer, times 2 */
    ONNX_VALUE_PROBABILITIES /* the softmax of factor times the layer */
};

struct onnx_value {
    const char *name; /* NULL: the place in the table is free */
    enum onnx_value_kind kind;
    int32_t layer; /* index */
    float factor, inner;
    struct onnx_tensor tensor;
    int32_t int_count;
    int64_t ints[ONNX_MOST_INTS]; /* ONNX_BATCH: the number of images, which is open */
};

/* Weights that a layer takes from a tensor, once the network is whole. */
struct onnx_weights {
    int32_t layer;
    enum weight_role role;
    struct onnx_tensor tensor;
    bool transposed; /* of two dimensions, the second of which is the output */
    bool ones;       /* there is no tensor: all are 1 */
    float times;     /* each value; 0 is taken as 1 */
    float added;     /* to each value, then */
    int32_t front
        [2]; /* of a kernel that has become larger: rows and columns of zeros before it; others are behind it */
};

struct onnx_reading {
    const Onnx__GraphProto *proto;
    struct graph graph;
    struct onnx_value *values; /* a hash table of `room`, a power of two, at most half full */
    size_t room;
    struct onnx_weights *weights;
    int32_t weight_count, weight_capacity;
    /* A pixel's value times factor, plus summand, is what the network sees. */
    float factor[ONNX_CHANNELS], summand[ONNX_CHANNELS];
    struct coding *codings; /* [GRAPH_MAX_LAYERS]: of layers, scale 0: none; NULL: codes are not asked for */
    const char *pixels;     /* the value of kind ONNX_VALUE_PIXELS of which that is true */
    bool begun;             /* a layer reads it, so that it stays */
    float temperature;      /* what the last layer is divided by before the softmax or sigmoid */
    bool labels;            /* the latter: images have any number of classes */
};

/* The value of that name; NULL: unknown. */
struct onnx_value *onnx_value_find(const struct onnx_reading *reading, const char *name);
/* A constant, by its type: ONNX_VALUE_TENSOR, _CODES or _INTS; _NONE for whole numbers of other shapes. */
enum status onnx_value_constant(const Onnx__TensorProto *proto, struct onnx_value *value, struct error *err);
/* A new one. ST_FORMAT when the name is taken. */
enum status onnx_value_add(struct onnx_reading *reading, const struct onnx_value *value, struct error *err);

/* Codes of the finished model, whose layers and weights are those of `reading`; `codes` is to be freed on any status.
 * ST_UNSUPPORTED when not all of it is coded, as host/inference/quantise.h has it. */
enum status onnx_codes_take(const struct onnx_reading *reading, const struct model *model,
                            struct quantisation *codes, struct error *err);

/* Reads a node: its inputs are known, its outputs become so. Errors name node and operator. */
enum status onnx_node_read(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *err);

#endif

/* What a graph costs: numbers known without running it. */
#ifndef NASRUN_NET_COST_H
#define NASRUN_NET_COST_H

#include "host/net/graph.h"

struct cost {
    int64_t parameters;      /* trained values */
    double forward_flops;    /* floating-point operations for one image's inference, multiply-add = 2 */
    double train_flops;      /* forward, data gradient and weight gradient of one image */
    double train_bytes;      /* bytes of activations read and written in one image's training step, float32 */
    double activation_bytes; /* bytes of all activations of one image, float32 */
};

/* `graph` must be inferred. */
struct cost cost_of_graph(const struct graph *graph);

/* What a training step is counted in: each unit takes a device a time of its own. UNIT(NAME, name, meaning);
 * the last three are counted by step, all others by image. */
#define COST_UNITS(UNIT)                                                                                     \
    UNIT(PIXELS, pixels, "values of the image")                                                              \
    UNIT(CONV_IMAGE, conv_image, "operations of convolutions of up to 4 channels")                           \
    UNIT(CONV_1X1, conv_1x1, "operations of convolutions with a kernel of 1 x 1")                            \
    UNIT(CONV_3X3, conv_3x3, "operations of convolutions with a kernel of up to 9 values")                   \
    UNIT(CONV_LARGE, conv_large, "operations of convolutions with a larger kernel")                          \
    UNIT(CONV_GROUPED, conv_grouped, "operations of convolutions with groups of several channels")           \
    UNIT(DEPTHWISE, depthwise, "operations of depthwise convolutions")                                       \
    UNIT(DEPTHWISE_BYTES, depthwise_bytes, "bytes of depthwise convolutions")                                \
    UNIT(CONV_PADDING, conv_padding, "operations that multiples of 16 channels would have more")             \
    UNIT(CONV_BYTES, conv_bytes, "bytes of convolutions that are not depthwise")                             \
    UNIT(DENSE, dense, "operations of dense layers")                                                         \
    UNIT(BATCH_NORM, batch_norm, "bytes of batch norms")                                                     \
    UNIT(ACTIVATION_BYTES, activation_bytes, "bytes of activations that are not fused, and of gates")        \
    UNIT(ACTIVATION_OPERATIONS, activation_operations, "operations of activations and gates")                \
    UNIT(MAX_POOL, max_pool, "bytes of max pools")                                                           \
    UNIT(AVERAGE_POOL, average_pool, "bytes of average pools")                                               \
    UNIT(ADD, add, "bytes of adds")                                                                          \
    UNIT(COPY, copy, "bytes of concats and global pools")                                                    \
    UNIT(DROPOUT, dropout, "values of dropouts")                                                             \
    UNIT(PARAMETERS, parameters, "trained values")                                                           \
    UNIT(ORTHOGONAL, orthogonal, "operations of kernels' orthogonal updates")                                \
    UNIT(LAYERS, layers, "layers")

enum cost_unit {
#define COST_UNIT(NAME, name, meaning) COST_##NAME,
    COST_UNITS(COST_UNIT)
#undef COST_UNIT
        COST_UNIT_COUNT
};

const char *cost_unit_name(enum cost_unit unit);

/* How much of each unit an image's training takes in a step of `batch` images: those by step are shared by them.
 * `graph` must be inferred. */
struct cost_units {
    double of[COST_UNIT_COUNT];
};
struct cost_units cost_units_of(const struct graph *graph, int32_t batch);

/* How fast a machine is. Where the units were measured (cost_fit.h) they count; otherwise its operations and bytes a
 * second: a rate of 0 is unknown, its time does not count. */
struct cost_rates {
    double flops, bytes;
    int32_t batch;                   /* of the steps that units are counted for; 0: units were not measured */
    double seconds[COST_UNIT_COUNT]; /* of a unit */
};
struct cost_rates cost_rates_of(double flops, double bytes);

/* Seconds that units take together, by rates whose units were measured. */
double cost_of_units(const struct cost_units *units, const struct cost_rates *rates);

/* Seconds one image's training takes. By units their sum; by rates the larger of the two times of each layer, summed (a
 * depthwise convolution has few operations and still takes its bytes' time). */
double cost_seconds(const struct graph *graph, const struct cost_rates *rates);

#endif

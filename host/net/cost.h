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

/* Seconds one image's training step takes on a machine of `flops` operations and `bytes` bytes a second: per
 * layer the larger of the two times, summed (a depthwise convolution has few operations and still takes its
 * bytes' time). A rate of 0 is unknown: its time does not count. */
double cost_seconds(const struct graph *graph, double flops, double bytes);

#endif

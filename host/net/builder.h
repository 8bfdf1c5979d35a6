/* Puts layers behind each other: networks are written as lists of layers, for a builder remembers the first error and
 * does nothing behind it. */
#ifndef NASRUN_NET_BUILDER_H
#define NASRUN_NET_BUILDER_H

#include "host/net/graph.h"

struct builder {
    struct graph *graph;
    int32_t at;       /* index of the layer that the next one reads, unless that has inputs of its own */
    uint32_t next_id; /* of the next layer without one, counted up; 0: the graph gives them */
    enum status status;
    struct error *err;
};

/* A stride and groups of 0 are 1. */
void builder_add(struct builder *b, struct layer layer);

/* A convolution that keeps height and width when the stride is 1, without bias. */
struct layer builder_conv_layer(int32_t channels, int32_t kernel, int32_t stride);

void builder_conv(struct builder *b, int32_t channels, int32_t kernel, int32_t stride, bool bias);
void builder_batch_norm_relu(struct builder *b);
void builder_pool(struct builder *b, enum layer_kind kind, int32_t kernel, int32_t stride, int32_t pad);
void builder_join(struct builder *b, enum layer_kind kind, int32_t first, int32_t second);
void builder_dense(struct builder *b, int32_t channels);

/* Of what the next layer reads. */
int32_t builder_short_side(const struct builder *b);

#endif

#include "host/net/builder.h"

void builder_add(struct builder *b, struct layer layer)
{
    if (b->status != ST_OK)
        return;
    if (layer.input_count == 0) {
        layer.inputs[0] = b->at;
        layer.input_count = 1;
    }
    if (layer.stride == 0)
        layer.stride = 1;
    if (layer.groups == 0)
        layer.groups = 1;
    if (layer.id == 0 && b->next_id != 0)
        layer.id = b->next_id++;
    b->status = graph_append(b->graph, layer, &b->at, b->err);
}

struct layer builder_conv_layer(int32_t channels, int32_t kernel, int32_t stride)
{
    return (struct layer){.kind = LAYER_CONV,
                          .out_channels = channels,
                          .kernel_h = kernel,
                          .kernel_w = kernel,
                          .stride = stride,
                          .pad_h = kernel / 2,
                          .pad_w = kernel / 2};
}

void builder_conv(struct builder *b, int32_t channels, int32_t kernel, int32_t stride, bool bias)
{
    struct layer layer = builder_conv_layer(channels, kernel, stride);
    layer.bias = bias;
    builder_add(b, layer);
}

void builder_batch_norm_relu(struct builder *b)
{
    builder_add(b, (struct layer){.kind = LAYER_BATCH_NORM});
    builder_add(b, (struct layer){.kind = LAYER_RELU});
}

void builder_pool(struct builder *b, enum layer_kind kind, int32_t kernel, int32_t stride, int32_t pad)
{
    builder_add(b, (struct layer){.kind = kind,
                                  .kernel_h = kernel,
                                  .kernel_w = kernel,
                                  .stride = stride,
                                  .pad_h = pad,
                                  .pad_w = pad});
}

void builder_join(struct builder *b, enum layer_kind kind, int32_t first, int32_t second)
{
    builder_add(b, (struct layer){.kind = kind, .input_count = 2, .inputs = {first, second}});
}

void builder_dense(struct builder *b, int32_t channels)
{
    builder_add(b, (struct layer){.kind = LAYER_DENSE, .out_channels = channels, .bias = true});
}

int32_t builder_short_side(const struct builder *b)
{
    const struct shape s = b->graph->layers[b->at].shape;
    return s.h < s.w ? s.h : s.w;
}

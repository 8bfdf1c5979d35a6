/* Conv, AveragePool, MaxPool, GlobalMaxPool: what a window is moved over images for. */
#include "host/onnx/onnx_node.h"

#include <string.h>

/* `count` numbers, each `usual` where the attribute is absent. ST_FORMAT for another count, ST_UNSUPPORTED beyond
 * what layers have. */
static enum status ints_of(const struct node *node, const char *name, int32_t count, int32_t usual,
                           int32_t *values)
{
    const Onnx__AttributeProto *found = node_attribute(node, name);
    if (found != NULL && found->n_ints != (size_t)count)
        return error_set(node->err, ST_FORMAT, "%s has %zu numbers, expected %d", name, found->n_ints, count);
    for (int32_t i = 0; i < count; i++) {
        const int64_t value = found != NULL ? found->ints[i] : usual;
        if (value < 0 || value > GRAPH_MAX_SIDE)
            return error_set(node->err, ST_UNSUPPORTED, "%s: found %lld, expected 0 to %d", name,
                             (long long)value, GRAPH_MAX_SIDE);
        values[i] = (int32_t)value;
    }
    return ST_OK;
}

/* As a node says it: heights before widths; padding above, left, below, right. */
struct window {
    int32_t kernel[2], stride, pads[4];
};

/* So much padding that there is a place of the kernel for each stride that begins in the image. */
static void pad_same(const struct shape *in, bool upper, struct window *window)
{
    const int32_t sides[2] = {in->h, in->w};
    for (int i = 0; i < 2; i++) {
        const int32_t places = (sides[i] + window->stride - 1) / window->stride;
        const int32_t wanted = (places - 1) * window->stride + window->kernel[i] - sides[i];
        const int32_t all = wanted > 0 ? wanted : 0;
        window->pads[i] = upper ? all / 2 : all - all / 2;
        window->pads[i + 2] = all - window->pads[i];
    }
}

static bool is_word(const Onnx__AttributeProto *attribute, const char *word)
{
    return attribute->s.len == strlen(word) && memcmp(attribute->s.data, word, attribute->s.len) == 0;
}

static enum status pad_automatically(const struct node *node, const struct shape *in, struct window *window)
{
    const Onnx__AttributeProto *automatic = node_attribute(node, "auto_pad");
    if (automatic == NULL || automatic->s.len == 0 || is_word(automatic, "NOTSET"))
        return ST_OK;
    if (is_word(automatic, "VALID")) {
        memset(window->pads, 0, sizeof(window->pads));
        return ST_OK;
    }
    if (!is_word(automatic, "SAME_UPPER") && !is_word(automatic, "SAME_LOWER"))
        return error_set(node->err, ST_UNSUPPORTED,
                         "auto_pad: found %.*s, expected NOTSET, VALID or SAME_UPPER",
                         automatic->s.len < 20 ? (int)automatic->s.len : 20, (const char *)automatic->s.data);
    pad_same(in, is_word(automatic, "SAME_UPPER"), window);
    return ST_OK;
}

/* One that rounds up has a last place that is not whole: layers have none. */
static enum status check_rounding(const struct node *node, const struct shape *in,
                                  const struct window *window)
{
    const int32_t sides[2] = {in->h, in->w};
    for (int i = 0; node_int(node, "ceil_mode", 0) != 0 && i < 2; i++)
        if ((sides[i] + window->pads[i] + window->pads[i + 2] - window->kernel[i]) % window->stride != 0)
            return error_set(node->err, ST_UNSUPPORTED,
                             "ceil_mode: found 1 where the window does not end with the image, expected 0");
    return ST_OK;
}

/* `sides`: of the kernel, where the node doesn't say. */
static enum status read_window(const struct node *node, const int32_t sides[2], const struct shape *in,
                               struct window *window)
{
    int32_t strides[2], dilations[2];
    enum status st = ints_of(node, "kernel_shape", 2, 0, window->kernel);
    if (st == ST_OK)
        st = ints_of(node, "strides", 2, 1, strides);
    if (st == ST_OK)
        st = ints_of(node, "dilations", 2, 1, dilations);
    if (st == ST_OK)
        st = ints_of(node, "pads", 4, 0, window->pads);
    if (st != ST_OK)
        return st;
    if (strides[0] != strides[1] || strides[0] < 1 || dilations[0] != 1 || dilations[1] != 1)
        return error_set(node->err, ST_UNSUPPORTED,
                         "strides %d and %d, dilations %d and %d: expected equal strides and no dilation",
                         strides[0], strides[1], dilations[0], dilations[1]);
    window->stride = strides[0];
    for (int i = 0; i < 2; i++)
        window->kernel[i] = window->kernel[i] > 0 ? window->kernel[i] : sides[i];
    st = pad_automatically(node, in, window);
    return st == ST_OK ? check_rounding(node, in, window) : st;
}

/* A layer pads opposite sides alike: where a node does not, the kernel grows by zeros at the side of less padding. */
static void put_window(const struct window *window, struct layer *layer, int32_t front[2])
{
    int32_t kernel[2], pad[2];
    for (int i = 0; i < 2; i++) {
        const int32_t begin = window->pads[i], end = window->pads[i + 2];
        front[i] = end > begin ? end - begin : 0;
        pad[i] = end > begin ? end : begin;
        kernel[i] = window->kernel[i] + (end > begin ? end - begin : begin - end);
    }
    layer->kernel_h = kernel[0];
    layer->kernel_w = kernel[1];
    layer->stride = window->stride;
    layer->pad_h = pad[0];
    layer->pad_w = pad[1];
}

static const struct shape *shape_of(const struct node *node, int32_t layer)
{
    return &node->reading->graph.layers[layer].shape;
}

enum status node_read_conv(const struct node *node)
{
    struct layer layer = {.kind = LAYER_CONV, .input_count = 1};
    struct onnx_weights weights = {.role = WEIGHT_KERNEL};
    struct window window;
    const struct onnx_tensor *kernel = node_tensor(node, 1), *bias = node_tensor(node, 2);
    const int64_t groups = node_int(node, "group", 1);
    if (kernel == NULL || kernel->rank != 4 || (node->input_count > 2 && bias == NULL))
        return error_set(node->err, ST_UNSUPPORTED, "expected a constant kernel of four dimensions and bias");
    if (groups < 1 || groups > GRAPH_MAX_CHANNELS)
        return error_set(node->err, ST_FORMAT, "group: found %lld", (long long)groups);
    layer.out_channels = kernel->dims[0];
    layer.groups = (int32_t)groups;
    layer.bias = bias != NULL;
    enum status st = node_scaled_layer(node, 0, &layer.inputs[0], &weights.times);
    if (st == ST_OK)
        st = read_window(node, kernel->dims + 2, shape_of(node, layer.inputs[0]), &window);
    if (st == ST_OK && (window.kernel[0] != kernel->dims[2] || window.kernel[1] != kernel->dims[3]))
        st = error_set(node->err, ST_FORMAT, "kernel_shape %d x %d, and a kernel of %d x %d",
                       window.kernel[0], window.kernel[1], kernel->dims[2], kernel->dims[3]);
    if (st != ST_OK)
        return st;
    put_window(&window, &layer, weights.front);
    st = node_yield_layer(node, layer);
    if (st == ST_OK)
        st = node_take_weights(node, 1, weights);
    if (st == ST_OK && bias != NULL)
        st = node_take_weights(node, 2, (struct onnx_weights){.role = WEIGHT_BIAS});
    return st;
}

/* A global maximum is that of a window as large as the image. */
enum status node_read_pool(const struct node *node)
{
    const bool is_mean = node->proto->op_type[0] == 'A', is_global = node->proto->op_type[0] == 'G';
    struct layer layer = {.kind = is_mean ? LAYER_AVERAGE_POOL : LAYER_MAX_POOL, .input_count = 1};
    struct window window = {.stride = 1};
    int32_t sides[2] = {0}, front[2];
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    if (st != ST_OK)
        return st;
    const struct shape in = *shape_of(node, layer.inputs[0]);
    if (is_global) {
        window.kernel[0] = in.h;
        window.kernel[1] = in.w;
    } else {
        st = read_window(node, sides, &in, &window);
    }
    if (st == ST_OK && (window.pads[0] != window.pads[2] || window.pads[1] != window.pads[3]))
        st = error_set(node->err, ST_UNSUPPORTED,
                       "pads %d, %d, %d, %d: expected as much padding on opposite sides", window.pads[0],
                       window.pads[1], window.pads[2], window.pads[3]);
    if (st == ST_OK && is_mean && window.pads[0] + window.pads[1] > 0)
        st = node_expect_int(node, "count_include_pad", 0, 0);
    if (st != ST_OK)
        return st;
    put_window(&window, &layer, front);
    return node_yield_layer(node, layer);
}

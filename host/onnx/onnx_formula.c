#include "host/onnx/onnx_node.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* How far two numbers of a formula may differ. */
static bool is_near(float value, float wanted)
{
    return fabsf(value - wanted) <= 1e-6f * fabsf(wanted);
}

/* A function of one layer, as a part of what it may become. */
enum status node_read_function(const struct node *node)
{
    struct onnx_value value = {.factor = 1.0f};
    const struct onnx_value *x = node->inputs[0];
    const char *operation = node->proto->op_type;
    if (x == NULL || x->kind != ONNX_VALUE_LAYER)
        return error_set(node->err, ST_UNSUPPORTED, "input 0 is not what a layer yields");
    float wanted = 1.0f;
    value.layer = x->layer;
    if (strcmp(operation, "Sigmoid") == 0) {
        value.kind = ONNX_VALUE_LOGISTIC;
        wanted = value.inner = x->factor; /* what it may be is known by what reads this */
    } else if (strcmp(operation, "Erf") == 0) {
        value.kind = ONNX_VALUE_ERF;
        wanted = 0.70710678f;
    } else {
        value.kind = ONNX_VALUE_HARD;
        if (!is_near(node_float(node, "alpha", 0.2f), 1.0f / 6.0f) ||
            !is_near(node_float(node, "beta", 0.5f), 0.5f))
            return error_set(node->err, ST_UNSUPPORTED, "expected alpha of 1 / 6 and beta of 1 / 2");
    }
    if (!is_near(x->factor, wanted))
        return error_set(node->err, ST_UNSUPPORTED, "its input is a layer times %g, expected %g",
                         (double)x->factor, (double)wanted);
    return node_yield(node, value);
}

/* Of opset 20; before, files have its parts. */
enum status node_read_gelu(const struct node *node)
{
    struct layer layer = {.kind = LAYER_GELU, .input_count = 1};
    const Onnx__AttributeProto *found = node_attribute(node, "approximate");
    if (found != NULL && (found->s.len != 4 || memcmp(found->s.data, "none", 4) != 0))
        return error_set(node->err, ST_UNSUPPORTED, "approximate: expected none");
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    return st == ST_OK ? node_yield_layer(node, layer) : st;
}

/* A bound of Clip, an attribute or, from opset 11 on, input k; `usual` where it is left out. */
static enum status bound_of(const struct node *node, const char *name, int32_t k, float usual, float *bound)
{
    const struct onnx_tensor *tensor = node_tensor(node, k);
    *bound = node_float(node, name, usual);
    if (tensor != NULL && tensor->count == 1)
        *bound = onnx_tensor_at(tensor, 0);
    else if (k < node->input_count && node->inputs[k] != NULL)
        return error_set(node->err, ST_UNSUPPORTED, "input %d is no constant number", (int)k);
    return ST_OK;
}

/* From 0 on it is ReLU, to 6 ReLU6; of a layer + 3 six times a part of hard-swish. */
enum status node_read_clip(const struct node *node)
{
    struct layer layer = {.input_count = 1};
    const struct onnx_value *x = node->inputs[0];
    float least, most;
    enum status st = bound_of(node, "min", 1, -FLT_MAX, &least);
    if (st == ST_OK)
        st = bound_of(node, "max", 2, FLT_MAX, &most);
    if (st != ST_OK)
        return st;
    const bool has_end = most == 6.0f;
    if (least != 0.0f || (!has_end && most < FLT_MAX))
        return error_set(node->err, ST_UNSUPPORTED, "from %g to %g: expected from 0 on, or from 0 to 6",
                         (double)least, (double)most);
    if (has_end && x != NULL && x->kind == ONNX_VALUE_MOVED)
        return node_yield(node,
                          (struct onnx_value){.kind = ONNX_VALUE_HARD, .layer = x->layer, .factor = 6.0f});
    layer.kind = has_end ? LAYER_RELU6 : LAYER_RELU;
    st = node_layer(node, 0, &layer.inputs[0]);
    return st == ST_OK ? node_yield_layer(node, layer) : st;
}

/* One number for each channel: of a constant that is one number, or has as many values as there are channels. */
static enum status channels_of(const struct node *node, const struct onnx_tensor *tensor,
                               float values[ONNX_CHANNELS])
{
    const int32_t channels = node->reading->graph.layers[0].shape.c;
    const bool each =
        tensor->rank >= 3 && tensor->dims[tensor->rank - 3] == channels && tensor->count == (size_t)channels;
    if (!each && tensor->count != 1)
        return error_set(node->err, ST_UNSUPPORTED,
                         "found a constant of %zu values, expected 1 or one a channel", tensor->count);
    for (int32_t c = 0; c < channels; c++)
        values[c] = onnx_tensor_at(tensor, each ? (size_t)c : 0);
    return ST_OK;
}

/* Pixels and a constant: another step of their normalisation. */
static enum status normalise(const struct node *node, const struct onnx_value *pixels,
                             const struct onnx_tensor *tensor)
{
    struct onnx_reading *reading = node->reading;
    const char operation = node->proto->op_type[0];
    float values[ONNX_CHANNELS] = {0};
    if (reading->begun || pixels->name != reading->pixels)
        return error_set(node->err, ST_UNSUPPORTED, "normalises images that the network has read before");
    enum status st = channels_of(node, tensor, values);
    if (st != ST_OK)
        return st;
    for (int32_t c = 0; c < reading->graph.layers[0].shape.c; c++) {
        const float factor = operation == 'M' ? values[c] : operation == 'D' ? 1.0f / values[c] : 1.0f;
        const float summand = operation == 'A' ? values[c] : operation == 'S' ? -values[c] : 0.0f;
        reading->factor[c] *= factor;
        reading->summand[c] = reading->summand[c] * factor + summand;
        if (!(fabsf(reading->factor[c]) >= 1e-30f && fabsf(reading->factor[c]) <= 1e30f))
            return error_set(node->err, ST_UNSUPPORTED, "images are multiplied by %g",
                             (double)reading->factor[c]);
    }
    reading->pixels = node->proto->output[0];
    return node_yield(node, (struct onnx_value){.kind = ONNX_VALUE_PIXELS});
}

/* A value of a layer and one number. */
static enum status scale(const struct node *node, const struct onnx_value *value, float number)
{
    struct onnx_value scaled = *value;
    const char operation = node->proto->op_type[0];
    if (operation == 'A' && value->kind == ONNX_VALUE_ERF && value->factor == 1.0f && number == 1.0f) {
        scaled.kind = ONNX_VALUE_NORMAL;
    } else if (operation == 'A' && value->kind == ONNX_VALUE_LAYER && value->factor == 1.0f &&
               number == 3.0f) {
        scaled.kind = ONNX_VALUE_MOVED;
    } else if (operation == 'M' || operation == 'D') {
        const float factor = value->factor * (operation == 'M' ? number : 1.0f / number);
        scaled.factor = is_near(factor, 1.0f) ? 1.0f : factor;
    } else {
        return error_set(node->err, ST_UNSUPPORTED, "of a layer and a constant");
    }
    return node_yield(node, scaled);
}

/* layer * f(layer): an activation, or a gate. */
static enum status multiply(const struct node *node, const struct onnx_value *x,
                            const struct onnx_value *share)
{
    struct layer layer = {.input_count = 1, .inputs = {x->layer, share->layer}};
    const bool own = x->layer == share->layer;
    float factor = x->factor * share->factor;
    if (x->kind != ONNX_VALUE_LAYER)
        return error_set(node->err, ST_UNSUPPORTED, "input 0 is not what a layer yields");
    if (share->kind == ONNX_VALUE_LOGISTIC && !is_near(share->inner, 1.0f))
        return error_set(node->err, ST_UNSUPPORTED, "by a Sigmoid of a layer times %g, expected 1",
                         (double)share->inner);
    if (share->kind == ONNX_VALUE_LOGISTIC && own) {
        layer.kind = LAYER_SILU;
    } else if (share->kind == ONNX_VALUE_HARD && own) {
        layer.kind = LAYER_HARD_SWISH;
    } else if (share->kind == ONNX_VALUE_NORMAL && own) {
        layer.kind = LAYER_GELU;
        factor *= 2.0f;
    } else if (share->kind == ONNX_VALUE_LOGISTIC) {
        layer.kind = LAYER_GATE;
        layer.input_count = 2;
        factor *= 0.5f;
    } else {
        return error_set(node->err, ST_UNSUPPORTED, "of two layers");
    }
    struct onnx_value value = {.kind = ONNX_VALUE_LAYER, .factor = is_near(factor, 1.0f) ? 1.0f : factor};
    enum status st = graph_append(&node->reading->graph, layer, &value.layer, node->err);
    return st == ST_OK ? node_yield(node, value) : st;
}

/* A number for each channel, added to what a convolution or a dense layer yields that nobody has read yet: its bias. */
static enum status add_bias(const struct node *node, const struct onnx_value *x, int32_t constant)
{
    struct onnx_reading *reading = node->reading;
    const struct onnx_tensor *tensor = &node->inputs[constant]->tensor;
    struct layer *layer = &reading->graph.layers[x->layer];
    const int32_t channels = layer->shape.c;
    const int32_t axis = tensor->rank - (layer->kind == LAYER_DENSE ? 1 : 3);
    if ((layer->kind != LAYER_DENSE && layer->kind != LAYER_CONV) || layer->bias || x->factor != 1.0f ||
        x->layer != reading->graph.count - 1 || axis < 0 || tensor->dims[axis] != channels ||
        tensor->count != (size_t)channels)
        return error_set(
            node->err, ST_UNSUPPORTED,
            "of a constant: expected a number for each channel of the convolution or product before it");
    const struct onnx_value sum = *x;
    layer->bias = true;
    onnx_value_find(reading, x->name)->kind = ONNX_VALUE_NONE;
    enum status st = node_take_weights(node, constant, (struct onnx_weights){.role = WEIGHT_BIAS});
    return st == ST_OK ? node_yield(node, sum) : st;
}

static enum status add_layers(const struct node *node)
{
    struct layer layer = {.kind = LAYER_ADD, .input_count = 2};
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    if (st == ST_OK)
        st = node_layer(node, 1, &layer.inputs[1]);
    return st == ST_OK ? node_yield_layer(node, layer) : st;
}

/* Add, Sub, Mul, Div. */
enum status node_read_arithmetic(const struct node *node)
{
    const struct onnx_value *a = node->inputs[0], *b = node->inputs[1];
    const char operation = node->proto->op_type[0];
    const bool turns = operation == 'A' || operation == 'M'; /* operands may change places */
    if (a == NULL || b == NULL)
        return error_set(node->err, ST_FORMAT, "an operand is missing");
    if (turns && (a->kind == ONNX_VALUE_TENSOR || b->kind == ONNX_VALUE_LAYER)) {
        const struct onnx_value *first = a;
        a = b;
        b = first;
    }
    if (b->kind == ONNX_VALUE_TENSOR && a->kind == ONNX_VALUE_PIXELS)
        return normalise(node, a, &b->tensor);
    if (b->kind == ONNX_VALUE_TENSOR && a->kind != ONNX_VALUE_TENSOR && b->tensor.count == 1)
        return scale(node, a, onnx_tensor_at(&b->tensor, 0));
    if (operation == 'A' && b->kind == ONNX_VALUE_TENSOR && a->kind == ONNX_VALUE_LAYER)
        return add_bias(node, a, b == node->inputs[0] ? 0 : 1);
    if (operation == 'A')
        return add_layers(node);
    if (operation == 'M' && b->kind != ONNX_VALUE_TENSOR)
        return multiply(node, a, b);
    return error_set(node->err, ST_UNSUPPORTED, "of these two");
}

#include "host/onnx/onnx_node.h"

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
    if (operation == 'A')
        return add_layers(node);
    if (operation == 'M' && b->kind != ONNX_VALUE_TENSOR)
        return multiply(node, a, b);
    return error_set(node->err, ST_UNSUPPORTED, "of these two");
}

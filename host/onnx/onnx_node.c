#include "host/onnx/onnx_node.h"

#include "host/base/array.h"

#include <string.h>

/* ---- attributes ---- */

static const Onnx__AttributeProto *find_attribute(const struct node *node, const char *name)
{
    for (size_t i = 0; i < node->proto->n_attribute; i++)
        if (node->proto->attribute[i]->name != NULL && strcmp(node->proto->attribute[i]->name, name) == 0)
            return node->proto->attribute[i];
    return NULL;
}

int64_t node_int(const struct node *node, const char *name, int64_t usual)
{
    const Onnx__AttributeProto *found = find_attribute(node, name);
    return found != NULL ? found->i : usual;
}

float node_float(const struct node *node, const char *name, float usual)
{
    const Onnx__AttributeProto *found = find_attribute(node, name);
    return found != NULL ? found->f : usual;
}

/* `count` numbers, each `usual` where the attribute is absent. ST_FORMAT for another count, ST_UNSUPPORTED beyond
 * what layers have. */
static enum status ints_of(const struct node *node, const char *name, int32_t count, int32_t usual,
                           int32_t *values)
{
    const Onnx__AttributeProto *found = find_attribute(node, name);
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

static enum status expect_int(const struct node *node, const char *name, int64_t usual, int64_t wanted)
{
    const int64_t found = node_int(node, name, usual);
    return found == wanted ? ST_OK
                           : error_set(node->err, ST_UNSUPPORTED, "%s: found %lld, expected %lld", name,
                                       (long long)found, (long long)wanted);
}

/* ---- inputs and outputs ---- */

enum status node_yield(const struct node *node, struct onnx_value value)
{
    value.name = node->proto->output[0];
    return onnx_value_add(node->reading, &value, node->err);
}

enum status node_yield_layer(const struct node *node, struct layer layer)
{
    struct onnx_value value = {.kind = ONNX_VALUE_LAYER, .factor = 1.0f};
    enum status st = graph_append(&node->reading->graph, layer, &value.layer, node->err);
    return st == ST_OK ? node_yield(node, value) : st;
}

enum status node_layer(const struct node *node, int32_t k, int32_t *index)
{
    const struct onnx_value *value = node->inputs[k];
    if (value != NULL && value->kind == ONNX_VALUE_PIXELS && value->name == node->reading->pixels) {
        node->reading->begun = true;
        *index = 0;
        return ST_OK;
    }
    if (value == NULL || value->kind != ONNX_VALUE_LAYER || value->factor != 1.0f)
        return error_set(node->err, ST_UNSUPPORTED, "input %d is not what a layer yields", k);
    *index = value->layer;
    return ST_OK;
}

static const struct onnx_tensor *tensor_of(const struct node *node, int32_t k)
{
    const bool is =
        k < node->input_count && node->inputs[k] != NULL && node->inputs[k]->kind == ONNX_VALUE_TENSOR;
    return is ? &node->inputs[k]->tensor : NULL;
}

/* The layer that the node becomes takes input k as its weights. */
static enum status take_weights(const struct node *node, int32_t k, struct onnx_weights weights)
{
    struct onnx_reading *reading = node->reading;
    struct onnx_weights *larger =
        array_with_room(reading->weights, reading->weight_count, &reading->weight_capacity, sizeof(*larger),
                        "weights", node->err);
    if (larger == NULL)
        return node->err->status;
    weights.layer = reading->graph.count - 1;
    weights.tensor = node->inputs[k]->tensor;
    larger[reading->weight_count++] = weights;
    reading->weights = larger;
    return ST_OK;
}

/* ---- layers ---- */

/* Kernel, strides and padding of a convolution or a pool. `sides`: of the kernel, where the node doesn't say. */
static enum status read_window(const struct node *node, const int32_t sides[2], struct layer *layer)
{
    const Onnx__AttributeProto *automatic = find_attribute(node, "auto_pad");
    int32_t kernel[2], strides[2], dilations[2], pads[4];
    enum status st = ST_OK;
    if (automatic != NULL && automatic->s.len > 0 &&
        (automatic->s.len != 6 || memcmp(automatic->s.data, "NOTSET", 6) != 0))
        st = error_set(node->err, ST_UNSUPPORTED, "auto_pad: found %.*s, expected NOTSET",
                       automatic->s.len < 20 ? (int)automatic->s.len : 20, (const char *)automatic->s.data);
    if (st == ST_OK)
        st = ints_of(node, "kernel_shape", 2, 0, kernel);
    if (st == ST_OK)
        st = ints_of(node, "strides", 2, 1, strides);
    if (st == ST_OK)
        st = ints_of(node, "dilations", 2, 1, dilations);
    if (st == ST_OK)
        st = ints_of(node, "pads", 4, 0, pads);
    if (st == ST_OK)
        st = expect_int(node, "ceil_mode", 0, 0);
    if (st != ST_OK)
        return st;
    if (strides[0] != strides[1] || dilations[0] != 1 || dilations[1] != 1 || pads[0] != pads[2] ||
        pads[1] != pads[3])
        return error_set(
            node->err, ST_UNSUPPORTED,
            "strides %d and %d, dilations %d and %d, pads %d, %d, %d, %d: expected equal strides, no "
            "dilation, and as much padding on opposite sides",
            strides[0], strides[1], dilations[0], dilations[1], pads[0], pads[1], pads[2], pads[3]);
    layer->kernel_h = kernel[0] > 0 ? kernel[0] : sides[0];
    layer->kernel_w = kernel[1] > 0 ? kernel[1] : sides[1];
    layer->stride = strides[0];
    layer->pad_h = pads[0];
    layer->pad_w = pads[1];
    return ST_OK;
}

static enum status read_conv(const struct node *node)
{
    struct layer layer = {.kind = LAYER_CONV, .input_count = 1};
    const struct onnx_tensor *kernel = tensor_of(node, 1), *bias = tensor_of(node, 2);
    const int64_t groups = node_int(node, "group", 1);
    if (kernel == NULL || kernel->rank != 4 || (node->input_count > 2 && bias == NULL))
        return error_set(node->err, ST_UNSUPPORTED, "expected a constant kernel of four dimensions and bias");
    if (groups < 1 || groups > GRAPH_MAX_CHANNELS)
        return error_set(node->err, ST_FORMAT, "group: found %lld", (long long)groups);
    layer.out_channels = kernel->dims[0];
    layer.groups = (int32_t)groups;
    layer.bias = bias != NULL;
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    if (st == ST_OK)
        st = read_window(node, kernel->dims + 2, &layer);
    if (st == ST_OK && (layer.kernel_h != kernel->dims[2] || layer.kernel_w != kernel->dims[3]))
        st = error_set(node->err, ST_FORMAT, "kernel_shape %d x %d, and a kernel of %d x %d", layer.kernel_h,
                       layer.kernel_w, kernel->dims[2], kernel->dims[3]);
    if (st == ST_OK)
        st = node_yield_layer(node, layer);
    if (st == ST_OK)
        st = take_weights(node, 1, (struct onnx_weights){.role = WEIGHT_KERNEL});
    if (st == ST_OK && bias != NULL)
        st = take_weights(node, 2, (struct onnx_weights){.role = WEIGHT_BIAS});
    return st;
}

static enum status read_batch_norm(const struct node *node)
{
    static const enum weight_role roles[] = {WEIGHT_SCALE, WEIGHT_SHIFT, WEIGHT_RUNNING_MEAN,
                                             WEIGHT_RUNNING_VAR};
    struct layer layer = {.kind = LAYER_BATCH_NORM, .input_count = 1};
    const float epsilon = node_float(node, "epsilon", GRAPH_BATCH_NORM_EPSILON);
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    if (st == ST_OK)
        st = node_yield_layer(node, layer);
    for (int32_t i = 0; st == ST_OK && i < 4; i++) {
        /* another epsilon stands in the variance */
        const float added = roles[i] == WEIGHT_RUNNING_VAR ? epsilon - GRAPH_BATCH_NORM_EPSILON : 0.0f;
        st = tensor_of(node, i + 1) != NULL
                 ? take_weights(node, i + 1, (struct onnx_weights){.role = roles[i], .added = added})
                 : error_set(node->err, ST_UNSUPPORTED, "input %d is no constant", i + 1);
    }
    return st;
}

static enum status read_dense(const struct node *node)
{
    struct layer layer = {.kind = LAYER_DENSE, .input_count = 1};
    const struct onnx_value *x = node->inputs[0];
    const struct onnx_tensor *kernel = tensor_of(node, 1), *bias = tensor_of(node, 2);
    const bool transposed = node_int(node, "transB", 0) == 0;
    enum status st = ST_OK;
    if (x == NULL || (x->kind != ONNX_VALUE_FLAT && x->kind != ONNX_VALUE_LAYER) || x->factor != 1.0f ||
        kernel == NULL || kernel->rank != 2 || (node->input_count > 2 && bias == NULL))
        return error_set(node->err, ST_UNSUPPORTED, "expected a flattened layer, a constant matrix and bias");
    if (node_float(node, "alpha", 1.0f) != 1.0f || node_float(node, "beta", 1.0f) != 1.0f)
        return error_set(node->err, ST_UNSUPPORTED, "expected alpha and beta of 1");
    st = expect_int(node, "transA", 0, 0);
    layer.inputs[0] = x->layer;
    layer.out_channels = kernel->dims[transposed ? 1 : 0];
    layer.bias = bias != NULL;
    if (st == ST_OK)
        st = node_yield_layer(node, layer);
    if (st == ST_OK)
        st = take_weights(node, 1, (struct onnx_weights){.role = WEIGHT_KERNEL, .transposed = transposed});
    if (st == ST_OK && bias != NULL)
        st = take_weights(node, 2, (struct onnx_weights){.role = WEIGHT_BIAS});
    return st;
}

static enum status read_pool(const struct node *node)
{
    static const int32_t unknown[2];
    const bool takes_largest = strcmp(node->proto->op_type, "MaxPool") == 0;
    struct layer layer = {.kind = takes_largest ? LAYER_MAX_POOL : LAYER_AVERAGE_POOL, .input_count = 1};
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    if (st == ST_OK)
        st = read_window(node, unknown, &layer);
    if (st == ST_OK && !takes_largest && layer.pad_h + layer.pad_w > 0)
        st = expect_int(node, "count_include_pad", 0, 0);
    return st == ST_OK ? node_yield_layer(node, layer) : st;
}

/* Of one input, without settings. */
static enum status read_simple(const struct node *node)
{
    struct layer layer = {.input_count = 1};
    layer.kind = strcmp(node->proto->op_type, "Relu") == 0 ? LAYER_RELU : LAYER_GLOBAL_POOL;
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    return st == ST_OK ? node_yield_layer(node, layer) : st;
}

static enum status read_concat(const struct node *node)
{
    struct layer layer = {.kind = LAYER_CONCAT, .input_count = node->input_count};
    enum status st = expect_int(node, "axis", 1, 1);
    for (int32_t i = 0; st == ST_OK && i < node->input_count; i++)
        st = node_layer(node, i, &layer.inputs[i]);
    return st == ST_OK ? node_yield_layer(node, layer) : st;
}

/* ---- what changes nothing, or only the form ---- */

static enum status read_same(const struct node *node)
{
    struct onnx_value value = node->inputs[0] != NULL ? *node->inputs[0] : (struct onnx_value){0};
    enum status st = ST_OK;
    if (value.kind == ONNX_VALUE_PIXELS) { /* that ends their normalisation */
        value = (struct onnx_value){.kind = ONNX_VALUE_LAYER, .factor = 1.0f};
        st = node_layer(node, 0, &value.layer);
    }
    if (st == ST_OK)
        st = node_yield(node, value);
    if (st == ST_OK && node->proto->n_output > 1) { /* a dropout's mask, which nobody may read */
        const struct onnx_value mask = {.name = node->proto->output[1]};
        st = onnx_value_add(node->reading, &mask, node->err);
    }
    return st;
}

static enum status read_cast(const struct node *node)
{
    if (node->inputs[0] == NULL || node->inputs[0]->kind != ONNX_VALUE_PIXELS)
        return error_set(node->err, ST_UNSUPPORTED, "expected the images to be cast, and nothing else");
    enum status st = expect_int(node, "to", 0, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    if (st != ST_OK)
        return st;
    node->reading->pixels = node->proto->output[0];
    return node_yield(node, (struct onnx_value){.kind = ONNX_VALUE_PIXELS});
}

static enum status read_flatten(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_FLAT, .factor = 1.0f};
    enum status st = expect_int(node, "axis", 1, 1);
    if (st == ST_OK)
        st = node_layer(node, 0, &value.layer);
    return st == ST_OK ? node_yield(node, value) : st;
}

static enum status read_softmax(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_PROBABILITIES, .factor = 1.0f};
    const int64_t axis = node_int(node, "axis", 1);
    if (axis != 1 && axis != -1)
        return error_set(node->err, ST_UNSUPPORTED, "axis: found %lld, expected 1", (long long)axis);
    if (node->inputs[0] != NULL &&
        node->inputs[0]->kind == ONNX_VALUE_LAYER) { /* logits over a temperature */
        value.layer = node->inputs[0]->layer;
        value.factor = node->inputs[0]->factor;
        return node_yield(node, value);
    }
    enum status st = node_layer(node, 0, &value.layer);
    return st == ST_OK ? node_yield(node, value) : st;
}

/* ---- operators ---- */

#define WINDOW "kernel_shape strides pads dilations auto_pad "

static const struct operation {
    const char *name;
    int32_t least, most; /* inputs */
    /* Names, each with a space behind it: of those that are looked at, or change nothing in inference. */
    const char *attributes;
    enum status (*read)(const struct node *node);
} OPERATIONS[] = {
    {"Add", 2, 2, "", node_read_arithmetic},
    {"AveragePool", 1, 1, WINDOW "ceil_mode count_include_pad ", read_pool},
    {"BatchNormalization", 5, 5, "epsilon momentum training_mode spatial ", read_batch_norm},
    {"Cast", 1, 1, "to ", read_cast},
    {"Concat", 2, GRAPH_MAX_INPUTS, "axis ", read_concat},
    {"Conv", 2, 3, WINDOW "group ", read_conv},
    {"DequantizeLinear", 2, 3, "axis ", node_read_dequantise},
    {"Div", 2, 2, "", node_read_arithmetic},
    {"Dropout", 1, 3, "ratio seed ", read_same},
    {"Erf", 1, 1, "", node_read_function},
    {"Flatten", 1, 1, "axis ", read_flatten},
    {"Gemm", 2, 3, "alpha beta transA transB ", read_dense},
    {"GlobalAveragePool", 1, 1, "", read_simple},
    {"HardSigmoid", 1, 1, "alpha beta ", node_read_function},
    {"Identity", 1, 1, "", read_same},
    {"MaxPool", 1, 1, WINDOW "ceil_mode storage_order ", read_pool},
    {"Mul", 2, 2, "", node_read_arithmetic},
    {"QuantizeLinear", 3, 3, "axis ", node_read_quantise},
    {"Relu", 1, 1, "", read_simple},
    {"Sigmoid", 1, 1, "", node_read_function},
    {"Softmax", 1, 1, "axis ", read_softmax},
    {"Sub", 2, 2, "", node_read_arithmetic},
};

static const struct operation *operation_of(const Onnx__NodeProto *proto)
{
    const bool usual = proto->domain == NULL || proto->domain[0] == '\0';
    for (size_t i = 0; usual && proto->op_type != NULL && i < sizeof(OPERATIONS) / sizeof(OPERATIONS[0]); i++)
        if (strcmp(OPERATIONS[i].name, proto->op_type) == 0)
            return &OPERATIONS[i];
    return NULL;
}

/* One that is not known would be passed over otherwise, and the network be another. */
static enum status check_attributes(const struct node *node, const char *known)
{
    for (size_t i = 0; i < node->proto->n_attribute; i++) {
        const char *name = node->proto->attribute[i]->name;
        const size_t length = name != NULL ? strlen(name) : 0;
        const char *place = length > 0 ? strstr(known, name) : NULL;
        while (place != NULL && (place[length] != ' ' || (place > known && place[-1] != ' ')))
            place = strstr(place + 1, name);
        if (place == NULL)
            return error_set(node->err, ST_UNSUPPORTED, "attribute \"%.40s\" is not known",
                             length > 0 ? name : "");
    }
    return ST_OK;
}

static enum status find_inputs(struct node *node)
{
    for (int32_t i = 0; i < node->input_count; i++) {
        const char *name = node->proto->input[i];
        node->inputs[i] = name != NULL && name[0] != '\0' ? onnx_value_find(node->reading, name) : NULL;
        if (name != NULL && name[0] != '\0' && node->inputs[i] == NULL)
            return error_set(node->err, ST_FORMAT, "input \"%.80s\" is not known", name);
    }
    return ST_OK;
}

static enum status read_node(struct node *node, const struct operation *operation)
{
    const size_t inputs = node->proto->n_input;
    if (operation == NULL)
        return error_set(node->err, ST_UNSUPPORTED, "the operator is not known");
    if (inputs < (size_t)operation->least || inputs > (size_t)operation->most || node->proto->n_output < 1)
        return error_set(node->err, ST_FORMAT, "found %zu inputs and %zu outputs, expected %d to %d and 1",
                         inputs, node->proto->n_output, operation->least, operation->most);
    node->input_count = (int32_t)inputs;
    enum status st = check_attributes(node, operation->attributes);
    if (st == ST_OK)
        st = find_inputs(node);
    return st == ST_OK ? operation->read(node) : st;
}

enum status onnx_node_read(struct onnx_reading *reading, const Onnx__NodeProto *proto, struct error *err)
{
    struct node node = {.reading = reading, .proto = proto, .err = err};
    enum status st = read_node(&node, operation_of(proto));
    if (st != ST_OK && st != ST_MEMORY)
        error_prefix(err, "node \"%.80s\" (%.40s)", proto->name != NULL ? proto->name : "",
                     proto->op_type != NULL ? proto->op_type : "");
    return st;
}

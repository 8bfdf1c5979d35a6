#include "host/onnx/onnx_node.h"

#include "host/base/array.h"

#include <string.h>

/* ---- attributes ---- */

const Onnx__AttributeProto *node_attribute(const struct node *node, const char *name)
{
    for (size_t i = 0; i < node->proto->n_attribute; i++)
        if (node->proto->attribute[i]->name != NULL && strcmp(node->proto->attribute[i]->name, name) == 0)
            return node->proto->attribute[i];
    return NULL;
}

int64_t node_int(const struct node *node, const char *name, int64_t usual)
{
    const Onnx__AttributeProto *found = node_attribute(node, name);
    return found != NULL ? found->i : usual;
}

float node_float(const struct node *node, const char *name, float usual)
{
    const Onnx__AttributeProto *found = node_attribute(node, name);
    return found != NULL ? found->f : usual;
}

enum status node_expect_int(const struct node *node, const char *name, int64_t usual, int64_t wanted)
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

/* What is factor times a layer becomes a layer of its own: each channel times that number. */
static enum status make_scale(const struct node *node, struct onnx_value *value)
{
    struct onnx_reading *reading = node->reading;
    const int32_t channels = reading->graph.layers[value->layer].shape.c;
    const struct layer layer = {.kind = LAYER_CONV,
                                .input_count = 1,
                                .inputs = {value->layer},
                                .out_channels = channels,
                                .kernel_h = 1,
                                .kernel_w = 1,
                                .stride = 1,
                                .groups = channels};
    enum status st = graph_append(&reading->graph, layer, &value->layer, node->err);
    if (st == ST_OK)
        st = node_take_weights(
            node, 0, (struct onnx_weights){.role = WEIGHT_KERNEL, .ones = true, .times = value->factor});
    value->factor = 1.0f;
    return st;
}

enum status node_scaled_layer(const struct node *node, int32_t k, int32_t *index, float *factor)
{
    const struct onnx_value *value = node->inputs[k];
    *factor = 1.0f;
    if (value != NULL && value->kind == ONNX_VALUE_PIXELS && value->name == node->reading->pixels) {
        node->reading->begun = true;
        *index = 0;
        return ST_OK;
    }
    if (value == NULL || value->kind != ONNX_VALUE_LAYER)
        return error_set(node->err, ST_UNSUPPORTED, "input %d is not what a layer yields", k);
    *index = value->layer;
    *factor = value->factor;
    return ST_OK;
}

enum status node_layer(const struct node *node, int32_t k, int32_t *index)
{
    float factor;
    enum status st = node_scaled_layer(node, k, index, &factor);
    if (st != ST_OK || factor == 1.0f)
        return st;
    struct onnx_value *value = onnx_value_find(node->reading, node->inputs[k]->name);
    st = make_scale(node, value);
    *index = value->layer;
    return st;
}

const struct onnx_tensor *node_tensor(const struct node *node, int32_t k)
{
    const bool is =
        k < node->input_count && node->inputs[k] != NULL && node->inputs[k]->kind == ONNX_VALUE_TENSOR;
    return is ? &node->inputs[k]->tensor : NULL;
}

enum status node_take_weights(const struct node *node, int32_t k, struct onnx_weights weights)
{
    struct onnx_reading *reading = node->reading;
    struct onnx_weights *larger =
        array_with_room(reading->weights, reading->weight_count, &reading->weight_capacity, sizeof(*larger),
                        "weights", node->err);
    if (larger == NULL)
        return node->err->status;
    weights.layer = reading->graph.count - 1;
    if (!weights.ones)
        weights.tensor = node->inputs[k]->tensor;
    larger[reading->weight_count++] = weights;
    reading->weights = larger;
    return ST_OK;
}

/* ---- layers ---- */

/* Another epsilon, and what the layer before it is multiplied by, stand in mean and variance. */
static enum status read_batch_norm(const struct node *node)
{
    struct layer layer = {.kind = LAYER_BATCH_NORM, .input_count = 1};
    const float epsilon = node_float(node, "epsilon", GRAPH_BATCH_NORM_EPSILON);
    float factor;
    enum status st = node_expect_int(node, "training_mode", 0, 0);
    if (st == ST_OK)
        st = node_expect_int(node, "spatial", 1, 1);
    if (st == ST_OK)
        st = node_scaled_layer(node, 0, &layer.inputs[0], &factor);
    if (st == ST_OK)
        st = node_yield_layer(node, layer);
    if (st != ST_OK)
        return st;
    const struct onnx_weights weights[] = {{.role = WEIGHT_SCALE},
                                           {.role = WEIGHT_SHIFT},
                                           {.role = WEIGHT_RUNNING_MEAN, .times = 1.0f / factor},
                                           {.role = WEIGHT_RUNNING_VAR,
                                            .times = 1.0f / (factor * factor),
                                            .added = epsilon / (factor * factor) - GRAPH_BATCH_NORM_EPSILON}};
    for (int32_t i = 0; st == ST_OK && i < 4; i++)
        st = node_tensor(node, i + 1) != NULL
                 ? node_take_weights(node, i + 1, weights[i])
                 : error_set(node->err, ST_UNSUPPORTED, "input %d is no constant", i + 1);
    return st;
}

/* Gemm, and MatMul, which is one without a bias. */
static enum status read_dense(const struct node *node)
{
    struct layer layer = {.kind = LAYER_DENSE, .input_count = 1};
    const struct onnx_value *x = node->inputs[0];
    const struct onnx_tensor *kernel = node_tensor(node, 1), *bias = node_tensor(node, 2);
    const bool transposed = node_int(node, "transB", 0) == 0;
    enum status st = ST_OK;
    if (x == NULL || (x->kind != ONNX_VALUE_FLAT && x->kind != ONNX_VALUE_LAYER) || kernel == NULL ||
        kernel->rank != 2 || (node->input_count > 2 && bias == NULL))
        return error_set(node->err, ST_UNSUPPORTED, "expected a flattened layer, a constant matrix and bias");
    if (node_float(node, "alpha", 1.0f) != 1.0f || node_float(node, "beta", 1.0f) != 1.0f)
        return error_set(node->err, ST_UNSUPPORTED, "expected alpha and beta of 1");
    st = node_expect_int(node, "transA", 0, 0);
    layer.inputs[0] = x->layer;
    layer.out_channels = kernel->dims[transposed ? 1 : 0];
    layer.bias = bias != NULL;
    if (st == ST_OK)
        st = node_yield_layer(node, layer);
    if (st == ST_OK)
        st = node_take_weights(
            node, 1,
            (struct onnx_weights){.role = WEIGHT_KERNEL, .transposed = transposed, .times = x->factor});
    if (st == ST_OK && bias != NULL)
        st = node_take_weights(node, 2, (struct onnx_weights){.role = WEIGHT_BIAS});
    return st;
}

/* Of one input, without settings. */
static enum status read_simple(const struct node *node)
{
    struct layer layer = {.input_count = 1};
    const char *operation = node->proto->op_type;
    layer.kind = strcmp(operation, "Relu") == 0        ? LAYER_RELU
                 : strcmp(operation, "HardSwish") == 0 ? LAYER_HARD_SWISH
                                                       : LAYER_GLOBAL_POOL;
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    return st == ST_OK ? node_yield_layer(node, layer) : st;
}

/* Appends to `list` what a concat layer joins, also by concat layers that it reads. False when that is more than
 * `most`. */
static bool list_joined(const struct graph *graph, int32_t layer, int32_t *list, int32_t *count, int32_t most)
{
    const struct layer *joins = &graph->layers[layer];
    bool whole = true;
    if (joins->kind != LAYER_CONCAT) {
        if (*count == most)
            return false;
        list[(*count)++] = layer;
        return true;
    }
    for (int32_t i = 0; whole && i < joins->input_count; i++)
        whole = list_joined(graph, joins->inputs[i], list, count, most);
    return whole;
}

/* The layer that already joins the most of the first of `inputs`; *joined: how many. */
static int32_t find_joined(const struct graph *graph, const int32_t *inputs, int32_t count, int32_t *joined)
{
    int32_t best = inputs[0], list[NODE_MOST_INPUTS];
    *joined = 1;
    for (int32_t i = 0; i < graph->count; i++) {
        int32_t length = 0;
        if (graph->layers[i].kind == LAYER_CONCAT && list_joined(graph, i, list, &length, count) &&
            length > *joined && memcmp(list, inputs, (size_t)length * sizeof(*list)) == 0) {
            best = i;
            *joined = length;
        }
    }
    return best;
}

/* Of more than a layer can have: those that are joined already, and the others, layer by layer. */
static enum status read_concat(const struct node *node)
{
    int32_t inputs[NODE_MOST_INPUTS], done;
    struct onnx_value value = {.kind = ONNX_VALUE_LAYER, .factor = 1.0f};
    if (node->inputs[0] != NULL && node->inputs[0]->kind == ONNX_VALUE_INTS)
        return node_read_joined_ints(node);
    const int64_t axis = node_int(node, "axis", 1);
    if (axis != 1 && axis != -3)
        return error_set(node->err, ST_UNSUPPORTED, "axis: found %lld, expected 1", (long long)axis);
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < node->input_count; i++)
        st = node_layer(node, i, &inputs[i]);
    if (st != ST_OK)
        return st;
    value.layer = find_joined(&node->reading->graph, inputs, node->input_count, &done);
    while (st == ST_OK && done < node->input_count) {
        struct layer layer = {.kind = LAYER_CONCAT, .input_count = 1, .inputs = {value.layer}};
        while (done < node->input_count && layer.input_count < GRAPH_MAX_INPUTS)
            layer.inputs[layer.input_count++] = inputs[done++];
        st = graph_append(&node->reading->graph, layer, &value.layer, node->err);
    }
    return st == ST_OK ? node_yield(node, value) : st;
}

static enum status read_sum(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_LAYER, .factor = 1.0f};
    enum status st = node_layer(node, 0, &value.layer);
    for (int32_t i = 1; st == ST_OK && i < node->input_count; i++) {
        struct layer layer = {.kind = LAYER_ADD, .input_count = 2, .inputs = {value.layer}};
        st = node_layer(node, i, &layer.inputs[1]);
        if (st == ST_OK)
            st = graph_append(&node->reading->graph, layer, &value.layer, node->err);
    }
    return st == ST_OK ? node_yield(node, value) : st;
}

/* ---- what changes nothing, or only the form ---- */

static enum status read_same(const struct node *node)
{
    struct onnx_value value = node->inputs[0] != NULL ? *node->inputs[0] : (struct onnx_value){0};
    const struct onnx_value *training = node->input_count > 2 ? node->inputs[2] : NULL;
    enum status st = ST_OK;
    if (training != NULL &&
        (training->kind != ONNX_VALUE_INTS || training->int_count != 1 || training->ints[0] != 0))
        return error_set(node->err, ST_UNSUPPORTED, "training_mode: expected a constant, false");
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

/* Of pixels to numbers; of what a layer yields, between kinds of these; of shapes. */
static enum status read_cast(const struct node *node)
{
    const int64_t to = node_int(node, "to", 0);
    const bool is_float = to == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
                          to == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
                          to == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    const bool is_int =
        to == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 || to == ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    const struct onnx_value *value = node->inputs[0];
    if (value == NULL || (value->kind == ONNX_VALUE_INTS ? !is_int : !is_float))
        return error_set(node->err, ST_UNSUPPORTED, "to: found %lld, expected float32 (1)", (long long)to);
    if (value->kind != ONNX_VALUE_PIXELS)
        return node_yield(node, *value);
    node->reading->pixels = node->proto->output[0];
    return node_yield(node, (struct onnx_value){.kind = ONNX_VALUE_PIXELS});
}

static enum status read_flatten(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_FLAT};
    const int64_t axis = node_int(node, "axis", 1);
    if (axis != 1 && axis != -3)
        return error_set(node->err, ST_UNSUPPORTED, "axis: found %lld, expected 1", (long long)axis);
    if (node->inputs[0] != NULL && node->inputs[0]->kind == ONNX_VALUE_FLAT)
        return node_yield(node, *node->inputs[0]);
    enum status st = node_scaled_layer(node, 0, &value.layer, &value.factor);
    return st == ST_OK ? node_yield(node, value) : st;
}

static enum status read_softmax(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_PROBABILITIES, .factor = 1.0f};
    const int64_t axis = node_int(node, "axis", 1);
    if (axis != 1 && axis != -1)
        return error_set(node->err, ST_UNSUPPORTED, "axis: found %lld, expected 1", (long long)axis);
    if (node->inputs[0] != NULL &&
        (node->inputs[0]->kind == ONNX_VALUE_LAYER ||
         node->inputs[0]->kind == ONNX_VALUE_FLAT)) { /* logits over a temperature */
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
    {"AveragePool", 1, 1, WINDOW "ceil_mode count_include_pad ", node_read_pool},
    {"BatchNormalization", 5, 5, "epsilon momentum training_mode spatial ", read_batch_norm},
    {"Cast", 1, 1, "to ", read_cast},
    {"Clip", 1, 3, "min max ", node_read_clip},
    {"Concat", 1, NODE_MOST_INPUTS, "axis ", read_concat},
    {"Constant", 0, 0, "value value_float value_floats value_int value_ints ", node_read_constant},
    {"Conv", 2, 3, WINDOW "group ", node_read_conv},
    {"DequantizeLinear", 2, 3, "axis ", node_read_dequantise},
    {"Div", 2, 2, "", node_read_arithmetic},
    {"Dropout", 1, 3, "ratio seed ", read_same},
    {"Erf", 1, 1, "", node_read_function},
    {"Flatten", 1, 1, "axis ", read_flatten},
    {"Gather", 2, 2, "axis ", node_read_gather},
    {"Gelu", 1, 1, "approximate ", node_read_gelu},
    {"Gemm", 2, 3, "alpha beta transA transB ", read_dense},
    {"GlobalAveragePool", 1, 1, "", read_simple},
    {"GlobalMaxPool", 1, 1, "", node_read_pool},
    {"HardSigmoid", 1, 1, "alpha beta ", node_read_function},
    {"HardSwish", 1, 1, "", read_simple},
    {"Identity", 1, 1, "", read_same},
    {"MatMul", 2, 2, "", read_dense},
    {"MaxPool", 1, 1, WINDOW "ceil_mode storage_order ", node_read_pool},
    {"Mul", 2, 2, "", node_read_arithmetic},
    {"QuantizeLinear", 3, 3, "axis ", node_read_quantise},
    {"ReduceMean", 1, 2, "axes keepdims noop_with_empty_axes ", node_read_mean},
    {"Relu", 1, 1, "", read_simple},
    {"Reshape", 2, 2, "allowzero ", node_read_reshape},
    {"Shape", 1, 1, "start end ", node_read_shape},
    {"Sigmoid", 1, 1, "", node_read_function},
    {"Slice", 1, 5, "starts ends axes ", node_read_slice},
    {"Softmax", 1, 1, "axis ", read_softmax},
    {"Squeeze", 1, 2, "axes ", node_read_squeeze},
    {"Sub", 2, 2, "", node_read_arithmetic},
    {"Sum", 1, NODE_MOST_INPUTS, "", read_sum},
    {"Unsqueeze", 1, 2, "axes ", node_read_squeeze},
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

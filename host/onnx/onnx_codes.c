/* QuantizeLinear and DequantizeLinear: codes of layers, and weights that are codes. */
#include "host/onnx/onnx_node.h"

#include <math.h>
#include <string.h>

static const struct onnx_tensor *constant_of(const struct node *node, int32_t k, enum onnx_value_kind kind)
{
    const struct onnx_value *value = k < node->input_count ? node->inputs[k] : NULL;
    return value != NULL && value->kind == kind ? &value->tensor : NULL;
}

/* Scale and zero of a layer's values: one number each. */
static enum status read_coding(const struct node *node, struct coding *coding)
{
    const struct onnx_tensor *scale = constant_of(node, 1, ONNX_VALUE_TENSOR);
    const struct onnx_tensor *zero = constant_of(node, 2, ONNX_VALUE_CODES);
    if (scale == NULL || zero == NULL || scale->count != 1 || zero->count != 1 || zero->code_size != 1)
        return error_set(node->err, ST_UNSUPPORTED, "expected one scale and one zero of int8, both constant");
    *coding = (struct coding){.scale = onnx_tensor_at(scale, 0), .zero = onnx_tensor_code(zero, 0)};
    if (!(coding->scale > 0.0f && isfinite(coding->scale)))
        return error_set(node->err, ST_FORMAT, "found a scale of %g", (double)coding->scale);
    return ST_OK;
}

/* Of the layer that was read last, before anything else has read it: nothing may read it but by its codes. */
enum status node_read_quantise(const struct node *node)
{
    struct onnx_reading *reading = node->reading;
    struct onnx_value value = {.kind = ONNX_VALUE_CODED, .factor = 1.0f};
    struct coding coding;
    if (reading->codings == NULL)
        return error_set(node->err, ST_UNSUPPORTED, "codes are not asked for");
    enum status st = node_layer(node, 0, &value.layer);
    if (st == ST_OK)
        st = read_coding(node, &coding);
    if (st != ST_OK)
        return st;
    if (value.layer != reading->graph.count - 1 || reading->codings[value.layer].scale > 0.0f)
        return error_set(node->err, ST_UNSUPPORTED, "expected the layer before it, which is not coded yet");
    reading->codings[value.layer] = coding;
    onnx_value_find(reading, node->inputs[0]->name)->kind = ONNX_VALUE_NONE;
    return node_yield(node, value);
}

static bool is_zero(const struct onnx_tensor *zero)
{
    for (size_t i = 0; i < zero->count; i++)
        if (onnx_tensor_code(zero, i) != 0)
            return false;
    return true;
}

/* Constants times a scale, or one for each index of the first dimension. */
static enum status read_constants(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_TENSOR, .tensor = node->inputs[0]->tensor};
    const struct onnx_tensor *scales = constant_of(node, 1, ONNX_VALUE_TENSOR);
    const struct onnx_tensor *zero = constant_of(node, 2, ONNX_VALUE_CODES);
    if (scales == NULL || scales->code_size != 0 ||
        (node->input_count > 2 && (zero == NULL || !is_zero(zero))))
        return error_set(node->err, ST_UNSUPPORTED,
                         "expected constant scales of float32 and zeros that are 0");
    if (scales->count != 1 &&
        (scales->count != (size_t)value.tensor.dims[0] || node_int(node, "axis", 1) != 0))
        return error_set(node->err, ST_UNSUPPORTED,
                         "found %zu scales, expected 1, or one for each index of axis 0", scales->count);
    value.tensor.scales = scales;
    return node_yield(node, value);
}

enum status node_read_dequantise(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_LAYER, .factor = 1.0f};
    struct coding coding;
    if (node->inputs[0] != NULL && node->inputs[0]->kind == ONNX_VALUE_CODES)
        return read_constants(node);
    if (node->inputs[0] == NULL || node->inputs[0]->kind != ONNX_VALUE_CODED)
        return error_set(node->err, ST_UNSUPPORTED, "input 0 is neither coded nor constant");
    value.layer = node->inputs[0]->layer;
    enum status st = read_coding(node, &coding);
    if (st != ST_OK)
        return st;
    const struct coding *wanted = &node->reading->codings[value.layer];
    if (coding.scale != wanted->scale || coding.zero != wanted->zero)
        return error_set(node->err, ST_UNSUPPORTED,
                         "found scale %g and zero %d, expected %g and %d, by which it is coded",
                         (double)coding.scale, (int)coding.zero, (double)wanted->scale, (int)wanted->zero);
    return node_yield(node, value);
}

/* ---- the finished network's ---- */

/* A layer without codes of its own has those of the ReLU that alone reads it; pools have their input's. */
static enum status take_codings(const struct onnx_reading *reading, const struct graph *graph,
                                struct coding *codings, struct error *err)
{
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        const int32_t relu = reading->codings[i].scale > 0.0f ? -1 : quantise_fused(graph, i);
        codings[i] = reading->codings[relu >= 0 ? relu : i];
        codings[i].fused = relu >= 0;
        if (i + 1 == graph->count)
            codings[i].scale = 1.0f; /* its results are numbers */
        if (!(codings[i].scale > 0.0f) || (relu >= 0 && codings[i].zero != CODE_LEAST))
            return error_set(err, ST_UNSUPPORTED, "layer %u: what it yields is not coded",
                             (unsigned)layer->id);
        if ((layer->kind == LAYER_MAX_POOL || layer->kind == LAYER_AVERAGE_POOL) &&
            (codings[i].scale != codings[layer->inputs[0]].scale ||
             codings[i].zero != codings[layer->inputs[0]].zero))
            return error_set(err, ST_UNSUPPORTED,
                             "layer %u: a pool that is coded otherwise than what it reads",
                             (unsigned)layer->id);
    }
    return ST_OK;
}

/* Whether a bias's scales are those of the input and the kernel. */
static bool is_scale_of(float scale, float read, float kernel)
{
    const double wanted = (double)read * (double)kernel;
    return fabs((double)scale - wanted) <= 1e-6 * wanted;
}

static enum status take_weights(const struct onnx_weights *weights, const struct model *model,
                                struct quantisation *codes, struct error *err)
{
    const struct layer *layer = &model->graph.layers[weights->layer];
    const struct weight_table *table = &model->table;
    const int32_t bias = weight_find(table, layer->id, WEIGHT_BIAS);
    const struct weight_tensor *tensor = &table->tensors[weight_find(table, layer->id, weights->role)];
    const struct onnx_tensor *from = &weights->tensor;
    const bool is_kernel = weights->role == WEIGHT_KERNEL;
    const float read = codes->codings[layer->inputs[0]].scale;
    if (bias < 0 || from->scales == NULL || from->count != tensor->count ||
        from->code_size != (is_kernel ? 1 : 4) || weights->transposed)
        return error_set(err, ST_UNSUPPORTED, "layer %u: its %s is not coded, or it has no bias",
                         (unsigned)layer->id, weight_role_name(weights->role));
    float *scales = codes->scales + table->tensors[bias].offset;
    for (int32_t c = 0; c < tensor->dims[0]; c++) {
        const float scale = onnx_tensor_at(from->scales, from->scales->count > 1 ? (size_t)c : 0);
        if (is_kernel)
            scales[c] = scale;
        else if (!is_scale_of(scale, read, scales[c]))
            return error_set(err, ST_UNSUPPORTED, "layer %u: scale %d of its bias is %g, expected %g",
                             (unsigned)layer->id, (int)c, (double)scale, (double)read * (double)scales[c]);
    }
    for (size_t i = 0; i < tensor->count; i++)
        if (is_kernel)
            codes->kernels[tensor->offset + i] = (int8_t)onnx_tensor_code(from, i);
        else
            codes->biases[tensor->offset + i] = onnx_tensor_code(from, i);
    return ST_OK;
}

enum status onnx_codes_take(const struct onnx_reading *reading, const struct model *model,
                            struct quantisation *codes, struct error *err)
{
    enum status st = quantisation_new(model, codes, err);
    if (st == ST_OK)
        st = take_codings(reading, &model->graph, codes->codings, err);
    for (int32_t i = 0; st == ST_OK && i < reading->weight_count; i++)
        if (reading->weights[i].role == WEIGHT_KERNEL || reading->weights[i].role == WEIGHT_BIAS)
            st = take_weights(&reading->weights[i], model, codes, err);
    return st;
}

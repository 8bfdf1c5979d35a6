#include "host/onnx/onnx_coded.h"

char *onnx_coded_value(struct onnx_parts *parts, Onnx__GraphProto *graph, char *output,
                       const struct coding *coding)
{
    int8_t *zero = onnx_part(parts, sizeof(*zero));
    if (zero == NULL)
        return NULL;
    *zero = (int8_t)coding->zero;
    char *scale_name =
        onnx_tensor(parts, graph, onnx_text(parts, "%s.scale", output), 0, NULL, &coding->scale);
    char *zero_name = onnx_tensor_raw(parts, graph, onnx_text(parts, "%s.zero", output),
                                      ONNX__TENSOR_PROTO__DATA_TYPE__INT8, 0, NULL, zero);
    char *codes = onnx_text(parts, "%s.codes", output), *back = onnx_text(parts, "%s.coded", output);
    Onnx__NodeProto *node = onnx_node(parts, graph, "QuantizeLinear", codes);
    onnx_input(node, output);
    onnx_input(node, scale_name);
    onnx_input(node, zero_name);
    node = onnx_node(parts, graph, "DequantizeLinear", back);
    onnx_input(node, codes);
    onnx_input(node, scale_name);
    onnx_input(node, zero_name);
    return back;
}

char *onnx_coded_weight(struct onnx_parts *parts, Onnx__GraphProto *graph, char *name,
                        const struct onnx_coded_weight *weight)
{
    const bool is_bias = weight->tensor->role == WEIGHT_BIAS;
    const struct weight_table *table = &weight->model->table;
    const int32_t bias = weight_find(table, weight->tensor->layer_id, WEIGHT_BIAS);
    const float *kernel_scales = weight->codes->scales + table->tensors[bias].offset;
    float *scales = onnx_part(parts, (size_t)weight->dims[0] * sizeof(*scales));
    if (scales == NULL)
        return NULL;
    for (int64_t c = 0; c < weight->dims[0]; c++)
        scales[c] =
            is_bias ? (float)((double)weight->read.scale * (double)kernel_scales[c]) : kernel_scales[c];
    const void *values = is_bias ? (const void *)(weight->codes->biases + weight->tensor->offset)
                                 : (const void *)(weight->codes->kernels + weight->tensor->offset);
    const int32_t type = is_bias ? ONNX__TENSOR_PROTO__DATA_TYPE__INT32 : ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    char *codes = onnx_tensor_raw(parts, graph, onnx_text(parts, "%s.codes", name), type, weight->rank,
                                  weight->dims, values);
    char *scale_name =
        onnx_tensor(parts, graph, onnx_text(parts, "%s.scales", name), 1, weight->dims, scales);
    Onnx__NodeProto *node = onnx_node(parts, graph, "DequantizeLinear", name);
    onnx_input(node, codes);
    onnx_input(node, scale_name);
    onnx_int(parts, node, "axis", 0);
    return name;
}

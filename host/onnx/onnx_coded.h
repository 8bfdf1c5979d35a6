/* Whole numbers in an ONNX message: QuantizeLinear and DequantizeLinear, as runtimes look for them (QDQ). */
#ifndef NASRUN_ONNX_ONNX_CODED_H
#define NASRUN_ONNX_ONNX_CODED_H

#include "host/inference/quantise.h"
#include "host/onnx/onnx_parts.h"

/* What `output` yields as codes and back: two nodes, two tensors. Returns the name of the latter. */
char *onnx_coded_value(struct onnx_parts *parts, Onnx__GraphProto *graph, char *output,
                       const struct coding *coding);

/* A layer's kernel, with `rank` dimensions, or its bias as codes and back: a node, two tensors. `name` is that of what
 * it yields; `read` how the layer's input is coded, of which a bias's scale is made. Returns the name. */
struct onnx_coded_weight {
    const struct model *model;
    const struct quantisation *codes;
    const struct weight_tensor *tensor;
    struct coding read;
    int32_t rank;
    int64_t dims[4];
};
char *onnx_coded_weight(struct onnx_parts *parts, Onnx__GraphProto *graph, char *name,
                        const struct onnx_coded_weight *weight);

#endif

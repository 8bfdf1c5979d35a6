/* Networks from ONNX files that anybody may have written.
 *
 * Read are classifiers of opset 7 and later with one image input [N, channels, height, width] of known size and one
 * output, made of Conv, BatchNormalization, Relu, Clip from 0 on or from 0 to 6, HardSwish, Gelu, MaxPool,
 * AveragePool, GlobalAveragePool, GlobalMaxPool, ReduceMean over height and width, Add, Sum, Concat, Flatten, Reshape,
 * Squeeze and Unsqueeze that keep the channels, Gemm, MatMul, Identity, Dropout, Cast between floating-point numbers,
 * a closing Softmax or, of several labels, Sigmoid, perhaps of a number times the last layer, and what GELU, SiLU,
 * hard-swish and gates are made of. The shapes that Reshape is told may be reckoned by Shape, Gather, Slice, Concat,
 * Squeeze, Unsqueeze and Cast. Strides are the same in both directions, there is no dilation; padding of unequal sides
 * becomes a larger kernel of a convolution, with zeros. The last layer is a product or a convolution of one pixel. In
 * front may stand Cast, and Add, Sub, Mul and Div by constants, by which pixels are normalised until an Identity or a
 * layer reads them. An input of uint8 is pixels; one of float32 or float16 is taken as pixels / 255. Weights are
 * float32, float16 or float64, or whole numbers behind DequantizeLinear, in the file, as initializers or by Constant.
 * Layers may be coded in int8 by QuantizeLinear and DequantizeLinear where the caller asks for codes. What can't be
 * read is named by node, operator and what was expected. */
#ifndef NASRUN_ONNX_ONNX_READ_H
#define NASRUN_ONNX_ONNX_READ_H

#include "host/inference/quantise.h"

#include <stddef.h>

/* What the bytes say: graph, weight table, values; of `about` mean and deviation as the network normalises images, or
 * as the metadata "mean" and "deviation" say of one that leaves it to whoever calls it, the
 * temperature of the softmax or sigmoid, one view, and the classes' names from the metadata "class_names", or their
 * numbers; with a sigmoid thresholds from "label_thresholds", or 0.5; no id (-1), no hash. ST_FORMAT when they are no
 * ONNX model or contradict themselves, ST_UNSUPPORTED when they have what is not above. `codes`: of a network in whole
 * numbers, all of whose layers are coded as host/inference/quantise.h has it; NULL: layers that are coded are not
 * read. On any status model and codes are to be freed. */
enum status onnx_read(const unsigned char *bytes, size_t length, struct model *model,
                      struct quantisation *codes, struct error *err);

/* What an ONNX file says of itself in the metadata "name" and "license"; "" where it says nothing. */
struct onnx_origin {
    char name[128], license[128];
};
void onnx_read_origin(const unsigned char *bytes, size_t length, struct onnx_origin *origin);

#endif

/* Constant tensors of an ONNX file that is being read. */
#ifndef NASRUN_ONNX_ONNX_TENSOR_H
#define NASRUN_ONNX_ONNX_TENSOR_H

#include "host/base/error.h"

#include <onnx.pb-c.h>

#include <stddef.h>
#include <stdint.h>

enum { ONNX_MOST_RANK = 4 };

/* A tensor of at most four dimensions, checked: as many values as the dimensions say. Of whole numbers, int8 or int32,
 * the values are those times a scale, once that is known. */
struct onnx_tensor {
    int32_t rank;
    int32_t dims[ONNX_MOST_RANK]; /* 1 beyond the rank */
    size_t count;
    const unsigned char *raw; /* little-endian, perhaps not aligned; NULL: `values` */
    const float *values;
    int32_t code_size;                /* bytes of a whole number, in raw; 0: float32 */
    const struct onnx_tensor *scales; /* one, or one for each index of the first dimension; NULL: not known */
};

/* `proto` lives as long as the tensor. ST_UNSUPPORTED for other types, whole numbers that are not raw, more
 * dimensions, or data in another file. */
enum status onnx_tensor_of(const Onnx__TensorProto *proto, struct onnx_tensor *tensor, struct error *err);

/* The whole number, or the value, at that place; whole numbers without scales count as they are. */
int32_t onnx_tensor_code(const struct onnx_tensor *tensor, size_t index);
float onnx_tensor_at(const struct onnx_tensor *tensor, size_t index);

#endif

/* Constant tensors of an ONNX file that is being read. */
#ifndef NASRUN_ONNX_ONNX_TENSOR_H
#define NASRUN_ONNX_ONNX_TENSOR_H

#include "host/base/error.h"

#include <onnx.pb-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ONNX_MOST_RANK = 4 };

/* A tensor of at most four dimensions, checked: as many values as the dimensions say. Of whole numbers, int8 or int32,
 * the values are those times a scale, once that is known. */
struct onnx_tensor {
    int32_t rank;
    int32_t dims[ONNX_MOST_RANK]; /* 1 beyond the rank */
    size_t count;
    const unsigned char *raw; /* little-endian, perhaps not aligned; NULL: one of the next three */
    const float *values;
    const int32_t *halves; /* the bits of a float16 each */
    const double *doubles;
    int32_t number_size;              /* bytes of a floating-point number: 2, 4, 8 */
    int32_t code_size;                /* bytes of a whole number, in raw; 0: floating-point numbers */
    const struct onnx_tensor *scales; /* one, or one for each index of the first dimension; NULL: not known */
};

/* `proto` lives as long as the tensor. Types: float16, float32, float64, int8, int32. ST_UNSUPPORTED for others, whole
 * numbers that are not raw, more dimensions, or data in another file. */
enum status onnx_tensor_of(const Onnx__TensorProto *proto, struct onnx_tensor *tensor, struct error *err);

/* int64 or bool of at most one dimension and ONNX_MOST_INTS numbers, as shapes and axes are. *count -1: it is something
 * else. */
enum { ONNX_MOST_INTS = 8 };
enum status onnx_tensor_ints(const Onnx__TensorProto *proto, int64_t ints[ONNX_MOST_INTS], int32_t *count,
                             struct error *err);

/* The whole number, or the value, at that place; whole numbers without scales count as they are. */
int32_t onnx_tensor_code(const struct onnx_tensor *tensor, size_t index);
float onnx_tensor_at(const struct onnx_tensor *tensor, size_t index);

#endif

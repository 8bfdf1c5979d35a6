/* Constant tensors of an ONNX file that is being read. */
#ifndef NASRUN_ONNX_ONNX_TENSOR_H
#define NASRUN_ONNX_ONNX_TENSOR_H

#include "host/base/error.h"

#include <onnx.pb-c.h>

#include <stddef.h>
#include <stdint.h>

enum { ONNX_MOST_RANK = 4 };

/* A float32 tensor of at most four dimensions, checked: as many values as the dimensions say. */
struct onnx_tensor {
    int32_t rank;
    int32_t dims[ONNX_MOST_RANK]; /* 1 beyond the rank */
    size_t count;
    const unsigned char *raw; /* little-endian, perhaps not aligned; NULL: `values` */
    const float *values;
};

/* `proto` lives as long as the tensor. ST_UNSUPPORTED for other types, more dimensions, or data in another file. */
enum status onnx_tensor_of(const Onnx__TensorProto *proto, struct onnx_tensor *tensor, struct error *err);

/* The value at that place. */
float onnx_tensor_at(const struct onnx_tensor *tensor, size_t index);

#endif

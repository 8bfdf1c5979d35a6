#include "host/onnx/onnx_tensor.h"

#include <string.h>

static const char *name_of(const Onnx__TensorProto *proto)
{
    return proto->name != NULL ? proto->name : "";
}

static enum status read_dims(const Onnx__TensorProto *proto, struct onnx_tensor *tensor, struct error *err)
{
    if (proto->n_dims > ONNX_MOST_RANK)
        return error_set(err, ST_UNSUPPORTED, "tensor \"%.80s\": found %zu dimensions, expected at most %d",
                         name_of(proto), proto->n_dims, ONNX_MOST_RANK);
    *tensor = (struct onnx_tensor){.rank = (int32_t)proto->n_dims, .dims = {1, 1, 1, 1}, .count = 1};
    for (size_t i = 0; i < proto->n_dims; i++) {
        const int64_t dim = proto->dims[i];
        if (dim < 1 || (uint64_t)dim > (uint64_t)INT32_MAX / tensor->count)
            return error_set(err, ST_FORMAT, "tensor \"%.80s\": dimension %zu is %lld", name_of(proto), i,
                             (long long)dim);
        tensor->dims[i] = (int32_t)dim;
        tensor->count *= (size_t)dim;
    }
    return ST_OK;
}

enum status onnx_tensor_of(const Onnx__TensorProto *proto, struct onnx_tensor *tensor, struct error *err)
{
    const char *name = name_of(proto);
    enum status st = read_dims(proto, tensor, err);
    if (st != ST_OK)
        return st;
    tensor->code_size = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8    ? 1
                        : proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32 ? 4
                                                                                   : 0;
    if (tensor->code_size == 0 && proto->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return error_set(err, ST_UNSUPPORTED,
                         "tensor \"%.80s\": found type %d, expected float32 (1), int8 (3) or int32 (6)", name,
                         (int)proto->data_type);
    if (tensor->code_size > 0 && !proto->has_raw_data)
        return error_set(err, ST_UNSUPPORTED, "tensor \"%.80s\": its whole numbers are not raw", name);
    if (proto->n_external_data > 0 ||
        (proto->has_data_location && proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL))
        return error_set(err, ST_UNSUPPORTED, "tensor \"%.80s\": its data are in another file", name);
    const size_t size = tensor->code_size == 1 ? 1 : sizeof(float);
    const size_t found = proto->has_raw_data ? proto->raw_data.len / size : proto->n_float_data;
    if (found != tensor->count || (proto->has_raw_data && proto->raw_data.len % size != 0))
        return error_set(err, ST_FORMAT, "tensor \"%.80s\": found %zu values, expected %zu", name, found,
                         tensor->count);
    tensor->raw = proto->has_raw_data ? proto->raw_data.data : NULL;
    tensor->values = proto->has_raw_data ? NULL : proto->float_data;
    return ST_OK;
}

int32_t onnx_tensor_code(const struct onnx_tensor *tensor, size_t index)
{
    int32_t code;
    if (tensor->code_size == 1)
        return (int8_t)tensor->raw[index];
    memcpy(&code, tensor->raw + index * sizeof(code), sizeof(code));
    return code;
}

float onnx_tensor_at(const struct onnx_tensor *tensor, size_t index)
{
    float value;
    if (tensor->code_size > 0) {
        const struct onnx_tensor *scales = tensor->scales;
        const size_t each = tensor->count / (size_t)tensor->dims[0];
        const float scale =
            scales == NULL ? 1.0f : onnx_tensor_at(scales, scales->count > 1 ? index / each : 0);
        return (float)onnx_tensor_code(tensor, index) * scale;
    }
    if (tensor->raw == NULL)
        return tensor->values[index];
    memcpy(&value, tensor->raw + index * sizeof(value), sizeof(value));
    return value;
}

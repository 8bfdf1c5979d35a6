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

static enum status check_inside(const Onnx__TensorProto *proto, struct error *err)
{
    if (proto->n_external_data > 0 ||
        (proto->has_data_location && proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL))
        return error_set(err, ST_UNSUPPORTED, "tensor \"%.80s\": its data are in another file",
                         name_of(proto));
    return ST_OK;
}

static enum status refuse_count(const Onnx__TensorProto *proto, size_t found, size_t expected,
                                struct error *err)
{
    return error_set(err, ST_FORMAT, "tensor \"%.80s\": found %zu values, expected %zu", name_of(proto),
                     found, expected);
}

/* Where the values are: raw, or in the list of their type. */
static enum status find_values(const Onnx__TensorProto *proto, struct onnx_tensor *tensor, struct error *err)
{
    const size_t size = (size_t)(tensor->code_size > 0 ? tensor->code_size : tensor->number_size);
    const size_t found = proto->has_raw_data        ? proto->raw_data.len / size
                         : tensor->number_size == 2 ? proto->n_int32_data
                         : tensor->number_size == 8 ? proto->n_double_data
                                                    : proto->n_float_data;
    if (found != tensor->count || (proto->has_raw_data && proto->raw_data.len % size != 0))
        return refuse_count(proto, found, tensor->count, err);
    if (proto->has_raw_data)
        tensor->raw = proto->raw_data.data;
    else if (tensor->number_size == 2)
        tensor->halves = proto->int32_data;
    else if (tensor->number_size == 8)
        tensor->doubles = proto->double_data;
    else
        tensor->values = proto->float_data;
    return ST_OK;
}

enum status onnx_tensor_of(const Onnx__TensorProto *proto, struct onnx_tensor *tensor, struct error *err)
{
    const char *name = name_of(proto);
    enum status st = read_dims(proto, tensor, err);
    if (st != ST_OK)
        return st;
    switch (proto->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        tensor->code_size = 1;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        tensor->code_size = 4;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        tensor->number_size = 2;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        tensor->number_size = 4;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        tensor->number_size = 8;
        break;
    default:
        return error_set(
            err, ST_UNSUPPORTED,
            "tensor \"%.80s\": found type %d, expected float32 (1), float16 (10), float64 (11), int8 "
            "(3) or int32 (6)",
            name, (int)proto->data_type);
    }
    if (tensor->code_size > 0 && !proto->has_raw_data)
        return error_set(err, ST_UNSUPPORTED, "tensor \"%.80s\": its whole numbers are not raw", name);
    st = check_inside(proto, err);
    return st == ST_OK ? find_values(proto, tensor, err) : st;
}

enum status onnx_tensor_ints(const Onnx__TensorProto *proto, int64_t ints[ONNX_MOST_INTS], int32_t *count,
                             struct error *err)
{
    const bool is_bool = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    const size_t size = is_bool ? 1 : sizeof(int64_t);
    const int64_t wanted = proto->n_dims > 0 ? proto->dims[0] : 1;
    *count = -1;
    if (proto->n_dims > 1 || wanted < 0 || wanted > ONNX_MOST_INTS)
        return ST_OK;
    enum status st = check_inside(proto, err);
    if (st != ST_OK)
        return st;
    const size_t found = proto->has_raw_data ? proto->raw_data.len / size
                         : is_bool           ? proto->n_int32_data
                                             : proto->n_int64_data;
    if (found != (size_t)wanted)
        return refuse_count(proto, found, (size_t)wanted, err);
    *count = (int32_t)wanted;
    for (int32_t i = 0; i < *count; i++) {
        if (proto->has_raw_data && is_bool)
            ints[i] = proto->raw_data.data[i];
        else if (proto->has_raw_data)
            memcpy(&ints[i], proto->raw_data.data + (size_t)i * size, size);
        else
            ints[i] = is_bool ? proto->int32_data[i] : proto->int64_data[i];
    }
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

/* Of the bits of a float16: those of a float32, or, of the smallest, a whole number of 2^-24. */
static float half_value(uint32_t bits)
{
    const uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1fu, fraction = bits & 0x3ffu;
    float value;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    const uint32_t whole = sign | (exponent == 0x1fu ? 0xffu : exponent + 112u) << 23 | fraction << 13;
    memcpy(&value, &whole, sizeof(value));
    return value;
}

static float number_at(const struct onnx_tensor *tensor, size_t index)
{
    const unsigned char *place =
        tensor->raw != NULL ? tensor->raw + index * (size_t)tensor->number_size : NULL;
    uint16_t half;
    double wide;
    float value;
    switch (tensor->number_size) {
    case 2:
        if (place == NULL)
            return half_value((uint32_t)tensor->halves[index] & 0xffffu);
        memcpy(&half, place, sizeof(half));
        return half_value(half);
    case 8:
        if (place == NULL)
            return (float)tensor->doubles[index];
        memcpy(&wide, place, sizeof(wide));
        return (float)wide;
    default:
        if (place == NULL)
            return tensor->values[index];
        memcpy(&value, place, sizeof(value));
        return value;
    }
}

float onnx_tensor_at(const struct onnx_tensor *tensor, size_t index)
{
    if (tensor->code_size > 0) {
        const struct onnx_tensor *scales = tensor->scales;
        const size_t each = tensor->count / (size_t)tensor->dims[0];
        const float scale =
            scales == NULL ? 1.0f : onnx_tensor_at(scales, scales->count > 1 ? index / each : 0);
        return (float)onnx_tensor_code(tensor, index) * scale;
    }
    return number_at(tensor, index);
}

/* Sizes of tensors in the CPU's layouts, and the way between them and plain arrays (see the rule in
 * cpu_internal.h). */
#include "host/cpu/cpu_internal.h"

#include <string.h>

enum { FIRST_LAYER_CHANNELS = 4 }; /* up to here oneDNN has kernels that read plain images */

static bool reads_plain(const struct prog_op *op)
{
    return (op->kind == PROG_OP_CONV || op->kind == PROG_OP_CONV_BACKWARD_WEIGHTS) && op->window.groups == 1;
}

/* Whether tensor `id` is an image that only first-layer convolutions read. */
static bool is_plain_image(const struct program *program, int32_t id)
{
    bool gathered = false;
    if (program->tensors[id].kind != TENSOR_ACTIVATION || program->tensors[id].shape.c > FIRST_LAYER_CHANNELS)
        return false;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *op = &program->ops[i];
        if (op->kind == PROG_OP_GATHER && op->outputs[GATHER_OUT_IMAGE] == id)
            gathered = true;
        for (int32_t k = 0; k < op->input_count; k++)
            if (op->inputs[k] == id && !reads_plain(op))
                return false;
    }
    return gathered;
}

void cpu_layout_tensors(const struct device *device, const struct program *program,
                        struct cpu_tensor *tensors)
{
    for (int32_t id = 0; id < program->tensor_count; id++) {
        const struct prog_tensor *tensor = &program->tensors[id];
        struct shape s = tensor->shape;
        size_t plane = (size_t)s.n * (size_t)s.h * (size_t)s.w;
        size_t padded = plane * (size_t)cpu_padded(device, s.c);
        tensors[id] = (struct cpu_tensor){0, 0, false};
        switch (tensor->kind) {
        case TENSOR_ACTIVATION:
            tensors[id].plain = device->type == CPU_FLOAT && is_plain_image(program, id);
            tensors[id].bytes =
                (tensors[id].plain ? plane * (size_t)s.c : padded) * cpu_type_size(device->type);
            break;
        case TENSOR_VECTOR:
            tensors[id].bytes = padded * sizeof(float);
            break;
        case TENSOR_INDEX:
            tensors[id].bytes = padded;
            break;
        case TENSOR_LABELS:
            tensors[id].bytes = (size_t)s.n * sizeof(int32_t);
            break;
        case TENSOR_UPDATE:
            tensors[id].bytes = plane * (size_t)s.c * sizeof(float);
            break;
        case TENSOR_WEIGHT:
        case TENSOR_GRADIENT:
        case TENSOR_METRICS:
        case TENSOR_OUTPUT:
            break;
        }
    }
}

/* Offset of the first pixel of (n, c) in a blocked tensor; its next pixels lie `block` further each. */
static size_t blocked_offset(struct shape s, int32_t block, int32_t n, int32_t c)
{
    size_t blocks = (size_t)((s.c + block - 1) / block), plane = (size_t)s.h * (size_t)s.w;
    return (((size_t)n * blocks + (size_t)(c / block)) * plane) * (size_t)block + (size_t)(c % block);
}

/* Whether the tensor's bytes are plain floats in N,C,H,W order already. */
static bool is_plain(const struct device_program *prepared, int32_t id)
{
    enum tensor_kind kind = prepared->program->tensors[id].kind;
    return kind == TENSOR_WEIGHT || kind == TENSOR_GRADIENT || kind == TENSOR_UPDATE ||
           kind == TENSOR_OUTPUT || prepared->tensors[id].plain;
}

static float read_value(const struct device_program *prepared, enum tensor_kind kind, const void *address,
                        size_t at)
{
    if (kind == TENSOR_INDEX)
        return (float)((const uint8_t *)address)[at];
    return cpu_value(kind == TENSOR_ACTIVATION ? prepared->device->type : CPU_FLOAT, address, at);
}

static void write_value(const struct device_program *prepared, enum tensor_kind kind, void *address,
                        size_t at, float value)
{
    if (kind == TENSOR_INDEX)
        ((uint8_t *)address)[at] = (uint8_t)value;
    else
        cpu_set_value(kind == TENSOR_ACTIVATION ? prepared->device->type : CPU_FLOAT, address, at, value);
}

void cpu_layout_unpack(const struct device_program *prepared, int32_t id, float *values)
{
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    struct shape s = tensor->shape;
    size_t plane = (size_t)s.h * (size_t)s.w;
    int32_t block = cpu_block(prepared->device, s.c);
    const void *address = cpu_tensor_address(prepared, id);
    if (tensor->kind == TENSOR_METRICS) {
        for (int32_t i = 0; i < METRIC_COUNT; i++)
            values[i] = (float)((const double *)address)[i];
    } else if (tensor->kind == TENSOR_LABELS) {
        for (int32_t n = 0; n < s.n; n++)
            values[n] = (float)((const int32_t *)address)[n];
    } else if (is_plain(prepared, id)) {
        memcpy(values, address, (size_t)s.n * (size_t)s.c * plane * sizeof(float));
    } else {
        for (int32_t n = 0; n < s.n; n++)
            for (int32_t c = 0; c < s.c; c++) {
                size_t from = blocked_offset(s, block, n, c),
                       to = ((size_t)n * (size_t)s.c + (size_t)c) * plane;
                for (size_t i = 0; i < plane; i++, from += (size_t)block)
                    values[to + i] = read_value(prepared, tensor->kind, address, from);
            }
    }
}

void cpu_layout_pack(const struct device_program *prepared, int32_t id, const float *values)
{
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    struct shape s = tensor->shape;
    size_t plane = (size_t)s.h * (size_t)s.w;
    int32_t block = cpu_block(prepared->device, s.c);
    void *address = cpu_tensor_address(prepared, id);
    if (tensor->kind == TENSOR_METRICS) {
        for (int32_t i = 0; i < METRIC_COUNT; i++)
            ((double *)address)[i] = values[i];
    } else if (tensor->kind == TENSOR_LABELS) {
        for (int32_t n = 0; n < s.n; n++)
            ((int32_t *)address)[n] = (int32_t)values[n];
    } else if (is_plain(prepared, id)) {
        memcpy(address, values, (size_t)s.n * (size_t)s.c * plane * sizeof(float));
    } else {
        memset(address, 0, prepared->tensors[id].bytes);
        for (int32_t n = 0; n < s.n; n++)
            for (int32_t c = 0; c < s.c; c++) {
                size_t to = blocked_offset(s, block, n, c),
                       from = ((size_t)n * (size_t)s.c + (size_t)c) * plane;
                for (size_t i = 0; i < plane; i++, to += (size_t)block)
                    write_value(prepared, tensor->kind, address, to, values[from + i]);
            }
    }
}

void cpu_layout_pack_rows(const struct device *device, struct shape kernel, const float *plain, void *rows)
{
    int32_t block = cpu_block(device, kernel.c);
    size_t plane = (size_t)kernel.h * (size_t)kernel.w;
    size_t width = (size_t)kernel.c * plane, padded = (size_t)cpu_padded(device, kernel.c) * plane;
    /* Rows and lanes that stand for nothing stay zero: one operation's copy is always written in the same
     * channels. */
#pragma omp parallel for schedule(static)
    for (int32_t k = 0; k < kernel.n; k++)
        for (int32_t c = 0; c < kernel.c; c++) {
            const size_t first = (size_t)k * padded + blocked_offset(kernel, block, 0, c);
            const float *from = plain + (size_t)k * width + (size_t)c * plane;
            for (size_t i = 0; i < plane; i++)
                cpu_set_value(device->type, rows, first + i * (size_t)block, from[i]);
        }
}

void cpu_layout_unpack_rows(const struct device *device, struct shape kernel, const float *rows, float *plain)
{
    int32_t block = cpu_block(device, kernel.c);
    size_t plane = (size_t)kernel.h * (size_t)kernel.w;
    size_t width = (size_t)kernel.c * plane, padded = (size_t)cpu_padded(device, kernel.c) * plane;
#pragma omp parallel for schedule(static)
    for (int32_t k = 0; k < kernel.n; k++)
        for (int32_t c = 0; c < kernel.c; c++) {
            const float *row = rows + (size_t)k * padded + blocked_offset(kernel, block, 0, c);
            float *to = plain + (size_t)k * width + (size_t)c * plane;
            for (size_t i = 0; i < plane; i++)
                to[i] = row[i * (size_t)block];
        }
}

void cpu_layout_fill_kernel(struct shape kernel, struct shape filled, const float *plain, float *wide)
{
    const size_t taps = (size_t)kernel.h * (size_t)kernel.w;
    const size_t row = (size_t)kernel.c * taps, wide_row = (size_t)filled.c * taps;
#pragma omp parallel for schedule(static)
    for (int32_t k = 0; k < filled.n; k++) {
        float *to = wide + (size_t)k * wide_row;
        const size_t there = k < kernel.n ? row : 0;
        if (there > 0)
            memcpy(to, plain + (size_t)k * row, there * sizeof(*to));
        memset(to + there, 0, (wide_row - there) * sizeof(*to));
    }
}

void cpu_layout_cut_kernel(struct shape kernel, struct shape filled, const float *wide, float *plain)
{
    const size_t taps = (size_t)kernel.h * (size_t)kernel.w;
    const size_t row = (size_t)kernel.c * taps, wide_row = (size_t)filled.c * taps;
#pragma omp parallel for schedule(static)
    for (int32_t k = 0; k < kernel.n; k++)
        memcpy(plain + (size_t)k * row, wide + (size_t)k * wide_row, row * sizeof(*plain));
}

void cpu_layout_clear_padding(const struct device_program *prepared, int32_t id)
{
    const struct cpu_shape s = cpu_shape_of(prepared, id);
    const size_t size = cpu_type_size(s.type), block = (size_t)s.block;
    const size_t lanes = (size_t)cpu_shape_padded(s) - (size_t)s.c; /* of the last block */
    const int64_t blocks = cpu_shape_blocks(s), planes = (int64_t)s.n * blocks;
    const size_t plane = (size_t)s.h * (size_t)s.w;
    char *values = cpu_tensor_address(prepared, id);
#pragma omp parallel for schedule(static)
    for (int64_t p = blocks - 1; p < planes; p += blocks)
        for (size_t i = 0; i < plane; i++)
            memset(values + (((size_t)p * plane + i + 1) * block - lanes) * size, 0, lanes * size);
}

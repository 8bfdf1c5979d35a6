/* What can be read and written of a program: metrics, probabilities, and for tests every tensor, between the
 * device's layouts (kernels.h) and plain float32 in N,C,H,W order. */
#include "cuda/device/cuda_internal.h"
#include "cuda/kernels/half.h"

#include <stdlib.h>
#include <string.h>

size_t cuda_tensor_bytes(const struct device *device, const struct prog_tensor *tensor)
{
    struct shape s = tensor->shape;
    size_t elements = cuda_shape_count((struct cuda_shape){s.n, s.c, s.h, s.w});
    switch (tensor->kind) {
    case TENSOR_ACTIVATION:
        return elements * cuda_type_size(device->type);
    case TENSOR_LABELS:
        return (size_t)s.n * sizeof(int32_t);
    case TENSOR_VECTOR:
        return (size_t)s.c * sizeof(float);
    case TENSOR_INDEX:
        return elements;
    case TENSOR_UPDATE: /* whole chunks, as in the flat arrays */
        return cuda_chunk_count((size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w) * CUDA_CHUNK *
               sizeof(float);
    case TENSOR_WEIGHT:
    case TENSOR_GRADIENT:
    case TENSOR_METRICS:
    case TENSOR_OUTPUT:
        break;
    }
    return 0;
}

/* ---- metrics, probabilities ---- */

enum status cuda_program_metrics(struct device *device, struct device_program *prepared,
                                 double metrics[METRIC_COUNT], struct error *err)
{
    memcpy(metrics, prepared->metrics, sizeof(prepared->metrics));
    if (prepared->memory == NULL)
        return ST_OK;
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_copy(device, metrics, prepared->memory + prepared->at.metrics, sizeof(prepared->metrics),
                       cudaMemcpyDeviceToHost, "read metrics", err);
    return st;
}

enum status cuda_program_set_metrics(struct device *device, struct device_program *prepared,
                                     const double metrics[METRIC_COUNT], struct error *err)
{
    memmove(prepared->metrics, metrics, sizeof(prepared->metrics));
    if (prepared->memory == NULL)
        return ST_OK;
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_copy(device, prepared->memory + prepared->at.metrics, prepared->metrics,
                       sizeof(prepared->metrics), cudaMemcpyHostToDevice, "set metrics", err);
    return st;
}

enum status cuda_program_probabilities(struct device *device, struct device_program *prepared,
                                       float *probabilities, struct error *err)
{
    return cuda_program_tensor(device, prepared, prepared->program->probabilities, probabilities, err);
}

/* ---- layouts, on the host ---- */

/* Whether it is the gradient of a kernel, in the order of the kernel's copy. */
static bool is_copied(const struct device_program *prepared, const struct prog_tensor *tensor)
{
    return tensor->kind == TENSOR_GRADIENT && cuda_gradient_copied(prepared, tensor->weight);
}

/* How a number of the tensor is stored, unless it is an index or a label. */
static enum cuda_type stored_type(const struct device_program *prepared, const struct prog_tensor *tensor)
{
    if (tensor->kind == TENSOR_ACTIVATION ||
        (is_copied(prepared, tensor) && !prepared->weights[tensor->weight].wide))
        return prepared->device->type;
    return CUDA_FLOAT;
}

/* Element `offset` of a stored tensor as a float, and back. */
static float load(enum tensor_kind kind, enum cuda_type type, const char *stored, size_t offset)
{
    float value = 0.0f;
    int32_t label = 0;
    uint16_t bits;
    if (kind == TENSOR_INDEX)
        return (float)(unsigned char)stored[offset];
    if (kind == TENSOR_LABELS) {
        memcpy(&label, stored + offset * sizeof(label), sizeof(label));
        return (float)label;
    }
    if (type != CUDA_FLOAT) {
        memcpy(&bits, stored + offset * sizeof(bits), sizeof(bits));
        return type == CUDA_BF16 ? half_from_bf16(bits) : half_from_fp16(bits);
    }
    memcpy(&value, stored + offset * sizeof(value), sizeof(value));
    return value;
}

static void store(enum tensor_kind kind, enum cuda_type type, char *stored, size_t offset, float value)
{
    const int32_t label = (int32_t)value;
    const uint16_t bits = type == CUDA_BF16 ? half_to_bf16(value) : half_to_fp16(value);
    if (kind == TENSOR_INDEX)
        stored[offset] = (char)(unsigned char)value;
    else if (kind == TENSOR_LABELS)
        memcpy(stored + offset * sizeof(label), &label, sizeof(label));
    else if (type != CUDA_FLOAT)
        memcpy(stored + offset * sizeof(bits), &bits, sizeof(bits));
    else
        memcpy(stored + offset * sizeof(value), &value, sizeof(value));
}

/* Where element `within` of a kernel's master stands in its copy. */
static size_t copy_offset(const struct cuda_weight *w, size_t within)
{
    const size_t in = (size_t)w->in, pixel = within / in, row = pixel / (size_t)w->taps;
    const size_t block = row / (size_t)(w->out / w->blocks);
    return pixel * (size_t)w->depth + block * in + within % in;
}

/* Where the element at `plain`, in N,C,H,W order, is stored. */
static size_t stored_offset(const struct device_program *prepared, const struct prog_tensor *tensor,
                            size_t plain)
{
    const struct shape s = tensor->shape;
    const size_t plane = (size_t)s.h * (size_t)s.w, channels = (size_t)s.c;
    const size_t pixel = plain % plane, channel = plain / plane % channels, image = plain / plane / channels;
    const size_t offset = (image * plane + pixel) * channels + channel;
    switch (tensor->kind) {
    case TENSOR_ACTIVATION:
    case TENSOR_INDEX:
        return (image * plane + pixel) * (size_t)cuda_padded(s.c) + channel;
    case TENSOR_WEIGHT:
    case TENSOR_UPDATE:
        return offset;
    case TENSOR_GRADIENT:
        return is_copied(prepared, tensor) ? copy_offset(&prepared->weights[tensor->weight], offset) : offset;
    default:
        return plain;
    }
}

static size_t element_count(const struct prog_tensor *tensor)
{
    return (size_t)tensor->shape.n * (size_t)tensor->shape.c * (size_t)tensor->shape.h *
           (size_t)tensor->shape.w;
}

size_t cuda_stored_bytes(const struct device_program *prepared, int32_t id)
{
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    const size_t bytes = cuda_tensor_bytes(prepared->device, tensor),
                 size = cuda_type_size(stored_type(prepared, tensor));
    return bytes > 0                     ? bytes
           : is_copied(prepared, tensor) ? cuda_copy_count(&prepared->weights[tensor->weight]) * size
                                         : element_count(tensor) * size;
}

/* ---- tensors ---- */

/* Its bytes, and a zeroed host buffer of as many. */
static enum status tensor_buffer(const struct device_program *prepared, int32_t id, size_t *bytes,
                                 char **buffer, struct error *err)
{
    *bytes = cuda_stored_bytes(prepared, id);
    *buffer = calloc(*bytes, 1);
    return *buffer != NULL ? cuda_enter(prepared->device, err) : error_memory(err, "tensor", *bytes);
}

enum status cuda_program_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                float *values, struct error *err)
{
    size_t bytes = 0;
    char *buffer = NULL;
    enum status st = tensor_buffer(prepared, id, &bytes, &buffer, err);
    if (st != ST_OK)
        goto out;
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    const enum cuda_type type = stored_type(prepared, tensor);
    if (tensor->kind == TENSOR_METRICS) {
        double metrics[METRIC_COUNT];
        st = cuda_program_metrics(device, prepared, metrics, err);
        for (int i = 0; st == ST_OK && i < METRIC_COUNT; i++)
            values[i] = (float)metrics[i];
        goto out;
    }
    st = cuda_copy(device, buffer, cuda_address(prepared, id), bytes, cudaMemcpyDeviceToHost, "read a tensor",
                   err);
    for (size_t i = 0; st == ST_OK && i < element_count(tensor); i++)
        values[i] = load(tensor->kind, type, buffer, stored_offset(prepared, tensor, i));
out:
    free(buffer);
    return st;
}

enum status cuda_program_set_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                    const float *values, struct error *err)
{
    size_t bytes = 0;
    char *buffer = NULL;
    enum status st = tensor_buffer(prepared, id, &bytes, &buffer, err);
    if (st != ST_OK)
        goto out;
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    const enum cuda_type type = stored_type(prepared, tensor);
    if (tensor->kind == TENSOR_METRICS) {
        double metrics[METRIC_COUNT];
        for (int i = 0; i < METRIC_COUNT; i++)
            metrics[i] = (double)values[i];
        st = cuda_program_set_metrics(device, prepared, metrics, err);
        goto out;
    }
    for (size_t i = 0; i < element_count(tensor); i++)
        store(tensor->kind, type, buffer, stored_offset(prepared, tensor, i), values[i]);
    st = cuda_copy(device, cuda_address(prepared, id), buffer, bytes, cudaMemcpyHostToDevice,
                   "write a tensor", err);
out:
    free(buffer);
    return st;
}

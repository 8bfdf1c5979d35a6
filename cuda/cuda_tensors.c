/* What can be read and written of a program: metrics, probabilities, and for tests every tensor, between the
 * device's layouts (kernels.h) and plain float32 in N,C,H,W order. */
#include "cuda/cuda_internal.h"
#include "cuda/half.h"

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
    case TENSOR_WEIGHT:
    case TENSOR_GRADIENT:
    case TENSOR_METRICS:
    case TENSOR_OUTPUT:
        break;
    }
    return 0;
}

static enum status check_bound(const struct device_program *prepared, struct error *err)
{
    return prepared->memory != NULL ? ST_OK : error_set(err, ST_RANGE, "the program is not bound");
}

/* ---- metrics, probabilities ---- */

enum status cuda_program_metrics(struct device *device, struct device_program *prepared,
                                 double metrics[METRIC_COUNT], struct error *err)
{
    memcpy(metrics, prepared->metrics, sizeof prepared->metrics);
    if (prepared->memory == NULL)
        return ST_OK;
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_copy(device, metrics, prepared->memory + prepared->at.metrics, sizeof prepared->metrics,
                       cudaMemcpyDeviceToHost, "read metrics", err);
    return st;
}

enum status cuda_program_set_metrics(struct device *device, struct device_program *prepared,
                                     const double metrics[METRIC_COUNT], struct error *err)
{
    memmove(prepared->metrics, metrics, sizeof prepared->metrics);
    if (prepared->memory == NULL)
        return ST_OK;
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_copy(device, prepared->memory + prepared->at.metrics, prepared->metrics,
                       sizeof prepared->metrics, cudaMemcpyHostToDevice, "set metrics", err);
    return st;
}

enum status cuda_program_probabilities(struct device *device, struct device_program *prepared,
                                       float *probabilities, struct error *err)
{
    if (prepared->program->probabilities < 0)
        return error_set(err, ST_UNSUPPORTED,
                         "probabilities: the program yields none (is it a training program?)");
    return cuda_program_tensor(device, prepared, prepared->program->probabilities, probabilities, err);
}

/* ---- layouts, on the host ---- */

/* Element `place` of a stored tensor as a float, and back. */
static float load(const struct device *device, enum tensor_kind kind, const char *stored, size_t place)
{
    float value = 0.0f;
    int32_t label = 0;
    uint16_t bits;
    switch (kind) {
    case TENSOR_INDEX:
        return (float)(unsigned char)stored[place];
    case TENSOR_LABELS:
        memcpy(&label, stored + place * sizeof label, sizeof label);
        return (float)label;
    case TENSOR_ACTIVATION:
        if (device->type != CUDA_FLOAT) {
            memcpy(&bits, stored + place * sizeof bits, sizeof bits);
            return device->type == CUDA_BF16 ? half_from_bf16(bits) : half_from_fp16(bits);
        }
        break;
    default:
        break;
    }
    memcpy(&value, stored + place * sizeof value, sizeof value);
    return value;
}

static void store(const struct device *device, enum tensor_kind kind, char *stored, size_t place, float value)
{
    int32_t label = (int32_t)value;
    uint16_t bits = device->type == CUDA_BF16 ? half_to_bf16(value) : half_to_fp16(value);
    switch (kind) {
    case TENSOR_INDEX:
        stored[place] = (char)(unsigned char)value;
        return;
    case TENSOR_LABELS:
        memcpy(stored + place * sizeof label, &label, sizeof label);
        return;
    case TENSOR_ACTIVATION:
        if (device->type != CUDA_FLOAT) {
            memcpy(stored + place * sizeof bits, &bits, sizeof bits);
            return;
        }
        break;
    default:
        break;
    }
    memcpy(stored + place * sizeof value, &value, sizeof value);
}

/* Where the element at `plain`, in N,C,H,W order, is stored. */
static size_t stored_place(const struct prog_tensor *tensor, size_t plain)
{
    if (tensor->kind != TENSOR_ACTIVATION && tensor->kind != TENSOR_INDEX)
        return plain;
    struct shape s = tensor->shape;
    size_t plane = (size_t)s.h * (size_t)s.w, channels = (size_t)s.c;
    size_t pixel = plain % plane, channel = plain / plane % channels, image = plain / plane / channels;
    return (image * plane + pixel) * (size_t)cuda_padded(s.c) + channel;
}

static size_t element_count(const struct prog_tensor *tensor)
{
    return (size_t)tensor->shape.n * (size_t)tensor->shape.c * (size_t)tensor->shape.h *
           (size_t)tensor->shape.w;
}

/* ---- tensors ---- */

/* Bytes from a tensor's address on, and a zeroed host buffer of as many. */
static enum status tensor_buffer(const struct device_program *prepared, int32_t id, size_t *bytes,
                                 char **buffer, struct error *err)
{
    enum status st = check_bound(prepared, err);
    if (st != ST_OK)
        return st;
    if (id < 0 || id >= prepared->program->tensor_count)
        return error_set(err, ST_RANGE, "tensor %d, expected 0 to %d", (int)id,
                         (int)prepared->program->tensor_count - 1);
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    *bytes = cuda_tensor_bytes(prepared->device, tensor);
    if (*bytes == 0)
        *bytes = element_count(tensor) * sizeof(float);
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
        values[i] = load(device, tensor->kind, buffer, stored_place(tensor, i));
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
    if (tensor->kind == TENSOR_WEIGHT) {
        st = error_set(err, ST_UNSUPPORTED, "tensor %d is a weight: it is set by an upload", (int)id);
        goto out;
    }
    if (tensor->kind == TENSOR_METRICS) {
        double metrics[METRIC_COUNT];
        for (int i = 0; i < METRIC_COUNT; i++)
            metrics[i] = (double)values[i];
        st = cuda_program_set_metrics(device, prepared, metrics, err);
        goto out;
    }
    for (size_t i = 0; i < element_count(tensor); i++)
        store(device, tensor->kind, buffer, stored_place(tensor, i), values[i]);
    st = cuda_copy(device, cuda_address(prepared, id), buffer, bytes, cudaMemcpyHostToDevice,
                   "write a tensor", err);
out:
    free(buffer);
    return st;
}

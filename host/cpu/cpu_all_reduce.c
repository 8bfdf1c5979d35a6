/* Means over the members of a group of CPU devices (host/device/host_group.h), of gradients in a step and of whole
 * weight sets, and copies of one member's set: each member computes its share of a mean with its own team; no copies,
 * and the same bits in every run. */
#include "host/cpu/cpu_internal.h"
#include "host/device/host_group.h"

static void average(void *const *buffers, int32_t count, size_t first, size_t end)
{
    float *const *values = (float *const *)buffers;
    const float share = 1.0f / (float)count;
#pragma omp parallel for schedule(static)
    for (size_t i = first; i < end; i++) {
        float sum = 0.0f;
        for (int32_t member = 0; member < count; member++)
            sum += values[member][i];
        for (int32_t member = 0; member < count; member++)
            values[member][i] = sum * share;
    }
}

enum status cpu_run_all_reduce(const struct op_call *call)
{
    const struct device_program *prepared = call->prepared;
    const struct weight_tensor *tensors = call->program->weights.tensors;
    const struct weight_tensor *last = &tensors[call->op->reduce.last];
    if (prepared->binding.group == NULL)
        return ST_OK;
    return host_group_all_reduce(
        prepared->binding.group, prepared->device, prepared->memory + prepared->gradients,
        tensors[call->op->reduce.first].offset, last->offset + last->count, average, call->err);
}

enum status cpu_group_average(struct device_group *group, struct device *device,
                              struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    cpu_threads_enter(device);
    enum status st =
        host_group_average(group, device, &weights->base.table, weights->slots[slot], average, err);
    cpu_threads_leave(device);
    weights->version++;
    return st;
}

enum status cpu_group_broadcast(struct device_group *group, struct device *device,
                                struct device_weights *weights, enum weight_slot slot, int32_t root,
                                struct error *err)
{
    enum status st = host_group_broadcast(group, device, weights->slots[slot],
                                          weights->base.table.total * sizeof(float), root, err);
    weights->version++;
    return st;
}

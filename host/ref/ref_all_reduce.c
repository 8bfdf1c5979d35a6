/* Means over the members of a group of reference devices (host/device/host_group.h): of gradients in a step, and of
 * whole weight sets; and copies of one member's set. */
#include "host/device/host_group.h"
#include "host/ref/ref.h"

static void average(void *const *buffers, int32_t count, size_t first, size_t end)
{
    double *const *values = (double *const *)buffers;
    for (size_t i = first; i < end; i++) {
        double sum = 0;
        for (int32_t member = 0; member < count; member++)
            sum += values[member][i];
        for (int32_t member = 0; member < count; member++)
            values[member][i] = sum / count;
    }
}

enum status ref_run_all_reduce(const struct op_call *call)
{
    struct device_program *prepared = call->prepared;
    const struct weight_tensor *tensors = prepared->program->weights.tensors;
    const struct weight_tensor *last = &tensors[call->op->reduce.last];
    if (prepared->binding.group == NULL)
        return ST_OK;
    return host_group_all_reduce(prepared->binding.group, prepared->device, prepared->gradients,
                                 tensors[call->op->reduce.first].offset, last->offset + last->count, average,
                                 call->err);
}

enum status ref_group_average(struct device_group *group, struct device *device,
                              struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    return host_group_average(group, device, &weights->base.table, weights->slots[slot], average, err);
}

enum status ref_group_broadcast(struct device_group *group, struct device *device,
                                struct device_weights *weights, enum weight_slot slot, int32_t root,
                                struct error *err)
{
    return host_group_broadcast(group, device, weights->slots[slot],
                                weights->base.table.total * sizeof(double), root, err);
}

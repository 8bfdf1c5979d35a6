/* Optimizer updates: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_optimizer(const struct op_call *call)
{
    const struct device_program *prepared = call->prepared;
    struct device_weights *weights = prepared->binding.weights;
    cpu_kernel_optimizer(&(struct cpu_optimizer){
        .ranges = prepared->ranges,
        .range_count = prepared->range_count,
        .optimizer = &prepared->binding.optimizer,
        .rate = call->step->learning_rate,
        .number = call->step->number,
        .gradients = (const float *)(const void *)prepared->memory,
        .value = weights->slots[SLOT_VALUE],
        .first = weights->slots[SLOT_FIRST],
        .second = weights->slots[SLOT_SECOND],
    });
    weights->version++;
    return ST_OK;
}

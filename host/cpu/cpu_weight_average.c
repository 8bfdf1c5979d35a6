/* The running average of all weights: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_weight_average(const struct op_call *call)
{
    struct device_weights *weights = call->prepared->binding.weights;
    cpu_kernel_weight_average(weights->base.table.total, call->step->average_decay,
                              weights->slots[SLOT_VALUE], weights->slots[SLOT_AVERAGE]);
    weights->version++;
    return ST_OK;
}

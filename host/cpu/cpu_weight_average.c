/* The running average of all weights: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_weight_average(const struct op_call *call)
{
    struct device_weights *weights = call->prepared->binding.weights;
    if (call->step->average_decay == 1.0f && call->step->look_ahead == 0)
        return ST_OK;
    cpu_kernel_weight_average(weights->base.table.total, call->step->average_decay,
                              call->step->look_ahead != 0, weights->slots[SLOT_VALUE],
                              weights->slots[SLOT_AVERAGE]);
    weights->version++;
    return ST_OK;
}

/* The running average of all weights. */
#include "host/ref/ref.h"

#include <string.h>

enum status ref_run_weight_average(const struct op_call *call)
{
    struct device_weights *weights = call->prepared->binding.weights;
    double decay = (double)call->step->average_decay;
    for (size_t i = 0; i < weights->base.table.total; i++)
        weights->slots[SLOT_AVERAGE][i] +=
            (1 - decay) * (weights->slots[SLOT_VALUE][i] - weights->slots[SLOT_AVERAGE][i]);
    if (call->step->look_ahead)
        memcpy(weights->slots[SLOT_VALUE], weights->slots[SLOT_AVERAGE],
               weights->base.table.total * sizeof(double));
    return ST_OK;
}

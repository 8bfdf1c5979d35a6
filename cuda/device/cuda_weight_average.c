/* The weight average alone; in a whole step the optimizer's kernel does it (cuda_optimizer.c). */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_weight_average(const struct op_call *call)
{
    return cuda_copies_update(call->prepared, NULL, false, true, call->err);
}

/* The optimizer: alone, or in a whole step with the weight average that follows it, in one pass over the weights
 * (cuda/kernels/optimizer.cu). */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_optimizer(const struct op_call *call)
{
    return cuda_copies_update(call->prepared, true, false, call->err);
}

enum status cuda_run_update(const struct op_call *call)
{
    const int32_t next = call->index + 1;
    const bool average = next < call->program->op_count && call->prepared->ops[next].folded_away;
    return cuda_copies_update(call->prepared, true, average, call->err);
}

/* The optimizer: alone, or in a whole step with the weight average that follows it, in one pass over the weights
 * (cuda/kernels/optimizer.cu). */
#include "cuda/device/cuda_ops.h"

static enum status update(const struct op_call *call, bool average)
{
    const struct cuda_scaling *scaling = NULL;
    enum status st = cuda_copies_scale(call->prepared, call->index, &scaling, call->err);
    return st == ST_OK ? cuda_copies_update(call->prepared, scaling, true, average, call->err) : st;
}

enum status cuda_run_optimizer(const struct op_call *call)
{
    return update(call, false);
}

enum status cuda_run_update(const struct op_call *call)
{
    const int32_t next = call->index + 1;
    return update(call, next < call->program->op_count && call->prepared->ops[next].folded_away);
}

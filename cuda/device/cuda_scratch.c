/* Scratch that operations need while they run, and the limits of our kernels. */
#include "cuda/device/cuda_ops.h"

/* Of a convolution's or dense layer's weight gradient, beside its plan's workspace: one after the other uses the
 * region. */
static size_t bias_scratch(const struct op_call *call, int32_t dy, int32_t dbias)
{
    const struct device_program *prepared = call->prepared;
    return dbias < 0
               ? 0
               : cuda_bias_gradient_scratch(cuda_shape_of(prepared, dy), prepared->device->info.threads);
}

enum status cuda_op_scratch(const struct op_call *call, size_t *bytes)
{
    const struct device_program *prepared = call->prepared;
    const struct conv_plan *plan = prepared->ops[call->index].plan;
    const int32_t multiprocessors = prepared->device->info.threads, *in = call->op->inputs,
                  *out = call->op->outputs;
    size_t own = 0;
    switch (call->op->kind) {
    case PROG_OP_CONV_BACKWARD_WEIGHTS:
        own = bias_scratch(call, in[CONV_BACKWARD_WEIGHTS_IN_DY], out[CONV_BACKWARD_WEIGHTS_OUT_DBIAS]);
        break;
    case PROG_OP_DENSE_BACKWARD_WEIGHTS:
        own = bias_scratch(call, in[DENSE_BACKWARD_WEIGHTS_IN_DY], out[DENSE_BACKWARD_WEIGHTS_OUT_DBIAS]);
        break;
    case PROG_OP_BATCH_NORM:
        own = cuda_batch_norm_scratch(cuda_input_shape(call, BATCH_NORM_IN_X), multiprocessors);
        break;
    case PROG_OP_BATCH_NORM_BACKWARD:
        own = cuda_batch_norm_scratch(cuda_input_shape(call, BATCH_NORM_BACKWARD_IN_X), multiprocessors);
        break;
    case PROG_OP_LOSS:
        own = cuda_loss_scratch(call->program->batch);
        break;
    case PROG_OP_ORTHOGONALISE:
        own = cuda_orthogonalise_scratch(call);
        break;
    case PROG_OP_MAX_POOL:
        if (!cuda_window_fits(cuda_window_of(call)))
            return error_set(call->err, ST_UNSUPPORTED, "window of %d x %d, expected at most 255 pixels",
                             (int)call->op->window.kernel_h, (int)call->op->window.kernel_w);
        break;
    case PROG_OP_GATHER:
    case PROG_OP_CONV:
    case PROG_OP_CONV_BACKWARD_DATA:
    case PROG_OP_BATCH_NORM_INFERENCE:
    case PROG_OP_ACTIVATION:
    case PROG_OP_ACTIVATION_BACKWARD:
    case PROG_OP_ADD:
    case PROG_OP_CONCAT:
    case PROG_OP_SPLIT:
    case PROG_OP_MAX_POOL_BACKWARD:
    case PROG_OP_AVERAGE_POOL:
    case PROG_OP_AVERAGE_POOL_BACKWARD:
    case PROG_OP_GLOBAL_POOL:
    case PROG_OP_GLOBAL_POOL_BACKWARD:
    case PROG_OP_GATE:
    case PROG_OP_GATE_BACKWARD:
    case PROG_OP_DENSE:
    case PROG_OP_DENSE_BACKWARD_DATA:
    case PROG_OP_DROPOUT:
    case PROG_OP_DROPOUT_BACKWARD:
    case PROG_OP_DROP_PATH:
    case PROG_OP_DROP_PATH_BACKWARD:
    case PROG_OP_ALL_REDUCE:
    case PROG_OP_OPTIMIZER:
    case PROG_OP_WEIGHT_AVERAGE:
    case PROG_OP_KIND_COUNT:
        break;
    }
    *bytes = plan != NULL && conv_plan_workspace(plan) > own ? conv_plan_workspace(plan) : own;
    return ST_OK;
}

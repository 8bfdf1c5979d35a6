/* Dropout: operands to cuda/kernels/dropout.cu. Backward is the same on gradients: the same mask, the same factor. */
#include "cuda/device/cuda_ops.h"

static enum status drop(const struct op_call *call, int32_t x, int32_t y)
{
    const struct device_program *prepared = call->prepared;
    const struct cuda_dropout dropout = {.shape = cuda_shape_of(prepared, x),
                                         .rate = call->op->dropout.rate,
                                         .layer_id = call->op->layer_id,
                                         .step = prepared->device->step,
                                         .x = cuda_address(prepared, x),
                                         .y = cuda_address(prepared, y)};
    return cuda_launched(call,
                         cuda_launch_dropout(prepared->device->stream, prepared->device->type, &dropout));
}

enum status cuda_run_dropout(const struct op_call *call)
{
    return drop(call, call->op->inputs[DROPOUT_IN_X], call->op->outputs[DROPOUT_OUT_Y]);
}

enum status cuda_run_dropout_backward(const struct op_call *call)
{
    return drop(call, call->op->inputs[DROPOUT_BACKWARD_IN_DY], call->op->outputs[DROPOUT_BACKWARD_OUT_DX]);
}

/* Dropout: operands to cuda/kernels/dropout.cu. Backward is the same on gradients: the same mask, the same factor. */
#include "cuda/device/cuda_ops.h"

static enum status drop(const struct op_call *call, int32_t x, int32_t y)
{
    const struct device *device = call->prepared->device;
    const struct cuda_dropout dropout = cuda_dropout_of(call, x, y);
    return cuda_launched(call, cuda_launch_dropout(device->stream, device->type, &dropout));
}

enum status cuda_run_dropout(const struct op_call *call)
{
    return drop(call, call->op->inputs[DROPOUT_IN_X], call->op->outputs[DROPOUT_OUT_Y]);
}

enum status cuda_run_dropout_backward(const struct op_call *call)
{
    return drop(call, call->op->inputs[DROPOUT_BACKWARD_IN_DY], call->op->outputs[DROPOUT_BACKWARD_OUT_DX]);
}

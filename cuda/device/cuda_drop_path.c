/* Drop path: operands to cuda/kernels/drop_path.cu. Backward is the same on gradients: the same factors. */
#include "cuda/device/cuda_ops.h"

static enum status drop(const struct op_call *call, int32_t x, int32_t y)
{
    const struct device *device = call->prepared->device;
    const struct cuda_dropout drop_path = cuda_dropout_of(call, x, y);
    return cuda_launched(call, cuda_launch_drop_path(device->stream, device->type, &drop_path));
}

enum status cuda_run_drop_path(const struct op_call *call)
{
    return drop(call, call->op->inputs[DROP_PATH_IN_X], call->op->outputs[DROP_PATH_OUT_Y]);
}

enum status cuda_run_drop_path_backward(const struct op_call *call)
{
    return drop(call, call->op->inputs[DROP_PATH_BACKWARD_IN_DY],
                call->op->outputs[DROP_PATH_BACKWARD_OUT_DX]);
}

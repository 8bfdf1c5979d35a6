/* Drop path: operands to cuda/kernels/drop_path.cu. Backward is the same on gradients: the same factors. */
#include "cuda/device/cuda_ops.h"

static enum status drop(const struct op_call *call, int32_t x, int32_t y)
{
    const struct device_program *prepared = call->prepared;
    const struct cuda_dropout drop_path = {.shape = cuda_shape_of(prepared, x),
                                           .rate = call->op->dropout.rate,
                                           .layer_id = call->op->layer_id,
                                           .step = prepared->device->step,
                                           .x = cuda_address(prepared, x),
                                           .y = cuda_address(prepared, y)};
    return cuda_launched(call,
                         cuda_launch_drop_path(prepared->device->stream, prepared->device->type, &drop_path));
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

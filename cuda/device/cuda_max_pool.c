/* Max pool: operands to cuda/kernels/max_pool.cu. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_max_pool(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct cuda_pool pool = {.in = cuda_input_shape(call, MAX_POOL_IN_X),
                                   .out = cuda_output_shape(call, MAX_POOL_OUT_Y),
                                   .window = cuda_window_of(call),
                                   .x = cuda_input(call, MAX_POOL_IN_X),
                                   .y = cuda_output(call, MAX_POOL_OUT_Y),
                                   .index = cuda_output(call, MAX_POOL_OUT_INDEX)};
    return cuda_launched(call, cuda_launch_max_pool(device->stream, device->type, &pool));
}

enum status cuda_run_max_pool_backward(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct cuda_pool_backward pool = {.in = cuda_output_shape(call, MAX_POOL_BACKWARD_OUT_DX),
                                            .out = cuda_input_shape(call, MAX_POOL_BACKWARD_IN_DY),
                                            .window = cuda_window_of(call),
                                            .dy = cuda_input(call, MAX_POOL_BACKWARD_IN_DY),
                                            .index = cuda_input(call, MAX_POOL_BACKWARD_IN_INDEX),
                                            .dx = cuda_output(call, MAX_POOL_BACKWARD_OUT_DX)};
    return cuda_launched(call, cuda_launch_max_pool_backward(device->stream, device->type, &pool));
}

/* Global pool: operands to cuda/kernels/global_pool.cu. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_global_pool(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    return cuda_launched(call, cuda_launch_global_pool(
                                   device->stream, device->type, cuda_input_shape(call, GLOBAL_POOL_IN_X),
                                   cuda_input(call, GLOBAL_POOL_IN_X), cuda_output(call, GLOBAL_POOL_OUT_Y)));
}

enum status cuda_run_global_pool_backward(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    return cuda_launched(
        call, cuda_launch_global_pool_backward(device->stream, device->type,
                                               cuda_output_shape(call, GLOBAL_POOL_BACKWARD_OUT_DX),
                                               cuda_input(call, GLOBAL_POOL_BACKWARD_IN_DY),
                                               cuda_output(call, GLOBAL_POOL_BACKWARD_OUT_DX)));
}

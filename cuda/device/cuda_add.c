/* The sum of two: operands to cuda/kernels/add.cu. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_add(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    return cuda_launched(call, cuda_launch_add(device->stream, device->type,
                                               cuda_shape_count(cuda_input_shape(call, ADD_IN_A)),
                                               cuda_input(call, ADD_IN_A), cuda_input(call, ADD_IN_B),
                                               cuda_output(call, ADD_OUT_SUM)));
}

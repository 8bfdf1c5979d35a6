/* Activations: operands to cuda/kernels/activation.cu. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_activation(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const size_t count = cuda_shape_count(cuda_input_shape(call, ACTIVATION_IN_X));
    return cuda_launched(
        call, cuda_launch_activation(device->stream, device->type, call->op->activation.function, count,
                                     cuda_input(call, ACTIVATION_IN_X), cuda_output(call, ACTIVATION_OUT_Y)));
}

enum status cuda_run_activation_backward(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const size_t count = cuda_shape_count(cuda_input_shape(call, ACTIVATION_BACKWARD_IN_DY));
    return cuda_launched(
        call, cuda_launch_activation_backward(device->stream, device->type, call->op->activation.function,
                                              count, cuda_input(call, ACTIVATION_BACKWARD_IN_SEEN),
                                              cuda_input(call, ACTIVATION_BACKWARD_IN_DY),
                                              cuda_output(call, ACTIVATION_BACKWARD_OUT_DX)));
}

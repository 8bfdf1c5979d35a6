/* Gates: operands to cuda/kernels/gate.cu. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_gate(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    return cuda_launched(call,
                         cuda_launch_gate(device->stream, device->type, cuda_input_shape(call, GATE_IN_X),
                                          cuda_input(call, GATE_IN_X), cuda_input(call, GATE_IN_GATE),
                                          cuda_output(call, GATE_OUT_Y)));
}

enum status cuda_run_gate_backward(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct cuda_gate_backward gate = {
        .shape = cuda_input_shape(call, GATE_BACKWARD_IN_X),
        .x = cuda_input(call, GATE_BACKWARD_IN_X),
        .gate = cuda_input(call, GATE_BACKWARD_IN_GATE),
        .dy = cuda_input(call, GATE_BACKWARD_IN_DY),
        .dx = cuda_output(call, GATE_BACKWARD_OUT_DX),
        .dgate = cuda_output(call, GATE_BACKWARD_OUT_DGATE),
    };
    return cuda_launched(call, cuda_launch_gate_backward(device->stream, device->type, &gate));
}

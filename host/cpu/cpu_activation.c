/* Activations: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_activation(const struct op_call *call)
{
    const struct cpu_shape s = cpu_output_shape(call, ACTIVATION_OUT_Y);
    cpu_kernel_activation(call->op->activation.function, s.type, cpu_shape_count(s),
                          cpu_input(call, ACTIVATION_IN_X), cpu_output(call, ACTIVATION_OUT_Y));
    return ST_OK;
}

enum status cpu_run_activation_backward(const struct op_call *call)
{
    const struct cpu_shape s = cpu_output_shape(call, ACTIVATION_BACKWARD_OUT_DX);
    cpu_kernel_activation_backward(call->op->activation.function, s.type, cpu_shape_count(s),
                                   cpu_input(call, ACTIVATION_BACKWARD_IN_SEEN),
                                   cpu_input(call, ACTIVATION_BACKWARD_IN_DY),
                                   cpu_output(call, ACTIVATION_BACKWARD_OUT_DX));
    return ST_OK;
}

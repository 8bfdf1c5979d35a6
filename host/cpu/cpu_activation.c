/* Activations: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_activation(const struct op_call *call)
{
    cpu_kernel_activation(call->op->activation.function,
                          cpu_shape_count(cpu_output_shape(call, ACTIVATION_OUT_Y)),
                          cpu_input(call, ACTIVATION_IN_X), cpu_output(call, ACTIVATION_OUT_Y));
    return ST_OK;
}

enum status cpu_run_activation_backward(const struct op_call *call)
{
    cpu_kernel_activation_backward(
        call->op->activation.function, cpu_shape_count(cpu_output_shape(call, ACTIVATION_BACKWARD_OUT_DX)),
        cpu_input(call, ACTIVATION_BACKWARD_IN_SEEN), cpu_input(call, ACTIVATION_BACKWARD_IN_DY),
        cpu_output(call, ACTIVATION_BACKWARD_OUT_DX));
    return ST_OK;
}

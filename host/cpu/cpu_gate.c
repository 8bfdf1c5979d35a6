/* Channels times what their gates are open: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_gate(const struct op_call *call)
{
    cpu_kernel_gate(cpu_input_shape(call, GATE_IN_X), cpu_input(call, GATE_IN_X),
                    cpu_input(call, GATE_IN_GATE), cpu_output(call, GATE_OUT_Y));
    return ST_OK;
}

enum status cpu_run_gate_backward(const struct op_call *call)
{
    const struct cpu_gate_backward gate = {
        .shape = cpu_input_shape(call, GATE_BACKWARD_IN_X),
        .x = cpu_input(call, GATE_BACKWARD_IN_X),
        .gate = cpu_input(call, GATE_BACKWARD_IN_GATE),
        .dy = cpu_input(call, GATE_BACKWARD_IN_DY),
        .dx = cpu_output(call, GATE_BACKWARD_OUT_DX),
        .dgate = cpu_output(call, GATE_BACKWARD_OUT_DGATE),
    };
    cpu_kernel_gate_backward(&gate);
    return ST_OK;
}

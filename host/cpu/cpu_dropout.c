/* Dropout: operands to the kernel, which does both directions, the same mask over the gradient. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_dropout(const struct op_call *call)
{
    cpu_kernel_dropout(cpu_output_shape(call, DROPOUT_OUT_Y), cpu_input(call, DROPOUT_IN_X),
                       call->op->dropout.rate, call->step, call->op->layer_id,
                       cpu_output(call, DROPOUT_OUT_Y));
    return ST_OK;
}

enum status cpu_run_dropout_backward(const struct op_call *call)
{
    cpu_kernel_dropout(cpu_output_shape(call, DROPOUT_BACKWARD_OUT_DX),
                       cpu_input(call, DROPOUT_BACKWARD_IN_DY), call->op->dropout.rate, call->step,
                       call->op->layer_id, cpu_output(call, DROPOUT_BACKWARD_OUT_DX));
    return ST_OK;
}

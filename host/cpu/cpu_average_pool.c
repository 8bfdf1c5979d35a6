/* Average pooling over windows: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_average_pool(const struct op_call *call)
{
    cpu_kernel_average_pool(cpu_input_shape(call, AVERAGE_POOL_IN_X),
                            cpu_output_shape(call, AVERAGE_POOL_OUT_Y), cpu_window_of(call->op),
                            cpu_input(call, AVERAGE_POOL_IN_X), cpu_output(call, AVERAGE_POOL_OUT_Y));
    return ST_OK;
}

enum status cpu_run_average_pool_backward(const struct op_call *call)
{
    cpu_kernel_average_pool_backward(cpu_output_shape(call, AVERAGE_POOL_BACKWARD_OUT_DX),
                                     cpu_input_shape(call, AVERAGE_POOL_BACKWARD_IN_DY),
                                     cpu_window_of(call->op), cpu_input(call, AVERAGE_POOL_BACKWARD_IN_DY),
                                     cpu_output(call, AVERAGE_POOL_BACKWARD_OUT_DX));
    return ST_OK;
}

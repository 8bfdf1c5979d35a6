/* Average pooling over the whole image: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_global_pool(const struct op_call *call)
{
    cpu_kernel_global_pool(cpu_input_shape(call, GLOBAL_POOL_IN_X), cpu_input(call, GLOBAL_POOL_IN_X),
                           cpu_output(call, GLOBAL_POOL_OUT_Y));
    return ST_OK;
}

enum status cpu_run_global_pool_backward(const struct op_call *call)
{
    cpu_kernel_global_pool_backward(cpu_output_shape(call, GLOBAL_POOL_BACKWARD_OUT_DX),
                                    cpu_input(call, GLOBAL_POOL_BACKWARD_IN_DY),
                                    cpu_output(call, GLOBAL_POOL_BACKWARD_OUT_DX));
    return ST_OK;
}

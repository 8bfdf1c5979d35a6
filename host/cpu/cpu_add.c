/* The sum of two tensors: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_add(const struct op_call *call)
{
    cpu_kernel_add(cpu_shape_count(cpu_output_shape(call, ADD_OUT_SUM)), cpu_input(call, ADD_IN_A),
                   cpu_input(call, ADD_IN_B), cpu_output(call, ADD_OUT_SUM));
    return ST_OK;
}

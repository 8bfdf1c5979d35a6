/* The sum of two tensors: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_add(const struct op_call *call)
{
    const struct cpu_shape s = cpu_output_shape(call, ADD_OUT_SUM);
    cpu_kernel_add(s.type, cpu_shape_count(s), cpu_input(call, ADD_IN_A), cpu_input(call, ADD_IN_B),
                   cpu_output(call, ADD_OUT_SUM));
    return ST_OK;
}

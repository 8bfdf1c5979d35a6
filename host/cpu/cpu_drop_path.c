/* Drop path: operands to the kernel, which does both directions. */
#include "host/cpu/cpu_internal.h"

static void drop(const struct op_call *call, struct cpu_shape shape, const void *x, void *y)
{
    cpu_kernel_drop_path(shape, x, call->op->dropout.rate * call->step->drop_path, call->step,
                         call->op->layer_id, y);
}

enum status cpu_run_drop_path(const struct op_call *call)
{
    drop(call, cpu_output_shape(call, DROP_PATH_OUT_Y), cpu_input(call, DROP_PATH_IN_X),
         cpu_output(call, DROP_PATH_OUT_Y));
    return ST_OK;
}

enum status cpu_run_drop_path_backward(const struct op_call *call)
{
    drop(call, cpu_output_shape(call, DROP_PATH_BACKWARD_OUT_DX), cpu_input(call, DROP_PATH_BACKWARD_IN_DY),
         cpu_output(call, DROP_PATH_BACKWARD_OUT_DX));
    return ST_OK;
}

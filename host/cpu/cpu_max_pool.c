/* Max pooling: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_prepare_max_pool(const struct op_call *call)
{
    const struct cpu_window window = cpu_window_of(call->op);
    if (!cpu_window_fits(window))
        return error_set(call->err, ST_UNSUPPORTED,
                         "max pool: window of %d x %d, expected at most 255 pixels", (int)window.kernel_h,
                         (int)window.kernel_w);
    return ST_OK;
}

enum status cpu_run_max_pool(const struct op_call *call)
{
    cpu_kernel_max_pool(cpu_input_shape(call, MAX_POOL_IN_X), cpu_output_shape(call, MAX_POOL_OUT_Y),
                        cpu_window_of(call->op), cpu_input(call, MAX_POOL_IN_X),
                        cpu_output(call, MAX_POOL_OUT_Y), cpu_output(call, MAX_POOL_OUT_INDEX));
    return ST_OK;
}

enum status cpu_run_max_pool_backward(const struct op_call *call)
{
    cpu_kernel_max_pool_backward(
        cpu_output_shape(call, MAX_POOL_BACKWARD_OUT_DX), cpu_input_shape(call, MAX_POOL_BACKWARD_IN_DY),
        cpu_window_of(call->op), cpu_input(call, MAX_POOL_BACKWARD_IN_DY),
        cpu_input(call, MAX_POOL_BACKWARD_IN_INDEX), cpu_output(call, MAX_POOL_BACKWARD_OUT_DX));
    return ST_OK;
}

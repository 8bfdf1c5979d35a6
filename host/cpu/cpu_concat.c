/* Concat and split: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_concat(const struct op_call *call)
{
    const int32_t count = call->op->input_count - CONCAT_IN_X;
    int32_t channels[PROG_MAX_INPUTS];
    const void *x[PROG_MAX_INPUTS];
    for (int32_t k = 0; k < count; k++) {
        channels[k] = op_input_shape(call, CONCAT_IN_X + k).c;
        x[k] = cpu_input(call, CONCAT_IN_X + k);
    }
    cpu_kernel_concat(cpu_output_shape(call, CONCAT_OUT_Y), count, channels, x,
                      cpu_output(call, CONCAT_OUT_Y));
    return ST_OK;
}

enum status cpu_run_split(const struct op_call *call)
{
    const int32_t count = call->op->output_count - SPLIT_OUT_DX;
    int32_t channels[PROG_MAX_OUTPUTS];
    void *dx[PROG_MAX_OUTPUTS];
    for (int32_t k = 0; k < count; k++) {
        channels[k] = op_output_shape(call, SPLIT_OUT_DX + k).c;
        dx[k] = cpu_output(call, SPLIT_OUT_DX + k);
    }
    cpu_kernel_split(cpu_input_shape(call, SPLIT_IN_DY), count, channels, cpu_input(call, SPLIT_IN_DY), dx);
    return ST_OK;
}

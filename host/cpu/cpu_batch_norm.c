/* Batch normalisation: operands to kernels. Contracts: program.h; arithmetic: kernel_batch_norm.c. */
#include "host/cpu/cpu_internal.h"

enum status cpu_prepare_batch_norm(const struct op_call *call)
{
    cpu_take_scratch(cpu_state(call), cpu_kernel_batch_norm_scratch(cpu_input_shape(call, BATCH_NORM_IN_X)));
    return ST_OK;
}

enum status cpu_prepare_batch_norm_backward(const struct op_call *call)
{
    cpu_take_scratch(cpu_state(call),
                     cpu_kernel_batch_norm_scratch(cpu_input_shape(call, BATCH_NORM_BACKWARD_IN_X)));
    return ST_OK;
}

enum status cpu_prepare_batch_norm_inference(const struct op_call *call)
{
    cpu_take_scratch(cpu_state(call),
                     cpu_kernel_batch_norm_scratch(cpu_input_shape(call, BATCH_NORM_INFERENCE_IN_X)));
    return ST_OK;
}

enum status cpu_run_batch_norm(const struct op_call *call)
{
    cpu_kernel_batch_norm(&(struct cpu_batch_norm){
        .shape = cpu_input_shape(call, BATCH_NORM_IN_X),
        .relu = call->op->norm.relu,
        .momentum = call->op->norm.momentum,
        .epsilon = GRAPH_BATCH_NORM_EPSILON,
        .x = cpu_input(call, BATCH_NORM_IN_X),
        .scale = cpu_input(call, BATCH_NORM_IN_SCALE),
        .shift = cpu_input(call, BATCH_NORM_IN_SHIFT),
        .addend = cpu_input(call, BATCH_NORM_IN_ADDEND),
        .running_mean = cpu_input(call, BATCH_NORM_IN_RUNNING_MEAN),
        .running_var = cpu_input(call, BATCH_NORM_IN_RUNNING_VAR),
        .y = cpu_output(call, BATCH_NORM_OUT_Y),
        .mean = cpu_output(call, BATCH_NORM_OUT_MEAN),
        .invstd = cpu_output(call, BATCH_NORM_OUT_INVSTD),
        .scratch = cpu_scratch(call),
    });
    return ST_OK;
}

enum status cpu_run_batch_norm_backward(const struct op_call *call)
{
    cpu_kernel_batch_norm_backward(&(struct cpu_batch_norm_backward){
        .shape = cpu_input_shape(call, BATCH_NORM_BACKWARD_IN_X),
        .x = cpu_input(call, BATCH_NORM_BACKWARD_IN_X),
        .y = cpu_input(call, BATCH_NORM_BACKWARD_IN_Y),
        .dy = cpu_input(call, BATCH_NORM_BACKWARD_IN_DY),
        .scale = cpu_input(call, BATCH_NORM_BACKWARD_IN_SCALE),
        .mean = cpu_input(call, BATCH_NORM_BACKWARD_IN_MEAN),
        .invstd = cpu_input(call, BATCH_NORM_BACKWARD_IN_INVSTD),
        .dx = cpu_output(call, BATCH_NORM_BACKWARD_OUT_DX),
        .dscale = cpu_output(call, BATCH_NORM_BACKWARD_OUT_DSCALE),
        .dshift = cpu_output(call, BATCH_NORM_BACKWARD_OUT_DSHIFT),
        .daddend = cpu_output(call, BATCH_NORM_BACKWARD_OUT_DADDEND),
        .scratch = cpu_scratch(call),
    });
    return ST_OK;
}

enum status cpu_run_batch_norm_inference(const struct op_call *call)
{
    cpu_kernel_batch_norm_inference(&(struct cpu_batch_norm_inference){
        .shape = cpu_input_shape(call, BATCH_NORM_INFERENCE_IN_X),
        .relu = call->op->norm.relu,
        .epsilon = GRAPH_BATCH_NORM_EPSILON,
        .x = cpu_input(call, BATCH_NORM_INFERENCE_IN_X),
        .scale = cpu_input(call, BATCH_NORM_INFERENCE_IN_SCALE),
        .shift = cpu_input(call, BATCH_NORM_INFERENCE_IN_SHIFT),
        .addend = cpu_input(call, BATCH_NORM_INFERENCE_IN_ADDEND),
        .running_mean = cpu_input(call, BATCH_NORM_INFERENCE_IN_RUNNING_MEAN),
        .running_var = cpu_input(call, BATCH_NORM_INFERENCE_IN_RUNNING_VAR),
        .y = cpu_output(call, BATCH_NORM_INFERENCE_OUT_Y),
        .scratch = cpu_scratch(call),
    });
    return ST_OK;
}

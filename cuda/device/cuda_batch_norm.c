/* Batch norm: operands to cuda/kernels/batch_norm.cu. Where it is folded into a convolution: cuda_fold.c. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_batch_norm(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct cuda_lane lane = cuda_main_lane(call);
    const struct cuda_batch_norm norm = {.multiprocessors = device->info.threads,
                                         .shape = cuda_input_shape(call, BATCH_NORM_IN_X),
                                         .relu = call->op->norm.relu,
                                         .momentum = call->op->norm.momentum,
                                         .epsilon = GRAPH_BATCH_NORM_EPSILON,
                                         .x = cuda_input(call, BATCH_NORM_IN_X),
                                         .scale = cuda_input(call, BATCH_NORM_IN_SCALE),
                                         .shift = cuda_input(call, BATCH_NORM_IN_SHIFT),
                                         .addend = cuda_input(call, BATCH_NORM_IN_ADDEND),
                                         .running_mean = cuda_input(call, BATCH_NORM_IN_RUNNING_MEAN),
                                         .running_var = cuda_input(call, BATCH_NORM_IN_RUNNING_VAR),
                                         .y = cuda_output(call, BATCH_NORM_OUT_Y),
                                         .mean = cuda_output(call, BATCH_NORM_OUT_MEAN),
                                         .invstd = cuda_output(call, BATCH_NORM_OUT_INVSTD),
                                         .scratch = lane.scratch,
                                         .tickets = lane.tickets};
    return cuda_launched(call, cuda_launch_batch_norm(device->stream, device->type, &norm));
}

/* The forward operation that wrote tensor y; NULL: none. */
static const struct prog_op *norm_of(const struct program *program, int32_t y)
{
    for (int32_t i = 0; y >= 0 && i < program->op_count; i++)
        if (program->ops[i].kind == PROG_OP_BATCH_NORM && program->ops[i].outputs[BATCH_NORM_OUT_Y] == y)
            return &program->ops[i];
    return NULL;
}

/* Where forward had no addend, its y follows from x and shift, and is not read. */
enum status cuda_run_batch_norm_backward(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct cuda_lane lane = cuda_main_lane(call);
    const struct prog_op *forward = norm_of(call->program, call->op->inputs[BATCH_NORM_BACKWARD_IN_Y]);
    struct cuda_batch_norm_backward norm = {.multiprocessors = device->info.threads,
                                            .shape = cuda_input_shape(call, BATCH_NORM_BACKWARD_IN_X),
                                            .x = cuda_input(call, BATCH_NORM_BACKWARD_IN_X),
                                            .dy = cuda_input(call, BATCH_NORM_BACKWARD_IN_DY),
                                            .scale = cuda_input(call, BATCH_NORM_BACKWARD_IN_SCALE),
                                            .mean = cuda_input(call, BATCH_NORM_BACKWARD_IN_MEAN),
                                            .invstd = cuda_input(call, BATCH_NORM_BACKWARD_IN_INVSTD),
                                            .dx = cuda_output(call, BATCH_NORM_BACKWARD_OUT_DX),
                                            .dscale = cuda_output(call, BATCH_NORM_BACKWARD_OUT_DSCALE),
                                            .dshift = cuda_output(call, BATCH_NORM_BACKWARD_OUT_DSHIFT),
                                            .daddend = cuda_output(call, BATCH_NORM_BACKWARD_OUT_DADDEND),
                                            .scratch = lane.scratch,
                                            .tickets = lane.tickets};
    if (forward != NULL && forward->inputs[BATCH_NORM_IN_ADDEND] < 0)
        norm.shift = cuda_address(call->prepared, forward->inputs[BATCH_NORM_IN_SHIFT]);
    else
        norm.y = cuda_input(call, BATCH_NORM_BACKWARD_IN_Y);
    return cuda_launched(call, cuda_launch_batch_norm_backward(device->stream, device->type, &norm));
}

enum status cuda_run_batch_norm_inference(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct cuda_batch_norm_inference norm = {
        .multiprocessors = device->info.threads,
        .shape = cuda_input_shape(call, BATCH_NORM_INFERENCE_IN_X),
        .relu = call->op->norm.relu,
        .epsilon = GRAPH_BATCH_NORM_EPSILON,
        .x = cuda_input(call, BATCH_NORM_INFERENCE_IN_X),
        .scale = cuda_input(call, BATCH_NORM_INFERENCE_IN_SCALE),
        .shift = cuda_input(call, BATCH_NORM_INFERENCE_IN_SHIFT),
        .running_mean = cuda_input(call, BATCH_NORM_INFERENCE_IN_RUNNING_MEAN),
        .running_var = cuda_input(call, BATCH_NORM_INFERENCE_IN_RUNNING_VAR),
        .addend = cuda_input(call, BATCH_NORM_INFERENCE_IN_ADDEND),
        .y = cuda_output(call, BATCH_NORM_INFERENCE_OUT_Y)};
    return cuda_launched(call, cuda_launch_batch_norm_inference(device->stream, device->type, &norm));
}

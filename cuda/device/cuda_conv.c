/* Convolutions: operands to cuDNN's plans, and the biases around them. */
#include "cuda/device/cuda_ops.h"

/* Runs the operation's plan. Tensors x and y of the forward direction, or their gradients; the kernel's copy, or that of its
 * gradient. */
static enum status execute(const struct op_call *call, struct cuda_lane lane, int32_t x, void *kernel,
                           int32_t y)
{
    const struct conv_plan *plan = call->prepared->ops[call->index].plan;
    const struct conv_operands operands = {.x = cuda_address(call->prepared, x),
                                           .kernel = kernel,
                                           .y = cuda_address(call->prepared, y),
                                           .workspace = conv_plan_workspace(plan) > 0 ? lane.scratch : NULL};
    return conv_plan_execute(plan, lane.cudnn, &operands, call->err);
}

enum status cuda_run_conv(const struct op_call *call)
{
    const struct prog_op *op = call->op;
    enum status st = execute(call, cuda_main_lane(call), op->inputs[CONV_IN_X],
                             cuda_copied(call->prepared, cuda_kernel_of(call)), op->outputs[CONV_OUT_Y]);
    return st == ST_OK ? cuda_add_bias(call, op->inputs[CONV_IN_BIAS], op->outputs[CONV_OUT_Y]) : st;
}

enum status cuda_run_conv_backward_data(const struct op_call *call)
{
    const struct prog_op *op = call->op;
    return execute(call, cuda_main_lane(call), op->outputs[CONV_BACKWARD_DATA_OUT_DX],
                   cuda_copied(call->prepared, cuda_kernel_of(call)), op->inputs[CONV_BACKWARD_DATA_IN_DY]);
}

/* In the order of the kernel's copy, which the update reads. On the branch. */
enum status cuda_run_conv_backward_weights(const struct op_call *call)
{
    const struct prog_op *op = call->op;
    const int32_t dy = op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY];
    const struct cuda_lane lane = cuda_branch_lane(call);
    enum status st = execute(call, lane, op->inputs[CONV_BACKWARD_WEIGHTS_IN_X],
                             cuda_copied_gradient(call->prepared, cuda_kernel_of(call)), dy);
    return st == ST_OK ? cuda_sum_bias_gradient(call, lane, dy, op->outputs[CONV_BACKWARD_WEIGHTS_OUT_DBIAS])
                       : st;
}

/* Convolutions: operands to cuDNN's plans, and the biases around them. */
#include "cuda/device/cuda_internal.h"

static void *kernel_of(const struct device_program *prepared, int32_t index)
{
    return cuda_copied(prepared, cuda_kernel_of(prepared, index));
}

/* Runs the operation's plan: x, y of the forward direction or their gradients; the kernel's copy, or that of
 * its gradient. */
static enum status execute(const struct device_program *prepared, int32_t index, struct cuda_lane lane,
                           int32_t x, void *kernel, int32_t y, struct error *err)
{
    const struct cuda_op *state = &prepared->ops[index];
    const struct conv_operands operands = {.x = cuda_address(prepared, x),
                                           .kernel = kernel,
                                           .y = cuda_address(prepared, y),
                                           .workspace =
                                               conv_plan_workspace(state->plan) > 0 ? lane.scratch : NULL};
    return conv_plan_execute(state->plan, lane.cudnn, &operands, err);
}

enum status cuda_run_conv(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    enum status st = execute(prepared, index, cuda_main_lane(prepared), op->inputs[0],
                             kernel_of(prepared, index), op->outputs[0], err);
    return st == ST_OK ? cuda_add_bias(prepared, index, err) : st;
}

enum status cuda_run_conv_backward_data(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    return execute(prepared, index, cuda_main_lane(prepared), op->outputs[0], kernel_of(prepared, index),
                   op->inputs[0], err);
}

/* In the order of the kernel's copy, which the update reads. On the branch. */
enum status cuda_run_conv_backward_weights(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    void *gradient = cuda_copied_gradient(prepared, cuda_kernel_of(prepared, index));
    const struct cuda_lane lane = cuda_branch_lane(prepared);
    enum status st = execute(prepared, index, lane, op->inputs[0], gradient, op->inputs[1], err);
    return st == ST_OK ? cuda_sum_bias_gradient(prepared, index, lane, err) : st;
}

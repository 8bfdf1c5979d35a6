/* Convolutions and dense layers: operands to cuDNN's plans, and the biases around them. */
#include "cuda/cuda_internal.h"

static void *scratch_of(const struct device_program *prepared)
{
    return prepared->memory + prepared->at.scratch;
}

/* Runs the operation's plan: x, y of the forward direction or their gradients; the kernel's copy, or that of
 * its gradient. */
static enum status execute(const struct device_program *prepared, int32_t index, int32_t x, size_t copies,
                           int32_t y, struct error *err)
{
    const struct cuda_op *state = &prepared->ops[index];
    size_t offset = (size_t)prepared->copies[state->copy].copy * cuda_type_size(prepared->device->type);
    return conv_plan_execute(state->plan, prepared->device->cudnn, cuda_address(prepared, x),
                             prepared->memory + copies + offset, cuda_address(prepared, y),
                             conv_plan_workspace(state->plan) > 0 ? scratch_of(prepared) : NULL, err);
}

static enum status run_forward(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct device *device = prepared->device;
    const struct prog_op *op = &prepared->program->ops[index];
    enum status st = execute(prepared, index, op->inputs[0], prepared->at.copies, op->outputs[0], err);
    if (st == ST_OK && op->inputs[2] >= 0)
        st = cuda_check(cuda_launch_add_bias(
                            device->stream, device->type, cuda_shape_of(prepared, op->outputs[0]),
                            cuda_address(prepared, op->inputs[2]), cuda_address(prepared, op->outputs[0])),
                        "add a bias", err);
    return st;
}

static enum status run_backward_data(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    return execute(prepared, index, op->outputs[0], prepared->at.copies, op->inputs[0], err);
}

/* Into the copy of the kernel's gradient; cuda_copies_gradients takes it from there. */
static enum status run_backward_weights(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct device *device = prepared->device;
    const struct prog_op *op = &prepared->program->ops[index];
    enum status st = execute(prepared, index, op->inputs[0], prepared->at.copy_gradients, op->inputs[1], err);
    if (st == ST_OK && op->outputs[1] >= 0)
        st = cuda_check(cuda_launch_bias_gradient(
                            device->stream, device->type, cuda_shape_of(prepared, op->inputs[1]),
                            cuda_address(prepared, op->inputs[1]), cuda_address(prepared, op->outputs[1]),
                            scratch_of(prepared), cuda_tickets(prepared)),
                        "sum up a bias' gradient", err);
    return st;
}

enum status cuda_run_conv(struct device_program *prepared, int32_t op, struct error *err)
{
    return run_forward(prepared, op, err);
}

enum status cuda_run_conv_backward_data(struct device_program *prepared, int32_t op, struct error *err)
{
    return run_backward_data(prepared, op, err);
}

enum status cuda_run_conv_backward_weights(struct device_program *prepared, int32_t op, struct error *err)
{
    return run_backward_weights(prepared, op, err);
}

enum status cuda_run_dense(struct device_program *prepared, int32_t op, struct error *err)
{
    return run_forward(prepared, op, err);
}

enum status cuda_run_dense_backward_data(struct device_program *prepared, int32_t op, struct error *err)
{
    return run_backward_data(prepared, op, err);
}

enum status cuda_run_dense_backward_weights(struct device_program *prepared, int32_t op, struct error *err)
{
    return run_backward_weights(prepared, op, err);
}

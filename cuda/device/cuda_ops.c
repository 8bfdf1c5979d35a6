/* All other operations, and biases: operands to our kernels. Contracts: program.h; memory and arithmetic: kernels.h. */
#include "cuda/device/cuda_internal.h"

static const struct prog_op *op_at(const struct device_program *prepared, int32_t index)
{
    return &prepared->program->ops[index];
}

/* Operand i, NULL where it is absent. */
static void *input(const struct device_program *prepared, int32_t index, int32_t i)
{
    return cuda_address(prepared, op_at(prepared, index)->inputs[i]);
}

static void *output(const struct device_program *prepared, int32_t index, int32_t i)
{
    return cuda_address(prepared, op_at(prepared, index)->outputs[i]);
}

static struct cuda_shape input_shape(const struct device_program *prepared, int32_t index)
{
    return cuda_shape_of(prepared, op_at(prepared, index)->inputs[0]);
}

static struct cuda_shape output_shape(const struct device_program *prepared, int32_t index)
{
    return cuda_shape_of(prepared, op_at(prepared, index)->outputs[0]);
}

static enum status launched(cudaError_t error, struct error *err)
{
    return cuda_check(error, "launch a kernel", err);
}

static struct cuda_window window_of(const struct prog_op *op)
{
    return (struct cuda_window){op->window.kernel_h, op->window.kernel_w, op->window.stride, op->window.pad_h,
                                op->window.pad_w};
}

/* ---- scratch and limits ---- */

enum status cuda_op_scratch(const struct device_program *prepared, int32_t index, size_t *bytes,
                            struct error *err)
{
    const struct prog_op *op = op_at(prepared, index);
    size_t bias = 0;
    *bytes = prepared->ops[index].plan != NULL ? conv_plan_workspace(prepared->ops[index].plan) : 0;
    switch (op->kind) {
    case PROG_OP_CONV_BACKWARD_WEIGHTS:
    case PROG_OP_DENSE_BACKWARD_WEIGHTS:
        if (op->outputs[1] >= 0)
            bias = cuda_bias_gradient_scratch(cuda_shape_of(prepared, op->inputs[1]),
                                              prepared->device->info.threads);
        *bytes = bias > *bytes ? bias : *bytes;
        break;
    case PROG_OP_BATCH_NORM:
    case PROG_OP_BATCH_NORM_BACKWARD:
        *bytes = cuda_batch_norm_scratch(input_shape(prepared, index), prepared->device->info.threads);
        break;
    case PROG_OP_LOSS:
        *bytes = cuda_loss_scratch(prepared->program->batch);
        break;
    case PROG_OP_OPTIMIZER:
        *bytes = prepared->device->type == CUDA_HALF ? cuda_scaling_scratch() : 0;
        break;
    case PROG_OP_MAX_POOL:
        if (!cuda_window_fits(window_of(op)))
            return error_set(err, ST_UNSUPPORTED, "window of %d x %d, expected at most 255 pixels",
                             (int)op->window.kernel_h, (int)op->window.kernel_w);
        break;
    case PROG_OP_GATHER:
    case PROG_OP_CONV:
    case PROG_OP_CONV_BACKWARD_DATA:
    case PROG_OP_BATCH_NORM_INFERENCE:
    case PROG_OP_ACTIVATION:
    case PROG_OP_ACTIVATION_BACKWARD:
    case PROG_OP_ADD:
    case PROG_OP_CONCAT:
    case PROG_OP_SPLIT:
    case PROG_OP_MAX_POOL_BACKWARD:
    case PROG_OP_AVERAGE_POOL:
    case PROG_OP_AVERAGE_POOL_BACKWARD:
    case PROG_OP_GLOBAL_POOL:
    case PROG_OP_GLOBAL_POOL_BACKWARD:
    case PROG_OP_DENSE:
    case PROG_OP_DENSE_BACKWARD_DATA:
    case PROG_OP_DROPOUT:
    case PROG_OP_DROPOUT_BACKWARD:
    case PROG_OP_ALL_REDUCE:
    case PROG_OP_WEIGHT_AVERAGE:
    case PROG_OP_KIND_COUNT:
        break;
    }
    return ST_OK;
}

/* ---- biases of convolutions and dense layers ---- */

enum status cuda_add_bias(struct device_program *prepared, int32_t index, struct error *err)
{
    if (op_at(prepared, index)->inputs[2] < 0)
        return ST_OK;
    return cuda_check(cuda_launch_add_bias(prepared->device->stream, prepared->device->type,
                                           output_shape(prepared, index), input(prepared, index, 2),
                                           output(prepared, index, 0)),
                      "add a bias", err);
}

enum status cuda_sum_bias_gradient(struct device_program *prepared, int32_t index, struct cuda_lane lane,
                                   struct error *err)
{
    const struct prog_op *op = op_at(prepared, index);
    if (op->outputs[1] < 0)
        return ST_OK;
    return cuda_check(
        cuda_launch_bias_gradient(lane.stream, prepared->device->type, prepared->device->info.threads,
                                  cuda_shape_of(prepared, op->inputs[1]), input(prepared, index, 1),
                                  output(prepared, index, 1), lane.scratch, lane.tickets),
        "sum up a bias' gradient", err);
}

/* ---- the ends of a step ---- */

enum status cuda_run_gather(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct device_binding *binding = &prepared->binding;
    const struct device_dataset *dataset = binding->dataset;
    struct cuda_gather gather = {.pixels = dataset->pixels,
                                 .labels = dataset->labels,
                                 .levels = dataset->levels,
                                 .samples = prepared->samples,
                                 .sample_count = binding->sample_count,
                                 .shuffled = binding->shuffled,
                                 .channels = dataset->base.channels,
                                 .height = dataset->base.height,
                                 .width = dataset->base.width};
    if (op_at(prepared, index)->gather.augment)
        gather.augment = binding->augment;
    return launched(cuda_launch_gather(prepared->device->stream, prepared->device->type, &gather,
                                       prepared->program->batch, prepared->device->step,
                                       output(prepared, index, 0), output(prepared, index, 1)),
                    err);
}

enum status cuda_run_loss(struct device_program *prepared, int32_t index, struct error *err)
{
    struct cuda_shape s = input_shape(prepared, index);
    return launched(cuda_launch_loss(prepared->device->stream, prepared->device->type, s.n, s.c,
                                     op_at(prepared, index)->loss.smoothing, prepared->device->step,
                                     input(prepared, index, 0), input(prepared, index, 1),
                                     output(prepared, index, 0), output(prepared, index, 1),
                                     output(prepared, index, 2), cuda_scratch(prepared),
                                     cuda_tickets(prepared)),
                    err);
}

enum status cuda_run_optimizer(struct device_program *prepared, int32_t index, struct error *err)
{
    (void)index;
    return cuda_copies_update(prepared, true, false, err);
}

enum status cuda_run_weight_average(struct device_program *prepared, int32_t index, struct error *err)
{
    (void)index;
    return cuda_copies_update(prepared, false, true, err);
}

enum status cuda_run_update(struct device_program *prepared, int32_t index, struct error *err)
{
    const bool average = index + 1 < prepared->program->op_count && prepared->ops[index + 1].folded_away;
    return cuda_copies_update(prepared, true, average, err);
}

/* ---- batch normalisation ---- */

enum status cuda_run_batch_norm(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = op_at(prepared, index);
    return launched(cuda_launch_batch_norm(
                        prepared->device->stream, prepared->device->type, prepared->device->info.threads,
                        input_shape(prepared, index), input(prepared, index, 0), input(prepared, index, 1),
                        input(prepared, index, 2), input(prepared, index, 5), op->norm.relu,
                        op->norm.momentum, GRAPH_BATCH_NORM_EPSILON, input(prepared, index, 3),
                        input(prepared, index, 4), output(prepared, index, 0), output(prepared, index, 1),
                        output(prepared, index, 2), cuda_scratch(prepared), cuda_tickets(prepared)),
                    err);
}

/* The forward operation that wrote tensor y; NULL: none. */
static const struct prog_op *norm_of(const struct program *program, int32_t y)
{
    for (int32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == PROG_OP_BATCH_NORM && program->ops[i].outputs[0] == y)
            return &program->ops[i];
    return NULL;
}

/* Where forward had no addend, its y follows from x and shift, and is not read. */
enum status cuda_run_batch_norm_backward(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = op_at(prepared, index);
    const struct prog_op *forward = op->inputs[1] >= 0 ? norm_of(prepared->program, op->inputs[1]) : NULL;
    const bool anew = forward != NULL && forward->inputs[5] < 0;
    return launched(cuda_launch_batch_norm_backward(
                        prepared->device->stream, prepared->device->type, prepared->device->info.threads,
                        input_shape(prepared, index), input(prepared, index, 0),
                        anew ? NULL : input(prepared, index, 1),
                        anew ? cuda_address(prepared, forward->inputs[2]) : NULL, input(prepared, index, 2),
                        input(prepared, index, 3), input(prepared, index, 4), input(prepared, index, 5),
                        output(prepared, index, 0), output(prepared, index, 1), output(prepared, index, 2),
                        output(prepared, index, 3), cuda_scratch(prepared), cuda_tickets(prepared)),
                    err);
}

enum status cuda_run_batch_norm_inference(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_batch_norm_inference(
                        prepared->device->stream, prepared->device->type, prepared->device->info.threads,
                        input_shape(prepared, index), input(prepared, index, 0), input(prepared, index, 1),
                        input(prepared, index, 2), input(prepared, index, 3), input(prepared, index, 4),
                        GRAPH_BATCH_NORM_EPSILON, input(prepared, index, 5),
                        op_at(prepared, index)->norm.relu, output(prepared, index, 0)),
                    err);
}

/* ---- elementwise ---- */

enum status cuda_run_activation(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_activation(prepared->device->stream, prepared->device->type,
                                           op_at(prepared, index)->activation.function,
                                           cuda_shape_count(input_shape(prepared, index)),
                                           input(prepared, index, 0), output(prepared, index, 0)),
                    err);
}

enum status cuda_run_activation_backward(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_activation_backward(prepared->device->stream, prepared->device->type,
                                                    op_at(prepared, index)->activation.function,
                                                    cuda_shape_count(input_shape(prepared, index)),
                                                    input(prepared, index, 0), input(prepared, index, 1),
                                                    output(prepared, index, 0)),
                    err);
}

enum status cuda_run_add(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_add(prepared->device->stream, prepared->device->type,
                                    cuda_shape_count(input_shape(prepared, index)), input(prepared, index, 0),
                                    input(prepared, index, 1), output(prepared, index, 0)),
                    err);
}

enum status cuda_run_dropout(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = op_at(prepared, index);
    return launched(cuda_launch_dropout(prepared->device->stream, prepared->device->type,
                                        input_shape(prepared, index), input(prepared, index, 0),
                                        op->dropout.rate, op->layer_id, prepared->device->step,
                                        output(prepared, index, 0)),
                    err);
}

enum status cuda_run_dropout_backward(struct device_program *prepared, int32_t index, struct error *err)
{
    return cuda_run_dropout(prepared, index, err); /* the same mask, the same factor */
}

/* ---- channels ---- */

enum status cuda_run_concat(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = op_at(prepared, index);
    int32_t channels[PROG_MAX_INPUTS];
    const void *parts[PROG_MAX_INPUTS];
    for (int32_t i = 0; i < op->input_count; i++) {
        channels[i] = cuda_shape_of(prepared, op->inputs[i]).c;
        parts[i] = input(prepared, index, i);
    }
    return launched(cuda_launch_concat(prepared->device->stream, prepared->device->type,
                                       output_shape(prepared, index), op->input_count, channels, parts,
                                       output(prepared, index, 0)),
                    err);
}

enum status cuda_run_split(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = op_at(prepared, index);
    int32_t channels[PROG_MAX_OUTPUTS];
    void *parts[PROG_MAX_OUTPUTS];
    for (int32_t i = 0; i < op->output_count; i++) {
        channels[i] = cuda_shape_of(prepared, op->outputs[i]).c;
        parts[i] = output(prepared, index, i);
    }
    return launched(cuda_launch_split(prepared->device->stream, prepared->device->type,
                                      input_shape(prepared, index), op->output_count, channels,
                                      input(prepared, index, 0), parts),
                    err);
}

/* ---- pooling ---- */

enum status cuda_run_max_pool(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_max_pool(prepared->device->stream, prepared->device->type,
                                         input_shape(prepared, index), output_shape(prepared, index),
                                         window_of(op_at(prepared, index)), input(prepared, index, 0),
                                         output(prepared, index, 0), output(prepared, index, 1)),
                    err);
}

enum status cuda_run_max_pool_backward(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_max_pool_backward(
                        prepared->device->stream, prepared->device->type, output_shape(prepared, index),
                        input_shape(prepared, index), window_of(op_at(prepared, index)),
                        input(prepared, index, 0), input(prepared, index, 1), output(prepared, index, 0)),
                    err);
}

enum status cuda_run_average_pool(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_average_pool(prepared->device->stream, prepared->device->type,
                                             input_shape(prepared, index), output_shape(prepared, index),
                                             window_of(op_at(prepared, index)), input(prepared, index, 0),
                                             output(prepared, index, 0)),
                    err);
}

enum status cuda_run_average_pool_backward(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_average_pool_backward(
                        prepared->device->stream, prepared->device->type, output_shape(prepared, index),
                        input_shape(prepared, index), window_of(op_at(prepared, index)),
                        input(prepared, index, 0), output(prepared, index, 0)),
                    err);
}

enum status cuda_run_global_pool(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_global_pool(prepared->device->stream, prepared->device->type,
                                            input_shape(prepared, index), input(prepared, index, 0),
                                            output(prepared, index, 0)),
                    err);
}

enum status cuda_run_global_pool_backward(struct device_program *prepared, int32_t index, struct error *err)
{
    return launched(cuda_launch_global_pool_backward(prepared->device->stream, prepared->device->type,
                                                     output_shape(prepared, index), input(prepared, index, 0),
                                                     output(prepared, index, 0)),
                    err);
}

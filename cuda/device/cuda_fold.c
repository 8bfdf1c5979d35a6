/* Batch norm folded into the convolution before it, in evaluation programs.
 *
 * Where a convolution's output is read by one batch norm in inference and by nobody else, the two are one operation of
 * cuDNN: the kernel's working copy is multiplied by the batch norm's factors, what is left of it is a bias, and sum and
 * ReLU follow in the same pass (kernels.h: struct cuda_weight; conv.h: fused kinds). It runs in the batch norm's
 * place, where the addend is there; the convolution's own place is passed over, its output is never written. Where cuDNN
 * has no fused plan for a shape, both run as they stand. cuDNN's ReLU may hide a NaN; weights that have diverged show in the
 * loss all the same, for the last layer is dense and not fused.
 *
 * Only whole steps are folded. Operation by operation (cuda_program_run_op) each does what program.h says of it, so that it
 * can be compared and measured; the copies are made anew when the way changes. */
#include "cuda/device/cuda_ops.h"

/* The convolution that writes the tensor, when its only reader is operation `norm`, as its first input; -1 otherwise. */
static int32_t find_convolution(const struct program *program, int32_t tensor, int32_t norm)
{
    int32_t writer = -1, readers = 0;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *op = &program->ops[i];
        if (op->kind == PROG_OP_CONV && op->outputs[CONV_OUT_Y] == tensor)
            writer = i;
        for (int32_t k = 0; k < op->input_count; k++)
            readers += op->inputs[k] == tensor;
    }
    return readers == 1 && writer >= 0 && writer < norm ? writer : -1;
}

static uint64_t weight_place(const struct program *program, int32_t tensor)
{
    return program->weights.tensors[program->tensors[tensor].weight].offset;
}

/* Tells the kernel of its batch norm. */
static void describe(struct device_program *prepared, const struct prog_op *conv, const struct prog_op *norm)
{
    const struct program *program = prepared->program;
    const int32_t bias = conv->inputs[CONV_IN_BIAS];
    struct cuda_weight *kernel = &prepared->weights[program->tensors[conv->inputs[CONV_IN_KERNEL]].weight];
    kernel->folded = 1;
    kernel->scale = weight_place(program, norm->inputs[BATCH_NORM_INFERENCE_IN_SCALE]);
    kernel->shift = weight_place(program, norm->inputs[BATCH_NORM_INFERENCE_IN_SHIFT]);
    kernel->mean = weight_place(program, norm->inputs[BATCH_NORM_INFERENCE_IN_RUNNING_MEAN]);
    kernel->var = weight_place(program, norm->inputs[BATCH_NORM_INFERENCE_IN_RUNNING_VAR]);
    kernel->bias = bias >= 0 ? weight_place(program, bias) : CUDA_NO_BIAS;
}

enum status cuda_fold_plan(struct device_program *prepared, struct error *err)
{
    const struct program *program = prepared->program;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *norm = &program->ops[i];
        struct cuda_op *state = &prepared->ops[i];
        if (norm->kind != PROG_OP_BATCH_NORM_INFERENCE)
            continue;
        const int32_t conv = find_convolution(program, norm->inputs[BATCH_NORM_INFERENCE_IN_X], i);
        if (conv < 0)
            continue;
        const struct conv_geometry geometry = conv_plan_describe(prepared->ops[conv].plan).geometry;
        const enum conv_kind kind =
            conv_fused_kind(norm->inputs[BATCH_NORM_INFERENCE_IN_ADDEND] >= 0, norm->norm.relu);
        enum status st = conv_planner_plan(prepared->device->planner, kind, &geometry, &state->plan, err);
        if (st == ST_UNSUPPORTED)
            continue;
        if (st != ST_OK)
            return error_prefix(err, "%s, operation %d of layer %u", prog_op_name(norm->kind), (int)i,
                                (unsigned)norm->layer_id);
        state->folded_conv = conv;
        prepared->ops[conv].folded_away = true;
        prepared->fold_count++;
        describe(prepared, &program->ops[conv], norm);
    }
    return ST_OK;
}

void cuda_fold_lifetimes(const struct device_program *prepared, struct prog_tensor *tensors)
{
    for (int32_t i = 0; i < prepared->program->op_count; i++) {
        const int32_t conv = prepared->ops[i].folded_conv;
        if (conv < 0)
            continue;
        struct prog_tensor *x = &tensors[prepared->program->ops[conv].inputs[CONV_IN_X]];
        x->last = x->last > i ? x->last : i;
    }
}

enum status cuda_run_folded(const struct op_call *call)
{
    struct device_program *prepared = call->prepared;
    const struct cuda_op *state = &prepared->ops[call->index];
    const struct op_call conv = cuda_call(prepared, state->folded_conv, call->err);
    const struct cuda_weight *kernel = cuda_kernel_of(&conv);
    const size_t size = cuda_type_size(prepared->device->type);
    const struct conv_operands operands = {
        .x = cuda_input(&conv, CONV_IN_X),
        .kernel = cuda_copied(prepared, kernel),
        .y = cuda_output(call, BATCH_NORM_INFERENCE_OUT_Y),
        .addend = cuda_input(call, BATCH_NORM_INFERENCE_IN_ADDEND),
        .bias = prepared->memory + prepared->at.biases + (size_t)kernel->first_row * size,
        .workspace = conv_plan_workspace(state->plan) > 0 ? cuda_scratch(prepared) : NULL};
    return conv_plan_execute(state->plan, prepared->device->cudnn, &operands, call->err);
}

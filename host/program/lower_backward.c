/* Lowering, backward: reverse-mode differentiation. From the last layer to the first, each layer's operation
 * gets its adjoint, which turns the gradient of the output into gradients of weights and inputs. All readers
 * of a layer come before it in this order, so its gradient is complete when it is its turn.
 *
 * Gradients of weights come before gradients of the input, because then the input's own memory is free for
 * them. */
#include "host/program/lowering.h"

/* Adds `contribution` to the gradient of the layer's output. A gradient that a single reader gives is handed
 * on as it is, so one tensor may be the gradient of several layers. */
static void pass_gradient(struct lowering *lowering, int32_t layer, int32_t contribution)
{
    struct layer_state *state = &lowering->layers[layer];
    if (!state->trained)
        return;
    if (state->gradient < 0) {
        state->gradient = contribution;
        return;
    }
    struct prog_op *sum = lower_op(lowering, PROG_OP_ADD, layer);
    sum->inputs[ADD_IN_A] = state->gradient;
    sum->inputs[ADD_IN_B] = contribution;
    state->gradient = lower_write(lowering, sum, ADD_OUT_SUM, lower_shape(lowering, layer));
}

/* The gradient of what the layer with one input reads, as the output at that position. */
static void write_input_gradient(struct lowering *lowering, struct prog_op *op, int32_t position,
                                 int32_t layer)
{
    int32_t input = lower_input_layer(lowering, layer, 0);
    int32_t dx = lower_write(lowering, op, position, lower_shape(lowering, input));
    pass_gradient(lowering, input, dx);
}

static void backward_conv(struct lowering *lowering, int32_t layer, int32_t dy)
{
    int32_t input = lower_input_layer(lowering, layer, 0);
    struct prog_op *op;
    if (!lowering->graph->layers[layer].frozen) {
        op = lower_op(lowering, PROG_OP_CONV_BACKWARD_WEIGHTS, layer);
        lower_window(lowering, op, layer);
        op->inputs[CONV_BACKWARD_WEIGHTS_IN_X] = lower_value(lowering, input);
        op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY] = dy;
        lower_write_gradient(lowering, op, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL, layer, WEIGHT_KERNEL);
        lower_write_gradient(lowering, op, CONV_BACKWARD_WEIGHTS_OUT_DBIAS, layer, WEIGHT_BIAS);
    }
    if (!lowering->layers[input].trained)
        return;
    op = lower_op(lowering, PROG_OP_CONV_BACKWARD_DATA, layer);
    lower_window(lowering, op, layer);
    op->inputs[CONV_BACKWARD_DATA_IN_DY] = dy;
    op->inputs[CONV_BACKWARD_DATA_IN_KERNEL] = lower_weight(lowering, layer, WEIGHT_KERNEL);
    write_input_gradient(lowering, op, CONV_BACKWARD_DATA_OUT_DX, layer);
}

static void backward_dense(struct lowering *lowering, int32_t layer, int32_t dy)
{
    int32_t input = lower_input_layer(lowering, layer, 0);
    struct prog_op *op = lower_op(lowering, PROG_OP_DENSE_BACKWARD_WEIGHTS, layer);
    op->inputs[DENSE_BACKWARD_WEIGHTS_IN_X] = lower_value(lowering, input);
    op->inputs[DENSE_BACKWARD_WEIGHTS_IN_DY] = dy;
    lower_write_gradient(lowering, op, DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL, layer, WEIGHT_KERNEL);
    lower_write_gradient(lowering, op, DENSE_BACKWARD_WEIGHTS_OUT_DBIAS, layer, WEIGHT_BIAS);
    if (!lowering->layers[input].trained)
        return;
    op = lower_op(lowering, PROG_OP_DENSE_BACKWARD_DATA, layer);
    op->inputs[DENSE_BACKWARD_DATA_IN_DY] = dy;
    op->inputs[DENSE_BACKWARD_DATA_IN_KERNEL] = lower_weight(lowering, layer, WEIGHT_KERNEL);
    write_input_gradient(lowering, op, DENSE_BACKWARD_DATA_OUT_DX, layer);
}

static void backward_batch_norm(struct lowering *lowering, int32_t tail, int32_t dy)
{
    const struct layer_state *state = &lowering->layers[tail];
    int32_t norm = state->norm, addend = state->addend;
    int32_t input = lower_input_layer(lowering, norm, 0);
    struct prog_op *op = lower_op(lowering, PROG_OP_BATCH_NORM_BACKWARD, norm);
    op->norm.relu = state->relu;
    op->norm.momentum = lowering->options->batch_norm_momentum;
    op->inputs[BATCH_NORM_BACKWARD_IN_X] = lower_value(lowering, input);
    op->inputs[BATCH_NORM_BACKWARD_IN_Y] = state->relu ? state->value : -1;
    op->inputs[BATCH_NORM_BACKWARD_IN_DY] = dy;
    op->inputs[BATCH_NORM_BACKWARD_IN_SCALE] = lower_weight(lowering, norm, WEIGHT_SCALE);
    op->inputs[BATCH_NORM_BACKWARD_IN_MEAN] = state->mean;
    op->inputs[BATCH_NORM_BACKWARD_IN_INVSTD] = state->invstd;
    int32_t dx = lower_write(lowering, op, BATCH_NORM_BACKWARD_OUT_DX, lower_shape(lowering, input));
    lower_write_gradient(lowering, op, BATCH_NORM_BACKWARD_OUT_DSCALE, norm, WEIGHT_SCALE);
    lower_write_gradient(lowering, op, BATCH_NORM_BACKWARD_OUT_DSHIFT, norm, WEIGHT_SHIFT);
    int32_t daddend = dy;
    if (addend >= 0 && state->relu && lowering->layers[addend].trained)
        daddend = lower_write(lowering, op, BATCH_NORM_BACKWARD_OUT_DADDEND, lower_shape(lowering, addend));
    pass_gradient(lowering, input, dx);
    if (addend >= 0)
        pass_gradient(lowering, addend, daddend);
}

static void backward_add(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const struct layer_state *state = &lowering->layers[layer];
    int32_t gradients[] = {dy, dy};
    if (state->drop_path > 0.0f &&
        lowering->layers[lower_input_layer(lowering, layer, state->branch)].trained) {
        struct prog_op *op = lower_op(lowering, PROG_OP_DROP_PATH_BACKWARD, layer);
        op->dropout.rate = state->drop_path;
        op->inputs[DROP_PATH_BACKWARD_IN_DY] = dy;
        gradients[state->branch] =
            lower_write(lowering, op, DROP_PATH_BACKWARD_OUT_DX, lower_shape(lowering, layer));
    }
    for (int32_t k = 0; k < 2; k++)
        pass_gradient(lowering, lower_input_layer(lowering, layer, k), gradients[k]);
}

static void backward_concat(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const struct layer *from = &lowering->graph->layers[layer];
    struct prog_op *op = lower_op(lowering, PROG_OP_SPLIT, layer);
    op->inputs[SPLIT_IN_DY] = dy;
    op->output_count = SPLIT_OUT_DX + from->input_count;
    for (int32_t k = 0; k < from->input_count; k++)
        lower_write(lowering, op, SPLIT_OUT_DX + k,
                    lower_shape(lowering, lower_input_layer(lowering, layer, k)));
    /* Only now, because a sum writes the next tensor and is the next operation. */
    for (int32_t k = 0; k < from->input_count; k++)
        pass_gradient(lowering, lower_input_layer(lowering, layer, k), op->outputs[SPLIT_OUT_DX + k]);
}

static void backward_gate(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const int32_t x = lower_input_layer(lowering, layer, 0), gate = lower_input_layer(lowering, layer, 1);
    struct prog_op *op = lower_op(lowering, PROG_OP_GATE_BACKWARD, layer);
    op->inputs[GATE_BACKWARD_IN_X] = lower_value(lowering, x);
    op->inputs[GATE_BACKWARD_IN_GATE] = lower_value(lowering, gate);
    op->inputs[GATE_BACKWARD_IN_DY] = dy;
    int32_t dx = lower_write(lowering, op, GATE_BACKWARD_OUT_DX, lower_shape(lowering, x));
    int32_t dgate = lower_write(lowering, op, GATE_BACKWARD_OUT_DGATE, lower_shape(lowering, gate));
    pass_gradient(lowering, x, dx);
    pass_gradient(lowering, gate, dgate);
}

/* An activation whose adjoint reads the input keeps that tensor alive until here, one more of its size than a ReLU
 * does: the output is what the layers behind it read, and is mostly kept for theirs. */
static void backward_activation(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const struct layer *from = &lowering->graph->layers[layer];
    const enum activation_kind function = layer_traits(from->kind)->activation;
    struct prog_op *op = lower_op(lowering, PROG_OP_ACTIVATION_BACKWARD, layer);
    op->activation.function = function;
    switch (activation_traits(function)->reads) {
    case ACTIVATION_READS_INPUT:
        op->inputs[ACTIVATION_BACKWARD_IN_SEEN] = lower_input(lowering, layer, 0);
        break;
    case ACTIVATION_READS_OUTPUT:
        op->inputs[ACTIVATION_BACKWARD_IN_SEEN] = lower_value(lowering, layer);
        break;
    }
    op->inputs[ACTIVATION_BACKWARD_IN_DY] = dy;
    write_input_gradient(lowering, op, ACTIVATION_BACKWARD_OUT_DX, layer);
}

static void backward_layer(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const struct layer *from = &lowering->graph->layers[layer];
    const struct layer_state *state = &lowering->layers[layer];
    struct prog_op *op;
    if (state->norm >= 0) {
        backward_batch_norm(lowering, layer, dy);
        return;
    }
    switch (layer_traits(from->kind)->family) {
    case FAMILY_CONV:
        backward_conv(lowering, layer, dy);
        break;
    case FAMILY_DENSE:
        backward_dense(lowering, layer, dy);
        break;
    case FAMILY_ADD:
        backward_add(lowering, layer, dy);
        break;
    case FAMILY_CONCAT:
        backward_concat(lowering, layer, dy);
        break;
    case FAMILY_GATE:
        backward_gate(lowering, layer, dy);
        break;
    case FAMILY_ACTIVATION:
        backward_activation(lowering, layer, dy);
        break;
    case FAMILY_MAX_POOL:
        op = lower_op(lowering, PROG_OP_MAX_POOL_BACKWARD, layer);
        lower_window(lowering, op, layer);
        op->inputs[MAX_POOL_BACKWARD_IN_INDEX] = state->index;
        op->inputs[MAX_POOL_BACKWARD_IN_DY] = dy;
        write_input_gradient(lowering, op, MAX_POOL_BACKWARD_OUT_DX, layer);
        break;
    case FAMILY_AVERAGE_POOL:
        op = lower_op(lowering, PROG_OP_AVERAGE_POOL_BACKWARD, layer);
        lower_window(lowering, op, layer);
        op->inputs[AVERAGE_POOL_BACKWARD_IN_DY] = dy;
        write_input_gradient(lowering, op, AVERAGE_POOL_BACKWARD_OUT_DX, layer);
        break;
    case FAMILY_GLOBAL_POOL:
        op = lower_op(lowering, PROG_OP_GLOBAL_POOL_BACKWARD, layer);
        op->inputs[GLOBAL_POOL_BACKWARD_IN_DY] = dy;
        write_input_gradient(lowering, op, GLOBAL_POOL_BACKWARD_OUT_DX, layer);
        break;
    case FAMILY_DROPOUT:
        op = lower_op(lowering, PROG_OP_DROPOUT_BACKWARD, layer);
        op->dropout.rate = from->rate;
        op->inputs[DROPOUT_BACKWARD_IN_DY] = dy;
        write_input_gradient(lowering, op, DROPOUT_BACKWARD_OUT_DX, layer);
        break;
    case FAMILY_BATCH_NORM: /* always in a fusion, if only with itself */
    case FAMILY_INPUT:
        break;
    }
}

void lower_backward(struct lowering *lowering)
{
    int32_t last = lowering->graph->count - 1;
    lowering->layers[last].gradient = lowering->dlogits;
    for (int32_t layer = last; layer > 0; layer--) {
        const struct layer_state *state = &lowering->layers[layer];
        if (state->trained && !state->absorbed)
            backward_layer(lowering, layer, state->gradient);
    }
}

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
    lower_read(sum, state->gradient);
    lower_read(sum, contribution);
    state->gradient = lower_write(lowering, sum, TENSOR_ACTIVATION, lower_shape(lowering, layer));
}

static void write_input_gradient(struct lowering *lowering, struct prog_op *op, int32_t input)
{
    int32_t dx = lower_write(lowering, op, TENSOR_ACTIVATION, lower_shape(lowering, input));
    pass_gradient(lowering, input, dx);
}

static void backward_conv_or_dense(struct lowering *lowering, int32_t layer, int32_t dy)
{
    bool conv = lowering->graph->layers[layer].kind == LAYER_CONV;
    int32_t input = lowering->graph->layers[layer].inputs[0];
    struct prog_op *op;
    if (!lowering->graph->layers[layer].frozen) {
        op = lower_op(lowering, conv ? PROG_OP_CONV_BACKWARD_WEIGHTS : PROG_OP_DENSE_BACKWARD_WEIGHTS, layer);
        if (conv)
            lower_window(lowering, op, layer);
        lower_read_value(lowering, op, input);
        lower_read(op, dy);
        lower_write_gradient(lowering, op, layer, WEIGHT_KERNEL);
        lower_write_gradient(lowering, op, layer, WEIGHT_BIAS);
    }
    if (!lowering->layers[input].trained)
        return;
    op = lower_op(lowering, conv ? PROG_OP_CONV_BACKWARD_DATA : PROG_OP_DENSE_BACKWARD_DATA, layer);
    if (conv)
        lower_window(lowering, op, layer);
    lower_read(op, dy);
    lower_read_weight(lowering, op, layer, WEIGHT_KERNEL);
    write_input_gradient(lowering, op, input);
}

static void backward_batch_norm(struct lowering *lowering, int32_t tail, int32_t dy)
{
    const struct layer_state *state = &lowering->layers[tail];
    int32_t norm = state->norm, addend = state->addend;
    int32_t input = lowering->graph->layers[norm].inputs[0];
    struct prog_op *op = lower_op(lowering, PROG_OP_BATCH_NORM_BACKWARD, norm);
    op->norm.relu = state->relu;
    op->norm.momentum = lowering->options->batch_norm_momentum;
    lower_read_value(lowering, op, input);
    lower_read(op, state->relu ? state->value : -1);
    lower_read(op, dy);
    lower_read_weight(lowering, op, norm, WEIGHT_SCALE);
    lower_read(op, state->saved[0]);
    lower_read(op, state->saved[1]);
    int32_t dx = lower_write(lowering, op, TENSOR_ACTIVATION, lower_shape(lowering, input));
    lower_write_gradient(lowering, op, norm, WEIGHT_SCALE);
    lower_write_gradient(lowering, op, norm, WEIGHT_SHIFT);
    int32_t daddend = dy;
    if (addend >= 0 && state->relu && lowering->layers[addend].trained)
        daddend = lower_write(lowering, op, TENSOR_ACTIVATION, lower_shape(lowering, addend));
    pass_gradient(lowering, input, dx);
    if (addend >= 0)
        pass_gradient(lowering, addend, daddend);
}

static void backward_concat(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const struct layer *from = &lowering->graph->layers[layer];
    struct prog_op *op = lower_op(lowering, PROG_OP_SPLIT, layer);
    lower_read(op, dy);
    for (int32_t k = 0; k < from->input_count; k++)
        lower_write(lowering, op, TENSOR_ACTIVATION, lower_shape(lowering, from->inputs[k]));
    /* Only now, because a sum writes the next tensor and is the next operation. */
    for (int32_t k = 0; k < from->input_count; k++)
        pass_gradient(lowering, from->inputs[k], op->outputs[k]);
}

/* Layers with one input and no weights. `saved` is a tensor that the adjoint reads behind dy; -1: none. */
static struct prog_op *backward_plain(struct lowering *lowering, int32_t layer, enum prog_op_kind kind,
                                      int32_t dy, int32_t saved)
{
    struct prog_op *op = lower_op(lowering, kind, layer);
    lower_read(op, dy);
    if (saved >= 0)
        lower_read(op, saved);
    return op;
}

/* An activation whose adjoint reads the input keeps that tensor alive until here, one more of its size than a ReLU does:
 * the output is what the layers behind it read, and is mostly kept for theirs. */
static struct prog_op *backward_activation(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const struct layer *from = &lowering->graph->layers[layer];
    const enum activation_kind function = layer_traits(from->kind)->activation;
    struct prog_op *op = lower_op(lowering, PROG_OP_ACTIVATION_BACKWARD, layer);
    op->activation.function = function;
    switch (activation_traits(function)->reads) {
    case ACTIVATION_READS_INPUT:
        lower_read_value(lowering, op, from->inputs[0]);
        break;
    case ACTIVATION_READS_OUTPUT:
        lower_read(op, lowering->layers[layer].value);
        break;
    }
    lower_read(op, dy);
    return op;
}

static void backward_layer(struct lowering *lowering, int32_t layer, int32_t dy)
{
    const struct layer *from = &lowering->graph->layers[layer];
    const struct layer_state *state = &lowering->layers[layer];
    struct prog_op *op = NULL;
    if (state->norm >= 0) {
        backward_batch_norm(lowering, layer, dy);
        return;
    }
    switch (layer_traits(from->kind)->family) {
    case FAMILY_CONV:
    case FAMILY_DENSE:
        backward_conv_or_dense(lowering, layer, dy);
        return;
    case FAMILY_ADD:
        pass_gradient(lowering, from->inputs[0], dy);
        pass_gradient(lowering, from->inputs[1], dy);
        return;
    case FAMILY_CONCAT:
        backward_concat(lowering, layer, dy);
        return;
    case FAMILY_ACTIVATION:
        op = backward_activation(lowering, layer, dy);
        break;
    case FAMILY_MAX_POOL:
        op = backward_plain(lowering, layer, PROG_OP_MAX_POOL_BACKWARD, dy, state->saved[0]);
        lower_window(lowering, op, layer);
        break;
    case FAMILY_AVERAGE_POOL:
        op = backward_plain(lowering, layer, PROG_OP_AVERAGE_POOL_BACKWARD, dy, -1);
        lower_window(lowering, op, layer);
        break;
    case FAMILY_GLOBAL_POOL:
        op = backward_plain(lowering, layer, PROG_OP_GLOBAL_POOL_BACKWARD, dy, -1);
        break;
    case FAMILY_DROPOUT:
        op = backward_plain(lowering, layer, PROG_OP_DROPOUT_BACKWARD, dy, -1);
        op->dropout.rate = from->rate;
        break;
    case FAMILY_BATCH_NORM: /* always in a fusion, if only with itself */
    case FAMILY_INPUT:
        return;
    }
    write_input_gradient(lowering, op, from->inputs[0]);
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

/* Lowering, forward: one operation for each layer that is not absorbed by a fusion, between gather and loss.
 */
#include "host/program/lowering.h"

/* A batch norm with what is fused to it, at the place of the last layer of the fusion, where its addend is
 * computed. */
static void forward_batch_norm(struct lowering *lowering, int32_t tail)
{
    struct layer_state *state = &lowering->layers[tail];
    int32_t norm = state->norm;
    bool train = lowering->options->purpose == PROG_TRAIN;
    struct prog_op *op = lower_op(lowering, train ? PROG_OP_BATCH_NORM : PROG_OP_BATCH_NORM_INFERENCE, norm);
    op->norm.relu = state->relu;
    op->norm.momentum = lowering->options->batch_norm_momentum;
    lower_read_value(lowering, op, lowering->graph->layers[norm].inputs[0]);
    lower_read_weight(lowering, op, norm, WEIGHT_SCALE);
    lower_read_weight(lowering, op, norm, WEIGHT_SHIFT);
    lower_read_weight(lowering, op, norm, WEIGHT_RUNNING_MEAN);
    lower_read_weight(lowering, op, norm, WEIGHT_RUNNING_VAR);
    if (state->addend >= 0)
        lower_read_value(lowering, op, state->addend);
    state->value = lower_write(lowering, op, TENSOR_ACTIVATION, lower_shape(lowering, tail));
    if (train) {
        struct shape channels = {1, lowering->graph->layers[norm].shape.c, 1, 1};
        state->saved[0] = lower_write(lowering, op, TENSOR_VECTOR, channels);
        state->saved[1] = lower_write(lowering, op, TENSOR_VECTOR, channels);
    }
}

/* An operation that reads the layer's inputs in order and writes its output. */
static struct prog_op *forward_plain(struct lowering *lowering, int32_t layer, enum prog_op_kind kind)
{
    const struct layer *from = &lowering->graph->layers[layer];
    struct prog_op *op = lower_op(lowering, kind, layer);
    for (int32_t k = 0; k < from->input_count; k++)
        lower_read_value(lowering, op, from->inputs[k]);
    lowering->layers[layer].value =
        lower_write(lowering, op, TENSOR_ACTIVATION, lower_shape(lowering, layer));
    return op;
}

static void forward_layer(struct lowering *lowering, int32_t layer)
{
    const struct layer *from = &lowering->graph->layers[layer];
    struct layer_state *state = &lowering->layers[layer];
    struct prog_op *op;
    if (state->absorbed || state->source != layer)
        return;
    if (state->norm >= 0) {
        forward_batch_norm(lowering, layer);
        return;
    }
    switch (layer_traits(from->kind)->family) {
    case FAMILY_CONV:
    case FAMILY_DENSE:
        op = forward_plain(lowering, layer, from->kind == LAYER_CONV ? PROG_OP_CONV : PROG_OP_DENSE);
        lower_read_weight(lowering, op, layer, WEIGHT_KERNEL);
        lower_read_weight(lowering, op, layer, WEIGHT_BIAS);
        if (from->kind == LAYER_CONV)
            lower_window(lowering, op, layer);
        break;
    case FAMILY_ACTIVATION:
        op = forward_plain(lowering, layer, PROG_OP_ACTIVATION);
        op->activation.function = layer_traits(from->kind)->activation;
        break;
    case FAMILY_MAX_POOL:
        op = forward_plain(lowering, layer, PROG_OP_MAX_POOL);
        lower_window(lowering, op, layer);
        if (lowering->options->purpose == PROG_TRAIN && state->trained)
            state->saved[0] = lower_write(lowering, op, TENSOR_INDEX, lower_shape(lowering, layer));
        break;
    case FAMILY_AVERAGE_POOL:
        op = forward_plain(lowering, layer, PROG_OP_AVERAGE_POOL);
        lower_window(lowering, op, layer);
        break;
    case FAMILY_GLOBAL_POOL:
        forward_plain(lowering, layer, PROG_OP_GLOBAL_POOL);
        break;
    case FAMILY_ADD:
        forward_plain(lowering, layer, PROG_OP_ADD);
        break;
    case FAMILY_CONCAT:
        forward_plain(lowering, layer, PROG_OP_CONCAT);
        break;
    case FAMILY_DROPOUT:
        op = forward_plain(lowering, layer, PROG_OP_DROPOUT);
        op->dropout.rate = from->rate;
        break;
    case FAMILY_BATCH_NORM: /* always in a fusion, if only with itself */
    case FAMILY_INPUT:      /* the gather's */
        break;
    }
}

void lower_forward(struct lowering *lowering)
{
    const struct lower_options *options = lowering->options;
    struct program *program = lowering->program;
    bool train = options->purpose == PROG_TRAIN;
    int32_t last = lowering->graph->count - 1;

    struct prog_op *gather = lower_op(lowering, PROG_OP_GATHER, 0);
    gather->gather.augment = train && options->augment;
    lowering->layers[0].value = lower_write(lowering, gather, TENSOR_ACTIVATION, lower_shape(lowering, 0));
    int32_t labels = lower_write(lowering, gather, TENSOR_LABELS, (struct shape){options->batch, 1, 1, 1});

    for (int32_t layer = 1; layer <= last; layer++)
        forward_layer(lowering, layer);

    struct prog_op *loss = lower_op(lowering, PROG_OP_LOSS, -1);
    loss->loss.smoothing = train ? options->label_smoothing : 0;
    program->logits = lowering->layers[last].value;
    lower_read(loss, program->logits);
    lower_read(loss, labels);
    program->metrics = lower_write(lowering, loss, TENSOR_METRICS, (struct shape){1, METRIC_COUNT, 1, 1});
    if (train) {
        lower_skip_output(loss); /* no probabilities */
        lowering->dlogits = lower_write(lowering, loss, TENSOR_ACTIVATION, lower_shape(lowering, last));
    } else {
        program->probabilities = lower_write(lowering, loss, TENSOR_OUTPUT, lower_shape(lowering, last));
    }
}

/* Lowering, forward: one operation for each layer that is not absorbed by a fusion, between gather and loss.
 */
#include "host/program/lowering.h"

/* A batch norm with what is fused to it, where the last layer stands of the fusion, where its addend is
 * computed. */
static void forward_batch_norm(struct lowering *lowering, int32_t tail)
{
    struct layer_state *state = &lowering->layers[tail];
    int32_t norm = state->norm;
    bool train = lowering->options->purpose == PROG_TRAIN;
    struct prog_op *op = lower_op(lowering, train ? PROG_OP_BATCH_NORM : PROG_OP_BATCH_NORM_INFERENCE, norm);
    op->norm.relu = state->relu;
    op->norm.momentum = lowering->options->batch_norm_momentum;
    op->inputs[BATCH_NORM_IN_X] = lower_input(lowering, norm, 0);
    op->inputs[BATCH_NORM_IN_SCALE] = lower_weight(lowering, norm, WEIGHT_SCALE);
    op->inputs[BATCH_NORM_IN_SHIFT] = lower_weight(lowering, norm, WEIGHT_SHIFT);
    op->inputs[BATCH_NORM_IN_RUNNING_MEAN] = lower_weight(lowering, norm, WEIGHT_RUNNING_MEAN);
    op->inputs[BATCH_NORM_IN_RUNNING_VAR] = lower_weight(lowering, norm, WEIGHT_RUNNING_VAR);
    if (state->addend >= 0)
        op->inputs[BATCH_NORM_IN_ADDEND] = lower_value(lowering, state->addend);
    state->value = lower_write(lowering, op, BATCH_NORM_OUT_Y, lower_shape(lowering, tail));
    if (train) {
        struct shape channels = {1, lowering->graph->layers[norm].shape.c, 1, 1};
        state->mean = lower_write(lowering, op, BATCH_NORM_OUT_MEAN, channels);
        state->invstd = lower_write(lowering, op, BATCH_NORM_OUT_INVSTD, channels);
    }
}

static void forward_conv(struct lowering *lowering, int32_t layer)
{
    struct prog_op *op = lower_op(lowering, PROG_OP_CONV, layer);
    lower_window(lowering, op, layer);
    op->inputs[CONV_IN_X] = lower_input(lowering, layer, 0);
    op->inputs[CONV_IN_KERNEL] = lower_weight(lowering, layer, WEIGHT_KERNEL);
    op->inputs[CONV_IN_BIAS] = lower_weight(lowering, layer, WEIGHT_BIAS);
    lowering->layers[layer].value = lower_write(lowering, op, CONV_OUT_Y, lower_shape(lowering, layer));
}

static void forward_dense(struct lowering *lowering, int32_t layer)
{
    struct prog_op *op = lower_op(lowering, PROG_OP_DENSE, layer);
    op->inputs[DENSE_IN_X] = lower_input(lowering, layer, 0);
    op->inputs[DENSE_IN_KERNEL] = lower_weight(lowering, layer, WEIGHT_KERNEL);
    op->inputs[DENSE_IN_BIAS] = lower_weight(lowering, layer, WEIGHT_BIAS);
    lowering->layers[layer].value = lower_write(lowering, op, DENSE_OUT_Y, lower_shape(lowering, layer));
}

static void forward_max_pool(struct lowering *lowering, int32_t layer)
{
    struct layer_state *state = &lowering->layers[layer];
    struct prog_op *op = lower_op(lowering, PROG_OP_MAX_POOL, layer);
    lower_window(lowering, op, layer);
    op->inputs[MAX_POOL_IN_X] = lower_input(lowering, layer, 0);
    state->value = lower_write(lowering, op, MAX_POOL_OUT_Y, lower_shape(lowering, layer));
    if (lowering->options->purpose == PROG_TRAIN && state->trained)
        state->index = lower_write(lowering, op, MAX_POOL_OUT_INDEX, lower_shape(lowering, layer));
}

static void forward_concat(struct lowering *lowering, int32_t layer)
{
    struct prog_op *op = lower_op(lowering, PROG_OP_CONCAT, layer);
    op->input_count = CONCAT_IN_X + lowering->graph->layers[layer].input_count;
    for (int32_t k = 0; CONCAT_IN_X + k < op->input_count; k++)
        op->inputs[CONCAT_IN_X + k] = lower_input(lowering, layer, k);
    lowering->layers[layer].value = lower_write(lowering, op, CONCAT_OUT_Y, lower_shape(lowering, layer));
}

static void forward_add(struct lowering *lowering, int32_t layer)
{
    struct layer_state *state = &lowering->layers[layer];
    const struct shape shape = lower_shape(lowering, layer);
    int32_t summands[] = {lower_input(lowering, layer, 0), lower_input(lowering, layer, 1)};
    if (state->drop_path > 0.0f) {
        struct prog_op *drop = lower_op(lowering, PROG_OP_DROP_PATH, layer);
        drop->dropout.rate = state->drop_path;
        drop->inputs[DROP_PATH_IN_X] = summands[state->branch];
        summands[state->branch] = lower_write(lowering, drop, DROP_PATH_OUT_Y, shape);
    }
    struct prog_op *op = lower_op(lowering, PROG_OP_ADD, layer);
    op->inputs[ADD_IN_A] = summands[0];
    op->inputs[ADD_IN_B] = summands[1];
    state->value = lower_write(lowering, op, ADD_OUT_SUM, shape);
}

static void forward_layer(struct lowering *lowering, int32_t layer)
{
    const struct layer *from = &lowering->graph->layers[layer];
    struct layer_state *state = &lowering->layers[layer];
    const struct shape shape = lower_shape(lowering, layer);
    struct prog_op *op;
    if (state->absorbed || state->source != layer)
        return;
    if (state->norm >= 0) {
        forward_batch_norm(lowering, layer);
        return;
    }
    switch (layer_traits(from->kind)->family) {
    case FAMILY_CONV:
        forward_conv(lowering, layer);
        break;
    case FAMILY_DENSE:
        forward_dense(lowering, layer);
        break;
    case FAMILY_ACTIVATION:
        op = lower_op(lowering, PROG_OP_ACTIVATION, layer);
        op->activation.function = layer_traits(from->kind)->activation;
        op->inputs[ACTIVATION_IN_X] = lower_input(lowering, layer, 0);
        state->value = lower_write(lowering, op, ACTIVATION_OUT_Y, shape);
        break;
    case FAMILY_MAX_POOL:
        forward_max_pool(lowering, layer);
        break;
    case FAMILY_AVERAGE_POOL:
        op = lower_op(lowering, PROG_OP_AVERAGE_POOL, layer);
        lower_window(lowering, op, layer);
        op->inputs[AVERAGE_POOL_IN_X] = lower_input(lowering, layer, 0);
        state->value = lower_write(lowering, op, AVERAGE_POOL_OUT_Y, shape);
        break;
    case FAMILY_GLOBAL_POOL:
        op = lower_op(lowering, PROG_OP_GLOBAL_POOL, layer);
        op->inputs[GLOBAL_POOL_IN_X] = lower_input(lowering, layer, 0);
        state->value = lower_write(lowering, op, GLOBAL_POOL_OUT_Y, shape);
        break;
    case FAMILY_ADD:
        forward_add(lowering, layer);
        break;
    case FAMILY_CONCAT:
        forward_concat(lowering, layer);
        break;
    case FAMILY_GATE:
        op = lower_op(lowering, PROG_OP_GATE, layer);
        op->inputs[GATE_IN_X] = lower_input(lowering, layer, 0);
        op->inputs[GATE_IN_GATE] = lower_input(lowering, layer, 1);
        state->value = lower_write(lowering, op, GATE_OUT_Y, shape);
        break;
    case FAMILY_DROPOUT:
        op = lower_op(lowering, PROG_OP_DROPOUT, layer);
        op->dropout.rate = from->rate;
        op->inputs[DROPOUT_IN_X] = lower_input(lowering, layer, 0);
        state->value = lower_write(lowering, op, DROPOUT_OUT_Y, shape);
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
    lowering->layers[0].value = lower_write(lowering, gather, GATHER_OUT_IMAGE, lower_shape(lowering, 0));
    int32_t labels =
        lower_write(lowering, gather, GATHER_OUT_LABELS, (struct shape){options->batch, 1, 1, 1});

    for (int32_t layer = 1; layer <= last; layer++)
        forward_layer(lowering, layer);

    struct prog_op *loss = lower_op(lowering, PROG_OP_LOSS, -1);
    loss->loss.smoothing = train ? options->label_smoothing : 0;
    loss->loss.focal = train ? options->focal : 0;
    loss->loss.weighted = train && options->weighted;
    loss->loss.sets = options->sets;
    program->logits = lowering->layers[last].value;
    loss->inputs[LOSS_IN_LOGITS] = program->logits;
    loss->inputs[LOSS_IN_LABELS] = labels;
    program->metrics = lower_write(lowering, loss, LOSS_OUT_METRICS, (struct shape){1, METRIC_COUNT, 1, 1});
    if (train)
        lowering->dlogits = lower_write(lowering, loss, LOSS_OUT_DLOGITS, lower_shape(lowering, last));
    else
        program->probabilities =
            lower_write(lowering, loss, LOSS_OUT_PROBABILITIES, lower_shape(lowering, last));
}

/* Lowering: the frame. Counts, finds the fusions, and calls forward and backward. */
#include "host/program/lowering.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The dropout's counter has 24 bits for groups of four elements (program.h). */
static const int64_t dropout_elements_max = (int64_t)4 << 24;

struct prog_op *lower_op(struct lowering *lowering, enum prog_op_kind kind, int32_t layer)
{
    struct program *program = lowering->program;
    assert(program->op_count < lowering->op_capacity);
    struct prog_op *op = &program->ops[program->op_count++];
    prog_op_start(op, kind);
    op->layer_id = layer < 0 ? 0 : lowering->graph->layers[layer].id;
    return op;
}

void lower_window(struct lowering *lowering, struct prog_op *op, int32_t layer)
{
    const struct layer *from = &lowering->graph->layers[layer];
    op->window.kernel_h = from->kernel_h;
    op->window.kernel_w = from->kernel_w;
    op->window.stride = from->stride;
    op->window.pad_h = from->pad_h;
    op->window.pad_w = from->pad_w;
    op->window.groups = from->kind == LAYER_CONV ? from->groups : 1;
}

int32_t lower_value(const struct lowering *lowering, int32_t layer)
{
    return lowering->layers[lowering->layers[layer].source].value;
}

int32_t lower_input_layer(const struct lowering *lowering, int32_t layer, int32_t k)
{
    return lowering->graph->layers[layer].inputs[k];
}

int32_t lower_input(const struct lowering *lowering, int32_t layer, int32_t k)
{
    return lower_value(lowering, lower_input_layer(lowering, layer, k));
}

/* Weight tensors are appended first, so a weight's tensor has the id of its position in the weight table. */
int32_t lower_weight(const struct lowering *lowering, int32_t layer, enum weight_role role)
{
    return lowering->weight_of[layer * WEIGHT_ROLE_COUNT + (int32_t)role];
}

static int32_t append_tensor(struct lowering *lowering, enum tensor_kind kind, struct shape shape,
                             int32_t weight)
{
    struct program *program = lowering->program;
    assert(program->tensor_count < lowering->tensor_capacity);
    program->tensors[program->tensor_count] = (struct prog_tensor){kind, shape, weight, -1, -1};
    return program->tensor_count++;
}

/* Of a variadic output, ops.def names the first position alone. */
static enum tensor_kind output_kind(const struct prog_op *op, int32_t position)
{
    const struct prog_op_traits *traits = prog_op_traits(op->kind);
    return traits->outputs[position < traits->output_count ? position : traits->output_count - 1].kind;
}

int32_t lower_write(struct lowering *lowering, struct prog_op *op, int32_t position, struct shape shape)
{
    assert(position < PROG_MAX_OUTPUTS);
    return op->outputs[position] = append_tensor(lowering, output_kind(op, position), shape, -1);
}

void lower_write_gradient(struct lowering *lowering, struct prog_op *op, int32_t position, int32_t layer,
                          enum weight_role role)
{
    int32_t weight = lower_weight(lowering, layer, role);
    if (weight < 0)
        return;
    struct shape shape = lowering->program->tensors[weight].shape;
    op->outputs[position] = append_tensor(lowering, TENSOR_GRADIENT, shape, weight);
}

/* For each hidden kernel that is trained. All of them behind the last all-reduce, so that gradients are sums already
 * and all members of a group come to the same update. */
static void lower_orthogonalisations(struct lowering *lowering)
{
    const struct program *program = lowering->program;
    for (int32_t t = 0, count = program->tensor_count; t < count; t++) {
        const struct prog_tensor gradient = program->tensors[t];
        if (gradient.kind != TENSOR_GRADIENT || !program->weights.tensors[gradient.weight].hidden)
            continue;
        const int32_t layer = program->weights.tensors[gradient.weight].layer;
        struct prog_op *op = lower_op(lowering, PROG_OP_ORTHOGONALISE, layer);
        op->inputs[ORTHOGONALISE_IN_DKERNEL] = t;
        op->outputs[ORTHOGONALISE_OUT_UPDATE] =
            append_tensor(lowering, TENSOR_UPDATE, gradient.shape, gradient.weight);
    }
}

struct shape lower_shape(const struct lowering *lowering, int32_t layer)
{
    struct shape shape = lowering->graph->layers[layer].shape;
    shape.n = lowering->options->batch;
    return shape;
}

/* Who reads whom, and which layers need a gradient. */
static void plan_readers(struct lowering *lowering)
{
    const struct graph *graph = lowering->graph;
    bool inference = lowering->options->purpose == PROG_EVALUATE;
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        struct layer_state *state = &lowering->layers[i];
        *state = (struct layer_state){.source = i,
                                      .reader = -1,
                                      .norm = -1,
                                      .addend = -1,
                                      .value = -1,
                                      .gradient = -1,
                                      .mean = -1,
                                      .invstd = -1,
                                      .index = -1};
        state->trained = layer_is_trained(layer);
        for (int32_t k = 0; k < layer->input_count; k++) {
            const struct layer_state *input = &lowering->layers[layer->inputs[k]];
            state->trained = state->trained || input->trained;
            state->depth = input->depth >= state->depth ? input->depth + 1 : state->depth;
        }
        if (inference && layer->kind == LAYER_DROPOUT) {
            state->source = lowering->layers[layer->inputs[0]].source;
            continue;
        }
        for (int32_t k = 0; k < layer->input_count; k++) {
            struct layer_state *read = &lowering->layers[lowering->layers[layer->inputs[k]].source];
            read->reader_count++;
            read->reader = i;
        }
    }
}

/* Which adds end residual blocks, and how often their branches are left out. */
static void plan_drop_paths(struct lowering *lowering)
{
    const struct graph *graph = lowering->graph;
    struct layer_state *layers = lowering->layers;
    int32_t blocks = 0, block = 0;
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        if (layer->kind != LAYER_ADD)
            continue;
        const int32_t first = layers[layer->inputs[0]].depth, second = layers[layer->inputs[1]].depth;
        layers[i].branch = first == second ? -1 : second > first;
        blocks += first != second;
    }
    for (int32_t i = 0; i < graph->count; i++)
        if (graph->layers[i].kind == LAYER_ADD && layers[i].branch >= 0)
            layers[i].drop_path = lowering->options->drop_path * (float)++block / (float)blocks;
}

/* The only layer that reads `layer`, when it is of that kind; -1 otherwise. */
static int32_t sole_reader(const struct lowering *lowering, int32_t layer, enum layer_kind kind)
{
    const struct layer_state *state = &lowering->layers[layer];
    if (state->reader_count != 1 || lowering->graph->layers[state->reader].kind != kind)
        return -1;
    return state->reader;
}

/* Extends each batch norm over the add and the ReLU behind it, where nobody else reads what lies between.
 * From the last to the first: where both operands of an add are batch norms the later one takes it, whose
 * input is the fresher. */
static void plan_fusion(struct lowering *lowering)
{
    struct layer_state *layers = lowering->layers;
    for (int32_t norm = lowering->graph->count - 1; norm > 0; norm--) {
        if (lowering->graph->layers[norm].kind != LAYER_BATCH_NORM)
            continue;
        int32_t tail = norm, addend = -1;
        int32_t add = sole_reader(lowering, tail, LAYER_ADD);
        bool taken =
            add >= 0 && (layers[add].absorbed || layers[add].norm >= 0 || layers[add].drop_path > 0.0f);
        if (add >= 0 && !taken) {
            int32_t left = layers[lower_input_layer(lowering, add, 0)].source;
            int32_t right = layers[lower_input_layer(lowering, add, 1)].source;
            addend = left == norm ? right : left;
            layers[tail].absorbed = true;
            tail = add;
        }
        int32_t relu = sole_reader(lowering, tail, LAYER_RELU);
        if (relu >= 0) {
            layers[tail].absorbed = true;
            tail = relu;
        }
        layers[tail].norm = norm;
        layers[tail].addend = addend;
        layers[tail].relu = relu >= 0;
    }
}

static enum status check_options(const struct graph *graph, const struct lower_options *options,
                                 struct error *err)
{
    if (options->batch < 1)
        return error_set(err, ST_RANGE, "lowering: batch is %d, expected 1 or more", options->batch);
    for (int32_t i = 0; i < graph->count && options->purpose == PROG_TRAIN; i++) {
        const struct layer *layer = &graph->layers[i];
        int64_t image = (int64_t)layer->shape.c * layer->shape.h * layer->shape.w *
                        (options->members > 1 ? options->members : 1);
        if (layer->kind == LAYER_DROPOUT && image > dropout_elements_max / options->batch)
            return error_set(
                err, ST_UNSUPPORTED,
                "lowering: dropout layer %u: %lld values an image in a batch of %d, expected at most %lld "
                "values in all",
                layer->id, (long long)image, options->batch, (long long)dropout_elements_max);
    }
    return ST_OK;
}

/* Room for the longest program of the graph: a layer has one operation forward and at most two backward (an add whose
 * branch is left out now and then two forward and one backward), each
 * edge at most one sum of gradients; beside these gather, loss, optimizer and average, in a group an all-reduce a
 * weight at most, and for Muon an orthogonalisation a weight. A layer has at most three outputs forward,
 * each edge a gradient and a sum. */
static enum status allocate(struct lowering *lowering, struct error *err)
{
    const struct graph *graph = lowering->graph;
    struct program *program = lowering->program;
    int32_t edges = 0, weights = program->weights.count;
    for (int32_t i = 0; i < graph->count; i++)
        edges += graph->layers[i].input_count;
    lowering->op_capacity = 3 * graph->count + edges + 4 + (lowering->options->members > 1 ? weights : 0) +
                            (lowering->options->orthogonalise ? weights : 0);
    lowering->tensor_capacity = 3 * weights + 3 * graph->count + 2 * edges + 8;
    size_t layers = (size_t)graph->count, roles = layers * WEIGHT_ROLE_COUNT;
    program->ops = calloc((size_t)lowering->op_capacity, sizeof(*program->ops));
    program->tensors = calloc((size_t)lowering->tensor_capacity, sizeof(*program->tensors));
    lowering->layers = calloc(layers, sizeof(*lowering->layers));
    lowering->weight_of = calloc(roles, sizeof(*lowering->weight_of));
    if (!program->ops || !program->tensors || !lowering->layers || !lowering->weight_of)
        return error_memory(err, "lowering",
                            (size_t)lowering->op_capacity * sizeof(*program->ops) +
                                (size_t)lowering->tensor_capacity * sizeof(*program->tensors) +
                                layers * sizeof(*lowering->layers) + roles * sizeof(*lowering->weight_of));
    for (size_t i = 0; i < roles; i++)
        lowering->weight_of[i] = -1;
    for (int32_t w = 0; w < weights; w++) {
        const struct weight_tensor *weight = &program->weights.tensors[w];
        lowering->weight_of[weight->layer * WEIGHT_ROLE_COUNT + (int32_t)weight->role] = w;
        struct shape shape = {weight->dims[0], weight->dims[1], weight->dims[2], weight->dims[3]};
        append_tensor(lowering, TENSOR_WEIGHT, shape, w);
    }
    return ST_OK;
}

enum status lower_graph(const struct graph *graph, const struct lower_options *options,
                        struct program *program, struct error *err)
{
    struct lowering lowering = {.graph = graph, .options = options, .program = program, .dlogits = -1};
    memset(program, 0, sizeof(*program));
    program->purpose = options->purpose;
    program->batch = options->batch;
    program->metrics = program->probabilities = program->logits = -1;
    enum status st = check_options(graph, options, err);
    if (st != ST_OK)
        goto out;
    st = weight_table_new(&program->weights, graph, err);
    if (st != ST_OK)
        goto out;
    st = allocate(&lowering, err);
    if (st != ST_OK)
        goto out;
    plan_readers(&lowering);
    if (options->purpose == PROG_TRAIN)
        plan_drop_paths(&lowering);
    plan_fusion(&lowering);
    lower_forward(&lowering);
    if (options->purpose == PROG_TRAIN) {
        lower_backward(&lowering);
        if (options->members > 1)
            lower_collectives(&lowering);
        if (options->orthogonalise)
            lower_orthogonalisations(&lowering);
        lower_op(&lowering, PROG_OP_OPTIMIZER, -1);
        if (options->weight_average)
            lower_op(&lowering, PROG_OP_WEIGHT_AVERAGE, -1);
    }
    st = prog_finish(program, err);
out:
    if (st != ST_OK)
        program_free(program);
    free(lowering.layers);
    free(lowering.weight_of);
    return st;
}

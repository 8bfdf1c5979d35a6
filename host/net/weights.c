/* The weight tensors of a graph: which there are, where they lie, how they begin. */
#include "host/base/random.h"
#include "host/net/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tensors begin at multiples of 64 bytes, for aligned vector loads. */
enum { WEIGHT_ALIGNMENT = 16 };

const char *weight_role_name(enum weight_role role)
{
    static const char *const names[WEIGHT_ROLE_COUNT] = {
        [WEIGHT_KERNEL] = "weight",
        [WEIGHT_BIAS] = "bias",
        [WEIGHT_SCALE] = "weight",
        [WEIGHT_SHIFT] = "bias",
        [WEIGHT_RUNNING_MEAN] = "running_mean",
        [WEIGHT_RUNNING_VAR] = "running_var",
    };
    return (unsigned)role < WEIGHT_ROLE_COUNT ? names[role] : "unknown";
}

bool weight_is_statistic(enum weight_role role)
{
    return role == WEIGHT_RUNNING_MEAN || role == WEIGHT_RUNNING_VAR;
}

static bool is_trained(const struct layer *layer, enum weight_role role)
{
    return !weight_is_statistic(role) && !(layer->frozen && (role == WEIGHT_KERNEL || role == WEIGHT_SCALE));
}

bool layer_is_trained(const struct layer *layer)
{
    switch (layer_traits(layer->kind)->weights) {
    case LAYER_WEIGHTS_NONE:
        return false;
    case LAYER_WEIGHTS_KERNEL:
        return !layer->frozen;
    case LAYER_WEIGHTS_NORM:
        return true;
    }
    return false;
}

static bool is_hidden(const struct layer *layer, enum weight_role role)
{
    return role == WEIGHT_KERNEL && layer->kind == LAYER_CONV && layer->groups == 1 && layer->inputs[0] != 0;
}

static bool layer_has(const struct layer *layer, enum weight_role role)
{
    switch (layer_traits(layer->kind)->weights) {
    case LAYER_WEIGHTS_NONE:
        return false;
    case LAYER_WEIGHTS_KERNEL:
        return role == WEIGHT_KERNEL || (role == WEIGHT_BIAS && layer->bias);
    case LAYER_WEIGHTS_NORM:
        return role >= WEIGHT_SCALE;
    }
    return false;
}

static void tensor_dims(const struct graph *graph, const struct layer *layer, enum weight_role role,
                        int32_t dims[4])
{
    dims[0] = layer->shape.c; /* of all kinds with weights the number of outputs */
    dims[1] = dims[2] = dims[3] = 1;
    if (role != WEIGHT_KERNEL)
        return;
    struct shape in = graph->layers[layer->inputs[0]].shape;
    dims[1] = layer->kind == LAYER_CONV ? in.c / layer->groups : in.c;
    dims[2] = layer->kind == LAYER_CONV ? layer->kernel_h : in.h;
    dims[3] = layer->kind == LAYER_CONV ? layer->kernel_w : in.w;
}

enum status weight_table_new(struct weight_table *table, const struct graph *graph, struct error *err)
{
    *table = (struct weight_table){0};
    int32_t count = 0;
    for (int32_t l = 0; l < graph->count; l++)
        for (int role = 0; role < WEIGHT_ROLE_COUNT; role++)
            count += layer_has(&graph->layers[l], role);
    size_t bytes = (size_t)(count > 0 ? count : 1) * sizeof(*table->tensors);
    table->tensors = malloc(bytes);
    if (table->tensors == NULL)
        return error_memory(err, "weight table", bytes);

    /* No overflow: a tensor has at most GRAPH_MAX_ELEMENTS values (graph_infer), a graph fewer than 2^14
     * tensors. */
    for (int32_t l = 0; l < graph->count; l++) {
        const struct layer *layer = &graph->layers[l];
        for (int role = 0; role < WEIGHT_ROLE_COUNT; role++) {
            if (!layer_has(layer, role))
                continue;
            struct weight_tensor *tensor = &table->tensors[table->count++];
            const float gain = layer->kind == LAYER_DENSE ? layer->gain : 1.0f;
            *tensor = (struct weight_tensor){.layer_id = layer->id,
                                             .layer = l,
                                             .role = role,
                                             .offset = table->total,
                                             .trained = is_trained(layer, role),
                                             .hidden = is_hidden(layer, role),
                                             .gain = gain,
                                             .rate = gain * gain * layer->pace};
            tensor_dims(graph, layer, role, tensor->dims);
            tensor->count = (size_t)tensor->dims[0] * (size_t)tensor->dims[1] * (size_t)tensor->dims[2] *
                            (size_t)tensor->dims[3];
            table->total += (tensor->count + WEIGHT_ALIGNMENT - 1) / WEIGHT_ALIGNMENT * WEIGHT_ALIGNMENT;
        }
    }
    return ST_OK;
}

enum status weight_table_copy(struct weight_table *table, const struct weight_table *from, struct error *err)
{
    const size_t bytes = (size_t)from->count * sizeof(*from->tensors);
    *table = (struct weight_table){0};
    struct weight_tensor *tensors = malloc(bytes + 1); /* + 1: malloc may return NULL for nothing */
    if (tensors == NULL)
        return error_memory(err, "weight table", bytes);
    if (bytes > 0)
        memcpy(tensors, from->tensors, bytes);
    *table = (struct weight_table){from->count, tensors, from->total};
    return ST_OK;
}

void weight_table_free(struct weight_table *table)
{
    free(table->tensors);
    *table = (struct weight_table){0};
}

int32_t weight_find(const struct weight_table *table, uint32_t layer_id, enum weight_role role)
{
    for (int32_t i = 0; i < table->count; i++)
        if (table->tensors[i].layer_id == layer_id && table->tensors[i].role == role)
            return i;
    return -1;
}

static void fill_normal(const struct weight_tensor *tensor, double deviation, uint64_t seed, float *values)
{
    uint32_t part = tensor->layer_id * 8 + (uint32_t)tensor->role;
    for (size_t i = 0; i < tensor->count; i += 2) {
        double first, second;
        random_normal2(random_draw(seed, RANDOM_WEIGHTS, i / 2, part), &first, &second);
        values[i] = (float)(deviation * first);
        if (i + 1 < tensor->count)
            values[i + 1] = (float)(deviation * second);
    }
}

/* Kernel of a convolution: the first outputs of each group are its inputs. */
static void fill_dirac(const struct weight_tensor *tensor, int32_t groups, uint64_t seed, float *values)
{
    const size_t outputs = (size_t)(tensor->dims[0] / groups), inputs = (size_t)tensor->dims[1];
    const size_t taps = (size_t)tensor->dims[2] * (size_t)tensor->dims[3];
    const size_t fan_in = inputs * taps;
    const size_t centre =
        (size_t)(tensor->dims[2] / 2) * (size_t)tensor->dims[3] + (size_t)(tensor->dims[3] / 2);
    const size_t same = outputs < inputs ? outputs : inputs;
    fill_normal(tensor, sqrt(1.0 / (3.0 * (double)fan_in)), seed, values);
    for (int32_t group = 0; group < groups; group++, values += outputs * fan_in) {
        memset(values, 0, same * fan_in * sizeof(*values));
        for (size_t k = 0; k < same; k++)
            values[k * fan_in + k * taps + centre] = 1.0f;
    }
}

static bool whitens(const struct weight_tensor *tensor, const struct whitening *whitening)
{
    return whitening != NULL && whitening->channels > 0 && tensor->dims[1] == whitening->channels &&
           tensor->dims[2] == GRAPH_WHITENING_SIDE && tensor->dims[3] == GRAPH_WHITENING_SIDE &&
           tensor->dims[0] == 8 * whitening->channels;
}

static void fill_kernel(const struct weight_tensor *tensor, const struct graph *graph, uint64_t seed,
                        const struct whitening *whitening, float *values)
{
    const enum layer_init init = graph->layers[tensor->layer].init;
    const double fan_in = (double)tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
    /* No ReLU follows the logits: half the variance keeps their size. */
    const double variance = tensor->layer == graph->count - 1 ? 1.0 : 2.0;
    if (init == LAYER_INIT_DIRAC)
        fill_dirac(tensor, graph->layers[tensor->layer].groups, seed, values);
    else if (init == LAYER_INIT_WHITEN && whitens(tensor, whitening))
        memcpy(values, whitening->filters, tensor->count * sizeof(*values));
    else
        fill_normal(tensor, tensor->gain * sqrt(variance / fan_in), seed, values);
}

/* Whether a batch norm is the end of a residual branch: only an add reads it, whose other input is no such end. */
static bool ends_branch(const struct graph *graph, int32_t index)
{
    int32_t reader = -1, reads = 0;
    for (int32_t l = index + 1; l < graph->count; l++)
        for (int32_t i = 0; i < graph->layers[l].input_count; i++)
            if (graph->layers[l].inputs[i] == index) {
                reader = l;
                reads++;
            }
    if (reads != 1 || graph->layers[reader].kind != LAYER_ADD)
        return false;
    bool around = false;
    for (int32_t i = 0; i < graph->layers[reader].input_count; i++)
        around = around || graph->layers[graph->layers[reader].inputs[i]].kind != LAYER_BATCH_NORM;
    return around;
}

void weight_initialise(const struct weight_table *table, const struct graph *graph, uint64_t seed,
                       const struct whitening *whitening, float *values)
{
    memset(values, 0, table->total * sizeof(*values));
    for (int32_t t = 0; t < table->count; t++) {
        const struct weight_tensor *tensor = &table->tensors[t];
        float *to = values + tensor->offset;
        if (tensor->role == WEIGHT_KERNEL) {
            fill_kernel(tensor, graph, seed, whitening, to);
        } else if (tensor->role == WEIGHT_SCALE || tensor->role == WEIGHT_RUNNING_VAR) {
            const bool zero =
                tensor->role == WEIGHT_SCALE && tensor->trained && ends_branch(graph, tensor->layer);
            for (size_t i = 0; i < tensor->count; i++)
                to[i] = zero ? 0.0f : 1.0f;
        }
    }
}

void weight_shrink(const struct weight_table *table, const float *fresh, double kept, double added,
                   float *values)
{
    for (int32_t t = 0; t < table->count; t++) {
        const struct weight_tensor *tensor = &table->tensors[t];
        if (tensor->role != WEIGHT_KERNEL || !tensor->trained)
            continue;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++)
            values[i] = (float)(kept * (double)values[i] + added * (double)fresh[i]);
    }
}

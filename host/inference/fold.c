#include "host/inference/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is known while a model is folded. Per layer of the model: */
struct folding {
    const struct model *model;
    int32_t *readers; /* how many inputs of layers it is */
    int32_t *targets; /* of a batch norm: the layer that it goes into; -1 */
    int32_t *places;  /* which layer of the folded graph yields the same */
    size_t *channels; /* where the numbers of its channels begin: */
    /* of a convolution or dense layer: channel c of its output is to be times factor, plus summand */
    double *factors, *summands;
};

void fold_batch_norm(const struct model *model, const struct layer *layer, int32_t c, double *factor,
                     double *summand)
{
    const struct weight_table *table = &model->table;
    double values[WEIGHT_ROLE_COUNT] = {0};
    for (int role = WEIGHT_SCALE; role <= WEIGHT_RUNNING_VAR; role++) {
        const int32_t index = weight_find(table, layer->id, (enum weight_role)role);
        values[role] = (double)model->values[table->tensors[index].offset + (size_t)c];
    }
    *factor = values[WEIGHT_SCALE] / sqrt(values[WEIGHT_RUNNING_VAR] + (double)GRAPH_BATCH_NORM_EPSILON);
    *summand = values[WEIGHT_SHIFT] - values[WEIGHT_RUNNING_MEAN] * *factor;
}

static bool has_kernel(const struct layer *layer)
{
    return layer_traits(layer->kind)->weights == LAYER_WEIGHTS_KERNEL;
}

/* ---- what goes where ---- */

static bool is_never_negative(const struct folding *f, const struct layer *norm)
{
    for (int32_t c = 0; c < norm->shape.c; c++) {
        double factor, summand;
        fold_batch_norm(f->model, norm, c, &factor, &summand);
        if (!(factor >= 0.0))
            return false;
    }
    return true;
}

/* The layer that this batch norm goes into, -1: there is none. */
static int32_t find_target(const struct folding *f, int32_t norm)
{
    const struct layer *layers = f->model->graph.layers;
    bool through_largest = false;
    int32_t at = layers[norm].inputs[0];
    while (f->readers[at] == 1) {
        const enum layer_kind kind = layers[at].kind;
        if (has_kernel(&layers[at]))
            return !through_largest || is_never_negative(f, &layers[norm]) ? at : -1;
        if (kind != LAYER_MAX_POOL && kind != LAYER_AVERAGE_POOL && kind != LAYER_GLOBAL_POOL &&
            kind != LAYER_DROPOUT && f->targets[at] < 0)
            return -1;
        through_largest = through_largest || kind == LAYER_MAX_POOL;
        at = layers[at].inputs[0];
    }
    return -1;
}

static void plan_folding(struct folding *f)
{
    const struct graph *graph = &f->model->graph;
    size_t channels = 0;
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        f->targets[i] = -1;
        f->channels[i] = channels;
        for (int32_t c = 0; c < layer->shape.c; c++)
            f->factors[channels++] = 1.0;
        for (int32_t k = 0; k < layer->input_count; k++)
            f->readers[layer->inputs[k]]++;
    }
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *norm = &graph->layers[i];
        const int32_t target = norm->kind == LAYER_BATCH_NORM ? find_target(f, i) : -1;
        f->targets[i] = target;
        for (int32_t c = 0; target >= 0 && c < norm->shape.c; c++) {
            const size_t at = f->channels[target] + (size_t)c;
            double factor, summand;
            fold_batch_norm(f->model, norm, c, &factor, &summand);
            f->factors[at] *= factor;
            f->summands[at] = f->summands[at] * factor + summand;
        }
    }
}

/* ---- the folded model ---- */

static enum status fold_graph(struct folding *f, struct graph *folded, struct error *err)
{
    const struct graph *graph = &f->model->graph;
    const struct shape image = graph->layers[0].shape;
    enum status st = graph_new(folded, image.c, image.h, image.w, err);
    for (int32_t i = 1; st == ST_OK && i < graph->count; i++) {
        struct layer layer = graph->layers[i];
        for (int32_t k = 0; k < layer.input_count; k++)
            layer.inputs[k] = f->places[layer.inputs[k]];
        f->places[i] = layer.inputs[0];
        if (layer.kind == LAYER_DROPOUT || f->targets[i] >= 0)
            continue;
        if (has_kernel(&layer)) {
            layer.bias = true;
            layer.frozen = false;
            layer.init = LAYER_INIT_HE;
        }
        st = graph_append(folded, layer, &f->places[i], err);
    }
    return st == ST_OK ? graph_infer(folded, err) : st;
}

/* Of one tensor of the folded model. */
static void fold_weights(const struct folding *f, const struct weight_tensor *to, float *values)
{
    const struct weight_table *table = &f->model->table;
    const int32_t layer = graph_find(&f->model->graph, to->layer_id);
    const int32_t index = weight_find(table, to->layer_id, to->role);
    const float *from = index >= 0 ? f->model->values + table->tensors[index].offset : NULL;
    const bool scaled = to->role == WEIGHT_KERNEL || to->role == WEIGHT_BIAS;
    const size_t each = to->count / (size_t)to->dims[0];
    for (size_t i = 0; i < to->count; i++) {
        const size_t channel = f->channels[layer] + i / each;
        double value = from != NULL ? (double)from[i] : 0.0;
        if (scaled)
            value *= f->factors[channel];
        if (to->role == WEIGHT_BIAS)
            value += f->summands[channel];
        values[i] = (float)value;
    }
}

static enum status fold_values(const struct folding *f, struct model *folded, struct error *err)
{
    enum status st = weight_table_new(&folded->table, &folded->graph, err);
    if (st != ST_OK)
        return st;
    folded->values = calloc(folded->table.total, sizeof(float));
    if (folded->values == NULL)
        return error_memory(err, "weights", folded->table.total * sizeof(float));
    for (int32_t t = 0; t < folded->table.count; t++) {
        const struct weight_tensor *tensor = &folded->table.tensors[t];
        float *values = folded->values + tensor->offset;
        fold_weights(f, tensor, values);
        for (size_t i = 0; i < tensor->count; i++)
            if (!isfinite(values[i]))
                return error_set(err, ST_FORMAT, "layer %u: value %zu of its %s is %g, expected finite ones",
                                 (unsigned)tensor->layer_id, i, weight_role_name(tensor->role),
                                 (double)values[i]);
    }
    return ST_OK;
}

static enum status copy_about(const struct model_about *from, struct model_about *to, struct error *err)
{
    *to = *from;
    to->classes = 0;
    to->label_thresholds = NULL;
    to->class_names = calloc((size_t)from->classes + 1, sizeof(*to->class_names));
    if (to->class_names == NULL)
        return error_memory(err, "class names", (unsigned long long)from->classes);
    for (; to->classes < from->classes; to->classes++) {
        to->class_names[to->classes] = strdup(from->class_names[to->classes]);
        if (to->class_names[to->classes] == NULL)
            return error_memory(err, "class names", strlen(from->class_names[to->classes]));
    }
    if (from->label_thresholds == NULL)
        return ST_OK;
    const size_t bytes = (size_t)from->classes * sizeof(*to->label_thresholds);
    to->label_thresholds = malloc(bytes);
    if (to->label_thresholds == NULL)
        return error_memory(err, "thresholds", bytes);
    memcpy(to->label_thresholds, from->label_thresholds, bytes);
    return ST_OK;
}

static enum status make_room(struct folding *f, struct error *err)
{
    const size_t layers = (size_t)f->model->graph.count;
    size_t channels = 0;
    for (size_t i = 0; i < layers; i++)
        channels += (size_t)f->model->graph.layers[i].shape.c;
    f->readers = calloc(layers, sizeof(*f->readers));
    f->targets = calloc(layers, sizeof(*f->targets));
    f->places = calloc(layers, sizeof(*f->places));
    f->channels = calloc(layers, sizeof(*f->channels));
    f->factors = calloc(channels, sizeof(*f->factors));
    f->summands = calloc(channels, sizeof(*f->summands));
    if (f->readers == NULL || f->targets == NULL || f->places == NULL || f->channels == NULL ||
        f->factors == NULL || f->summands == NULL)
        return error_memory(err, "a folded network", channels * sizeof(double));
    return ST_OK;
}

enum status fold_model(const struct model *model, struct model *folded, struct error *err)
{
    struct folding f = {.model = model};
    *folded = (struct model){0};
    enum status st = make_room(&f, err);
    if (st == ST_OK) {
        plan_folding(&f);
        st = fold_graph(&f, &folded->graph, err);
    }
    if (st == ST_OK)
        st = fold_values(&f, folded, err);
    if (st == ST_OK)
        st = copy_about(&model->about, &folded->about, err);
    free(f.readers);
    free(f.targets);
    free(f.places);
    free(f.channels);
    free(f.factors);
    free(f.summands);
    return st;
}

#include "host/train/inherit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A network that only answers: its evaluation program, its weights, its logits on the check's batch. */
struct probe {
    struct graph graph;
    struct program program;
    struct device_program *prepared;
    struct device_weights *made;    /* NULL: the weights are somebody else's */
    struct device_weights *weights; /* one slot suffices */
    float *logits;                  /* batch x classes */
    size_t bytes;                   /* on the device: program and weights */
};

static void probe_close(const struct trainer_device *device, struct probe *probe)
{
    device->ops->program_free(device->handle, probe->prepared);
    device->ops->weights_free(device->handle, probe->made);
    program_free(&probe->program);
    graph_free(&probe->graph);
    free(probe->logits);
    *probe = (struct probe){0};
}

/* Takes `graph` over (zeroes it). `weights` NULL: new ones are made. */
static enum status probe_open(const struct trainer_device *device, int32_t batch, struct graph *graph,
                              struct device_weights *weights, struct probe *probe, struct error *err)
{
    const struct lower_options options = {.purpose = PROG_EVALUATE,
                                          .batch = batch,
                                          .sets = device->label_sets != NULL,
                                          .batch_norm_momentum = 0.1f};
    *probe = (struct probe){.graph = *graph, .weights = weights};
    *graph = (struct graph){0};
    enum status st = lower_graph(&probe->graph, &options, &probe->program, err);
    if (st == ST_OK)
        st = device->ops->program_prepare(device->handle, &probe->program, &probe->prepared, err);
    if (st != ST_OK)
        return st;
    probe->bytes =
        device->ops->program_bytes(probe->prepared) + (size_t)device->validation_count * sizeof(int32_t);
    if (weights != NULL)
        return ST_OK;
    probe->bytes += probe->program.weights.total * sizeof(float);
    st = device->ops->weights_new(device->handle, &probe->program.weights, 1, &probe->made, err);
    probe->weights = probe->made;
    return st;
}

static size_t logit_count(const struct probe *probe)
{
    const struct shape shape = probe->program.tensors[probe->program.logits].shape;
    return (size_t)shape.n * (size_t)shape.c;
}

static enum status probe_answer(const struct trainer_device *device, struct probe *probe, struct error *err)
{
    int32_t count =
        device->validation_count < probe->program.batch ? device->validation_count : probe->program.batch;
    const struct device_binding binding = {.weights = probe->weights,
                                           .dataset = device->dataset,
                                           .samples = device->validation,
                                           .sample_count = count};
    const struct step step = {.valid = count};
    probe->logits = calloc(logit_count(probe), sizeof(float));
    if (probe->logits == NULL)
        return error_memory(err, "logits", logit_count(probe) * sizeof(float));
    enum status st = device->ops->program_bind(device->handle, probe->prepared, &binding, err);
    if (st == ST_OK)
        st = device->ops->program_run(device->handle, probe->prepared, &step, err);
    if (st == ST_OK)
        st = device->ops->program_tensor(device->handle, probe->prepared, probe->program.logits,
                                         probe->logits, err);
    return st;
}

/* The mean loss on all validation samples. */
static enum status probe_loss(const struct trainer_device *device, struct probe *probe, double *loss,
                              struct error *err)
{
    const struct device_binding binding = {.weights = probe->weights,
                                           .dataset = device->dataset,
                                           .samples = device->validation,
                                           .sample_count = device->validation_count};
    const int32_t count = device->validation_count, batch = probe->program.batch;
    double metrics[METRIC_COUNT] = {0};
    enum status st = device->ops->program_bind(device->handle, probe->prepared, &binding, err);
    if (st == ST_OK)
        st = device->ops->program_set_metrics(device->handle, probe->prepared, metrics, err);
    for (int32_t first = 0; st == ST_OK && first < count; first += batch) {
        const struct step step = {.first = (uint32_t)first,
                                  .valid = count - first < batch ? count - first : batch};
        st = device->ops->program_run(device->handle, probe->prepared, &step, err);
    }
    if (st == ST_OK)
        st = device->ops->program_metrics(device->handle, probe->prepared, metrics, err);
    *loss = metrics[METRIC_LOSS] / metrics[METRIC_SAMPLES];
    return st;
}

/* max |b - a| / max |a|; NaN when either holds one. */
static double relative_change(const float *a, const float *b, size_t count)
{
    double change = 0.0, size = 1e-12;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)b[i] - (double)a[i]);
        if (isnan(difference))
            return NAN;
        change = fmax(change, difference);
        size = fmax(size, fabs((double)a[i]));
    }
    return change / size;
}

uint64_t inherit_seed(uint64_t seed, int32_t id, int32_t index)
{
    struct random4 r = random_draw(seed, RANDOM_MORPH_NOISE, (uint64_t)(uint32_t)id, (uint32_t)index);
    return ((uint64_t)r.v[0] << 32) | r.v[1];
}

static double tolerance_of(const struct trainer_device *device)
{
    struct device_info info;
    device->ops->info(device->handle, &info);
    return INHERIT_TOLERANCE + INHERIT_ROUNDINGS * info.rounding;
}

/* Morph `index` with so much noise: opens `child`, fills it from `parent`, and compares their answers. */
static enum status try_morph(const struct inherit_order *order, int32_t index, float noise,
                             const struct probe *parent, struct probe *child, struct inheritance *result,
                             struct error *err)
{
    const struct trainer_device *device = order->device;
    const uint64_t seed = inherit_seed(order->seed, order->id, index);
    struct graph graph = {0};
    struct remap_list remaps = {0};

    struct morph morph = order->morphs[index];
    morph.importance = result->importances[index];
    enum status st = morph_apply(&morph, &parent->graph, noise, &graph, &remaps, err);
    if (st == ST_OK)
        st = probe_open(device, order->batch, &graph, NULL, child, err);
    if (st == ST_OK)
        st = device->ops->weights_remap(device->handle, child->made, parent->weights, SLOT_VALUE, &remaps,
                                        seed, err);
    if (st == ST_OK)
        st = probe_answer(device, child, err);
    if (st == ST_OK)
        result->differences[index] = relative_change(parent->logits, child->logits, logit_count(parent));
    graph_free(&graph);
    remap_list_free(&remaps);
    return st;
}

/* One morph. Noise that alone is too much for the tolerance is taken down tenfold, and at last away: a morph is refused
 * for what it is, not for its noise. */
static enum status step(const struct inherit_order *order, int32_t index, const struct probe *parent,
                        struct probe *child, struct inheritance *result, struct error *err)
{
    const bool preserves = morph_preserves(order->morphs[index].kind);
    const float noises[] = {order->noise, order->noise / 10.0f, 0.0f};
    const int tries = order->noise > 0.0f && preserves ? 3 : 1;
    const double tolerance = preserves ? tolerance_of(order->device) : DBL_MAX;
    const double *difference = &result->differences[index];
    enum status st = ST_OK;
    for (int i = 0; i < tries; i++) {
        probe_close(order->device, child);
        result->noises[index] = noises[i];
        st = try_morph(order, index, noises[i], parent, child, result, err);
        if (st != ST_OK || *difference <= tolerance)
            return st;
    }
    return error_set(err, ST_DIVERGED, "the morph changed the outputs by %.3g, expected at most %.3g",
                     *difference, tolerance);
}

/* What a pruning has to know of the weights, for the caller to free; NULL for other morphs. */
static enum status find_importance(const struct trainer_device *device, const struct probe *parent,
                                   const struct morph *morph, float **importance, struct error *err)
{
    const struct weight_table *table = &parent->program.weights;
    const int32_t a = graph_find(&parent->graph, morph->a);
    *importance = NULL;
    if (morph->kind != MORPH_PRUNE || a < 0)
        return ST_OK;
    float *values = calloc(table->total + 1, sizeof(*values));
    *importance = calloc((size_t)parent->graph.layers[a].shape.c, sizeof(**importance));
    enum status st = values != NULL && *importance != NULL
                         ? ST_OK
                         : error_memory(err, "weights", table->total * sizeof(*values));
    if (st == ST_OK)
        st = device->ops->weights_download(device->handle, parent->weights, SLOT_VALUE, values, err);
    if (st == ST_OK)
        st = morph_importance(&parent->graph, morph->a, table, values, *importance, err);
    free(values);
    return st;
}

enum status inherit(const struct inherit_order *order, struct inheritance *result, struct error *err)
{
    const struct trainer_device *device = order->device;
    /* Parent and child in turns: a prepared program points to the probe's own, so probes are never moved. */
    struct probe first = {0}, second = {0};
    struct probe *now = &first, *next = &second;
    struct graph graph = {0};

    *result = (struct inheritance){0};
    enum status st = graph_copy(&graph, order->parent, err);
    if (st == ST_OK)
        st = probe_open(device, order->batch, &graph, order->parent_weights, now, err);
    if (st == ST_OK)
        st = probe_answer(device, now, err);
    result->device_bytes = now->bytes;
    for (int32_t i = 0; st == ST_OK && i < order->morph_count; i++) {
        st = find_importance(device, now, &order->morphs[i], &result->importances[i], err);
        if (st == ST_OK)
            st = step(order, i, now, next, result, err);
        result->losses[i] = NAN;
        if (st == ST_OK && !morph_preserves(order->morphs[i].kind))
            st = probe_loss(device, next, &result->losses[i], err);
        if (now->bytes + next->bytes > result->device_bytes)
            result->device_bytes = now->bytes + next->bytes;
        if (st != ST_OK) {
            error_prefix(err, "morph %d, %s", i + 1, morph_kind_name(order->morphs[i].kind));
            break;
        }
        probe_close(device, now);
        struct probe *free_one = now;
        now = next;
        next = free_one;
        result->count++;
    }
    if (st == ST_OK) { /* what is wanted changes owner */
        result->weights = now->made;
        result->graph = now->graph;
        now->made = NULL;
        now->graph = (struct graph){0};
    }
    probe_close(device, now);
    probe_close(device, next);
    graph_free(&graph);
    return st;
}

void inheritance_free(const struct trainer_device *device, struct inheritance *result)
{
    for (int32_t i = 0; i < INHERIT_MAX_MORPHS; i++)
        free(result->importances[i]);
    graph_free(&result->graph);
    device->ops->weights_free(device->handle, result->weights);
    *result = (struct inheritance){0};
}

/* ---- a past ---- */

/* The remaps as the optimizer's slots follow them: nothing is filled in. */
static void forget_new(const struct remap_list *remaps, struct remap *bare)
{
    for (int32_t i = 0; i < remaps->count; i++) {
        bare[i] = remaps->remaps[i];
        bare[i].identity = NULL;
        bare[i].fill = bare[i].noise = 0.0f;
    }
}

static enum status remap_past(const struct remap_list *remaps, const struct weight_table *child,
                              const struct weight_table *parent, uint64_t seed, struct trainer_past *past,
                              struct error *err)
{
    struct remap *bare = malloc(((size_t)remaps->count + 1) * sizeof(*bare));
    if (bare == NULL)
        return error_memory(err, "remaps", (size_t)remaps->count * sizeof(*bare));
    const struct remap_list without = {.count = remaps->count, .remaps = bare};
    enum status st = ST_OK;
    forget_new(remaps, bare);
    for (int32_t slot = 0; slot < past->slots; slot++) {
        float *values = calloc(child->total + 1, sizeof(*values));
        if (values == NULL) {
            st = error_memory(err, "weights", child->total * sizeof(*values));
            break;
        }
        remap_apply(slot >= SLOT_FIRST ? &without : remaps, child, parent, past->values[slot], seed, values);
        free(past->values[slot]);
        past->values[slot] = values;
    }
    free(bare);
    return st;
}

/* `graph` becomes the child's. */
static enum status morph_past(const struct morph *morph, float noise, uint64_t seed, struct graph *graph,
                              struct trainer_past *past, struct error *err)
{
    struct graph next = {0};
    struct remap_list remaps = {0};
    struct weight_table parent = {0}, child = {0};
    enum status st = morph_apply(morph, graph, noise, &next, &remaps, err);
    if (st == ST_OK)
        st = weight_table_new(&parent, graph, err);
    if (st == ST_OK)
        st = weight_table_new(&child, &next, err);
    if (st == ST_OK)
        st = remap_past(&remaps, &child, &parent, seed, past, err);
    weight_table_free(&parent);
    weight_table_free(&child);
    remap_list_free(&remaps);
    graph_free(graph);
    *graph = next;
    return st;
}

enum status inherit_past(const struct graph *parent, const struct morph *morphs,
                         const struct inheritance *accepted, uint64_t seed, int32_t id,
                         struct trainer_past *past, struct error *err)
{
    struct graph graph = {0};
    enum status st = graph_copy(&graph, parent, err);
    for (int32_t i = 0; st == ST_OK && i < accepted->count; i++) {
        struct morph morph = morphs[i];
        morph.importance = accepted->importances[i];
        st = morph_past(&morph, accepted->noises[i], inherit_seed(seed, id, i), &graph, past, err);
    }
    graph_free(&graph);
    return st;
}

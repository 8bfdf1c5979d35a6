/* Skips: what layer a knows reaches layer b by a second way, with zero weight at first.
 *
 *   add     b becomes add(b, mix(resize(a)))      mix: a 1 x 1 convolution of zeros to b's channels
 *   concat  b becomes mix(concat(b, resize(a)))   mix: a 1 x 1 convolution, identity on b's channels, zero on the rest
 *
 * The image itself is no a: a linear map of raw pixels, behind all the pools, brings nothing.
 * resize repeats what the way from a to b does to height and width: pools as they are, a convolution that
 * changes the size as an average pool with the same window. Where there is one pixel left a dense layer
 * stands for the 1 x 1 convolution.
 */
#include "host/morph/morph_internal.h"

#include <stdlib.h>

static const char *skip_name(enum morph_kind kind)
{
    return kind == MORPH_ADD_SKIP ? "add skip" : "concat skip";
}

/* Whether tensor `index` is layer a's output behind nothing but resizing, normalisation and at most one
 * mixing layer: what another skip from a would compute from it, or less. */
static bool skip_comes_from(const struct graph *graph, int32_t index, int32_t a)
{
    int mixings = 0;
    while (index > a) {
        const struct layer *layer = &graph->layers[index];
        switch (layer_traits(layer->kind)->family) {
        case FAMILY_CONV:
        case FAMILY_DENSE:
            if (++mixings > 1)
                return false;
            break;
        case FAMILY_MAX_POOL:
        case FAMILY_AVERAGE_POOL:
        case FAMILY_GLOBAL_POOL:
        case FAMILY_BATCH_NORM:
        case FAMILY_DROPOUT:
            break;
        case FAMILY_INPUT:
        case FAMILY_ACTIVATION:
        case FAMILY_ADD:
        case FAMILY_CONCAT:
        case FAMILY_GATE:
            return false;
        }
        index = layer->inputs[0];
    }
    return index == a;
}

/* Skips onto b stack up behind it: adds one behind another, concats each with its mixing layer. Walks them
 * and looks for an operand from a in one of the same kind. `stack` has graph->count entries. */
static bool skip_exists(const struct graph *graph, int32_t a, int32_t b, enum layer_kind joint, bool *stack)
{
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        stack[i] = i == b;
        if (i <= b)
            continue;
        if (layer->kind == LAYER_CONV || layer->kind == LAYER_DENSE) {
            int32_t input = layer->inputs[0];
            stack[i] = graph->layers[input].kind == LAYER_CONCAT && stack[input];
            continue;
        }
        if (layer->kind != LAYER_ADD && layer->kind != LAYER_CONCAT)
            continue;
        for (int32_t k = 0; k < layer->input_count; k++)
            stack[i] = stack[i] || stack[layer->inputs[k]];
        for (int32_t k = 0; k < layer->input_count && stack[i] && layer->kind == joint; k++)
            if (!stack[layer->inputs[k]] && skip_comes_from(graph, layer->inputs[k], a))
                return true;
    }
    return false;
}

/* The layer that does to height and width what layer `index` does on its input `from`, its own input left
 * open; false where nothing is to be done. A pool can have any convolution's window: graphs demand padding
 * below the kernel. */
static bool skip_step(const struct graph *graph, int32_t index, int32_t from, struct layer *step)
{
    const struct layer *layer = &graph->layers[index];
    const struct shape *before = &graph->layers[from].shape, *after = &layer->shape;
    if (before->h == after->h && before->w == after->w)
        return false;
    if (layer->kind == LAYER_GLOBAL_POOL || layer->kind == LAYER_DENSE) {
        *step = morph_layer(LAYER_GLOBAL_POOL, -1);
        return true;
    }
    *step = morph_layer(layer->kind == LAYER_MAX_POOL ? LAYER_MAX_POOL : LAYER_AVERAGE_POOL, -1);
    step->kernel_h = layer->kernel_h;
    step->kernel_w = layer->kernel_w;
    step->stride = layer->stride;
    step->pad_h = layer->pad_h;
    step->pad_w = layer->pad_w;
    return true;
}

/* From layer a to layer b of the parent. */
struct skip_way {
    int32_t a, b;
    const char *name;    /* of the morph */
    const bool *reached; /* whether a layer depends on a */
    int32_t *layers;     /* room for each of the graph's */
};

/* Inserts the resizing of a's output behind b. *end is the index of the resized tensor in the child: a itself when
 * nothing was to be done. */
static enum status skip_resize(struct morph_edit *edit, const struct graph *parent,
                               const struct skip_way *way, int32_t *end, struct error *err)
{
    const int32_t a = way->a, b = way->b;
    /* Every way from a to b ends in b's size; the one through each layer's first input that depends on a is
     * taken. */
    int32_t length = 0;
    for (int32_t at = b; at != a;) {
        const struct layer *layer = &parent->layers[at];
        int32_t k = 0;
        while (!way->reached[layer->inputs[k]])
            k++;
        if (layer->kind == LAYER_GATE && k > 0)
            return error_set(
                err, ST_NONE,
                "%s: layer %u only opens gates on the way to layer %u, expected one that is not pooled",
                way->name, (unsigned)parent->layers[a].id, (unsigned)parent->layers[b].id);
        way->layers[length++] = at;
        at = layer->inputs[k];
    }
    *end = a;
    for (int32_t from = a; length > 0; from = way->layers[length]) {
        struct layer step;
        if (!skip_step(parent, way->layers[--length], from, &step))
            continue;
        step.inputs[0] = *end;
        enum status st = morph_edit_insert(edit, b, step, end, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* The joint behind b of b and the resized branch. */
static enum status skip_join(struct morph_edit *edit, const struct graph *parent, enum morph_kind kind,
                             int32_t b, int32_t branch, struct error *err)
{
    int32_t channels = parent->layers[b].shape.c;
    struct layer joint = morph_layer(kind == MORPH_ADD_SKIP ? LAYER_ADD : LAYER_CONCAT, b);
    joint.input_count = 2;
    joint.inputs[1] = branch;
    /* Whether the mixing layer is a dense one is b's size to say, which the branch shares. */
    struct layer mix = morph_mixing_layer(parent, b, channels, kind == MORPH_CONCAT_SKIP);
    if (kind == MORPH_ADD_SKIP) {
        mix.inputs[0] = branch;
        enum status st = morph_edit_insert_fresh(edit, b, mix, START_ZERO, &joint.inputs[1], err);
        return st == ST_OK ? morph_edit_insert(edit, b, joint, NULL, err) : st;
    }
    enum status st = morph_edit_insert(edit, b, joint, &mix.inputs[0], err);
    return st == ST_OK ? morph_edit_insert_fresh(edit, b, mix, START_IDENTITY, NULL, err) : st;
}

enum status morph_edit_skip(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                            struct error *err)
{
    const char *name = skip_name(morph->kind);
    int32_t a = -1, b = -1, branch = -1;
    size_t count = (size_t)parent->count;
    bool *marks = calloc(count, sizeof(*marks));
    int32_t *way = calloc(count, sizeof(*way));
    enum status st = ST_OK;
    if (!marks || !way) {
        st = error_memory(err, name, count * (sizeof(*marks) + sizeof(*way)));
        goto out;
    }
    st = morph_find_layer(parent, morph->a, name, &a, err);
    if (st == ST_OK)
        st = morph_find_layer(parent, morph->b, name, &b, err);
    if (st == ST_OK && a == 0)
        st = error_set(err, ST_RANGE, "%s: layer 0 is the image, expected a layer behind it", name);
    if (st != ST_OK)
        goto out;
    if (skip_exists(parent, a, b, morph->kind == MORPH_ADD_SKIP ? LAYER_ADD : LAYER_CONCAT, marks)) {
        st = error_set(err, ST_NONE, "%s: there is one from layer %u to layer %u already", name,
                       (unsigned)morph->a, (unsigned)morph->b);
        goto out;
    }
    morph_reach(parent, a, marks);
    if (a == b || !marks[b]) {
        st = error_set(err, ST_RANGE,
                       "%s: layer %u does not depend on layer %u, expected a way from the latter", name,
                       (unsigned)morph->b, (unsigned)morph->a);
        goto out;
    }
    st = skip_resize(edit, parent, &(struct skip_way){a, b, name, marks, way}, &branch, err);
    if (st == ST_OK)
        st = skip_join(edit, parent, morph->kind, b, branch, err);
out:
    free(way);
    free(marks);
    return st;
}

/* Removing layers: what reads layer a reads b instead, which a is made of, and what then nobody reads goes: a block and
 * the skip around it, or layers in a row that keep the shape. All other weights stay as they are. */
#include "host/morph/morph_internal.h"

#include <stdlib.h>

/* What of a graph stays, and where. */
struct removal {
    bool *stays;    /* [count] */
    int32_t *index; /* [count] in the child */
};

static enum status removal_open(struct removal *removal, int32_t count, struct error *err)
{
    removal->stays = calloc((size_t)count, sizeof(*removal->stays));
    removal->index = calloc((size_t)count, sizeof(*removal->index));
    return removal->stays != NULL && removal->index != NULL
               ? ST_OK
               : error_memory(err, "marks of a graph's layers",
                              (unsigned long long)count * (sizeof(bool) + sizeof(int32_t)));
}

static void removal_close(struct removal *removal)
{
    free(removal->stays);
    free(removal->index);
}

static int32_t input_without(const struct layer *layer, int32_t k, int32_t a, int32_t b)
{
    return layer->inputs[k] == a ? b : layer->inputs[k];
}

/* What the last layer needs once b stands for a. */
static void mark(const struct graph *graph, int32_t a, int32_t b, struct removal *removal)
{
    removal->stays[0] = removal->stays[graph->count - 1] = true;
    for (int32_t i = graph->count - 1; i > 0; i--)
        for (int32_t k = 0; removal->stays[i] && k < graph->layers[i].input_count; k++)
            removal->stays[input_without(&graph->layers[i], k, a, b)] = true;
}

/* Whether that is worth it and allowed: convolutions or dense layers go, but none with filters that are to stay, and
 * nothing reads the same twice. */
static enum status check(const struct graph *graph, int32_t a, int32_t b, const struct removal *removal,
                         struct error *err)
{
    int32_t mixing = 0;
    for (int32_t i = 1; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        bool reads_a = false, reads_b = false;
        for (int32_t k = 0; k < layer->input_count; k++) {
            reads_a = reads_a || layer->inputs[k] == a;
            reads_b = reads_b || layer->inputs[k] == b;
        }
        if (removal->stays[i] && reads_a && reads_b)
            return error_set(err, ST_NONE, "remove: layer %u would read layer %u twice", (unsigned)layer->id,
                             (unsigned)graph->layers[b].id);
        if (!removal->stays[i] && morph_is_fixed(graph, i))
            return error_set(err, ST_NONE,
                             "remove: conv %u has filters that are to stay as they are, expected others",
                             (unsigned)layer->id);
        mixing += !removal->stays[i] && (layer->kind == LAYER_CONV || layer->kind == LAYER_DENSE);
    }
    return mixing > 0 ? ST_OK
                      : error_set(err, ST_NONE, "remove: no conv or dense layer lies between %u and %u",
                                  (unsigned)graph->layers[b].id, (unsigned)graph->layers[a].id);
}

static void compact(struct graph *child, int32_t a, int32_t b, struct removal *removal)
{
    int32_t count = 0;
    for (int32_t i = 0; i < child->count; i++) {
        if (!removal->stays[i])
            continue;
        struct layer layer = child->layers[i];
        for (int32_t k = 0; k < layer.input_count; k++)
            layer.inputs[k] = removal->index[input_without(&child->layers[i], k, a, b)];
        removal->index[i] = count;
        child->layers[count++] = layer;
    }
    child->count = count;
}

static enum status find_both(const struct morph *morph, const struct graph *graph, int32_t *a, int32_t *b,
                             struct error *err)
{
    enum status st = morph_find_layer(graph, morph->a, "remove", a, err);
    if (st == ST_OK)
        st = morph_find_layer(graph, morph->b, "remove", b, err);
    if (st != ST_OK)
        return st;
    const struct shape *of_a = &graph->layers[*a].shape, *of_b = &graph->layers[*b].shape;
    if (*b >= *a)
        return error_set(err, ST_RANGE, "remove: layer %u does not stand before %u", (unsigned)morph->b,
                         (unsigned)morph->a);
    if (*b == 0 || of_a->c != of_b->c || of_a->h != of_b->h || of_a->w != of_b->w)
        return error_set(err, ST_NONE, "remove: layer %u can't stand for %u, whose shape is another",
                         (unsigned)morph->b, (unsigned)morph->a);
    return ST_OK;
}

enum status morph_edit_remove(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err)
{
    struct removal removal = {0};
    int32_t a = -1, b = -1;
    enum status st = find_both(morph, parent, &a, &b, err);
    if (st == ST_OK)
        st = removal_open(&removal, parent->count, err);
    if (st != ST_OK)
        goto out;
    morph_reach(parent, b, removal.stays);
    if (!removal.stays[a]) {
        st = error_set(err, ST_NONE, "remove: layer %u does not depend on %u", (unsigned)morph->a,
                       (unsigned)morph->b);
        goto out;
    }
    for (int32_t i = 0; i < parent->count; i++)
        removal.stays[i] = false;
    mark(parent, a, b, &removal);
    st = check(parent, a, b, &removal, err);
    if (st == ST_OK)
        compact(&edit->child, a, b, &removal);
out:
    removal_close(&removal);
    return st;
}

int32_t morph_find_without(const struct graph *graph, int32_t a)
{
    const struct layer *layer = &graph->layers[a];
    bool mixed = false;
    if (layer->kind == LAYER_ADD)
        return layer->inputs[layer->inputs[1] < layer->inputs[0]];
    if (layer->kind == LAYER_GATE)
        return layer->inputs[0];
    for (int32_t at = a; graph->layers[at].input_count == 1;) {
        const struct layer *now = &graph->layers[at];
        mixed = mixed || now->kind == LAYER_CONV || now->kind == LAYER_DENSE;
        at = now->inputs[0];
        const struct shape *shape = &graph->layers[at].shape;
        if (mixed && shape->c == layer->shape.c && shape->h == layer->shape.h && shape->w == layer->shape.w)
            return at;
    }
    return -1;
}

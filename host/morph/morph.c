/* Applying and describing morphs. */
#include "host/morph/morph_internal.h"
#include "host/net/cell.h"

#include <stdio.h>
#include <string.h>

static const char *const morph_kind_names[MORPH_KIND_COUNT] = {
    [MORPH_DEEPEN] = "deepen",
    [MORPH_WIDEN] = "widen",
    [MORPH_ADD_SKIP] = "add_skip",
    [MORPH_CONCAT_SKIP] = "concat_skip",
    [MORPH_KERNEL] = "kernel",
    [MORPH_RESIDUAL] = "residual",
    [MORPH_REPEAT] = "repeat",
    [MORPH_SQUEEZE] = "squeeze",
    [MORPH_WIDEN_STAGE] = "widen_stage",
    [MORPH_WIDEN_NET] = "widen_net",
    [MORPH_SEPARABLE] = "separable",
    [MORPH_REMOVE] = "remove",
    [MORPH_PRUNE] = "prune",
};

static const char *const deepen_variant_names[DEEPEN_VARIANT_COUNT] = {
    [DEEPEN_CONV_RELU] = "conv+relu",
    [DEEPEN_BATCH_NORM] = "batch_norm",
    [DEEPEN_DENSE_RELU] = "dense+relu",
};

const char *morph_kind_name(enum morph_kind kind)
{
    return (unsigned)kind < MORPH_KIND_COUNT ? morph_kind_names[kind] : "unknown";
}

enum status morph_apply(const struct morph *morph, const struct graph *parent, float noise,
                        struct graph *child, struct remap_list *remaps, struct error *err)
{
    *child = (struct graph){0};
    *remaps = (struct remap_list){0};
    struct morph_edit edit;
    enum status st = morph_edit_make(&edit, morph, parent, err);
    if (st != ST_OK)
        return st;
    st = morph_edit_remaps(&edit, parent, noise, remaps, err);
    if (st == ST_OK) {
        *child = edit.child;
        edit.child = (struct graph){0};
    }
    morph_edit_free(&edit);
    return st;
}

enum status morph_graph(const struct morph *morph, const struct graph *parent, struct graph *child,
                        struct error *err)
{
    *child = (struct graph){0};
    struct morph_edit edit;
    enum status st = morph_edit_make(&edit, morph, parent, err);
    if (st != ST_OK)
        return st;
    *child = edit.child;
    edit.child = (struct graph){0};
    morph_edit_free(&edit);
    return ST_OK;
}

/* How people find a layer: by its id, in cells by its slot. */
static unsigned name_of(const struct morph *morph, uint32_t id)
{
    struct cell_place place;
    return morph->cells && cell_place_of(id, &place) ? (unsigned)place.slot : (unsigned)id;
}

static void describe_deepen(const struct morph *morph, const char *kind, char *text, size_t size)
{
    const unsigned a = name_of(morph, morph->a);
    const char *variant =
        (uint32_t)morph->variant < DEEPEN_VARIANT_COUNT ? deepen_variant_names[morph->variant] : "unknown";
    if (morph->variant == DEEPEN_CONV_RELU)
        snprintf(text, size, "deepen %s %u: %s %dx%d", kind, a, variant, (int)morph->amount,
                 (int)morph->amount);
    else
        snprintf(text, size, "deepen %s %u: %s", kind, a, variant);
}

static void describe_place(const struct morph *morph, const struct graph *parent, char *text, size_t size)
{
    static const struct layer absent = {.kind = LAYER_KIND_COUNT}; /* its name is "unknown" */
    int32_t index = graph_find(parent, morph->a);
    const struct layer *layer = index >= 0 ? &parent->layers[index] : &absent;
    const char *kind = layer_kind_name(layer->kind);
    const unsigned a = name_of(morph, morph->a), b = name_of(morph, morph->b);
    int amount = (int)morph->amount;
    switch (morph->kind) {
    case MORPH_DEEPEN:
        describe_deepen(morph, kind, text, size);
        return;
    case MORPH_WIDEN:
        snprintf(text, size, "widen %s %u %d->%d", kind, a, (int)layer->shape.c,
                 (int)layer->shape.c + amount);
        return;
    case MORPH_ADD_SKIP:
        snprintf(text, size, "add skip %u->%u", a, b);
        return;
    case MORPH_CONCAT_SKIP:
        snprintf(text, size, "concat skip %u->%u", a, b);
        return;
    case MORPH_KERNEL:
        snprintf(text, size, "kernel %s %u %dx%d->%dx%d", kind, a, (int)layer->kernel_h, (int)layer->kernel_w,
                 (int)layer->kernel_h + amount, (int)layer->kernel_w + amount);
        return;
    case MORPH_RESIDUAL:
        snprintf(text, size, "residual %s %u: %dx%d", kind, a, amount, amount);
        return;
    case MORPH_SEPARABLE:
        snprintf(text, size, "separable %s %u: %dx%d", kind, a, amount, amount);
        return;
    case MORPH_REPEAT:
        snprintf(text, size, "repeat block of %s %u", kind, a);
        return;
    case MORPH_SQUEEZE:
        snprintf(text, size, "squeeze %s %u to %d", kind, a, amount);
        return;
    case MORPH_WIDEN_STAGE:
        snprintf(text, size, "widen stage %dx%d +%d%%", (int)layer->shape.h, (int)layer->shape.w, amount);
        return;
    case MORPH_WIDEN_NET:
        snprintf(text, size, "widen net +%d%%", amount);
        return;
    case MORPH_PRUNE:
        snprintf(text, size, "prune %s %u %d->%d", kind, a, (int)layer->shape.c,
                 (int)layer->shape.c - amount);
        return;
    case MORPH_REMOVE:
        snprintf(text, size, "remove %s %u back to %u", kind, a, b);
        return;
    case MORPH_KIND_COUNT:
        break;
    }
    snprintf(text, size, "unknown morph %d", (int)morph->kind);
}

void morph_describe(const struct morph *morph, const struct graph *parent, char *text, size_t size)
{
    struct cell_place place;
    if (morph->cells && morph->kind == MORPH_REPEAT) {
        snprintf(text, size, "%d more cells a stage", (int)morph->amount);
        return;
    }
    describe_place(morph, parent, text, size);
    const size_t used = strlen(text);
    if (morph->cells && cell_place_of(morph->a, &place))
        snprintf(text + used, size - used, " in all %s cells",
                 place.kind == CELL_NORMAL ? "normal" : "reduction");
}

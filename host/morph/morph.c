/* Applying and describing morphs. */
#include "host/morph/morph_internal.h"

#include <stdio.h>

static const char *const morph_kind_names[MORPH_KIND_COUNT] = {
    [MORPH_DEEPEN] = "deepen",           [MORPH_WIDEN] = "widen",   [MORPH_ADD_SKIP] = "add_skip",
    [MORPH_CONCAT_SKIP] = "concat_skip", [MORPH_KERNEL] = "kernel",
};

static const char *const deepen_variant_names[DEEPEN_VARIANT_COUNT] = {
    [DEEPEN_CONV] = "conv",         [DEEPEN_CONV_RELU] = "conv+relu",
    [DEEPEN_RESIDUAL] = "residual", [DEEPEN_BATCH_NORM] = "batch_norm",
    [DEEPEN_RELU] = "relu",         [DEEPEN_DENSE] = "dense",
};

const char *morph_kind_name(enum morph_kind kind)
{
    return (unsigned)kind < MORPH_KIND_COUNT ? morph_kind_names[kind] : "unknown";
}

enum status morph_apply(const struct morph *morph, const struct graph *parent, float noise, uint64_t seed,
                        struct graph *child, struct remap_list *remaps, struct error *err)
{
    *child = (struct graph){0};
    *remaps = (struct remap_list){0};
    struct morph_edit edit;
    enum status st = morph_edit_make(&edit, morph, parent, seed, err);
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

static void describe_deepen(const struct morph *morph, const char *kind, char *text, size_t size)
{
    const char *variant =
        (uint32_t)morph->variant < DEEPEN_VARIANT_COUNT ? deepen_variant_names[morph->variant] : "unknown";
    bool convolves = morph->variant == DEEPEN_CONV || morph->variant == DEEPEN_CONV_RELU ||
                     morph->variant == DEEPEN_RESIDUAL;
    if (convolves)
        snprintf(text, size, "deepen %s %u: %s %dx%d", kind, (unsigned)morph->a, variant, (int)morph->amount,
                 (int)morph->amount);
    else
        snprintf(text, size, "deepen %s %u: %s", kind, (unsigned)morph->a, variant);
}

void morph_describe(const struct morph *morph, const struct graph *parent, char *text, size_t size)
{
    static const struct layer absent = {.kind = LAYER_KIND_COUNT}; /* its name is "unknown" */
    int32_t index = graph_find(parent, morph->a);
    const struct layer *layer = index >= 0 ? &parent->layers[index] : &absent;
    const char *kind = layer_kind_name(layer->kind);
    unsigned a = (unsigned)morph->a;
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
        snprintf(text, size, "add skip %u->%u", a, (unsigned)morph->b);
        return;
    case MORPH_CONCAT_SKIP:
        snprintf(text, size, "concat skip %u->%u", a, (unsigned)morph->b);
        return;
    case MORPH_KERNEL:
        snprintf(text, size, "kernel %s %u %dx%d->%dx%d", kind, a, (int)layer->kernel_h, (int)layer->kernel_w,
                 (int)layer->kernel_h + amount, (int)layer->kernel_w + amount);
        return;
    case MORPH_KIND_COUNT:
        break;
    }
    snprintf(text, size, "unknown morph %d", (int)morph->kind);
}

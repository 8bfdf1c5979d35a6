/* New layers behind a layer, identities at first. */
#include "host/morph/morph_internal.h"

#include <assert.h>

static enum status deepen_check_sign(const struct graph *parent, int32_t a, struct error *err)
{
    bool never_negative = false;
    enum status st = morph_never_negative(parent, a, &never_negative, err);
    if (st == ST_OK && !never_negative)
        st = error_set(
            err, ST_RANGE,
            "deepen: a ReLU behind %s %u would change the function, expected a layer whose output is never "
            "negative",
            layer_kind_name(parent->layers[a].kind), (unsigned)parent->layers[a].id);
    return st;
}

static enum status deepen_batch_norm(struct morph_edit *edit, const struct graph *parent, int32_t a,
                                     struct error *err)
{
    struct layer norm = morph_layer(LAYER_BATCH_NORM, a);
    norm.frozen = morph_style_of(parent).frozen_norm;
    return morph_edit_insert_fresh(edit, a, norm, START_IDENTITY, NULL, err);
}

/* `layer` as the identity, a ReLU behind it. */
static enum status deepen_relu(struct morph_edit *edit, const struct graph *parent, int32_t a,
                               struct layer layer, struct error *err)
{
    int32_t index = -1;
    enum status st = deepen_check_sign(parent, a, err);
    if (st == ST_OK)
        st = morph_edit_insert_fresh(edit, a, layer, START_IDENTITY, &index, err);
    return st == ST_OK ? morph_edit_insert(edit, a, morph_layer(LAYER_RELU, index), NULL, err) : st;
}

enum status morph_edit_deepen(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err)
{
    int32_t a = -1;
    enum status st = morph_find_layer(parent, morph->a, "deepen", &a, err);
    if (st != ST_OK)
        return st;
    const struct shape *shape = &parent->layers[a].shape;
    assert((uint32_t)morph->variant < DEEPEN_VARIANT_COUNT);
    switch ((enum deepen_variant)morph->variant) {
    case DEEPEN_CONV_RELU:
        st = morph_check_kernel("deepen", morph->amount, err);
        if (st != ST_OK)
            return st;
        return deepen_relu(edit, parent, a, morph_conv_layer(a, shape->c, morph->amount, true), err);
    case DEEPEN_BATCH_NORM:
        return deepen_batch_norm(edit, parent, a, err);
    case DEEPEN_DENSE_RELU:
        if (shape->h != 1 || shape->w != 1)
            return error_set(err, ST_RANGE,
                             "deepen: a dense layer behind layer %u of %d x %d pixels, expected 1 x 1",
                             (unsigned)parent->layers[a].id, (int)shape->h, (int)shape->w);
        return deepen_relu(edit, parent, a, morph_mixing_layer(parent, a, shape->c, true), err);
    case DEEPEN_VARIANT_COUNT:
        break;
    }
    return ST_OK;
}

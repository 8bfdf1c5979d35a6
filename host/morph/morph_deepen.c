/* New layers behind a layer: identities at first, or a residual branch that adds zero at first. */
#include "host/morph/morph_internal.h"

#include <assert.h>

static enum status deepen_check_kernel(int32_t kernel, struct error *err)
{
    if (kernel != 1 && kernel != 3 && kernel != 5)
        return error_set(err, ST_RANGE, "deepen: kernel is %d, expected 1, 3 or 5", (int)kernel);
    return ST_OK;
}

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

static enum status deepen_conv(struct morph_edit *edit, const struct graph *parent, int32_t a, int32_t kernel,
                               bool with_relu, struct error *err)
{
    int32_t conv = -1;
    enum status st = deepen_check_kernel(kernel, err);
    if (st == ST_OK && with_relu)
        st = deepen_check_sign(parent, a, err);
    if (st == ST_OK)
        st = morph_edit_insert_fresh(edit, a, morph_conv_layer(a, parent->layers[a].shape.c, kernel, true),
                                     START_IDENTITY, &conv, err);
    if (st == ST_OK && with_relu)
        st = morph_edit_insert(edit, a, morph_layer(LAYER_RELU, conv), NULL, err);
    return st;
}

/* The convolution starts at random and the batch norm's scale at 0: the branch is 0 with batch statistics as
 * with running ones, so that training starts from the parent's function too (Goyal et al. 2017, "Accurate,
 * large minibatch SGD", section 5.1). */
static enum status deepen_residual(struct morph_edit *edit, const struct graph *parent, int32_t a,
                                   int32_t kernel, struct error *err)
{
    int32_t conv = -1, norm = -1;
    enum status st = deepen_check_kernel(kernel, err);
    if (st == ST_OK)
        st = morph_edit_insert_fresh(edit, a, morph_conv_layer(a, parent->layers[a].shape.c, kernel, false),
                                     START_RANDOM, &conv, err);
    if (st == ST_OK)
        st = morph_edit_insert_fresh(edit, a, morph_layer(LAYER_BATCH_NORM, conv), START_ZERO, &norm, err);
    if (st != ST_OK)
        return st;
    struct layer add = morph_layer(LAYER_ADD, a);
    add.input_count = 2;
    add.inputs[1] = norm;
    return morph_edit_insert(edit, a, add, NULL, err);
}

static enum status deepen_dense(struct morph_edit *edit, const struct graph *parent, int32_t a,
                                struct error *err)
{
    const struct shape *shape = &parent->layers[a].shape;
    if (shape->h != 1 || shape->w != 1)
        return error_set(err, ST_RANGE,
                         "deepen: a dense layer behind layer %u of %d x %d pixels, expected 1 x 1",
                         (unsigned)parent->layers[a].id, (int)shape->h, (int)shape->w);
    bool never_negative = false;
    int32_t dense = -1;
    enum status st = morph_never_negative(parent, a, &never_negative, err);
    if (st == ST_OK)
        st = morph_edit_insert_fresh(edit, a, morph_mixing_layer(parent, a, shape->c, true), START_IDENTITY,
                                     &dense, err);
    if (st == ST_OK && never_negative)
        st = morph_edit_insert(edit, a, morph_layer(LAYER_RELU, dense), NULL, err);
    return st;
}

enum status morph_edit_deepen(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err)
{
    int32_t a = -1;
    enum status st = morph_find_layer(parent, morph->a, "deepen", &a, err);
    if (st != ST_OK)
        return st;
    assert((uint32_t)morph->variant < DEEPEN_VARIANT_COUNT);
    switch ((enum deepen_variant)morph->variant) {
    case DEEPEN_CONV:
        return deepen_conv(edit, parent, a, morph->amount, false, err);
    case DEEPEN_CONV_RELU:
        return deepen_conv(edit, parent, a, morph->amount, true, err);
    case DEEPEN_RESIDUAL:
        return deepen_residual(edit, parent, a, morph->amount, err);
    case DEEPEN_BATCH_NORM:
        return morph_edit_insert_fresh(edit, a, morph_layer(LAYER_BATCH_NORM, a), START_IDENTITY, NULL, err);
    case DEEPEN_RELU:
        st = deepen_check_sign(parent, a, err);
        return st == ST_OK ? morph_edit_insert(edit, a, morph_layer(LAYER_RELU, a), NULL, err) : st;
    case DEEPEN_DENSE:
        return deepen_dense(edit, parent, a, err);
    case DEEPEN_VARIANT_COUNT:
        break;
    }
    return ST_OK;
}

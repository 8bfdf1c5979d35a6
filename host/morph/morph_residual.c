/* Residual blocks: what layer a computes plus a branch that is zero at first, and has an activation inside.
 *
 * The branch's last batch norm begins with scale 0: the branch is 0 with batch statistics as with running ones, so
 * that training starts from the parent's function too (Goyal et al. 2017, "Accurate, large minibatch SGD", section
 * 5.1). That one has a scale that is trained also where the network's others have none: behind a kernel of zeros a
 * batch norm without a scale would make values of variance 1 of the first step's smallest change. No activation
 * stands between the last batch norm and the add: a ReLU would keep the zeros zero for ever.
 */
#include "host/morph/morph_internal.h"

enum { BRANCH_MAX_LAYERS = 16 };

/* a + branch behind `behind`, the branch's last layer being `branch`. */
static enum status residual_join(struct morph_edit *edit, int32_t behind, int32_t branch, int32_t *index,
                                 struct error *err)
{
    struct layer add = morph_layer(LAYER_ADD, behind);
    add.input_count = 2;
    add.inputs[1] = branch;
    return morph_edit_insert(edit, behind, add, index, err);
}

/* Two convolutions, which keep the shape of layer a, each with a batch norm, an activation between them, and the add.
 * `start`: how the first one begins. */
static enum status residual_block(struct morph_edit *edit, const struct graph *parent, int32_t a,
                                  const struct layer convs[2], enum morph_start start, struct error *err)
{
    const struct morph_style style = morph_style_of(parent);
    int32_t at = a;
    enum status st = ST_OK;
    for (int half = 0; half < 2 && st == ST_OK; half++) {
        const bool last = half == 1;
        struct layer conv = convs[half];
        conv.inputs[0] = at;
        conv.init = style.init;
        st = morph_edit_insert_fresh(edit, a, conv, last ? START_RANDOM : start, &at, err);
        struct layer norm = morph_layer(LAYER_BATCH_NORM, at);
        norm.frozen = style.frozen_norm && !last;
        if (st == ST_OK)
            st = morph_edit_insert_fresh(edit, a, norm, last ? START_ZERO : START_RANDOM, &at, err);
        if (st == ST_OK && !last)
            st = morph_edit_insert(edit, a, morph_layer(style.activation, at), &at, err);
    }
    return st == ST_OK ? residual_join(edit, a, at, NULL, err) : st;
}

enum status morph_edit_residual(struct morph_edit *edit, const struct morph *morph,
                                const struct graph *parent, struct error *err)
{
    int32_t a = -1;
    enum status st = morph_find_layer(parent, morph->a, "residual", &a, err);
    if (st == ST_OK)
        st = morph_check_kernel("residual", morph->amount, err);
    if (st != ST_OK)
        return st;
    const struct layer conv = morph_conv_layer(a, parent->layers[a].shape.c, morph->amount, false);
    return residual_block(edit, parent, a, (const struct layer[]){conv, conv}, START_RANDOM, err);
}

enum status morph_edit_separable(struct morph_edit *edit, const struct morph *morph,
                                 const struct graph *parent, struct error *err)
{
    int32_t a = -1;
    enum status st = morph_find_layer(parent, morph->a, "separable", &a, err);
    if (st != ST_OK)
        return st;
    const struct shape *shape = &parent->layers[a].shape;
    if (morph->amount != 3 && morph->amount != 5)
        return error_set(err, ST_RANGE, "separable: kernel is %d, expected 3 or 5", (int)morph->amount);
    if (morph_is_one_pixel(shape))
        return error_set(err, ST_NONE, "separable: layer %u has one pixel, expected several",
                         (unsigned)parent->layers[a].id);
    struct layer depthwise = morph_conv_layer(a, shape->c, morph->amount, false);
    const struct layer pointwise = morph_conv_layer(a, shape->c, 1, false);
    depthwise.groups = shape->c;
    return residual_block(edit, parent, a, (const struct layer[]){depthwise, pointwise}, START_IDENTITY, err);
}

/* ---- another block like one that is there ---- */

/* The branch of a block, from its begin to its last layer with weights, as indices of layers. */
struct branch {
    int32_t count;
    int32_t layers[BRANCH_MAX_LAYERS];
};

static bool has_weights(const struct layer *layer)
{
    return layer_traits(layer->kind)->weights != LAYER_WEIGHTS_NONE;
}

/* Walks from `end` back to `begin`, both operands of an add. False where that is no way of single layers that a
 * block is made of, or where it has no activation between two layers that mix channels. */
static bool find_branch(const struct graph *graph, int32_t begin, int32_t end, struct branch *branch)
{
    int32_t way[BRANCH_MAX_LAYERS], length = 0, mixings = 0;
    bool activated = false,
         active = false; /* an activation between two that mix; one before those seen so far */
    for (int32_t at = end; at > begin; at = graph->layers[at].inputs[0]) {
        const struct layer *layer = &graph->layers[at];
        const bool mixes = layer->kind == LAYER_CONV || layer->kind == LAYER_DENSE;
        if (layer->input_count != 1 || length == BRANCH_MAX_LAYERS || morph_is_fixed(graph, at) ||
            layer->shape.h != graph->layers[begin].shape.h || layer->shape.w != graph->layers[begin].shape.w)
            return false;
        activated = activated || (mixes && active);
        mixings += mixes;
        active = active || (mixings > 0 && layer_traits(layer->kind)->family == FAMILY_ACTIVATION);
        if (length > 0 || has_weights(layer)) /* what follows the last weights is left out: see above */
            way[length++] = at;
        if (layer->inputs[0] < begin)
            return false;
    }
    branch->count = length;
    for (int32_t k = 0; k < length; k++)
        branch->layers[k] = way[length - 1 - k];
    return activated;
}

/* The ReLU that ends the block, where it is the add's only reader; else the add itself. */
static int32_t block_end(const struct graph *graph, int32_t add)
{
    int32_t readers = 0, reader = -1;
    for (int32_t i = add + 1; i < graph->count; i++)
        for (int32_t k = 0; k < graph->layers[i].input_count; k++)
            if (graph->layers[i].inputs[k] == add) {
                readers++;
                reader = i;
            }
    return readers == 1 && graph->layers[reader].kind == LAYER_RELU ? reader : add;
}

static enum status copy_branch(struct morph_edit *edit, const struct graph *parent,
                               const struct branch *branch, int32_t end, int32_t *at, struct error *err)
{
    *at = end;
    for (int32_t k = 0; k < branch->count; k++) {
        const bool last = k == branch->count - 1;
        struct layer layer = parent->layers[branch->layers[k]];
        layer.id = 0;
        layer.inputs[0] = *at;
        if (last)
            layer.frozen = false;
        enum status st =
            has_weights(&layer)
                ? morph_edit_insert_fresh(edit, end, layer, last ? START_ZERO : START_RANDOM, at, err)
                : morph_edit_insert(edit, end, layer, at, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status morph_edit_repeat(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err)
{
    int32_t add = -1, branch_end = -1, joint = -1;
    struct branch branch;
    enum status st = morph_find_layer(parent, morph->a, "repeat", &add, err);
    if (st != ST_OK)
        return st;
    const struct layer *layer = &parent->layers[add];
    if (layer->kind != LAYER_ADD)
        return error_set(err, ST_RANGE, "repeat: layer %u is %s, expected add", (unsigned)layer->id,
                         layer_kind_name(layer->kind));
    if (!find_branch(parent, layer->inputs[0], layer->inputs[1], &branch) &&
        !find_branch(parent, layer->inputs[1], layer->inputs[0], &branch))
        return error_set(err, ST_NONE,
                         "repeat: add %u ends no residual block, expected one with an activation inside",
                         (unsigned)layer->id);
    const int32_t end = block_end(parent, add);
    st = copy_branch(edit, parent, &branch, end, &branch_end, err);
    if (st == ST_OK)
        st = residual_join(edit, end, branch_end, &joint, err);
    if (st == ST_OK && end != add) /* its input is never negative: the ReLU changes nothing at first */
        st = morph_edit_insert(edit, end, morph_layer(LAYER_RELU, joint), NULL, err);
    return st;
}

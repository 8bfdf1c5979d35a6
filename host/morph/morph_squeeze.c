/* Squeeze and excitation: a layer's channels, each times a gate that follows from the means of all of them.
 *
 * The gates' dense layer begins with zeros, behind which a gate multiplies by exactly 1. The first dense layer begins
 * with random weights, so that the second one's gradient is not 0.
 */
#include "host/morph/morph_internal.h"

static struct layer dense_layer(int32_t input, int32_t channels)
{
    struct layer layer = morph_layer(LAYER_DENSE, input);
    layer.out_channels = channels;
    layer.bias = true;
    return layer;
}

enum status morph_edit_squeeze(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                               struct error *err)
{
    int32_t a = -1, at = -1;
    enum status st = morph_find_layer(parent, morph->a, "squeeze", &a, err);
    if (st != ST_OK)
        return st;
    const struct layer *layer = &parent->layers[a];
    if (a == 0)
        return error_set(err, ST_RANGE, "squeeze: layer 0 is the image, expected a layer behind it");
    if (morph->amount < 1 || morph->amount > MORPH_MAX_CHANNELS)
        return error_set(err, ST_RANGE, "squeeze: amount is %d, expected 1 to %d channels",
                         (int)morph->amount, MORPH_MAX_CHANNELS);
    if (morph_is_one_pixel(&layer->shape))
        return error_set(err, ST_NONE, "squeeze: layer %u has one pixel, expected several",
                         (unsigned)layer->id);
    if (morph_is_beside(parent, a, LAYER_GATE)) /* a second one could only do what the first does */
        return error_set(err, ST_NONE, "squeeze: layer %u has gates already", (unsigned)layer->id);
    struct layer gate = morph_layer(LAYER_GATE, a);
    gate.input_count = 2;
    st = morph_edit_insert(edit, a, morph_layer(LAYER_GLOBAL_POOL, a), &at, err);
    if (st == ST_OK)
        st = morph_edit_insert_fresh(edit, a, dense_layer(at, morph->amount), START_RANDOM, &at, err);
    if (st == ST_OK)
        st = morph_edit_insert(edit, a, morph_layer(morph_style_of(parent).activation, at), &at, err);
    if (st == ST_OK)
        st = morph_edit_insert_fresh(edit, a, dense_layer(at, layer->shape.c), START_ZERO, &gate.inputs[1],
                                     err);
    return st == ST_OK ? morph_edit_insert(edit, a, gate, NULL, err) : st;
}

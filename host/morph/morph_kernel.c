/* A larger kernel: the old taps stay in the middle, the padding grows with it, the new taps start at 0. */
#include "host/morph/morph_internal.h"

enum status morph_edit_kernel(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err)
{
    int32_t a = -1;
    enum status st = morph_find_layer(parent, morph->a, "kernel", &a, err);
    if (st != ST_OK)
        return st;
    struct layer *layer = &edit->child.layers[a];
    if (layer->kind != LAYER_CONV)
        return error_set(err, ST_RANGE, "kernel: layer %u is %s, expected conv", (unsigned)layer->id,
                         layer_kind_name(layer->kind));
    if (morph_is_fixed(parent, a))
        return error_set(err, ST_NONE,
                         "kernel: conv %u has filters that are to stay as they are, expected others",
                         (unsigned)layer->id);
    if (morph->amount < 2 || morph->amount > MORPH_MAX_KERNEL || morph->amount % 2 != 0)
        return error_set(err, ST_RANGE, "kernel: amount is %d, expected an even number from 2 to %d",
                         (int)morph->amount, MORPH_MAX_KERNEL - 1);
    int32_t larger = layer->kernel_h > layer->kernel_w ? layer->kernel_h : layer->kernel_w;
    if (larger + morph->amount > MORPH_MAX_KERNEL)
        return error_set(err, ST_NONE, "kernel: conv %u would get a kernel of %d, expected at most %d",
                         (unsigned)layer->id, (int)(larger + morph->amount), MORPH_MAX_KERNEL);
    layer->kernel_h += morph->amount;
    layer->kernel_w += morph->amount;
    layer->pad_h += morph->amount / 2;
    layer->pad_w += morph->amount / 2;
    return ST_OK;
}

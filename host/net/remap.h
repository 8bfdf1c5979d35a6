/* Remaps: how a child's weights are made from its parent's, as data. One entry for each tensor of the child's
 * weight table; a device applies the list where the weights live (device.h, weights_remap), host/net/remap.c
 * on the host.
 *
 * For a child tensor [out, in, kh, kw] and its source [sout, sin, skh, skw] in the parent:
 *   value[o][i][y][x] = scale(o, i) * source[out_index[o]][in_index[i]][sy][sx]
 *                       where both indices are >= 0 and sy, sx lie inside the source; `fill` elsewhere;
 *   sy = y - (kh - skh) / 2, sx = x - (kw - skw) / 2: a smaller kernel is centred in a larger one;
 *   scale(o, i) = (out_scale ? out_scale[o] : 1) * (in_scale ? in_scale[i] : 1);
 *   plus 1 where identity[o] == i at the centre tap, kh / 2 and kw / 2 (identity may be NULL; -1: none);
 *   plus noise * deviation(source, or 1 without a source) * a standard normal number where the element was
 *   filled.
 * deviation is the standard deviation over the source tensor (divided by its count). The normal number for
 * `element`, the index into the child tensor, is the first of
 *   random_normal2(random_draw(seed, RANDOM_MORPH_NOISE, element, layer id * 8 + role)).
 */
#ifndef NASRUN_NET_REMAP_H
#define NASRUN_NET_REMAP_H

#include "host/net/graph.h"

struct remap {
    int32_t child;                 /* index into the child's weight table */
    int32_t source;                /* index into the parent's; -1: none, everything is fill */
    int32_t *out_index, *in_index; /* [dims[0]], [dims[1]] of the child; NULL: the identity */
    float *out_scale, *in_scale;   /* the same lengths; NULL: 1 */
    int32_t *identity;             /* [dims[0]]; NULL: none */
    float fill;
    float noise;
};

struct remap_list {
    int32_t count;
    struct remap *remaps;
};

/* Each child tensor from the parent's of the same layer id and role, unchanged. Tensors the parent lacks or
 * has in another shape get source -1 and are for the caller to fill in. */
enum status remap_list_new(struct remap_list *list, const struct weight_table *child,
                           const struct weight_table *parent, struct error *err);
void remap_list_free(struct remap_list *list);

/* The reference: makes child_values[child->total] from parent_values[parent->total]. `seed` feeds the noise.
 */
void remap_apply(const struct remap_list *list, const struct weight_table *child,
                 const struct weight_table *parent, const float *parent_values, uint64_t seed,
                 float *child_values);

#endif

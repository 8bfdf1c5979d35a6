/* Edits: making one, adding layers to it, and deriving the remaps from its channel maps and fresh layers. */
#include "host/morph/morph_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

void morph_edit_free(struct morph_edit *edit)
{
    graph_free(&edit->child);
    for (int32_t i = 0; i < edit->layer_count; i++)
        free(edit->maps[i].parent);
    free(edit->maps);
    free(edit->root);
    *edit = (struct morph_edit){.behind = -1};
}

enum status morph_edit_insert(struct morph_edit *edit, int32_t behind, struct layer layer, int32_t *index,
                              struct error *err)
{
    assert(edit->behind == -1 || edit->behind == behind);
    int32_t at = behind + 1 + edit->added;
    enum status st = graph_insert(&edit->child, at, layer, err);
    if (st != ST_OK)
        return st;
    edit->behind = behind;
    edit->added++;
    if (index)
        *index = at;
    return ST_OK;
}

enum status morph_edit_insert_fresh(struct morph_edit *edit, int32_t behind, struct layer layer,
                                    enum morph_start start, int32_t *index, struct error *err)
{
    int32_t at = -1;
    enum status st = morph_edit_insert(edit, behind, layer, &at, err);
    if (st != ST_OK)
        return st;
    assert(edit->fresh_count < MORPH_MAX_FRESH);
    edit->fresh[edit->fresh_count++] = (struct morph_fresh){edit->child.layers[at].id, start};
    if (index)
        *index = at;
    return ST_OK;
}

/* What read layer `behind` now reads the last of the layers added behind it. */
static void edit_redirect(struct morph_edit *edit)
{
    int32_t last = edit->behind + edit->added;
    for (int32_t i = last + 1; i < edit->child.count; i++) {
        struct layer *layer = &edit->child.layers[i];
        for (int32_t k = 0; k < layer->input_count; k++)
            if (layer->inputs[k] == edit->behind)
                layer->inputs[k] = last;
    }
}

enum status morph_edit_make(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                            uint64_t seed, struct error *err)
{
    assert((unsigned)morph->kind < MORPH_KIND_COUNT);
    *edit = (struct morph_edit){.behind = -1};
    enum status st = graph_copy(&edit->child, parent, err);
    if (st != ST_OK)
        goto out;
    switch (morph->kind) {
    case MORPH_DEEPEN:
        st = morph_edit_deepen(edit, morph, parent, err);
        break;
    case MORPH_WIDEN:
        st = morph_edit_widen(edit, morph, parent, seed, err);
        break;
    case MORPH_ADD_SKIP:
    case MORPH_CONCAT_SKIP:
        st = morph_edit_skip(edit, morph, parent, err);
        break;
    case MORPH_KERNEL:
        st = morph_edit_kernel(edit, morph, parent, err);
        break;
    case MORPH_KIND_COUNT:
        break;
    }
    if (st != ST_OK)
        goto out;
    if (edit->added > 0)
        edit_redirect(edit);
    st = graph_infer(&edit->child, err);
out:
    if (st == ST_UNSUPPORTED) /* a network can only be so large: there is no room for this morph */
        st = err->status = ST_NONE;
    if (st != ST_OK)
        morph_edit_free(edit);
    return st;
}

/* ---- remaps ---- */

static enum status new_identity(int32_t **identity, int32_t count, struct error *err)
{
    *identity = malloc((size_t)count * sizeof(**identity));
    if (!*identity)
        return error_memory(err, "identity of a remap", (unsigned long long)count * sizeof(**identity));
    for (int32_t o = 0; o < count; o++)
        (*identity)[o] = o;
    return ST_OK;
}

/* A tensor of a new layer. There is no source whose deviation the noise could be relative to: it is relative
 * to that of a kernel by He et al. */
static enum status remap_fresh(struct remap *remap, const struct weight_tensor *tensor,
                               enum morph_start start, float noise, struct error *err)
{
    double fan_in = (double)tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
    float deviation = (float)sqrt(2.0 / fan_in);
    switch (tensor->role) {
    case WEIGHT_KERNEL:
        remap->noise = start == START_RANDOM ? deviation : noise * deviation;
        return start == START_IDENTITY ? new_identity(&remap->identity, tensor->dims[0], err) : ST_OK;
    case WEIGHT_SCALE:
        remap->fill = start == START_ZERO ? 0.0f : 1.0f;
        return ST_OK;
    case WEIGHT_RUNNING_VAR:
        /* variance + epsilon is then 1 within half a spacing of floats: no scale near 1 comes closer */
        remap->fill = start == START_IDENTITY ? 1.0f - GRAPH_BATCH_NORM_EPSILON : 1.0f;
        return ST_OK;
    case WEIGHT_BIAS:
    case WEIGHT_SHIFT:
    case WEIGHT_RUNNING_MEAN:
    case WEIGHT_ROLE_COUNT:
        break;
    }
    return ST_OK;
}

/* The map of layer `index`; one with parent NULL where nothing changed. */
static struct channel_map edit_map(const struct morph_edit *edit, int32_t index)
{
    return edit->maps ? edit->maps[edit->root[index]] : (struct channel_map){0, NULL};
}

static enum status copy_index(int32_t **index, const struct channel_map *map, int32_t count,
                              struct error *err)
{
    *index = malloc((size_t)count * sizeof(**index));
    if (!*index)
        return error_memory(err, "indices of a remap", (unsigned long long)count * sizeof(**index));
    for (int32_t j = 0; j < count; j++)
        (*index)[j] = map->parent[j];
    return ST_OK;
}

/* What a kernel reads of widened channels: the copies of a channel share its weight evenly, so that their sum
 * is what the one contributed. A channel is copied at most once by a morph: the shares are 1 and 1/2, exact
 * in floats. `count` is the kernel's inputs: all channels, or of a grouped convolution the first block, which
 * all others repeat. */
static enum status share_inputs(struct remap *remap, const struct channel_map *map, int32_t count,
                                struct error *err)
{
    enum status st = copy_index(&remap->in_index, map, count, err);
    if (st != ST_OK)
        return st;
    remap->in_scale = malloc((size_t)count * sizeof(*remap->in_scale));
    int32_t *copies = calloc((size_t)count, sizeof(*copies)); /* parents are fewer than children */
    if (!remap->in_scale || !copies) {
        free(copies);
        return error_memory(err, "scales of a remap", (unsigned long long)count * sizeof(*copies));
    }
    for (int32_t j = 0; j < count; j++)
        copies[map->parent[j]]++;
    for (int32_t j = 0; j < count; j++)
        remap->in_scale[j] = 1.0f / (float)copies[map->parent[j]];
    free(copies);
    return ST_OK;
}

/* A tensor that the parent has too, of other shape where its layer's or its input's channels were widened. */
static enum status remap_inherited(struct remap *remap, const struct morph_edit *edit,
                                   const struct graph *parent, const struct weight_tensor *tensor,
                                   float noise, struct error *err)
{
    struct channel_map own = edit_map(edit, tensor->layer);
    enum status st = own.parent ? copy_index(&remap->out_index, &own, tensor->dims[0], err) : ST_OK;
    if (st != ST_OK || tensor->role != WEIGHT_KERNEL)
        return st;
    remap->noise = noise; /* new taps of a grown kernel are filled; nothing else of an inherited tensor is */
    if (!edit->maps || morph_is_depthwise(parent, tensor->layer))
        return ST_OK;
    /* Copies that compute the same and are read with the same weight would be trained alike for ever: the
     * kernels that produce them get noise, all of it, since a change of the original tells the two apart as
     * well. A depthwise kernel needs none: its inputs differ already. */
    remap->noise_everywhere = own.parent && noise != 0.0f;
    struct channel_map in = edit_map(edit, parent->layers[tensor->layer].inputs[0]);
    return in.parent ? share_inputs(remap, &in, tensor->dims[1], err) : ST_OK;
}

enum status morph_edit_remaps(const struct morph_edit *edit, const struct graph *parent, float noise,
                              struct remap_list *remaps, struct error *err)
{
    struct weight_table child_table = {0}, parent_table = {0};
    *remaps = (struct remap_list){0};
    enum status st = weight_table_new(&child_table, &edit->child, err);
    if (st == ST_OK)
        st = weight_table_new(&parent_table, parent, err);
    if (st == ST_OK)
        st = remap_list_new(remaps, &child_table, &parent_table, err);
    for (int32_t t = 0; st == ST_OK && t < remaps->count; t++) {
        struct remap *remap = &remaps->remaps[t];
        const struct weight_tensor *tensor = &child_table.tensors[remap->child];
        const struct morph_fresh *fresh = NULL;
        for (int32_t f = 0; f < edit->fresh_count; f++)
            if (edit->fresh[f].id == tensor->layer_id)
                fresh = &edit->fresh[f];
        if (fresh) {
            st = remap_fresh(remap, tensor, fresh->start, noise, err);
            continue;
        }
        remap->source = weight_find(&parent_table, tensor->layer_id, tensor->role);
        st = remap_inherited(remap, edit, parent, tensor, noise, err);
    }
    weight_table_free(&parent_table);
    weight_table_free(&child_table);
    if (st != ST_OK)
        remap_list_free(remaps);
    return st;
}

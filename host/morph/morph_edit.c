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
    edit->fresh[edit->fresh_count++] = (struct morph_fresh){.id = edit->child.layers[at].id, .start = start};
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

enum status morph_edit_joined(struct morph_edit *edit, struct error *err)
{
    if (edit->added > 0)
        edit_redirect(edit);
    return graph_infer(&edit->child, err);
}

enum status morph_edit_place(struct morph_edit *edit, const struct morph *morph, const struct graph *before,
                             struct error *err)
{
    enum status st = ST_OK;
    edit->behind = -1;
    edit->added = 0;
    switch (morph->kind) {
    case MORPH_DEEPEN:
        st = morph_edit_deepen(edit, morph, before, err);
        break;
    case MORPH_WIDEN:
    case MORPH_WIDEN_STAGE:
    case MORPH_WIDEN_NET:
    case MORPH_PRUNE:
        st = morph_edit_widen(edit, morph, before, err);
        break;
    case MORPH_ADD_SKIP:
    case MORPH_CONCAT_SKIP:
        st = morph_edit_skip(edit, morph, before, err);
        break;
    case MORPH_KERNEL:
        st = morph_edit_kernel(edit, morph, before, err);
        break;
    case MORPH_RESIDUAL:
        st = morph_edit_residual(edit, morph, before, err);
        break;
    case MORPH_SEPARABLE:
        st = morph_edit_separable(edit, morph, before, err);
        break;
    case MORPH_REPEAT:
        st = morph_edit_repeat(edit, morph, before, err);
        break;
    case MORPH_SQUEEZE:
        st = morph_edit_squeeze(edit, morph, before, err);
        break;
    case MORPH_REMOVE:
        st = morph_edit_remove(edit, morph, before, err);
        break;
    case MORPH_KIND_COUNT:
        break;
    }
    return st == ST_OK ? morph_edit_joined(edit, err) : st;
}

enum status morph_edit_make(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                            struct error *err)
{
    assert((unsigned)morph->kind < MORPH_KIND_COUNT);
    *edit = (struct morph_edit){.behind = -1};
    enum status st = graph_copy(&edit->child, parent, err);
    if (st == ST_OK)
        st = morph->cells ? morph_edit_cells(edit, morph, parent, err)
                          : morph_edit_place(edit, morph, parent, err);
    if (st == ST_UNSUPPORTED) /* a network can only be so large: there is no room for this morph */
        st = err->status = ST_NONE;
    if (st != ST_OK)
        morph_edit_free(edit);
    return st;
}

/* ---- remaps ---- */

/* Of the floats near 1 those two with which scale / sqrt(variance + GRAPH_BATCH_NORM_EPSILON) is nearest 1: within
 * 4e-12, where 1 and 1 - epsilon are 7e-9 away. */
static const float IDENTITY_SCALE = 0x1.ffe3e2p-1f, IDENTITY_VARIANCE = 0x1.ffc676p-1f;

/* Of a kernel with as many outputs as inputs; in groups, the inputs are counted from the group's first. */
static enum status new_identity(int32_t **identity, const struct weight_tensor *kernel, struct error *err)
{
    const int32_t count = kernel->dims[0];
    *identity = malloc((size_t)count * sizeof(**identity));
    if (!*identity)
        return error_memory(err, "identity of a remap", (unsigned long long)count * sizeof(**identity));
    for (int32_t o = 0; o < count; o++)
        (*identity)[o] = o % kernel->dims[1];
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
        return start == START_IDENTITY ? new_identity(&remap->identity, tensor, err) : ST_OK;
    case WEIGHT_SCALE:
        remap->fill = start == START_ZERO ? 0.0f : start == START_IDENTITY ? IDENTITY_SCALE : 1.0f;
        return ST_OK;
    case WEIGHT_RUNNING_VAR:
        remap->fill = start == START_IDENTITY ? IDENTITY_VARIANCE : 1.0f;
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

/* What a kernel reads of widened channels: of the old ones what it read, of the new ones nothing yet. Zeros that are
 * scaled, not filled: what is filled is a new channel's own. `count` is the kernel's inputs: all channels, or of a
 * grouped convolution the first block, which all others repeat. */
static enum status mute_new_inputs(struct remap *remap, const struct channel_map *map, int32_t count,
                                   struct error *err)
{
    enum status st = copy_index(&remap->in_index, map, count, err);
    if (st != ST_OK)
        return st;
    remap->in_scale = malloc((size_t)count * sizeof(*remap->in_scale));
    if (!remap->in_scale)
        return error_memory(err, "scales of a remap", (unsigned long long)count * sizeof(*remap->in_scale));
    for (int32_t j = 0; j < count; j++) {
        remap->in_scale[j] = map->parent[j] < 0 ? 0.0f : 1.0f;
        if (map->parent[j] < 0)
            remap->in_index[j] = 0;
    }
    return ST_OK;
}

/* A tensor that the parent has too, of other shape where its layer's or its input's channels were widened. What is
 * filled are the new channels, and the new taps of a grown kernel. */
static enum status remap_inherited(struct remap *remap, const struct morph_edit *edit,
                                   const struct graph *parent, const struct weight_tensor *tensor,
                                   float noise, struct error *err)
{
    struct channel_map own = edit_map(edit, tensor->layer);
    enum status st = own.parent ? copy_index(&remap->out_index, &own, tensor->dims[0], err) : ST_OK;
    if (st != ST_OK)
        return st;
    if (tensor->role == WEIGHT_SCALE || tensor->role == WEIGHT_RUNNING_VAR)
        remap->fill = 1.0f;
    if (tensor->role != WEIGHT_KERNEL)
        return ST_OK;
    /* A new channel that begins as a copy of an old one is trained like it, and adds nothing for long: it begins as
     * what no other channel is, and nobody reads it, so that no function is changed by that. */
    remap->noise = own.parent ? 1.0f : noise;
    if (!edit->maps || morph_is_depthwise(parent, tensor->layer))
        return ST_OK;
    struct channel_map in = edit_map(edit, parent->layers[tensor->layer].inputs[0]);
    return in.parent ? mute_new_inputs(remap, &in, tensor->dims[1], err) : ST_OK;
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
        if (fresh && fresh->start == START_LIKE) {
            remap->source = weight_find(&parent_table, fresh->like, tensor->role);
            continue;
        }
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

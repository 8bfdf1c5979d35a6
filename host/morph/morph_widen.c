/* Widening: layers get new channels, and so does everything whose channels are tied to theirs; pruning: they lose some
 * in the same way.
 *
 * Every layer has a channel map, child to parent, and all follow from the widened layers':
 *   tied        batch norm, activations, pools, dropout, and a depthwise convolution with one filter a channel share
 *               the map of their input, an add that of both operands. Tied layers form a class with one map. A class is
 *               widened by widening every convolution and dense layer in it alike.
 *   determined  a concat's map is its inputs' maps side by side; a depthwise convolution's with several filters a
 *               channel repeats its input's for each filter.
 *   free        a convolution and a dense layer read any map: new channels with weight 0. A grouped convolution reads
 *               and makes maps that are the same in each of its blocks only.
 *
 * What can't be satisfied so is refused: the input image in the class, filters that are to stay as they are, an add
 * with a concat as the operand to be widened, blocks that don't fit.
 */
#include "host/morph/morph_internal.h"
#include "host/net/cell.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDEN_MAX_PASSES = 16 };

struct widening {
    const struct graph *graph; /* the parent */
    const struct morph *morph;
    int32_t *root;            /* [count]: the smallest index in the layer's class */
    struct channel_map *maps; /* [count]: of a class, at its root */
    bool *chosen; /* [count]: of a class, at its root: it is widened, its map follows from no other */
};

static enum status new_map(struct channel_map *map, int32_t count, struct error *err)
{
    *map = (struct channel_map){count, malloc((size_t)count * sizeof(*map->parent))};
    return map->parent ? ST_OK
                       : error_memory(err, "channel map", (unsigned long long)count * sizeof(*map->parent));
}

static int32_t class_root(const int32_t *root, int32_t index)
{
    while (root[index] != index)
        index = root[index];
    return index;
}

static void tie(int32_t *root, int32_t i, int32_t k)
{
    int32_t first = class_root(root, i), second = class_root(root, k);
    if (first < second)
        root[second] = first;
    else
        root[first] = second;
}

static void find_classes(struct widening *widening)
{
    const struct graph *graph = widening->graph;
    int32_t *root = widening->root;
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        root[i] = i;
        if (morph_is_depthwise(graph, i) && layer->out_channels == layer->groups)
            tie(root, i, layer->inputs[0]);
        switch (layer_traits(layer->kind)->channels) {
        case LAYER_CHANNELS_MADE:
            break;
        case LAYER_CHANNELS_KEPT:
            for (int32_t k = 0; k < layer->input_count; k++)
                tie(root, i, layer->inputs[k]);
            break;
        }
    }
    for (int32_t i = 0; i < graph->count; i++)
        root[i] = class_root(root, i);
}

static bool is_grouped(const struct graph *graph, int32_t index)
{
    const struct layer *layer = &graph->layers[index];
    return layer->kind == LAYER_CONV && layer->groups > 1 && !morph_is_depthwise(graph, index);
}

/* Into how many equal blocks a class's map is to be cut: the most groups of a convolution that makes or reads it. */
static int32_t class_blocks(const struct widening *widening, int32_t root)
{
    const struct graph *graph = widening->graph;
    int32_t blocks = 1;
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        if (is_grouped(graph, i) && (widening->root[i] == root || widening->root[layer->inputs[0]] == root))
            blocks = layer->groups > blocks ? layer->groups : blocks;
    }
    return blocks;
}

/* Widens the class of layer `index` by `amount` channels: in each block its own, then new ones. */
static enum status choose_class(struct widening *widening, int32_t index, int32_t amount, struct error *err)
{
    const struct layer *layer = &widening->graph->layers[index];
    const int32_t channels = layer->shape.c, root = widening->root[index];
    const int32_t blocks = class_blocks(widening, root);
    const bool possible = amount >= 1 && amount <= MORPH_MAX_CHANNELS;
    if (!possible ||
        amount % blocks != 0) /* the amount is the caller's choice, the blocks are the network's */
        return error_set(err, possible ? ST_NONE : ST_RANGE,
                         "widen: amount is %d, expected 1 to %d more channels of %s %u, a multiple of %d",
                         (int)amount, MORPH_MAX_CHANNELS, layer_kind_name(layer->kind), (unsigned)layer->id,
                         (int)blocks);
    struct channel_map *map = &widening->maps[root];
    enum status st = new_map(map, channels + amount, err);
    if (st != ST_OK)
        return st;
    const int32_t size = channels / blocks, wide = size + amount / blocks;
    for (int32_t block = 0; block < blocks; block++)
        for (int32_t j = 0; j < wide; j++)
            map->parent[block * wide + j] = j < size ? block * size + j : -1;
    widening->chosen[root] = true;
    return ST_OK;
}

/* ---- fewer channels ---- */

/* How many channels come before channel c: those of more importance, of equal ones the first. */
static int32_t rank_of(const float *importance, int32_t channels, int32_t c)
{
    int32_t before = 0;
    for (int32_t i = 0; importance != NULL && i < channels; i++)
        before += importance[i] > importance[c] || (importance[i] == importance[c] && i < c);
    return importance != NULL ? before : c;
}

/* The class of layer `index` keeps the channels of most importance, in their order. */
static enum status choose_fewer(struct widening *widening, int32_t index, struct error *err)
{
    const struct layer *layer = &widening->graph->layers[index];
    const int32_t channels = layer->shape.c, root = widening->root[index], amount = widening->morph->amount;
    if (amount < 1 || amount >= channels)
        return error_set(err, ST_RANGE, "prune: amount is %d, expected 1 to %d of the channels of %s %u",
                         (int)amount, (int)channels - 1, layer_kind_name(layer->kind), (unsigned)layer->id);
    if (class_blocks(widening, root) > 1)
        return error_set(err, ST_NONE, "prune: the channels of %s %u belong to groups",
                         layer_kind_name(layer->kind), (unsigned)layer->id);
    struct channel_map *map = &widening->maps[root];
    enum status st = new_map(map, channels - amount, err);
    if (st != ST_OK)
        return st;
    for (int32_t c = 0, at = 0; c < channels; c++)
        if (rank_of(widening->morph->importance, channels, c) < map->count)
            map->parent[at++] = c;
    widening->chosen[root] = true;
    return ST_OK;
}

/* Adds the sizes of the class's trained scales, or the squares of its kernels' norms; whether there were any. */
static bool add_sizes(const int32_t *root, int32_t index, const struct weight_table *table,
                      const float *values, enum weight_role role, float *sums)
{
    bool any = false;
    for (int32_t t = 0; t < table->count; t++) {
        const struct weight_tensor *tensor = &table->tensors[t];
        if (tensor->role != role || !tensor->trained || root[tensor->layer] != root[index])
            continue;
        const size_t each = tensor->count / (size_t)tensor->dims[0];
        for (size_t i = 0; i < tensor->count; i++) {
            const float value = values[tensor->offset + i];
            sums[i / each] += role == WEIGHT_SCALE ? fabsf(value) : value * value;
        }
        any = true;
    }
    return any;
}

enum status morph_importance(const struct graph *graph, uint32_t a, const struct weight_table *table,
                             const float *values, float *importance, struct error *err)
{
    int32_t index = -1;
    enum status st = morph_find_layer(graph, a, "prune", &index, err);
    if (st != ST_OK)
        return st;
    struct widening widening = {.graph = graph, .root = calloc((size_t)graph->count, sizeof(*widening.root))};
    if (widening.root == NULL)
        return error_memory(err, "classes of a graph's layers",
                            (size_t)graph->count * sizeof(*widening.root));
    memset(importance, 0, (size_t)graph->layers[index].shape.c * sizeof(*importance));
    find_classes(&widening);
    if (!add_sizes(widening.root, index, table, values, WEIGHT_SCALE, importance))
        (void)add_sizes(widening.root, index, table, values, WEIGHT_KERNEL, importance);
    free(widening.root);
    return ST_OK;
}

/* ---- maps that follow from others ---- */

static const struct channel_map *layer_map(const struct widening *widening, int32_t index)
{
    return &widening->maps[widening->root[index]];
}

static enum status concat_map(const struct widening *widening, const struct layer *layer,
                              struct channel_map *map, struct error *err)
{
    int32_t count = 0;
    bool changed = false;
    for (int32_t k = 0; k < layer->input_count; k++) {
        const struct channel_map *in = layer_map(widening, layer->inputs[k]);
        count += in->parent ? in->count : widening->graph->layers[layer->inputs[k]].shape.c;
        changed = changed || in->parent;
    }
    if (!changed)
        return ST_OK;
    enum status st = new_map(map, count, err);
    if (st != ST_OK)
        return st;
    int32_t at = 0, offset = 0; /* in the child's channels, in the parent's */
    for (int32_t k = 0; k < layer->input_count; k++) {
        const struct channel_map *in = layer_map(widening, layer->inputs[k]);
        int32_t channels = widening->graph->layers[layer->inputs[k]].shape.c;
        for (int32_t j = 0; j < (in->parent ? in->count : channels); j++) {
            int32_t from = in->parent ? in->parent[j] : j;
            map->parent[at++] = from < 0 ? -1 : offset + from;
        }
        offset += channels;
    }
    return ST_OK;
}

static enum status multiplied_map(const struct widening *widening, const struct layer *layer,
                                  struct channel_map *map, struct error *err)
{
    const struct channel_map *in = layer_map(widening, layer->inputs[0]);
    if (!in->parent)
        return ST_OK;
    int32_t filters = layer->out_channels / layer->groups;
    enum status st = new_map(map, in->count * filters, err);
    for (int32_t j = 0; st == ST_OK && j < map->count; j++)
        map->parent[j] = in->parent[j / filters] < 0 ? -1 : in->parent[j / filters] * filters + j % filters;
    return st;
}

static bool is_determined(const struct graph *graph, int32_t index)
{
    const struct layer *layer = &graph->layers[index];
    return layer->kind == LAYER_CONCAT ||
           (morph_is_depthwise(graph, index) && layer->out_channels > layer->groups);
}

/* The map of a determined layer; the caller frees its array (NULL: the identity). */
static enum status determined_map(const struct widening *widening, int32_t index, struct channel_map *map,
                                  struct error *err)
{
    const struct layer *layer = &widening->graph->layers[index];
    *map = (struct channel_map){0, NULL};
    if (layer->kind == LAYER_CONCAT)
        return concat_map(widening, layer, map, err);
    return multiplied_map(widening, layer, map, err);
}

static bool same_map(const struct channel_map *a, const struct channel_map *b)
{
    if (!a->parent || !b->parent)
        return !a->parent && !b->parent;
    return a->count == b->count && memcmp(a->parent, b->parent, (size_t)a->count * sizeof(*a->parent)) == 0;
}

/* Carries the chosen maps through the graph. An add can tie what stands behind to what stands before, so one
 * pass isn't always enough. Where maps still change after WIDEN_MAX_PASSES two of them contradict each other
 * (or the ties are more tangled than any real network's), and check_layer refuses. */
static enum status derive_maps(struct widening *widening, struct error *err)
{
    bool changed = true;
    for (int32_t pass = 0; changed && pass < WIDEN_MAX_PASSES; pass++) {
        changed = false;
        for (int32_t i = 0; i < widening->graph->count; i++) {
            struct channel_map wanted;
            if (!is_determined(widening->graph, i) || widening->chosen[widening->root[i]])
                continue;
            enum status st = determined_map(widening, i, &wanted, err);
            if (st != ST_OK)
                return st;
            struct channel_map *map = &widening->maps[widening->root[i]];
            if (!wanted.parent || same_map(map, &wanted)) {
                free(wanted.parent);
                continue;
            }
            free(map->parent);
            *map = wanted;
            changed = true;
        }
    }
    return ST_OK;
}

/* ---- checks ---- */

static enum status refuse(const struct widening *widening, int32_t index, const char *why, struct error *err)
{
    const struct layer *layer = &widening->graph->layers[index];
    char words[96];
    morph_describe(widening->morph, widening->graph, words, sizeof(words));
    return error_set(err, ST_NONE, "%s: not possible: %s %u %s", words, layer_kind_name(layer->kind),
                     (unsigned)layer->id, why);
}

/* Whether the map falls into `blocks` equal parts, each of which maps alike into its own part of the parent's
 * channels. */
static bool fits_blocks(const struct channel_map *map, int32_t parent_channels, int32_t blocks)
{
    if (!map->parent)
        return true;
    if (map->count % blocks != 0 || parent_channels % blocks != 0)
        return false;
    int32_t wide = map->count / blocks, size = parent_channels / blocks;
    for (int32_t j = 0; j < map->count; j++) {
        int32_t first = map->parent[j % wide];
        if (first >= size || map->parent[j] != (first < 0 ? -1 : j / wide * size + first))
            return false;
    }
    return true;
}

static enum status check_layer(const struct widening *widening, int32_t index, struct error *err)
{
    const struct graph *graph = widening->graph;
    const struct layer *layer = &graph->layers[index];
    const struct channel_map *map = layer_map(widening, index);
    if (layer->kind == LAYER_INPUT && map->parent)
        return refuse(widening, index, "is added to it, and its channels are the image's", err);
    if (morph_is_fixed(graph, index) && map->parent)
        return refuse(widening, index, "has filters that are to stay as they are", err);
    if ((layer->kind == LAYER_CONV || layer->kind == LAYER_DENSE) && map->parent &&
        map->count > MORPH_MAX_CHANNELS)
        return error_set(err, ST_NONE, "widen: %s %u would have %d channels, expected at most %d",
                         layer_kind_name(layer->kind), (unsigned)layer->id, (int)map->count,
                         MORPH_MAX_CHANNELS);

    if (is_determined(graph, index)) {
        struct channel_map wanted;
        enum status st = determined_map(widening, index, &wanted, err);
        if (st != ST_OK)
            return st;
        bool agrees = same_map(map, &wanted);
        free(wanted.parent);
        if (!agrees)
            return refuse(widening, index, "would need channels that its inputs do not make", err);
    }

    if (!is_grouped(graph, index))
        return ST_OK;
    int32_t input = layer->inputs[0];
    if (!fits_blocks(map, layer->shape.c, layer->groups) ||
        !fits_blocks(layer_map(widening, input), graph->layers[input].shape.c, layer->groups))
        return refuse(widening, index, "would mix channels of several groups", err);
    return ST_OK;
}

/* Writes the maps' widths into the child. */
static void widen_child(const struct widening *widening, struct graph *child)
{
    for (int32_t i = 0; i < child->count; i++) {
        struct layer *layer = &child->layers[i];
        const struct channel_map *map = layer_map(widening, i);
        if ((layer->kind != LAYER_CONV && layer->kind != LAYER_DENSE) || !map->parent)
            continue;
        layer->out_channels = map->count;
        if (morph_is_depthwise(widening->graph, i))
            layer->groups = layer_map(widening, layer->inputs[0])->count;
    }
}

/* ---- which classes ---- */

static enum status choose_layer(struct widening *widening, struct error *err)
{
    int32_t target = -1;
    enum status st = morph_find_layer(widening->graph, widening->morph->a,
                                      morph_kind_name(widening->morph->kind), &target, err);
    if (st != ST_OK)
        return st;
    const struct layer *layer = &widening->graph->layers[target];
    if (layer->kind != LAYER_CONV && layer->kind != LAYER_DENSE)
        return error_set(err, ST_RANGE, "%s: layer %u is %s, expected conv or dense",
                         morph_kind_name(widening->morph->kind), (unsigned)layer->id,
                         layer_kind_name(layer->kind));
    if (widening->morph->kind == MORPH_PRUNE)
        return choose_fewer(widening, target, err);
    return choose_class(widening, target, widening->morph->amount, err);
}

/* Whether a class can be widened by itself: nothing in it that has its channels from elsewhere. */
static bool class_is_free(const struct widening *widening, int32_t root)
{
    const struct graph *graph = widening->graph;
    for (int32_t i = 0; i < graph->count; i++) {
        if (widening->root[i] != root)
            continue;
        if (graph->layers[i].kind == LAYER_INPUT || i == graph->count - 1 || is_determined(graph, i) ||
            morph_is_fixed(graph, i))
            return false;
    }
    return true;
}

/* Every class that a convolution or dense layer makes, of a stage only those of its height and width. */
static enum status choose_many(struct widening *widening, const char *name, const struct shape *stage,
                               struct error *err)
{
    const struct graph *graph = widening->graph;
    const int32_t percent = widening->morph->amount;
    int32_t chosen = 0;
    if (percent < 1 || percent > 100)
        return error_set(err, ST_RANGE, "%s: amount is %d, expected 1 to 100 percent", name, (int)percent);
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        const int32_t root = widening->root[i];
        const bool makes = layer->kind == LAYER_CONV || layer->kind == LAYER_DENSE;
        const bool within = !stage || (layer->shape.h == stage->h && layer->shape.w == stage->w);
        if (!makes || !within || widening->chosen[root] || !class_is_free(widening, root))
            continue;
        const int32_t blocks = class_blocks(widening, root), channels = layer->shape.c;
        const int32_t unit = MORPH_WIDTH_MULTIPLE % blocks == 0 ? MORPH_WIDTH_MULTIPLE : blocks;
        const int64_t wanted = ((int64_t)channels * (100 + percent) + 99) / 100;
        const int64_t wide = (wanted + unit - 1) / unit * unit;
        enum status st = choose_class(widening, i, (int32_t)(wide - channels), err);
        if (st != ST_OK)
            return st;
        chosen++;
    }
    if (chosen == 0)
        return error_set(err, ST_NONE, "%s: found no layer that can be widened, expected one", name);
    return ST_OK;
}

/* The class of layer a in each of the cells, by the same part of its channels. */
static enum status choose_in_cells(struct widening *widening, struct error *err)
{
    const struct graph *graph = widening->graph;
    const int32_t a = graph_find(graph, widening->morph->a);
    struct cell_place place;
    (void)cell_place_of(widening->morph->a, &place);
    enum status st = choose_layer(widening, err);
    for (place.index = 0; st == ST_OK && cell_is_there(graph, place.kind, place.index); place.index++) {
        const int32_t i = cell_find(graph, place);
        if (i < 0)
            return error_set(err, ST_RANGE, "widen: a cell has no such layer as %u", widening->morph->a);
        const int64_t amount = (int64_t)widening->morph->amount * graph->layers[i].shape.c;
        if (!widening->chosen[widening->root[i]])
            st = choose_class(widening, i, (int32_t)(amount / graph->layers[a].shape.c), err);
    }
    return st;
}

static enum status choose(struct widening *widening, struct error *err)
{
    int32_t a = -1;
    enum status st = ST_OK;
    switch (widening->morph->kind) {
    case MORPH_WIDEN_STAGE:
        st = morph_find_layer(widening->graph, widening->morph->a, "widen_stage", &a, err);
        return st == ST_OK ? choose_many(widening, "widen_stage", &widening->graph->layers[a].shape, err)
                           : st;
    case MORPH_WIDEN_NET:
        return choose_many(widening, "widen_net", NULL, err);
    default:
        return widening->morph->cells ? choose_in_cells(widening, err) : choose_layer(widening, err);
    }
}

enum status morph_edit_widen(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                             struct error *err)
{
    const size_t count = (size_t)parent->count;
    struct widening widening = {
        .graph = parent, .morph = morph, .chosen = calloc(count, sizeof(*widening.chosen))};
    edit->root = calloc(count, sizeof(*edit->root));
    edit->maps = calloc(count, sizeof(*edit->maps));
    enum status st = ST_OK;
    if (!edit->root || !edit->maps || !widening.chosen) {
        st = error_memory(err, "channel maps", count * sizeof(*edit->maps));
        goto out;
    }
    edit->layer_count = parent->count;
    widening.root = edit->root;
    widening.maps = edit->maps;

    find_classes(&widening);
    st = choose(&widening, err);
    if (st == ST_OK)
        st = derive_maps(&widening, err);
    for (int32_t i = 0; st == ST_OK && i < parent->count; i++)
        st = check_layer(&widening, i, err);
    if (st == ST_OK)
        widen_child(&widening, &edit->child);
out:
    free(widening.chosen);
    return st;
}

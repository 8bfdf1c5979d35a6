/* Edit distance between architectures.
 *
 * A graph is described by its main chain, the longest way from the image to the logits, and its skips: for
 * each add or concat layer every input but the deepest, with the layers on the way back to the chain; for a gate what
 * it opens by, however deep that is. Against
 * Auto-Keras's code: dense widths, groups, padding and dropout rates count; layers inside skips count; adds
 * and concats are skips only and not symbols of the chain as well.
 *
 * The parts are metrics: relative differences |a - b| / max(a, b) are, their sum cut at 1 is, and with such
 * substitution costs (at most an insertion plus a deletion) the string edit distance is.
 */
#include "host/net/distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One layer as a symbol. */
struct symbol {
    enum layer_kind kind;
    /* Each at least 1, also where the kind has none: relative differences divide by them. */
    float width, kernel_h, kernel_w, stride, pad_h, pad_w, groups;
    float rate, gain;
    enum layer_init init;
    bool bias, frozen;
};

struct skip {
    enum layer_kind kind;        /* of the layer that it ends in: add, concat or gate */
    int32_t start, length;       /* in symbols of the main chain */
    int32_t first, symbol_count; /* its own layers: descriptor->symbols[first ...] */
};

struct descriptor {
    int32_t chain_count; /* the main chain is symbols[0 .. chain_count - 1] */
    int32_t symbol_count, symbol_capacity;
    struct symbol *symbols;
    int32_t skip_count, skip_capacity;
    struct skip *skips;
};

/* What the ways through a graph look like; one entry a layer. */
struct ways {
    int32_t depth[GRAPH_MAX_LAYERS];   /* layers on the longest way from the input */
    int32_t deepest[GRAPH_MAX_LAYERS]; /* which of its inputs lies on that way */
    bool on_chain[GRAPH_MAX_LAYERS];
    int32_t position[GRAPH_MAX_LAYERS]; /* symbols of the main chain up to and with the layer */
};

/* Joins and the image are no symbols. */
static bool is_symbol(const struct layer *layer)
{
    return layer_traits(layer->kind)->most_inputs == 1;
}

static struct symbol symbol_of(const struct layer *layer)
{
    struct symbol s = {
        layer->kind, 1, 1, 1, 1, 1, 1, 1, .gain = 1, .init = layer->init, .frozen = layer->frozen};
    unsigned fields = layer_traits(layer->kind)->fields;
    if (fields & FIELD_OUT)
        s.width = (float)layer->out_channels;
    if (fields & FIELD_BIAS)
        s.bias = layer->bias;
    if (fields & FIELD_GROUPS)
        s.groups = (float)layer->groups;
    if (fields & FIELD_KERNEL) {
        s.kernel_h = (float)layer->kernel_h;
        s.kernel_w = (float)layer->kernel_w;
    }
    if (fields & FIELD_STRIDE)
        s.stride = (float)layer->stride;
    if (fields & FIELD_PAD) {
        s.pad_h = (float)layer->pad_h + 1.0f;
        s.pad_w = (float)layer->pad_w + 1.0f;
    }
    if (fields & FIELD_RATE)
        s.rate = layer->rate;
    if (fields & FIELD_GAIN)
        s.gain = layer->gain;
    return s;
}

static double relative(double a, double b)
{
    return fabs(a - b) / (a > b ? a : b);
}

/* Cost of changing one layer into another, in [0, 1]. A doubled width costs a half. */
static double substitution(const struct symbol *a, const struct symbol *b)
{
    if (a->kind != b->kind)
        return 1.0;
    double cost =
        relative(a->width, b->width) + relative(a->stride, b->stride) + relative(a->groups, b->groups);
    cost += (relative(a->kernel_h, b->kernel_h) + relative(a->kernel_w, b->kernel_w)) / 2.0;
    /* Padding mostly follows the kernel, the others change little: they only keep unequal layers apart. */
    cost += (relative(a->pad_h, b->pad_h) + relative(a->pad_w, b->pad_w)) / 16.0;
    cost += ((a->bias != b->bias) + (a->init != b->init) + (a->frozen != b->frozen) +
             relative(a->gain, b->gain)) /
            16.0;
    cost += fabs((double)a->rate - b->rate);
    return cost < 1.0 ? cost : 1.0;
}

/* ---- describing ---- */

static enum status push_symbol(struct descriptor *d, const struct layer *layer, struct error *err)
{
    if (d->symbol_count == d->symbol_capacity) {
        int32_t larger = d->symbol_capacity * 2 + 32;
        struct symbol *grown = realloc(d->symbols, (size_t)larger * sizeof(*grown));
        if (grown == NULL)
            return error_memory(err, "symbols of a descriptor", (size_t)larger * sizeof(*grown));
        d->symbols = grown;
        d->symbol_capacity = larger;
    }
    d->symbols[d->symbol_count++] = symbol_of(layer);
    return ST_OK;
}

static enum status push_skip(struct descriptor *d, struct skip skip, struct error *err)
{
    if (d->skip_count == d->skip_capacity) {
        int32_t larger = d->skip_capacity * 2 + 8;
        struct skip *grown = realloc(d->skips, (size_t)larger * sizeof(*grown));
        if (grown == NULL)
            return error_memory(err, "skips of a descriptor", (size_t)larger * sizeof(*grown));
        d->skips = grown;
        d->skip_capacity = larger;
    }
    d->skips[d->skip_count++] = skip;
    return ST_OK;
}

static void find_ways(const struct graph *graph, struct ways *ways)
{
    memset(ways, 0, sizeof(*ways));
    for (int32_t l = 1; l < graph->count; l++) {
        const struct layer *layer = &graph->layers[l];
        for (int32_t i = 1; i < layer->input_count && layer->kind != LAYER_GATE; i++)
            if (ways->depth[layer->inputs[i]] > ways->depth[layer->inputs[ways->deepest[l]]])
                ways->deepest[l] = i;
        ways->depth[l] = ways->depth[layer->inputs[ways->deepest[l]]] + 1;
    }
    int32_t at = graph->count - 1;
    for (; at > 0; at = graph->layers[at].inputs[ways->deepest[at]])
        ways->on_chain[at] = true;
    ways->on_chain[0] = true;
    for (int32_t l = 1; l < graph->count; l++) {
        const struct layer *layer = &graph->layers[l];
        /* Off the chain: where its deepest way left the chain. */
        ways->position[l] = ways->position[layer->inputs[ways->deepest[l]]];
        if (ways->on_chain[l] && is_symbol(layer))
            ways->position[l]++;
    }
}

/* The skips that end in join `at`. */
static enum status describe_join(struct descriptor *d, const struct graph *graph, const struct ways *ways,
                                 int32_t at, struct error *err)
{
    const struct layer *join = &graph->layers[at];
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < join->input_count; i++) {
        if (i == ways->deepest[at])
            continue;
        struct skip skip = {.kind = join->kind, .first = d->symbol_count};
        int32_t from = join->inputs[i];
        while (st == ST_OK && !ways->on_chain[from]) {
            if (is_symbol(&graph->layers[from]))
                st = push_symbol(d, &graph->layers[from], err);
            from = graph->layers[from].inputs[ways->deepest[from]];
        }
        skip.symbol_count = d->symbol_count - skip.first;
        skip.start = ways->position[from];
        skip.length = abs(ways->position[at] - skip.start);
        if (st == ST_OK)
            st = push_skip(d, skip, err);
    }
    return st;
}

enum status descriptor_new(struct descriptor **made, const struct graph *graph, struct error *err)
{
    enum status st = ST_OK;
    struct ways ways;
    struct descriptor *d = calloc(1, sizeof(*d));
    *made = NULL;
    if (d == NULL)
        return error_memory(err, "descriptor", sizeof(*d));
    find_ways(graph, &ways);
    for (int32_t l = 1; st == ST_OK && l < graph->count; l++)
        if (ways.on_chain[l] && is_symbol(&graph->layers[l]))
            st = push_symbol(d, &graph->layers[l], err);
    d->chain_count = d->symbol_count;
    for (int32_t l = 1; st == ST_OK && l < graph->count; l++)
        if (graph->layers[l].input_count > 1)
            st = describe_join(d, graph, &ways, l, err);
    if (st != ST_OK) {
        descriptor_free(d);
        return st;
    }
    *made = d;
    return ST_OK;
}

void descriptor_free(struct descriptor *descriptor)
{
    if (descriptor == NULL)
        return;
    free(descriptor->symbols);
    free(descriptor->skips);
    free(descriptor);
}

/* ---- comparing ---- */

/* Levenshtein's distance with `substitution`. `row` holds b_count + 1 values. */
static double edit_distance(const struct symbol *a, int32_t a_count, const struct symbol *b, int32_t b_count,
                            double *row)
{
    for (int32_t j = 0; j <= b_count; j++)
        row[j] = j;
    for (int32_t i = 1; i <= a_count; i++) {
        double diagonal = row[0];
        row[0] = i;
        for (int32_t j = 1; j <= b_count; j++) {
            double best = diagonal + substitution(&a[i - 1], &b[j - 1]);
            if (row[j] + 1.0 < best)
                best = row[j] + 1.0;
            if (row[j - 1] + 1.0 < best)
                best = row[j - 1] + 1.0;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_count];
}

/* In [0, 1]: the larger of the paper's difference of positions and the relative difference of the layers inside.
 */
static double skip_distance(const struct descriptor *a, const struct skip *s, const struct descriptor *b,
                            const struct skip *t, double *row)
{
    if (s->kind != t->kind)
        return 1.0;
    int32_t moved = abs(s->start - t->start) + abs(s->length - t->length);
    int32_t extent =
        (s->start > t->start ? s->start : t->start) + (s->length > t->length ? s->length : t->length);
    double positions = moved > 0 ? (double)moved / extent : 0.0;
    int32_t longer = s->symbol_count > t->symbol_count ? s->symbol_count : t->symbol_count;
    if (longer == 0)
        return positions;
    double inside =
        edit_distance(a->symbols + s->first, s->symbol_count, b->symbols + t->first, t->symbol_count, row) /
        longer;
    return positions > inside ? positions : inside;
}

/* Least sum of costs[r * n + assigned column] over all assignments: the Hungarian method with potentials,
 * O(n^3) (Kuhn 1955; shortest augmenting paths after Jonker and Volgenant 1987). Rows and columns count from
 * 1 inside, 0 is "none". `doubles` holds 3 (n + 1) values, `whole` 3 (n + 1). */
static double cheapest_assignment(const double *costs, int32_t n, double *doubles, int32_t *whole)
{
    double *row_potential = doubles, *column_potential = row_potential + n + 1,
           *slack = column_potential + n + 1;
    int32_t *row_of = whole, *came_from = row_of + n + 1, *visited = came_from + n + 1;
    memset(doubles, 0, 3 * ((size_t)n + 1) * sizeof(*doubles));
    memset(whole, 0, 3 * ((size_t)n + 1) * sizeof(*whole));
    for (int32_t row = 1; row <= n; row++) {
        int32_t column = 0;
        row_of[0] = row;
        for (int32_t j = 0; j <= n; j++) {
            slack[j] = INFINITY;
            visited[j] = 0;
        }
        do { /* grow the tree of tight edges by one column, until a free one is reached */
            int32_t next = 0, from = row_of[column];
            double step = INFINITY;
            visited[column] = 1;
            for (int32_t j = 1; j <= n; j++) {
                if (visited[j])
                    continue;
                double reduced = costs[(size_t)(from - 1) * (size_t)n + (size_t)(j - 1)] -
                                 row_potential[from] - column_potential[j];
                if (reduced < slack[j]) {
                    slack[j] = reduced;
                    came_from[j] = column;
                }
                if (slack[j] < step) {
                    step = slack[j];
                    next = j;
                }
            }
            for (int32_t j = 0; j <= n; j++) {
                if (visited[j]) {
                    row_potential[row_of[j]] += step;
                    column_potential[j] -= step;
                } else {
                    slack[j] -= step;
                }
            }
            column = next;
        } while (row_of[column] != 0);
        for (; column != 0; column = came_from[column])
            row_of[column] = row_of[came_from[column]];
    }
    double sum = 0.0;
    for (int32_t j = 1; j <= n; j++)
        sum += costs[(size_t)(row_of[j] - 1) * (size_t)n + (size_t)(j - 1)];
    return sum;
}

/* Unmatched skips cost 1 each: the matrix is made square with ones. */
static enum status skips_distance(const struct descriptor *a, const struct descriptor *b, double *row,
                                  double *distance, struct error *err)
{
    int32_t n = a->skip_count > b->skip_count ? a->skip_count : b->skip_count;
    enum status st = ST_OK;
    *distance = 0.0;
    if (n == 0)
        return ST_OK;
    double *costs = malloc((size_t)n * (size_t)n * sizeof(*costs));
    double *doubles = malloc(3 * ((size_t)n + 1) * sizeof(*doubles));
    int32_t *whole = malloc(3 * ((size_t)n + 1) * sizeof(*whole));
    if (costs == NULL || doubles == NULL || whole == NULL) {
        st = error_memory(err, "distance of skips", (size_t)n * (size_t)n * sizeof(*costs));
        goto out;
    }
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++)
            costs[(size_t)i * (size_t)n + (size_t)j] =
                i < a->skip_count && j < b->skip_count ? skip_distance(a, &a->skips[i], b, &b->skips[j], row)
                                                       : 1.0;
    *distance = cheapest_assignment(costs, n, doubles, whole);
out:
    free(costs);
    free(doubles);
    free(whole);
    return st;
}

enum status descriptor_distance(const struct descriptor *a, const struct descriptor *b, double skip_weight,
                                double *distance, struct error *err)
{
    const size_t bytes = ((size_t)b->symbol_count + 1) * sizeof(double);
    double skips = 0.0, *row = malloc(bytes);
    enum status st = ST_OK;
    if (row == NULL)
        return error_memory(err, "distance of networks", bytes);
    const double chains = edit_distance(a->symbols, a->chain_count, b->symbols, b->chain_count, row);
    if (skip_weight > 0.0)
        st = skips_distance(a, b, row, &skips, err);
    free(row);
    *distance = chains + skip_weight * skips;
    return st;
}

#include "host/train/progressive.h"

#include <math.h>
#include <string.h>

/* Of the full side. Sides are rounded to multiples, so that maps are halved without a rest. */
static const double SHARES[PROGRESSIVE_SIZES] = {0.6, 0.8, 1.0};
enum { MULTIPLE = 8 };

/* Smaller images are small enough for a network to take them as they are. */
enum { LEAST_SIDE = 64 };

bool progressive_pays(struct shape image)
{
    return image.h >= LEAST_SIDE && image.w >= LEAST_SIDE;
}

int32_t progressive_size_at(double progress)
{
    const int32_t size = (int32_t)(fmax(progress, 0.0) * PROGRESSIVE_SIZES);
    return size < PROGRESSIVE_SIZES ? size : PROGRESSIVE_SIZES - 1;
}

static int32_t side_of(int32_t full, double share)
{
    const int32_t side = MULTIPLE * (int32_t)lround(share * full / MULTIPLE);
    return share < 1.0 && side >= MULTIPLE && side < full ? side : full;
}

/* Whether both have the same weights. */
static enum status compare_weights(const struct graph *a, const struct graph *b, bool *same,
                                   struct error *err)
{
    struct weight_table of_a = {0}, of_b = {0};
    enum status st = weight_table_new(&of_a, a, err);
    if (st == ST_OK)
        st = weight_table_new(&of_b, b, err);
    *same = st == ST_OK && of_a.count == of_b.count;
    for (int32_t w = 0; *same && w < of_a.count; w++)
        *same = memcmp(of_a.tensors[w].dims, of_b.tensors[w].dims, sizeof(of_a.tensors[w].dims)) == 0;
    weight_table_free(&of_a);
    weight_table_free(&of_b);
    return st;
}

/* A pool over all of its map takes all of the smaller one. */
static struct layer fitted(const struct graph *graph, int32_t index, const struct graph *smaller)
{
    struct layer layer = graph->layers[index];
    const bool pool = layer.kind == LAYER_MAX_POOL || layer.kind == LAYER_AVERAGE_POOL;
    const struct shape map = graph->layers[layer.inputs[0]].shape;
    if (pool && layer.kernel_h == map.h && layer.kernel_w == map.w) {
        layer.kernel_h = smaller->layers[layer.inputs[0]].shape.h;
        layer.kernel_w = smaller->layers[layer.inputs[0]].shape.w;
    }
    return layer;
}

enum status progressive_graph(const struct graph *graph, int32_t size, struct graph *smaller,
                              struct error *err)
{
    const struct shape full = graph->layers[0].shape;
    struct error misfit;
    bool same = false;
    enum status st =
        graph_new(smaller, full.c, side_of(full.h, SHARES[size]), side_of(full.w, SHARES[size]), err);
    if (st != ST_OK)
        return st;
    enum status fits = ST_OK;
    for (int32_t i = 1; fits == ST_OK && i < graph->count; i++)
        fits = graph_append(smaller, fitted(graph, i, smaller), NULL, &misfit);
    if (fits == ST_OK)
        fits = graph_infer(smaller, &misfit);
    if (fits == ST_OK)
        st = compare_weights(graph, smaller, &same, err);
    if (fits == ST_MEMORY) {
        *err = misfit;
        st = fits;
    }
    if (st == ST_OK && !same)
        st = error_set(err, ST_NONE, "the network takes images of one size only");
    if (st != ST_OK)
        graph_free(smaller);
    return st;
}

enum status progressive_fits(const struct graph *graph, bool *fits, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t size = 0; st == ST_OK && size < PROGRESSIVE_SIZES; size++) {
        struct graph smaller;
        st = progressive_graph(graph, size, &smaller, err);
        if (st == ST_OK)
            graph_free(&smaller);
    }
    *fits = st == ST_OK;
    return st == ST_NONE ? ST_OK : st;
}

double progressive_cost(const struct graph *graph, const struct cost_rates *rates)
{
    double sum = 0.0;
    for (int32_t size = 0; size < PROGRESSIVE_SIZES; size++) {
        struct graph smaller;
        struct error ignored;
        if (progressive_graph(graph, size, &smaller, &ignored) != ST_OK)
            return cost_seconds(graph, rates);
        sum += cost_seconds(&smaller, rates);
        graph_free(&smaller);
    }
    return sum / PROGRESSIVE_SIZES;
}

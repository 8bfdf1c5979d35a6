#include "host/train/progressive.h"

#include "host/net/resized.h"

#include <math.h>

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

enum status progressive_graph(const struct graph *graph, int32_t size, struct graph *smaller,
                              struct error *err)
{
    const struct shape full = graph->layers[0].shape;
    return graph_resized(graph, side_of(full.h, SHARES[size]), side_of(full.w, SHARES[size]), smaller, err);
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

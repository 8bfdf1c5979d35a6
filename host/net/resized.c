#include "host/net/resized.h"

#include <string.h>

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

/* A pool over all of its map takes all of the other one. */
static struct layer fitted(const struct graph *graph, int32_t index, const struct graph *resized)
{
    struct layer layer = graph->layers[index];
    const bool pool = layer.kind == LAYER_MAX_POOL || layer.kind == LAYER_AVERAGE_POOL;
    const struct shape map = graph->layers[layer.inputs[0]].shape;
    if (pool && layer.kernel_h == map.h && layer.kernel_w == map.w) {
        layer.kernel_h = resized->layers[layer.inputs[0]].shape.h;
        layer.kernel_w = resized->layers[layer.inputs[0]].shape.w;
    }
    return layer;
}

enum status graph_resized(const struct graph *graph, int32_t height, int32_t width, struct graph *resized,
                          struct error *err)
{
    struct error misfit;
    bool same = false;
    enum status st = graph_new(resized, graph->layers[0].shape.c, height, width, err);
    if (st != ST_OK)
        return st;
    resized->layers[0].id = graph->layers[0].id;
    enum status fits = ST_OK;
    for (int32_t i = 1; fits == ST_OK && i < graph->count; i++)
        fits = graph_append(resized, fitted(graph, i, resized), NULL, &misfit);
    resized->next_id = graph->next_id;
    if (fits == ST_OK)
        fits = graph_infer(resized, &misfit);
    if (fits == ST_OK)
        st = compare_weights(graph, resized, &same, err);
    if (fits == ST_MEMORY) {
        *err = misfit;
        st = fits;
    }
    if (st == ST_OK && !same)
        st = error_set(err, ST_NONE, "the network takes images of one size only");
    if (st != ST_OK)
        graph_free(resized);
    return st;
}

#include "host/inference/plan.h"

#include "host/program/program.h"

#include <stdlib.h>

size_t plan_values(const struct layer *layer)
{
    return (size_t)layer->shape.c * (size_t)layer->shape.h * (size_t)layer->shape.w;
}

struct layer plan_convolution(const struct graph *graph, int32_t index)
{
    struct layer layer = graph->layers[index];
    const struct shape x = graph->layers[layer.inputs[0]].shape;
    if (layer.kind == LAYER_DENSE) {
        layer.kernel_h = x.h;
        layer.kernel_w = x.w;
        layer.stride = layer.groups = 1;
        layer.pad_h = layer.pad_w = 0;
    }
    return layer;
}

size_t plan_patch(const struct graph *graph)
{
    size_t most = 1;
    for (int32_t i = 1; i < graph->count; i++)
        if (layer_traits(graph->layers[i].kind)->weights == LAYER_WEIGHTS_KERNEL) {
            const struct layer layer = plan_convolution(graph, i);
            const int32_t inputs = graph->layers[layer.inputs[0]].shape.c / layer.groups;
            const size_t size = (size_t)inputs * (size_t)layer.kernel_h * (size_t)layer.kernel_w;
            most = size > most ? size : most;
        }
    return most;
}

void plan_free(struct plan *plan)
{
    free(plan->offsets);
    free(plan->in_place);
    *plan = (struct plan){0};
}

/* Which of a layer's inputs it may be written over, value by value, where nothing reads that any more; -1: none. */
static int32_t replaced(const struct graph *graph, int32_t index, const int32_t *last)
{
    const struct layer *layer = &graph->layers[index];
    const enum layer_family family = layer_traits(layer->kind)->family;
    if (family != FAMILY_ACTIVATION && family != FAMILY_BATCH_NORM && family != FAMILY_ADD &&
        family != FAMILY_GATE)
        return -1;
    for (int32_t k = 0; k < (family == FAMILY_ADD ? 2 : 1); k++)
        if (last[layer->inputs[k]] == index)
            return layer->inputs[k];
    return -1;
}

/* Each layer's block, which it may share with the layer that it replaces; blocks have the number of their first layer,
 * and live from it to the last reader of any of their layers. */
static void make_blocks(const struct graph *graph, int32_t *last, int32_t *blocks, struct plan *plan,
                        struct prog_tensor *tensors)
{
    for (int32_t i = 0; i < graph->count; i++) {
        last[i] = i;
        for (int32_t k = 0; k < graph->layers[i].input_count; k++)
            last[graph->layers[i].inputs[k]] = i;
    }
    for (int32_t i = 0; i < graph->count; i++) {
        const int32_t before = replaced(graph, i, last);
        plan->in_place[i] = before >= 0;
        blocks[i] = before >= 0 ? blocks[before] : i;
        tensors[i].first = plan->in_place[i] ? -1 : i;
        tensors[blocks[i]].last = last[i] > tensors[blocks[i]].last ? last[i] : tensors[blocks[i]].last;
    }
}

enum status plan_make(const struct graph *graph, struct plan *plan, struct error *err)
{
    const size_t layers = (size_t)graph->count;
    int32_t *last = calloc(layers, sizeof(*last)), *blocks = calloc(layers, sizeof(*blocks));
    size_t *sizes = calloc(layers, sizeof(*sizes));
    struct program program = {.tensor_count = graph->count,
                              .tensors = calloc(layers, sizeof(*program.tensors))};
    enum status st = ST_OK;
    *plan = (struct plan){calloc(layers, sizeof(*plan->offsets)), calloc(layers, sizeof(*plan->in_place)), 0};
    if (last == NULL || blocks == NULL || sizes == NULL || program.tensors == NULL || plan->offsets == NULL ||
        plan->in_place == NULL) {
        st = error_memory(err, "a plan", layers * sizeof(*program.tensors));
        goto out;
    }
    make_blocks(graph, last, blocks, plan, program.tensors);
    for (int32_t i = 0; i < graph->count; i++)
        sizes[i] = plan_values(&graph->layers[i]);
    st = prog_arena_offsets(&program, sizes, plan->offsets, &plan->arena, err);
    for (int32_t i = 0; st == ST_OK && i < graph->count; i++)
        plan->offsets[i] = plan->offsets[blocks[i]];
out:
    free(last);
    free(blocks);
    free(sizes);
    free(program.tensors);
    return st;
}

/* Where the values of a folded network lie while one image goes through it: one arena, in which layers share places
 * that are never needed at the same time. Offsets and sizes are in values, whatever their type. */
#ifndef NASRUN_INFERENCE_PLAN_H
#define NASRUN_INFERENCE_PLAN_H

#include "host/net/graph.h"

struct plan {
    size_t *offsets; /* [layers]: of what a layer yields, height x width x channels */
    bool *in_place;  /* [layers]: written over what its first input that stands at that offset yields */
    size_t arena;
};

enum status plan_make(const struct graph *graph, struct plan *plan, struct error *err);
void plan_free(struct plan *plan); /* a zeroed plan is allowed */

size_t plan_values(const struct layer *layer); /* that the layer yields */

/* A convolution, or a dense layer as one by a kernel as large as the image. */
struct layer plan_convolution(const struct graph *graph, int32_t index);
/* How many values the largest sum of products of a layer reads; at least 1. */
size_t plan_patch(const struct graph *graph);

#endif

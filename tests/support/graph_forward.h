/* A network's inference in plain loops and double precision, for tests. It shares no code with any device, so
 * that what it says about a graph is said independently of them. */
#ifndef NASRUN_TESTS_SUPPORT_GRAPH_FORWARD_H
#define NASRUN_TESTS_SUPPORT_GRAPH_FORWARD_H

#include "host/net/graph.h"

/* Logits of one image. `weights` is the flat array that `table` describes, `image` is C x H x W of the
 * graph's input, `logits` has room for each output of the last layer. False when out of memory. */
bool graph_forward(const struct graph *graph, const struct weight_table *table, const float *weights,
                   const double *image, double *logits);

#endif

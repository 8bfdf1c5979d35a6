/* Edit distance between two architectures, after Auto-Keras (Jin, Song, Hu, KDD 2019, section 3.1): layers of
 * the main chain by string edit distance with a relative substitution cost, skips by optimal assignment.
 * Dense widths count. Symmetric, 0 for equal graphs, at least 0. */
#ifndef NASRUN_NET_DISTANCE_H
#define NASRUN_NET_DISTANCE_H

#include "host/net/graph.h"

/* What the distance needs of a graph; made once, compared often. */
struct descriptor;
enum status descriptor_new(struct descriptor **made, const struct graph *graph, struct error *err);
void descriptor_free(struct descriptor *descriptor);

/* `skip_weight` is the paper's lambda. ST_MEMORY. */
enum status descriptor_distance(const struct descriptor *a, const struct descriptor *b, double skip_weight,
                                double *distance, struct error *err);

#endif

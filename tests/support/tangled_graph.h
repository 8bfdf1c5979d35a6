/* Random small networks that make life hard for morphs: convolutions with strides, groups and odd paddings,
 * pools, batch norms, adds, concats (of one tensor with itself too), dense layers over pooled and over whole
 * images. All from a seed. */
#ifndef NASRUN_TESTS_SUPPORT_TANGLED_GRAPH_H
#define NASRUN_TESTS_SUPPORT_TANGLED_GRAPH_H

#include "host/base/random.h"
#include "host/net/graph.h"

/* A graph for images of 1 to 3 channels and 4 to 12 pixels a side, with 1 to 8 channels a convolution. */
enum status tangled_graph_make(struct graph *graph, struct random_sequence *random, struct error *err);

/* Fills values[table->total]: kernels by He et al., everything else of a batch norm and the biases at random
 * too, running variances in [0.5, 2]. Gaps are zero. */
void tangled_graph_weights(const struct weight_table *table, struct random_sequence *random, float *values);

#endif

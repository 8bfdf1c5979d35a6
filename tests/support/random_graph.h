/* Random small graphs, weights and images for property tests: a function of the seed alone. */
#ifndef NASRUN_TESTS_SUPPORT_RANDOM_GRAPH_H
#define NASRUN_TESTS_SUPPORT_RANDOM_GRAPH_H

#include "host/device/device.h"
#include "host/net/graph.h"

/* A valid graph: images of 1 to 3 channels and 5 to 9 pixels a side, a dozen layers, 2 to 5 classes. Every layer kind,
 * odd strides, paddings and groups, residual blocks, layers with several readers, adds of a layer with itself, each
 * beginning of a kernel, frozen kernels and scales and gains occur within any 40 seeds in a row; the classifier reads
 * an activation. The graph is the caller's to free. */
enum status random_graph_make(struct graph *graph, uint64_t seed, struct error *err);

/* Weights for any table into values[table->total]: multiples of 2^-16 below 2 in size, so that a change by
 * 2^-22 is exact in float; nothing is zero by design, variances lie in [0.5, 1.5]. Gaps hold zeros. */
void random_graph_weights(const struct weight_table *table, uint64_t seed, float *values);

/* `count` images of noise, of the graph's input shape and with its number of classes; `view` points into the
 * rest. */
struct random_images {
    struct dataset_view view;
    uint8_t *pixels;
    int32_t *labels;
    float *class_weights; /* 0.25 to 2 */
    uint8_t *label_sets;  /* RANDOM_SETS x classes; the first is empty */
};
enum { RANDOM_SETS = 7 };
enum status random_images_make(struct random_images *images, const struct graph *graph, int32_t count,
                               uint64_t seed, struct error *err);
void random_images_free(struct random_images *images);
/* Labels are numbers of sets from now on, drawn from `seed`. */
void random_images_use_sets(struct random_images *images, uint64_t seed);

#endif

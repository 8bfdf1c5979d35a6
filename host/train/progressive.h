/* Progressive resolution: a training begins with smaller images, whose steps take less time, and ends with those of
 * full size (Tan, Le 2021, arXiv 2104.00298; Touvron et al. 2019, arXiv 1906.06423). So it sees more images in the same
 * time. Images lie on the devices in full size; the gather makes them smaller (host/device/augment.h). Evaluations have
 * the full size always. */
#ifndef NASRUN_TRAIN_PROGRESSIVE_H
#define NASRUN_TRAIN_PROGRESSIVE_H

#include "host/net/cost.h"

/* Sizes of a training, each for the same share of its progress, the last one the full size. */
enum { PROGRESSIVE_SIZES = 3 };

/* Whether images are so large that it pays: what "auto" of train.progressive goes by. */
bool progressive_pays(struct shape image);

/* Which of the sizes a training has at that progress. */
int32_t progressive_size_at(double progress);

/* The network for images of that size, 0 being the smallest, as graph_resized makes it: the caller's to free. */
enum status progressive_graph(const struct graph *graph, int32_t size, struct graph *smaller,
                              struct error *err);

/* Whether there is one for each size. */
enum status progressive_fits(const struct graph *graph, bool *fits, struct error *err);

/* What an image of a training in steps costs in the mean of all sizes; of a network that does not fit what it costs. */
double progressive_cost(const struct graph *graph, const struct cost_rates *rates);

#endif

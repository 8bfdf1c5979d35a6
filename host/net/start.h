/* Starting architectures by name:
 *
 *   "lean"      ours, after airbench (Jordan 2024): few 3x3 convolutions, pooled early; trains fast on CPUs
 *   "res9"      residual, nine layers, between "lean" and "resnet" in cost: what a person takes for small images
 *   "air"       airbench itself: frozen whitening, convolutions that begin as identities, GELU
 *   "air_deep"  its larger brother, with three convolutions and a residual in a block
 *   "cnn"       Auto-Keras's three-convolution network
 *   "resnet"    its ResNet-18
 *   "densenet"  its DenseNet-121
 */
#ifndef NASRUN_NET_START_H
#define NASRUN_NET_START_H

#include "host/net/graph.h"

/* Widths are multiples of the step. */
enum { START_WIDTH_STEP = 8, START_MAX_WIDTH = 4096 };

/* Makes the graph for images of channels x height x width and `classes` logits. `width` scales the channel
 * counts: the width of the first stage (0: the architecture's own, lean and res9 32, the others 64).
 * Pools and strides that the image is too small for are left out; images whose short side exceeds 64 pixels
 * are halved by the stem (but "cnn"'s) until it does not. ST_RANGE for an unknown name: the message lists the
 * names. */
enum status start_make(struct graph *graph, const char *name, int32_t width, struct shape image,
                       int32_t classes, struct error *err);

#endif

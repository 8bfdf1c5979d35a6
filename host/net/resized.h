/* The same network, with the same weights, for images of another size. */
#ifndef NASRUN_NET_RESIZED_H
#define NASRUN_NET_RESIZED_H

#include "host/net/graph.h"

/* A pool over all of a map is fitted to the new one; layers keep their ids. `resized` is the caller's to free. ST_NONE
 * where there is no such network: its weights would have other shapes (a dense layer over a map), or a window would not
 * fit. */
enum status graph_resized(const struct graph *graph, int32_t height, int32_t width, struct graph *resized,
                          struct error *err);

#endif

/* Whitening: filters whose results on patches of the training images are uncorrelated and of equal size, so that a
 * network behind them trains faster. Source: Jordan 2024 (arXiv 2404.00498), section 3.2, where the filters are the
 * eigenvectors of the patches' second moments, each divided by the root of its eigenvalue, and their negatives. */
#ifndef NASRUN_NET_WHITENING_H
#define NASRUN_NET_WHITENING_H

#include "host/net/graph.h"

/* The filters from second moments of patches of GRAPH_WHITENING_SIDE x GRAPH_WHITENING_SIDE pixels, moments[i][j] being
 * the mean of value i times value j, i = (channel * side + row) * side + column. ST_RANGE for other than 1 to
 * GRAPH_WHITENING_CHANNELS channels and for moments that are not finite. The sign of a filter is that of its largest
 * value, which is positive: the same everywhere. */
enum status whitening_make(struct whitening *whitening, int32_t channels, const double *moments,
                           struct error *err);

#endif

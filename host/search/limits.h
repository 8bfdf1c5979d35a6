/* What a network may cost: by the job (search.max_parameters, max_flops, max_latency_ms), and by what the budget pays
 * for. */
#ifndef NASRUN_SEARCH_LIMITS_H
#define NASRUN_SEARCH_LIMITS_H

#include "host/net/cost.h"
#include "host/net/graph.h"

struct search_setup;

/* Networks above are not proposed. */
struct search_limits {
    int64_t max_parameters;       /* 0: no limit */
    double max_flops;             /* operations of one image's forward pass; 0: no limit */
    double max_latency;           /* seconds of one image's forward pass, by `latency`; 0: no limit */
    struct cost_rates latency;    /* of steps of one image (host/train/latency.h); batch 0: not known yet */
    double max_seconds_per_image; /* of training, by cost_seconds; INFINITY: no limit */
    struct cost_rates rates;      /* the machine's, for cost_seconds */
};

/* Whether a graph is within all of them; within those of the job. */
bool search_admits(const struct search_limits *limits, const struct graph *graph);
bool search_fits(const struct search_limits *limits, const struct graph *graph);

/* Starting network `start`, an index into search.starts, as wide as the job says; where the job leaves its width open
 * and that is above the job's limits, in the widest narrower width that is within them. *width is then that width,
 * else the job's. ST_NONE when there is none. */
enum status search_start_within(const struct search_setup *setup, const struct search_limits *limits,
                                int32_t start, int32_t *width, struct graph *graph, struct error *err);

/* ST_RANGE when none of the starting networks is within the job's limits in any of its widths: the message names the
 * key and the smallest that there is. Those that can't be made for these images do not count. */
enum status search_check_limits(const struct search_setup *setup, const struct search_limits *limits,
                                struct error *err);

#endif

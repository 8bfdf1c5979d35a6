/* What each unit of a training step (cost.h) takes a machine, from how long the steps of a few networks took. Pure
 * functions of numbers. */
#ifndef NASRUN_NET_COST_FIT_H
#define NASRUN_NET_COST_FIT_H

#include "host/net/cost.h"

/* Samples that cost_fit takes, at most. */
enum { COST_FIT_MOST_SAMPLES = 32 };

/* One network's step. */
struct cost_sample {
    struct cost_units units; /* of an image */
    double seconds;          /* > 0: of an image, measured */
};

/* What units are taken to cost before anything is measured, on a machine of so many operations and bytes a second, of
 * which 0 is unknown. */
struct cost_rates cost_fit_prior(double flops, double bytes, int32_t batch);

/* Sets the seconds of `rates`, which are the prior, to those that explain the samples: with the least sum of squares of
 * relative errors, no unit below nothing. Units that no sample tells apart stay near the prior. */
void cost_fit(const struct cost_sample *samples, int32_t count, struct cost_rates *rates);

#endif

/* Gaussian-process regression over things of which only distances are known (Rasmussen, Williams, "Gaussian
 * processes for machine learning", 2006, algorithm 2.1).
 *
 *     gaussian_fit(distances, scores, n, &gaussian, err)
 *     gaussian_predict(gaussian, distances_of_one_candidate, &mean, &deviation, err)
 *     gaussian_free(gaussian)
 *
 * Targets are standardised. Two of them at distance d have the covariance (1 - noise) * exp(-d / length), the same
 * one has variance 1; length and noise are those of a grid that make the targets likeliest, of many targets those that
 * make a part of them likeliest. Edit distances need not embed in a space in which that is a covariance, with squared
 * distances even less: a length for which the kernel has an eigenvalue below -1e-8 is not taken.
 */
#ifndef NASRUN_SEARCH_GAUSSIAN_H
#define NASRUN_SEARCH_GAUSSIAN_H

#include "host/base/error.h"

#include <stdint.h>

struct gaussian;

double gaussian_kernel(double distance, double length);

/* `distances` is n x n, symmetric, finite and >= 0 with a zero diagonal; `targets` are n finite values,
 * higher or lower being better alike; n > 0. Both are copied from. ST_RANGE otherwise. */
enum status gaussian_fit(const double *distances, const double *targets, int32_t n, struct gaussian **made,
                         struct error *err);

/* What to expect of one more thing at `distances` (n of them) from the fitted ones: mean and standard
 * deviation of its true value (noise left out), in the targets' units. Far from all it is the targets' mean.
 * ST_RANGE when a distance is negative or not finite. Uses memory of `gaussian`: one thread at a time. */
enum status gaussian_predict(struct gaussian *gaussian, const double *distances, double *mean,
                             double *deviation, struct error *err);

double gaussian_length(const struct gaussian *gaussian); /* that was chosen */

void gaussian_free(struct gaussian *gaussian); /* NULL is allowed */

#endif

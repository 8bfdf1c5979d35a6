/* The focal loss (Lin et al. 2017, "Focal loss for dense object detection") of one class, by the logarithm of its
 * probability p: what is already answered well counts less. With `gamma` 0 both are those of the cross-entropy.
 *
 * 1 - p is taken from log p, so that it is right where p is nearly 1. */
#ifndef NASRUN_DEVICE_FOCAL_H
#define NASRUN_DEVICE_FOCAL_H

#include <math.h>

/* (1 - p)^gamma * -log p */
static inline double focal_loss(double log_p, double gamma)
{
    const double rest = -expm1(log_p);
    return gamma == 0.0 ? -log_p : rest > 0.0 ? -pow(rest, gamma) * log_p : 0.0;
}

/* Minus p times its derivative by p: the derivative of sum_k t[k] * focal_loss(k) by logit j is
 * p[j] * sum_k t[k] * slope[k] - t[j] * slope[j]. */
static inline double focal_slope(double log_p, double gamma)
{
    const double rest = -expm1(log_p);
    if (gamma == 0.0)
        return 1.0;
    return rest > 0.0 ? pow(rest, gamma) - gamma * pow(rest, gamma - 1.0) * exp(log_p) * log_p : 0.0;
}

#endif

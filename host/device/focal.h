/* The focal loss (Lin et al. 2017, "Focal loss for dense object detection") of one class, by the logarithm of its
 * probability p: what is already answered well counts less. With `gamma` 0 both are those of the cross-entropy. Below,
 * that of a class that is an answer of its own, as where images have any number of labels (labels.h).
 *
 * 1 - p is taken from log p, so that it is right where p is nearly 1. NaN is handed on, so that a diverged network
 * shows in its loss. */
#ifndef NASRUN_DEVICE_FOCAL_H
#define NASRUN_DEVICE_FOCAL_H

#include <math.h>

/* (1 - p)^gamma * -log p */
static inline double focal_loss(double log_p, double gamma)
{
    const double rest = -expm1(log_p);
    return gamma == 0.0 ? -log_p : rest <= 0.0 ? 0.0 : -pow(rest, gamma) * log_p;
}

/* Minus p times its derivative by p: the derivative of sum_k t[k] * focal_loss(k) by logit j is
 * p[j] * sum_k t[k] * slope[k] - t[j] * slope[j]. */
static inline double focal_slope(double log_p, double gamma)
{
    const double rest = -expm1(log_p);
    if (gamma == 0.0)
        return 1.0;
    return rest <= 0.0 ? 0.0 : pow(rest, gamma) - gamma * pow(rest, gamma - 1.0) * exp(log_p) * log_p;
}

/* Logarithms of p = sigmoid(logit) and of 1 - p; finite for all logits that are. */
struct focal_logs {
    double chance, rest;
};
static inline struct focal_logs focal_logs_of(double logit)
{
    const double tail = log1p(exp(-fabs(logit)));
    return (struct focal_logs){fmin(logit, 0.0) - tail, fmin(-logit, 0.0) - tail};
}

/* What such a class adds to an image's loss: the part of its target, 1 where the image has the label, times the class's
 * weight; and the part of what the target leaves to 1, where 1 - p is the answer. */
static inline double focal_binary_loss(struct focal_logs logs, double target, double weight, double gamma)
{
    return weight * target * focal_loss(logs.chance, gamma) + (1.0 - target) * focal_loss(logs.rest, gamma);
}

/* Its derivative by the logit: p's own is p (1 - p), whose one factor is in the slope. */
static inline double focal_binary_slope(struct focal_logs logs, double target, double weight, double gamma)
{
    return (1.0 - target) * focal_slope(logs.rest, gamma) * exp(logs.chance) -
           weight * target * focal_slope(logs.chance, gamma) * exp(logs.rest);
}

#endif

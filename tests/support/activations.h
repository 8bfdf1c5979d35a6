/* The activations once more, in doubles and by the C library, for tests: values and slopes as textbooks have them,
 * sharing nothing with host/program/activation.h. A row of layers.def that has no case here does not compile. */
#ifndef NASRUN_TESTS_SUPPORT_ACTIVATIONS_H
#define NASRUN_TESTS_SUPPORT_ACTIVATIONS_H

#include "host/net/layer.h"

#include <math.h>

/* f(x) and f'(x); where f has a kink, one of its two slopes. */
static inline double activation_value(enum activation_kind function, double x)
{
    switch (function) {
    case ACTIVATION_RELU:
        return fmax(x, 0.0);
    case ACTIVATION_GELU:
        return x * (1.0 + erf(x / sqrt(2.0))) / 2.0;
    case ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    case ACTIVATION_HARD_SWISH:
        return x * fmin(fmax(x + 3.0, 0.0), 6.0) / 6.0;
    case ACTIVATION_RELU6:
        return fmin(fmax(x, 0.0), 6.0);
    case ACTIVATION_COUNT:
        break;
    }
    return NAN;
}

static inline double activation_slope(enum activation_kind function, double x)
{
    switch (function) {
    case ACTIVATION_RELU:
        return x > 0.0 ? 1.0 : 0.0;
    case ACTIVATION_GELU:
        return (1.0 + erf(x / sqrt(2.0))) / 2.0 + x * exp(-x * x / 2.0) / sqrt(2.0 * acos(-1.0));
    case ACTIVATION_SILU:
        return (1.0 + x / (1.0 + exp(x))) / (1.0 + exp(-x));
    case ACTIVATION_HARD_SWISH:
        return fabs(x) <= 3.0 ? (2.0 * x + 3.0) / 6.0 : x > 0.0;
    case ACTIVATION_RELU6:
        return x > 0.0 && x < 6.0;
    case ACTIVATION_COUNT:
        break;
    }
    return NAN;
}

/* What the backward pass is to be given: x or y. */
static inline double activation_seen(enum activation_kind function, double x)
{
    return activation_traits(function)->reads == ACTIVATION_READS_INPUT ? x : activation_value(function, x);
}

/* How far a device that computes in float may be off, forward at x and backward with dy: what activation.h promises.
 * ReLU is exact. */
static inline double activation_error(enum activation_kind function, double x)
{
    return function == ACTIVATION_RELU ? 0.0 : 0x1p-21 * fabs(x) + 0x1p-149;
}

static inline double activation_backward_error(enum activation_kind function, double dy)
{
    return function == ACTIVATION_RELU ? 0.0 : 0x1p-21 * fabs(dy);
}

static inline enum layer_kind activation_layer(enum activation_kind function)
{
    int kind = 0;
    while (layer_traits((enum layer_kind)kind)->activation != function)
        kind++;
    return (enum layer_kind)kind;
}

#endif

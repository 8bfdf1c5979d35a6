/* The optimizer's contract, for every device (this header is compiled for the host and for CUDA devices alike). One
 * operation updates all trained weights. What a tensor is trained with follows from its part: rate is the step's
 * learning rate times optimizer_rate, decay that of optimizer_decay, over the step's own rate:
 *
 * SGD with Nesterov momentum (PyTorch's form), weight decay decoupled (Loshchilov, Hutter 2019):
 *     v = momentum * v + g;   w = w * (1 - learning_rate * decay) - rate * (g + momentum * v)
 * AdamW, t = step.number + 1:
 *     m = b1 m + (1 - b1) g;   s = b2 s + (1 - b2) g^2;   w = w * (1 - learning_rate *
 *     decay) - rate * (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + epsilon)
 * Slots: FIRST holds v or m, SECOND holds s.
 */
#ifndef NASRUN_DEVICE_OPTIMIZER_H
#define NASRUN_DEVICE_OPTIMIZER_H

#include "host/base/random.h"

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAMW };

#define OPTIMIZER_ADAM_EPSILON 1e-8f

struct optimizer {
    enum optimizer_kind kind;
    float momentum;   /* SGD's momentum; AdamW's b1 */
    float second;     /* AdamW's b2 */
    float decay;      /* weight decay of kernels */
    float bias_rate;  /* what the learning rate of biases and shifts is multiplied by */
    float bias_decay; /* weight decay of biases and shifts */
};

/* What a trained tensor is. */
enum optimizer_part {
    OPTIMIZER_KERNEL, /* of convolutions and dense layers */
    OPTIMIZER_SCALE,  /* of batch norms: never decays */
    OPTIMIZER_BIAS,   /* biases, and the shifts of batch norms */
};

/* `gain`: the weight tensor's (host/net/graph.h). */
RANDOM_INLINE float optimizer_rate(const struct optimizer *o, enum optimizer_part part, float gain)
{
    return gain * gain * (part == OPTIMIZER_BIAS ? o->bias_rate : 1.0f);
}

RANDOM_INLINE float optimizer_decay(const struct optimizer *o, enum optimizer_part part)
{
    return part == OPTIMIZER_KERNEL ? o->decay : part == OPTIMIZER_BIAS ? o->bias_decay : 0.0f;
}

#endif

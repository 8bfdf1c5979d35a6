/* The optimizer's contract, for every device (this header is compiled for the host and for CUDA devices alike). One
 * operation updates all trained weights. What a tensor is trained with follows from its part: rate is the step's
 * learning rate times optimizer_rate, decay that of optimizer_decay, over the step's own rate:
 *
 * SGD with Nesterov momentum (PyTorch's form), weight decay decoupled (Loshchilov, Hutter 2019):
 *     v = momentum * v + g;   w = w * (1 - learning_rate * decay) - rate * (g + momentum * v)
 * AdamW, t = step.number + 1:
 *     m = b1 m + (1 - b1) g;   s = b2 s + (1 - b2) g^2;   w = w * (1 - learning_rate *
 *     decay) - rate * (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + epsilon)
 * Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", in the form of muon.py in
 * github.com/KellerJordan/Muon at commit 00ba60d), for the kernels of convolutions without groups that don't read the
 * image, each seen as a matrix [out][in * h * w]; all other weights are trained by SGD as above. (In groups a kernel is
 * a matrix for each of them; a depthwise one's is a single row, which would only be scaled to the length 1.)
 *     v = momentum * v + g;   X = g + momentum * v;   X = X / (|X| + epsilon), by Frobenius' norm
 *     MUON_STEPS times:   A = X X^T;   X = a X + (b A + c A A) X        (X^T X on the right, where X has more rows)
 *     w = w * (1 - learning_rate * decay) - learning_rate * muon_rate * X
 * The first two lines are the operation orthogonalise, the last one is the optimizer's. That form's v is (1 - momentum)
 * times this one, which the division takes out again; its factor for tall matrices is 1 for kernels of convolutions,
 * which have four dimensions there. The iteration takes all singular values to about 1 (0.7 to 1.2) without finding
 * them; a permutation of the matrix' columns, or of its rows, permutes those of X and changes nothing else: devices
 * keep kernels in the order they like.
 * Slots: FIRST holds v or m, SECOND holds s.
 */
#ifndef NASRUN_DEVICE_OPTIMIZER_H
#define NASRUN_DEVICE_OPTIMIZER_H

#include "host/base/random.h"

#include <stdbool.h>

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAMW, OPTIMIZER_MUON };

#define OPTIMIZER_ADAM_EPSILON 1e-8f

/* The iteration of Newton and Schulz with Jordan's coefficients. */
enum { MUON_STEPS = 5 };
#define MUON_A       3.4445f
#define MUON_B       (-4.7750f)
#define MUON_C       2.0315f
#define MUON_EPSILON 1e-7f

struct optimizer {
    enum optimizer_kind kind;
    float momentum;   /* SGD's and Muon's momentum; AdamW's b1 */
    float second;     /* AdamW's b2 */
    float decay;      /* weight decay of kernels */
    float bias_rate;  /* what the learning rate of biases and shifts is multiplied by */
    float bias_decay; /* weight decay of biases and shifts */
    float muon_rate;  /* Muon: what the learning rate is multiplied by for hidden kernels */
};

/* What a trained tensor is. */
enum optimizer_part {
    OPTIMIZER_KERNEL, /* of dense layers, and of convolutions that read the image or have groups */
    OPTIMIZER_SCALE,  /* of batch norms: never decays */
    OPTIMIZER_BIAS,   /* biases, and the shifts of batch norms */
    OPTIMIZER_HIDDEN, /* kernels of all other convolutions */
};

/* `rate`: the weight tensor's (host/net/graph.h). */
RANDOM_INLINE float optimizer_rate(const struct optimizer *o, enum optimizer_part part, float rate)
{
    const bool orthogonal = part == OPTIMIZER_HIDDEN && o->kind == OPTIMIZER_MUON;
    return rate * (part == OPTIMIZER_BIAS ? o->bias_rate : orthogonal ? o->muon_rate : 1.0f);
}

RANDOM_INLINE float optimizer_decay(const struct optimizer *o, enum optimizer_part part)
{
    return part == OPTIMIZER_KERNEL || part == OPTIMIZER_HIDDEN ? o->decay
           : part == OPTIMIZER_BIAS                             ? o->bias_decay
                                                                : 0.0f;
}

#endif

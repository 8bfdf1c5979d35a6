/* The optimizer's contract, for every device. One operation updates all trained weights; `decayed` weights are kernels
 * (dims of convolutions and dense layers), all others have no weight decay.
 *
 * SGD with Nesterov momentum (PyTorch's form), weight decay decoupled (Loshchilov, Hutter 2019):
 *     v = momentum * v + g;   w = w * (1 - rate * decay) - rate * (g + momentum * v)
 * AdamW, t = step.number + 1:
 *     m = b1 m + (1 - b1) g;   s = b2 s + (1 - b2) g^2;   w = w * (1 - rate * decay)
 *     - rate * (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + epsilon)
 * Slots: FIRST holds v or m, SECOND holds s.
 */
#ifndef NASRUN_DEVICE_OPTIMIZER_H
#define NASRUN_DEVICE_OPTIMIZER_H

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAMW };

#define OPTIMIZER_ADAM_EPSILON 1e-8f

struct optimizer {
    enum optimizer_kind kind;
    float momentum; /* SGD's momentum; AdamW's b1 */
    float second;   /* AdamW's b2 */
    float decay;    /* weight decay */
};

#endif

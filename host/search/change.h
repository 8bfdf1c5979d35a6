/* What distinguishes one network with its hyperparameters from another, as a few numbers: what the surrogate
 * (gain_model.h) knows of a change. Pure functions of the two. */
#ifndef NASRUN_SEARCH_CHANGE_H
#define NASRUN_SEARCH_CHANGE_H

#include "host/net/graph.h"
#include "host/search/hyperparameters.h"

/* X(name, weak, meaning): all are 0 for no change. `weak` is the deviation of what a unit of it gains or loses, in
 * logarithms of the error, when nothing is known: a judgement, in the size of what the ladder's law gives to a doubling
 * of the compute (ladder_predict.c). */
/* clang-format off */
#define CHANGES(X) \
    X(any, 0.02, "1 where anything is another") \
    X(operations, 0.08, "logarithm of the ratio of a training step's operations") \
    X(parameters, 0.05, "logarithm of the ratio of trained values") \
    X(depth, 0.05, "logarithm of the ratio of layers with kernels") \
    X(adds, 0.02, "more sums") \
    X(concats, 0.02, "more concatenations") \
    X(gates, 0.02, "more gates") \
    X(norms, 0.02, "more batch norms") \
    X(kernels, 0.02, "more convolutions with kernels above 3") \
    X(early, 0.05, "logarithm of the ratio of convolutions' operations in more than half the image's height") \
    X(middle, 0.05, "the same in more than a quarter of it") \
    X(late, 0.05, "the same in less") \
    X(width, 0.05, "logarithm of the ratio of the widest layer's channels") \
    X(learning_rate, 0.05, "doublings of the learning rate") \
    X(weight_decay, 0.03, "doublings of the weight decay") \
    X(label_smoothing, 0.3, "more label smoothing") \
    X(batch, 0.03, "doublings of the batch") \
    X(momentum, 0.03, "doublings of the steps that momentum remembers") \
    X(average, 0.03, "doublings of the steps that the average remembers")
/* clang-format on */

enum change_feature {
#define CHANGE(name, weak, meaning) CHANGE_##name,
    CHANGES(CHANGE)
#undef CHANGE
        CHANGE_COUNT
};

struct change {
    double of[CHANGE_COUNT];
};

const char *change_name(enum change_feature feature);

static inline double change_weak(enum change_feature feature)
{
    static const double weak[CHANGE_COUNT] = {
#define WEAK(name, deviation, meaning) deviation,
        CHANGES(WEAK)
#undef WEAK
    };
    return weak[feature];
}

/* A network, and how it is trained. */
struct changed {
    const struct graph *graph;
    const struct hyperparameters *set;
};

/* What `to` is over `from`. */
struct change change_between(const struct hyperparameter_space *space, const struct changed *from,
                             const struct changed *to);

#endif

/* A folded network in whole numbers: what a layer yields is coded in int8 as scale * (code - zero), kernels in int8
 * with a scale for each output channel and no zero, biases in int32 by both scales. What the layers compute with codes
 * is defined in evaluate.h. */
#ifndef NASRUN_INFERENCE_QUANTISE_H
#define NASRUN_INFERENCE_QUANTISE_H

#include "host/model/model_file.h"

enum { CODE_LEAST = -128, CODE_MOST = 127, KERNEL_CODE_MOST = 127 };

/* How a layer's values are coded. A layer that only a ReLU reads has the coding of that: cutting off what is below
 * `zero` = CODE_LEAST is that ReLU. Max and average pools have that of their input. The last layer has none, its
 * results are the logits. */
struct coding {
    float scale; /* above 0 */
    int32_t zero;
    bool fused; /* with the ReLU that reads it */
};

/* Arrays beside the model's weight table, at its offsets. */
struct quantisation {
    struct coding *codings; /* [layers] */
    int8_t *kernels;        /* [table.total]: codes of kernels */
    int32_t *biases;        /* [table.total]: those of biases */
    float *scales; /* [table.total]: at a bias's offset those of its layer's kernel, by output channel */
};

/* The smallest and largest value that each layer yielded on some images. */
struct value_range {
    float low, high;
};
void value_ranges_begin(struct value_range *ranges, int32_t layers); /* of no image yet */

enum status quantisation_new(const struct model *folded, struct quantisation *quantisation,
                             struct error *err);
void quantisation_free(struct quantisation *quantisation); /* a zeroed one is allowed */

/* From ranges[layers]. ST_UNSUPPORTED when sums of a layer could leave int32. */
enum status quantise(const struct model *folded, const struct value_range *ranges,
                     struct quantisation *quantisation, struct error *err);

/* The ReLU that is the only reader of layer i, where that layer can be fused with it: conv, dense, batch norm, add,
 * gate; -1. */
int32_t quantise_fused(const struct graph *graph, int32_t i);

/* A factor as a whole number over a power of two: multiplier / 2^shift, shift 1 to 62. */
struct rescale {
    int32_t multiplier;
    int32_t shift;
};
struct rescale rescale_of(double factor); /* of any sign, below 2^30 */
/* value * factor, rounded half away from zero; |value| below 2^31. */
int64_t rescale_apply(int64_t value, struct rescale rescale);

int32_t code_cut(int64_t code); /* into what codes may be */

#endif

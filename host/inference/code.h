/* What layers compute with codes (quantise.h), as numbers and tables: from them networks are evaluated and written as
 * C. Tables stand in order of codes, from CODE_LEAST on. Sums are rounded half away from zero and cut off. */
#ifndef NASRUN_INFERENCE_CODE_H
#define NASRUN_INFERENCE_CODE_H

#include "host/inference/quantise.h"

enum { CODES = 256, CODE_FACTOR_BITS = 20 };

/* Of each value of a pixel in a channel, the code. */
void code_pixels(const struct model_about *about, int32_t channel, struct coding y, int8_t table[CODES]);

/* Of each code of x that of f(x). */
void code_activation(enum activation_kind activation, struct coding x, struct coding y, int8_t table[CODES]);

/* What the sum of products, with the bias's code, is multiplied by for y's code: kernel's scale of channel c. */
struct rescale code_conv(struct coding x, float kernel_scale, struct coding y);

/* A batch norm that could not be folded: y = zero + rescale((x - zero) * factor + summand). */
struct code_norm {
    int32_t factor; /* 16 bits */
    int32_t summand;
    struct rescale rescale;
};
struct code_norm code_batch_norm(const struct model *model, const struct layer *layer, int32_t c,
                                 struct coding x, struct coding y);

/* Units of x in those of y, times 2^CODE_FACTOR_BITS: of a summand of y, or of a channel that is joined to it. */
int32_t code_factor(struct coding x, struct coding y);
/* The same for x times what a gate of that code multiplies by. */
int32_t code_gate(struct coding x, struct coding gate, int32_t code, struct coding y);
/* A mean of `count` values: the sum of x - zero is rescaled by this. */
struct rescale code_mean(struct coding x, int32_t count, struct coding y);

/* value / 2^CODE_FACTOR_BITS; and value / count, count above 0; rounded half away from zero. */
int64_t code_shift(int64_t value);
int64_t code_divide(int64_t value, int32_t count);

#endif

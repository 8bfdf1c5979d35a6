#define ACTIVATION_DOUBLE
#include "host/inference/code.h"

#include "host/inference/fold.h"
#include "host/program/activation.h"

#include <math.h>

static double (*const activations[ACTIVATION_COUNT])(double x) = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = activation_##name,
#include "host/net/layers.def"
};

static int8_t code_of(double value, struct coding coding)
{
    const double units = fmin(fmax(value / (double)coding.scale, -1e6), 1e6);
    return (int8_t)code_cut(coding.zero + llround(units));
}

static double value_of(int32_t code, struct coding coding)
{
    return (double)coding.scale * (code - coding.zero);
}

void code_pixels(const struct model_about *about, int32_t channel, struct coding y, int8_t table[CODES])
{
    for (int32_t i = 0; i < CODES; i++)
        table[i] = code_of((i / 255.0 - (double)about->mean[channel]) / (double)about->deviation[channel], y);
}

void code_activation(enum activation_kind activation, struct coding x, struct coding y, int8_t table[CODES])
{
    for (int32_t i = 0; i < CODES; i++)
        table[i] = code_of(activations[activation](value_of(CODE_LEAST + i, x)), y);
}

struct rescale code_conv(struct coding x, float kernel_scale, struct coding y)
{
    return rescale_of((double)x.scale * (double)kernel_scale / (double)y.scale);
}

struct code_norm code_batch_norm(const struct model *model, const struct layer *layer, int32_t c,
                                 struct coding x, struct coding y)
{
    enum { MOST_FACTOR = 32767, MOST_SUMMAND = 1 << 30 };
    double factor, summand;
    fold_batch_norm(model, layer, c, &factor, &summand);
    const double unit =
        fmax(fmax(fabs(factor) / MOST_FACTOR, fabs(summand) / ((double)x.scale * MOST_SUMMAND)), 1e-30);
    return (struct code_norm){(int32_t)llround(factor / unit),
                              (int32_t)llround(summand / ((double)x.scale * unit)),
                              rescale_of((double)x.scale * unit / (double)y.scale)};
}

static int32_t factor_of(double ratio)
{
    return (int32_t)llround(fmin(ratio * (1 << CODE_FACTOR_BITS), INT32_MAX));
}

int32_t code_factor(struct coding x, struct coding y)
{
    return factor_of((double)x.scale / (double)y.scale);
}

int32_t code_gate(struct coding x, struct coding gate, int32_t code, struct coding y)
{
    return factor_of(activation_gate(value_of(code, gate)) * (double)x.scale / (double)y.scale);
}

struct rescale code_mean(struct coding x, int32_t count, struct coding y)
{
    return rescale_of((double)x.scale / ((double)y.scale * count));
}

int64_t code_shift(int64_t value)
{
    const int64_t half = (int64_t)1 << (CODE_FACTOR_BITS - 1);
    return value >= 0 ? (value + half) >> CODE_FACTOR_BITS : -((half - value) >> CODE_FACTOR_BITS);
}

int64_t code_divide(int64_t value, int32_t count)
{
    return value >= 0 ? (value + count / 2) / count : -((count / 2 - value) / count);
}

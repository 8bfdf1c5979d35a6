/* The formulas of the activations, for every device: this header is compiled in double for the reference, which defines
 * ACTIVATION_DOUBLE before it, and in float for the CPU and for CUDA devices.
 *
 * Each row NAME of layers.def has
 *     activation_NAME(x)                  y
 *     activation_NAME_backward(seen, dy)  dx; `seen` is x, or y where the row says OUTPUT
 * Both are 0 where their arguments are, since the padding of the channels goes through them and must stay 0; and NaN is
 * handed on. They are free of branches and call nothing but what stands here: compilers make vectors of loops over
 * them.
 *
 * In float, e^x and the normal distribution are approximations, the same on all devices but for fused multiply-adds.
 * Forward errs by at most 2^-21 |x| (and a unit of the smallest float), backward by at most 2^-21 |dy|. */
#ifndef NASRUN_PROGRAM_ACTIVATION_H
#define NASRUN_PROGRAM_ACTIVATION_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define ACTIVATION_INLINE static __host__ __device__ __forceinline__
#else
#define ACTIVATION_INLINE                                                                                    \
    static inline __attribute__((always_inline)) /* into functions for wider vectors, too */
#endif

#ifdef ACTIVATION_DOUBLE
#include <math.h>
typedef double activation_number;

/* Finite: arguments above 700 are taken for that. */
ACTIVATION_INLINE double activation_exp(double x)
{
    return exp(x > 700 ? 700 : x);
}

/* Share of the standard normal distribution below x. */
ACTIVATION_INLINE double activation_normal(double x)
{
    return 0.5 * erfc(-0.70710678118654752440 * x);
}
#else
typedef float activation_number;

/* Relative error below 2^-22; arguments beyond -60 and 60 are taken for these, since farther out products with the
 * result are denormal numbers, which are slow. e^x = 2^n e^r, |r| <= ln 2 / 2; the polynomial is that of Moshier's
 * Cephes library, expf. */
ACTIVATION_INLINE float activation_exp(float x)
{
    /* 1.5 * 2^23: the last bits of a sum with it are the other summand, rounded to a whole number. */
    const float rounder = 12582912.0f;
    const float least = x < -60.0f ? -60.0f : x, within = least > 60.0f ? 60.0f : least;
    const float sum = within * 1.44269504f + rounder, n = sum - rounder;
    const float r =
        (within - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts: the first product is exact */
    float p = 1.9875691500e-4f, power;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &sum, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u; /* 2^n: of the rounder nothing is left */
    memcpy(&power, &bits, sizeof(power));
    return p * power;
}

/* Share of the standard normal distribution below x; absolute error below 2^-22. The tail is t P(t) e^(-x^2 / 2) with
 * t = 1 / (1 + 0.45 |x|), the form of Abramowitz, Stegun 7.1.26; P of degree 6, fitted by Remez' exchange to 2.1e-9. */
ACTIVATION_INLINE float activation_normal(float x)
{
    const float t = 1.0f / (1.0f + 0.45f * (x < 0.0f ? -x : x));
    float p = -0.0378538731f;
    p = p * t + 0.217446938f;
    p = p * t - 0.474041408f;
    p = p * t + 0.393639517f;
    p = p * t + 0.0181362574f;
    p = p * t + 0.205400962f;
    p = p * t + 0.177271605f;
    const float tail = p * t * activation_exp(-0.5f * x * x), rest = 1.0f - tail;
    return x < 0.0f ? tail : rest;
}
#endif

ACTIVATION_INLINE activation_number activation_relu(activation_number x)
{
    return x < 0 ? 0 : x;
}

ACTIVATION_INLINE activation_number activation_relu_backward(activation_number y, activation_number dy)
{
    return y > 0 ? dy : 0;
}

/* Hendrycks, Gimpel 2016, the exact form (PyTorch's default): x times the share of the normal distribution below x. */
ACTIVATION_INLINE activation_number activation_gelu(activation_number x)
{
    return x * activation_normal(x);
}

ACTIVATION_INLINE activation_number activation_gelu_backward(activation_number x, activation_number dy)
{
    const activation_number density =
        (activation_number)0.39894228040143267794 * activation_exp(-0.5f * x * x);
    return dy * (activation_normal(x) + x * density);
}

/* Elfwing, Uchibe, Doya 2018, also Swish: x times the logistic function of x. */
ACTIVATION_INLINE activation_number activation_silu(activation_number x)
{
    return x / (1 + activation_exp(-x));
}

ACTIVATION_INLINE activation_number activation_silu_backward(activation_number x, activation_number dy)
{
    const activation_number power = activation_exp(-x), share = 1 / (1 + power);
    return dy * (share * (1 + x * (power * share))); /* 1 - share would lose its digits where x is large */
}

/* Howard et al. 2019 (MobileNetV3): SiLU in straight pieces. */
ACTIVATION_INLINE activation_number activation_hard_swish(activation_number x)
{
    const activation_number share = x < -3 ? 0 : x > 3 ? 1 : x / 6 + 0.5f;
    return x * share;
}

ACTIVATION_INLINE activation_number activation_hard_swish_backward(activation_number x, activation_number dy)
{
    return dy * (x < -3 ? 0 : x > 3 ? 1 : x / 3 + 0.5f);
}

/* Krizhevsky 2010, Howard et al. 2017 (MobileNet): ReLU with an end. */
ACTIVATION_INLINE activation_number activation_relu6(activation_number x)
{
    return x < 0 ? 0 : x > 6 ? 6 : x;
}

ACTIVATION_INLINE activation_number activation_relu6_backward(activation_number y, activation_number dy)
{
    return y <= 0 || y >= 6 ? 0 : dy;
}

/* What a gate multiplies by, in (0, 2): twice the logistic function, exactly 1 at 0; and its slope. */
ACTIVATION_INLINE activation_number activation_gate(activation_number gate)
{
    return 2 / (1 + activation_exp(-gate));
}

ACTIVATION_INLINE activation_number activation_gate_slope(activation_number gate)
{
    const activation_number power = activation_exp(-gate), share = 1 / (1 + power);
    return 2 * share * (power * share);
}

#endif

/* The 16-bit activation types on the host, for what goes up and comes down; to nearest, of equals the even one, NaN
 * stays one. */
#ifndef NASRUN_CUDA_KERNELS_HALF_H
#define NASRUN_CUDA_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_bits_to_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint32_t half_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float half_from_bf16(uint16_t stored)
{
    return half_bits_to_float((uint32_t)stored << 16);
}

static inline uint16_t half_to_bf16(float value)
{
    const uint32_t wide = half_float_bits(value);
    if ((wide & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(wide >> 16 | 0x40u);
    return (uint16_t)((wide + 0x7fffu + (wide >> 16 & 1u)) >> 16);
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
static inline float half_from_fp16(uint16_t stored)
{
    const uint32_t sign = (uint32_t)(stored & 0x8000u) << 16, exponent = stored >> 10 & 31u,
                   fraction = stored & 1023u;
    if (exponent == 31)
        return half_bits_to_float(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) /* 2^-24 times the fraction, exactly */
        return half_bits_to_float(sign | half_float_bits((float)fraction * 0x1p-24f));
    return half_bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t half_to_fp16(float value)
{
    const uint32_t wide = half_float_bits(value), size = wide & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(wide >> 16 & 0x8000u);
    if (size > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (size >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (size <
        0x38800000u) /* below 2^-14: adding 1/2 shifts the fraction into place, and the addition rounds */
        return (uint16_t)(sign | (half_float_bits(half_bits_to_float(size) + 0.5f) - half_float_bits(0.5f)));
    return (uint16_t)(sign | ((size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13));
}

#endif

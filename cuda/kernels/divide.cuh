/* Whole division by a number that the host knows, by multiplication: a division takes a GPU some twenty instructions,
 * and to find a pixel takes several (Granlund, Montgomery 1994, "Division by Invariant Integers using
 * Multiplication"). */
#ifndef NASRUN_CUDA_KERNELS_DIVIDE_CUH
#define NASRUN_CUDA_KERNELS_DIVIDE_CUH

#include "cuda/kernels/kernels.h"
#include "cuda/kernels/launch.h"

struct divisor {
    uint32_t by, factor, shift; /* factor = 2^(31 + shift) / by, rounded up; 2^shift >= by */
};

/* by: 1 to 2^31. */
static inline divisor divisor_of(int64_t by)
{
    divisor d = {(uint32_t)by, 0, 0};
    while ((int64_t)1 << d.shift < by)
        d.shift++;
    d.factor = (uint32_t)((((uint64_t)1 << (31 + d.shift)) + (uint64_t)by - 1) / (uint64_t)by);
    return d;
}

/* n / d for n below 2^31: the factor is at most by / 2^(31 + shift) of itself too large, too little to reach the next
 * whole number. */
static __device__ __forceinline__ uint32_t divided(uint32_t n, const divisor &d)
{
    return (uint32_t)((uint64_t)(n + n) * d.factor >> 32) >> d.shift;
}

/* n becomes n / d; returns n % d. */
static __device__ __forceinline__ uint32_t take_rest(uint32_t *n, const divisor &d)
{
    const uint32_t whole = divided(*n, d), rest = *n - whole * d.by;
    *n = whole;
    return rest;
}

#endif

/* What batch norm's directions share. */
#ifndef NASRUN_CUDA_KERNELS_NORM_CUH
#define NASRUN_CUDA_KERNELS_NORM_CUH

#include "cuda/kernels/columns.cuh"

/* What was above zero but for rounding; NaN stays. */
static __device__ __forceinline__ float at_least_zero(float x)
{
    return at_least(x, 0.0f);
}

/* Before addend and ReLU; factor = scale * invstd. One rounding by name, not by the compiler's choice: backward must find
 * the very same numbers. */
static __device__ __forceinline__ float normalised(float x, float centre, float factor, float base)
{
    return fmaf(x - centre, factor, base);
}

/* The largest number above zero that is stored as zero: half of the smallest that is not. */
template <class T> static __device__ __forceinline__ float vanishing(void);
template <> __device__ __forceinline__ float vanishing<float>(void)
{
    return 0.0f;
}
template <> __device__ __forceinline__ float vanishing<bf16>(void)
{
    return 0x1p-134f;
}
template <> __device__ __forceinline__ float vanishing<half>(void)
{
    return 0x1p-25f;
}

#endif

/* Eight channels side by side: what a thread loads, computes with and stores at once. 16 bytes in bf16 and half, 32
 * in float32; channels are padded to multiples of eight, so a pack never straddles two pixels. */
#ifndef NASRUN_CUDA_PACK_CUH
#define NASRUN_CUDA_PACK_CUH

#include "cuda/kernels.h"
#include "cuda/launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef __nv_bfloat16 bf16;

/* Calls launch(T()) with the C++ type of activations. */
template <class F> static inline cudaError_t with_type(enum cuda_type type, F launch)
{
    switch (type) {
    case CUDA_BF16:
        return launch(bf16());
    case CUDA_HALF:
        return launch(half());
    case CUDA_FLOAT:
        break;
    }
    return launch(0.0f);
}

/* As it lies in memory; the alignment makes loads and stores of 16 bytes. */
template <class T> struct alignas(16) stored {
    T v[CUDA_CHANNELS];
};

/* As it is computed with. */
struct pack {
    float v[CUDA_CHANNELS];
};

static __device__ __forceinline__ float to_float(float x)
{
    return x;
}
static __device__ __forceinline__ float to_float(bf16 x)
{
    return __bfloat162float(x);
}
static __device__ __forceinline__ float to_float(half x)
{
    return __half2float(x);
}
static __device__ __forceinline__ void from_float(float x, half *to)
{
    *to = __float2half_rn(x);
}
static __device__ __forceinline__ void from_float(float x, float *to)
{
    *to = x;
}
static __device__ __forceinline__ void from_float(float x, bf16 *to)
{
    *to = __float2bfloat16(x);
}

/* Pack number `at` of an array, as it is stored. A thread that reads several packs takes them all like this, before it
 * uses the first: their ways from memory then overlap. */
template <class T> static __device__ __forceinline__ stored<T> fetch(const T *array, size_t at)
{
    return reinterpret_cast<const stored<T> *>(array)[at];
}

template <class T> static __device__ __forceinline__ pack unpacked(const stored<T> &s)
{
    pack p;
    for (int j = 0; j < CUDA_CHANNELS; j++)
        p.v[j] = to_float(s.v[j]);
    return p;
}

template <class T> static __device__ __forceinline__ pack load(const T *array, size_t at)
{
    return unpacked(fetch(array, at));
}

template <class T> static __device__ __forceinline__ void store(T *array, size_t at, const pack &p)
{
    stored<T> s;
    for (int j = 0; j < CUDA_CHANNELS; j++)
        from_float(p.v[j], &s.v[j]);
    reinterpret_cast<stored<T> *>(array)[at] = s;
}

static __device__ __forceinline__ pack pack_of(float x)
{
    pack p;
    for (int j = 0; j < CUDA_CHANNELS; j++)
        p.v[j] = x;
    return p;
}

/* Values first .. first + 7 of a vector of `count`, first a multiple of 8; zeros behind its end. */
static __device__ __forceinline__ pack load_vector(const float *vector, int32_t first, int32_t count)
{
    if (first + CUDA_CHANNELS <= count)
        return load(vector, (size_t)(first / CUDA_CHANNELS));
    pack p;
    for (int j = 0; j < CUDA_CHANNELS; j++)
        p.v[j] = first + j < count ? vector[first + j] : 0.0f;
    return p;
}

/* The inverse, of what belongs to a vector. */
static __device__ __forceinline__ void store_vector(float *vector, int32_t first, int32_t count,
                                                    const pack &p)
{
    for (int j = 0; j < CUDA_CHANNELS; j++)
        if (first + j < count)
            vector[first + j] = p.v[j];
}

/* max(x, 0); NaN stays. */
static __device__ __forceinline__ float rectified(float x)
{
    return x < 0.0f ? 0.0f : x;
}

#endif

/* Eight channels side by side: what a thread loads, computes with and stores at once. 16 bytes in bf16 and half, 32
 * in float32; channels are padded to multiples of eight, so a pack never straddles two pixels. */
#ifndef NASRUN_CUDA_KERNELS_PACK_CUH
#define NASRUN_CUDA_KERNELS_PACK_CUH

#include "cuda/kernels/kernels.h"
#include "cuda/kernels/launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <string.h>

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

/* As it lies in memory; the alignment makes loads and stores of 16 bytes. Pairs of 16-bit values stay together until
 * they are used: one by one each would take a register. */
template <class T> struct alignas(16) stored {
    uint32_t pair[CUDA_CHANNELS / 2];
};
template <> struct alignas(16) stored<float> {
    float v[CUDA_CHANNELS];
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

static __device__ __forceinline__ pack unpacked(const stored<float> &s)
{
    pack p;
    for (int j = 0; j < CUDA_CHANNELS; j++)
        p.v[j] = s.v[j];
    return p;
}
static __device__ __forceinline__ pack unpacked(const stored<half> &s)
{
    pack p;
    for (int j = 0; j < CUDA_CHANNELS; j += 2) {
        const __half2 values = *reinterpret_cast<const __half2 *>(&s.pair[j / 2]);
        p.v[j] = __low2float(values);
        p.v[j + 1] = __high2float(values);
    }
    return p;
}
static __device__ __forceinline__ pack unpacked(const stored<bf16> &s)
{
    pack p;
    for (int j = 0; j < CUDA_CHANNELS; j += 2) { /* the upper half of a float */
        const uint32_t low = s.pair[j / 2] << 16, high = s.pair[j / 2] & 0xffff0000u;
        memcpy(&p.v[j], &low, sizeof(low));
        memcpy(&p.v[j + 1], &high, sizeof(high));
    }
    return p;
}

static __device__ __forceinline__ void packed(const pack &p, stored<float> *s)
{
    for (int j = 0; j < CUDA_CHANNELS; j++)
        s->v[j] = p.v[j];
}
static __device__ __forceinline__ void packed(const pack &p, stored<half> *s)
{
    for (int j = 0; j < CUDA_CHANNELS; j += 2) {
        const __half2 values = __floats2half2_rn(p.v[j], p.v[j + 1]);
        memcpy(&s->pair[j / 2], &values, sizeof(values));
    }
}
static __device__ __forceinline__ void packed(const pack &p, stored<bf16> *s)
{
    for (int j = 0; j < CUDA_CHANNELS; j += 2) {
        const __nv_bfloat162 values = __floats2bfloat162_rn(p.v[j], p.v[j + 1]);
        memcpy(&s->pair[j / 2], &values, sizeof(values));
    }
}

template <class T> static __device__ __forceinline__ pack load(const T *array, size_t at)
{
    return unpacked(fetch(array, at));
}

template <class T> static __device__ __forceinline__ void store(T *array, size_t at, const pack &p)
{
    stored<T> s;
    packed(p, &s);
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

/* max(x, least); NaN stays. */
static __device__ __forceinline__ float at_least(float x, float least)
{
    return x < least ? least : x;
}

#endif

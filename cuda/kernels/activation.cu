/* Activations and their gradients: one pack of eight channels a thread, the grid's stride. Bound by DRAM: each value is read
 * once and written once. */
#include "cuda/kernels/pack.cuh"
#include "host/program/activation.h"

/* The formulas of a row of layers.def as a type. */
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    struct formulas_##name {                                                                                 \
        static __device__ __forceinline__ float forward(float x)                                             \
        {                                                                                                    \
            return activation_##name(x);                                                                     \
        }                                                                                                    \
        static __device__ __forceinline__ float backward(float seen, float dy)                               \
        {                                                                                                    \
            return activation_##name##_backward(seen, dy);                                                   \
        }                                                                                                    \
    };
#include "host/net/layers.def"

template <class T, class F>
static __global__ void __launch_bounds__(LAUNCH_THREADS) activation_forward(size_t packs, const T *x, T *y)
{
    LAUNCH_FOR(size_t, i, packs)
    {
        pack p = load(x, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] = F::forward(p.v[j]);
        store(y, i, p);
    }
}

template <class T, class F>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    activation_gradient(size_t packs, const T *seen, const T *dy, T *dx)
{
    LAUNCH_FOR(size_t, i, packs)
    {
        const pack s = load(seen, i);
        pack p = load(dy, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] = F::backward(s.v[j], p.v[j]);
        store(dx, i, p);
    }
}

/* ---- launches ---- */

template <class T, class F>
static cudaError_t launch_forward(cudaStream_t stream, size_t packs, const void *x, void *y)
{
    const auto kernel = activation_forward<T, F>;
    LAUNCH(kernel, launch_blocks(packs), LAUNCH_THREADS, 0, stream, packs, (const T *)x, (T *)y);
    return cudaGetLastError();
}

template <class T, class F>
static cudaError_t launch_gradient(cudaStream_t stream, size_t packs, const void *seen, const void *dy,
                                   void *dx)
{
    const auto kernel = activation_gradient<T, F>;
    LAUNCH(kernel, launch_blocks(packs), LAUNCH_THREADS, 0, stream, packs, (const T *)seen, (const T *)dy,
           (T *)dx);
    return cudaGetLastError();
}

cudaError_t cuda_launch_activation(cudaStream_t stream, enum cuda_type type, enum activation_kind function,
                                   size_t count, const void *x, void *y)
{
    const size_t packs = count / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        switch (function) {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    case ACTIVATION_##KIND:                                                                                  \
        return launch_forward<T, formulas_##name>(stream, packs, x, y);
#include "host/net/layers.def"
        case ACTIVATION_COUNT:
            break;
        }
        return cudaErrorInvalidValue;
    });
}

cudaError_t cuda_launch_activation_backward(cudaStream_t stream, enum cuda_type type,
                                            enum activation_kind function, size_t count, const void *seen,
                                            const void *dy, void *dx)
{
    const size_t packs = count / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        switch (function) {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    case ACTIVATION_##KIND:                                                                                  \
        return launch_gradient<T, formulas_##name>(stream, packs, seen, dy, dx);
#include "host/net/layers.def"
        case ACTIVATION_COUNT:
            break;
        }
        return cudaErrorInvalidValue;
    });
}

/* Activations, add, dropout and bias: one pack of eight channels a thread, the grid's stride. Bound by DRAM: each
 * value is read once and written once; dropout by its draws. */
#include "cuda/kernels/divide.cuh"
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

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS) add_two(size_t packs, const T *a, const T *b, T *sum)
{
    LAUNCH_FOR(size_t, i, packs)
    {
        pack p = load(a, i);
        const pack q = load(b, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] += q.v[j];
        store(sum, i, p);
    }
}

/* The draw for element e is shared by the elements 4 * (e / 4) .. + 3 in N,C,H,W order; neighbouring channels
 * share it only where h = w = 1, so the last one is kept. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    dropout_both(uint32_t packs, divisor vectors, divisor plane, int32_t channels, const T *x, float rate,
                 uint32_t layer_id, const cuda_step *step, T *y)
{
    const uint64_t seed = step->seed, number = (uint64_t)step->number << 24, row = step->row;
    const float kept_share = 1.0f - rate;
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t rest = i;
        const uint32_t vector = take_rest(&rest, vectors), pixel = take_rest(&rest, plane);
        const uint64_t image = row + rest;
        pack p = load(x, i);
        uint64_t drawn = ~(uint64_t)0;
        random4 draw = {{0, 0, 0, 0}};
        for (int j = 0; j < CUDA_CHANNELS; j++) {
            const int32_t c = (int32_t)vector * CUDA_CHANNELS + j;
            if (c >= channels)
                break; /* padding: zero, and stays so */
            const uint64_t e = (image * (uint64_t)channels + (uint64_t)c) * plane.by + pixel;
            if (e / 4 != drawn) {
                drawn = e / 4;
                draw = random_draw(seed, RANDOM_DROPOUT, number | drawn, layer_id);
            }
            /* No index into the draw that is known only at run time: it would live in memory. */
            const uint32_t low = e & 1 ? draw.v[1] : draw.v[0], high = e & 1 ? draw.v[3] : draw.v[2];
            p.v[j] = random_unit(e & 2 ? high : low) >= rate ? p.v[j] / kept_share : 0.0f;
        }
        store(y, i, p);
    }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    bias_added(uint32_t packs, divisor vectors, int32_t channels, const float *__restrict__ bias,
               T *__restrict__ y)
{
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t pixel = i;
        const pack b = load_vector(bias, (int32_t)take_rest(&pixel, vectors) * CUDA_CHANNELS, channels);
        pack p = load(y, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] += b.v[j];
        store(y, i, p);
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

template <class T>
static cudaError_t launch_add(cudaStream_t stream, size_t packs, const void *a, const void *b, void *sum)
{
    LAUNCH(add_two<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, packs, (const T *)a, (const T *)b,
           (T *)sum);
    return cudaGetLastError();
}

cudaError_t cuda_launch_add(cudaStream_t stream, enum cuda_type type, size_t count, const void *a,
                            const void *b, void *sum)
{
    const size_t packs = count / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_add<T>(stream, packs, a, b, sum);
    });
}

template <class T>
static cudaError_t launch_dropout(cudaStream_t stream, struct cuda_shape s, const void *x, float rate,
                                  uint32_t layer_id, const struct cuda_step *step, void *y)
{
    const size_t packs = cuda_shape_count(s) / CUDA_CHANNELS;
    LAUNCH(dropout_both<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, (uint32_t)packs,
           divisor_of(cuda_padded(s.c) / CUDA_CHANNELS), divisor_of((int64_t)s.h * s.w), s.c, (const T *)x,
           rate, layer_id, step, (T *)y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_dropout(cudaStream_t stream, enum cuda_type type, struct cuda_shape s, const void *x,
                                float rate, uint32_t layer_id, const struct cuda_step *step, void *y)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_dropout<T>(stream, s, x, rate, layer_id, step, y);
    });
}

template <class T>
static cudaError_t launch_add_bias(cudaStream_t stream, struct cuda_shape s, const float *bias, void *y)
{
    const size_t packs = cuda_shape_count(s) / CUDA_CHANNELS;
    LAUNCH(bias_added<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, (uint32_t)packs,
           divisor_of(cuda_padded(s.c) / CUDA_CHANNELS), s.c, bias, (T *)y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_add_bias(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                 const float *bias, void *y)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_add_bias<T>(stream, s, bias, y);
    });
}

/* Pooling over whole images, and its gradient. Bound by DRAM. */
#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/warp.cuh"

/* A warp takes an image's pixels of some packs side by side, and each of its lanes ends with one channel. groups: of such packs
 * in a pixel. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    global_pool_forward(uint32_t warps, divisor groups, divisor packs, uint32_t vectors, uint32_t pixels,
                        const T *__restrict__ x, T *__restrict__ y)
{
    uint32_t image = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, line = threadIdx.x % WARP;
    if (image >= warps)
        return;
    const uint32_t group = take_rest(&image, groups), column = take_rest(&line, packs),
                   vector = group * packs.by + column, lines = WARP / packs.by;
    const bool inside = vector < vectors;
    pack sum = pack_of(0.0f);
    LAUNCH_UNROLLED
    for (uint32_t pixel = line; inside && pixel < pixels; pixel += lines) {
        const pack value = load(x, (size_t)(image * pixels + pixel) * vectors + vector);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            sum.v[j] += value.v[j];
    }
    const float total = warp_sum_packs(sum, (int)packs.by);
    if (inside && line < CUDA_CHANNELS)
        from_float(total / (float)pixels, &y[(size_t)(image * vectors + vector) * CUDA_CHANNELS + line]);
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    global_pool_gradient(uint32_t packs, divisor vectors, divisor plane, const T *__restrict__ dy,
                         T *__restrict__ dx)
{
    const float share = 1.0f / (float)plane.by;
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t pixel = i;
        const uint32_t vector = take_rest(&pixel, vectors);
        pack g = load(dy, (size_t)(divided(pixel, plane) * vectors.by + vector));
        for (int j = 0; j < CUDA_CHANNELS; j++)
            g.v[j] *= share;
        store(dx, i, g);
    }
}

/* ---- launches ---- */

cudaError_t cuda_launch_global_pool(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                    const void *x, void *y)
{
    const uint32_t vectors = (uint32_t)cuda_padded(s.c) / CUDA_CHANNELS, packs = (uint32_t)warp_packs(s.c);
    const divisor groups = divisor_of((vectors + packs - 1) / packs);
    const uint32_t warps = (uint32_t)s.n * groups.by, block_warps = LAUNCH_THREADS / WARP;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(global_pool_forward<T>, (warps + block_warps - 1) / block_warps, LAUNCH_THREADS, 0, stream,
               warps, groups, divisor_of(packs), vectors, (uint32_t)(s.h * s.w), (const T *)x, (T *)y);
        return cudaGetLastError();
    });
}

cudaError_t cuda_launch_global_pool_backward(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                             const void *dy, void *dx)
{
    const size_t packs = cuda_shape_count(s) / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(global_pool_gradient<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, (uint32_t)packs,
               divisor_of(cuda_padded(s.c) / CUDA_CHANNELS), divisor_of((int64_t)s.h * s.w), (const T *)dy,
               (T *)dx);
        return cudaGetLastError();
    });
}

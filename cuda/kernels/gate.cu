/* Channels times what their gates are open, and the gradients of both. Bound by DRAM. */
#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/warp.cuh"
#include "host/program/activation.h"

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    gate_forward(uint32_t packs, divisor vectors, divisor plane, const T *__restrict__ x,
                 const T *__restrict__ gate, T *__restrict__ y)
{
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t pixel = i;
        const uint32_t vector = take_rest(&pixel, vectors);
        pack value = load(x, i);
        const pack g = load(gate, (size_t)(divided(pixel, plane) * vectors.by + vector));
        for (int j = 0; j < CUDA_CHANNELS; j++)
            value.v[j] *= activation_gate(g.v[j]);
        store(y, i, value);
    }
}

/* A warp takes an image's pixels of some packs side by side, as in global_pool.cu, and each of its lanes ends with one
 * channel of the gate's gradient. groups: of such packs in a pixel. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    gate_gradient(uint32_t warps, divisor groups, divisor packs, uint32_t vectors, uint32_t pixels,
                  const T *__restrict__ x, const T *__restrict__ gate, const T *__restrict__ dy,
                  T *__restrict__ dx, T *__restrict__ dgate)
{
    uint32_t image = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, line = threadIdx.x % WARP;
    if (image >= warps)
        return;
    const uint32_t group = take_rest(&image, groups), column = take_rest(&line, packs),
                   vector = group * packs.by + column, lines = WARP / packs.by;
    const bool inside = vector < vectors;
    pack sum = pack_of(0.0f), factor = pack_of(0.0f);
    if (inside)
        factor = load(gate, (size_t)(image * vectors + vector));
    for (int j = 0; j < CUDA_CHANNELS; j++)
        factor.v[j] = activation_gate(factor.v[j]);
    for (uint32_t pixel = line; inside && pixel < pixels; pixel += lines) {
        const size_t at = (size_t)(image * pixels + pixel) * vectors + vector;
        const pack value = load(x, at);
        pack g = load(dy, at);
        for (int j = 0; j < CUDA_CHANNELS; j++) {
            sum.v[j] += g.v[j] * value.v[j];
            g.v[j] *= factor.v[j];
        }
        store(dx, at, g);
    }
    const float total = warp_sum_packs(sum, (int)packs.by);
    if (inside && line < CUDA_CHANNELS) {
        const size_t channel = (size_t)(image * vectors + vector) * CUDA_CHANNELS + line;
        from_float(total * activation_gate_slope(to_float(gate[channel])), &dgate[channel]);
    }
}

/* ---- launches ---- */

cudaError_t cuda_launch_gate(cudaStream_t stream, enum cuda_type type, struct cuda_shape s, const void *x,
                             const void *gate, void *y)
{
    const size_t packs = cuda_shape_count(s) / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(gate_forward<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, (uint32_t)packs,
               divisor_of(cuda_padded(s.c) / CUDA_CHANNELS), divisor_of((int64_t)s.h * s.w), (const T *)x,
               (const T *)gate, (T *)y);
        return cudaGetLastError();
    });
}

cudaError_t cuda_launch_gate_backward(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_gate_backward *gate)
{
    const struct cuda_shape s = gate->shape;
    const uint32_t vectors = (uint32_t)cuda_padded(s.c) / CUDA_CHANNELS, packs = (uint32_t)warp_packs(s.c);
    const divisor groups = divisor_of((vectors + packs - 1) / packs);
    const uint32_t warps = (uint32_t)s.n * groups.by, block_warps = LAUNCH_THREADS / WARP;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(gate_gradient<T>, (warps + block_warps - 1) / block_warps, LAUNCH_THREADS, 0, stream, warps,
               groups, divisor_of(packs), vectors, (uint32_t)(s.h * s.w), (const T *)gate->x,
               (const T *)gate->gate, (const T *)gate->dy, (T *)gate->dx, (T *)gate->dgate);
        return cudaGetLastError();
    });
}

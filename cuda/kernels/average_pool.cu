/* Average pool and its gradient, as max_pool.cu: one pack of the result a thread, backward from all windows over its pixel.
 * Bound by DRAM. */
#include "cuda/kernels/window.cuh"

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    average_pool_forward(numbering n, const __grid_constant__ cuda_pool a, const T *__restrict__ x,
                         T *__restrict__ y)
{
    const cuda_shape &in = a.in;
    const cuda_window &k = a.window;
    const uint32_t vectors = n.vectors.by;
    LAUNCH_FOR(uint32_t, i, n.packs)
    {
        const pack_place p = place_of(i, n);
        const span rows = window_span(p.y, k.kernel_h, k.stride, k.pad_h, in.h);
        const span columns = window_span(p.x, k.kernel_w, k.stride, k.pad_w, in.w);
        pack sum = pack_of(0.0f);
        for (int32_t row = rows.begin; row < rows.end; row++) {
            uint32_t from = pack_at(p, in, vectors, row, columns.begin);
            LAUNCH_ROLLED
            for (int32_t column = columns.begin; column < columns.end; column++, from += vectors) {
                const pack value = load(x, from);
                for (int j = 0; j < CUDA_CHANNELS; j++)
                    sum.v[j] += value.v[j];
            }
        }
        const float share = 1.0f / (float)((rows.end - rows.begin) * (columns.end - columns.begin));
        for (int j = 0; j < CUDA_CHANNELS; j++)
            sum.v[j] *= share;
        store(y, i, sum);
    }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    average_pool_gradient(numbering n, divisor stride, const __grid_constant__ cuda_pool_backward a,
                          const T *__restrict__ dy, T *__restrict__ dx)
{
    const cuda_shape &in = a.in, &out = a.out;
    const cuda_window &k = a.window;
    const uint32_t vectors = n.vectors.by;
    LAUNCH_FOR(uint32_t, i, n.packs)
    {
        const pack_place p = place_of(i, n);
        const span rows = windows_over(p.y, k.kernel_h, stride, k.pad_h, out.h);
        const span columns = windows_over(p.x, k.kernel_w, stride, k.pad_w, out.w);
        pack sum = pack_of(0.0f);
        for (int32_t row = rows.begin; row < rows.end; row++) {
            const span high = window_span(row, k.kernel_h, k.stride, k.pad_h, in.h);
            LAUNCH_ROLLED
            for (int32_t column = columns.begin; column < columns.end; column++) {
                const span wide = window_span(column, k.kernel_w, k.stride, k.pad_w, in.w);
                const float share = 1.0f / (float)((high.end - high.begin) * (wide.end - wide.begin));
                const pack g = load(dy, pack_at(p, out, vectors, row, column));
                for (int j = 0; j < CUDA_CHANNELS; j++)
                    sum.v[j] += g.v[j] * share;
            }
        }
        store(dx, i, sum);
    }
}

/* ---- launches ---- */

cudaError_t cuda_launch_average_pool(cudaStream_t stream, enum cuda_type type, const struct cuda_pool *pool)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(average_pool_forward<T>, launch_blocks(cuda_shape_count(pool->out) / CUDA_CHANNELS),
               LAUNCH_THREADS, 0, stream, numbering_of(pool->out), *pool, (const T *)pool->x, (T *)pool->y);
        return cudaGetLastError();
    });
}

cudaError_t cuda_launch_average_pool_backward(cudaStream_t stream, enum cuda_type type,
                                              const struct cuda_pool_backward *pool)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(average_pool_gradient<T>, launch_blocks(cuda_shape_count(pool->in) / CUDA_CHANNELS),
               LAUNCH_THREADS, 0, stream, numbering_of(pool->in), divisor_of(pool->window.stride), *pool,
               (const T *)pool->dy, (T *)pool->dx);
        return cudaGetLastError();
    });
}

/* Max pool and its gradient. One pack of the result a thread, also backward: there a thread gathers, in the windows' order,
 * from all windows over its pixel, so that nothing is added at random. Bound by DRAM; windows that overlap find their pixels in
 * the caches. */
#include "cuda/kernels/window.cuh"

struct alignas(8) winners {
    uint8_t v[CUDA_CHANNELS];
};

static __device__ __forceinline__ void take_larger(const pack &candidate, uint8_t place, pack *best,
                                                   winners *at)
{
    for (int j = 0; j < CUDA_CHANNELS; j++)
        if (candidate.v[j] > best->v[j]) {
            best->v[j] = candidate.v[j];
            at->v[j] = place;
        }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    max_pool_forward(numbering n, const __grid_constant__ cuda_pool a, const T *__restrict__ x,
                     T *__restrict__ y, uint8_t *__restrict__ index)
{
    const cuda_shape &in = a.in;
    const cuda_window &k = a.window;
    enum { AHEAD = 4 }; /* pixels on their way at a time: all of a window of 2 x 2 */
    const uint32_t vectors = n.vectors.by;
    LAUNCH_FOR(uint32_t, i, n.packs)
    {
        const pack_place p = place_of(i, n);
        const span rows = window_span(p.y, k.kernel_h, k.stride, k.pad_h, in.h);
        const span columns = window_span(p.x, k.kernel_w, k.stride, k.pad_w, in.w);
        const int32_t width = columns.end - columns.begin;
        uint32_t from = pack_at(p, in, vectors, rows.begin, columns.begin);
        int32_t place = /* in the window, as index has it */
            (rows.begin - p.y * k.stride + k.pad_h) * k.kernel_w + columns.begin - p.x * k.stride + k.pad_w;
        const uint32_t to_next_row = ((uint32_t)in.w - (uint32_t)width) * vectors;
        int32_t pixels = (rows.end - rows.begin) * width, left_in_row = width;
        pack best = pack_of(0.0f);
        winners at = {};
        bool begun = false;
        LAUNCH_ROLLED
        for (; pixels > 0; pixels -= AHEAD) {
            stored<T> next[AHEAD];
            uint8_t places[AHEAD];
            for (int u = 0; u < AHEAD; u++) {
                next[u] = fetch(x, from);
                places[u] = (uint8_t)place;
                if (u + 1 >= pixels)
                    continue; /* behind the end the last again: it wins nothing */
                from += vectors;
                place++;
                if (--left_in_row == 0) {
                    left_in_row = width;
                    from += to_next_row;
                    place += k.kernel_w - width;
                }
            }
            if (!begun) { /* the first pixel stands even when it is NaN, so the place always lies inside */
                best = unpacked(next[0]);
                for (int j = 0; j < CUDA_CHANNELS; j++)
                    at.v[j] = places[0];
                begun = true;
            }
            for (int u = 0; u < AHEAD; u++)
                take_larger(unpacked(next[u]), places[u], &best, &at);
        }
        store(y, i, best);
        if (index)
            reinterpret_cast<winners *>(index)[i] = at;
    }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    max_pool_gradient(numbering n, divisor stride, const __grid_constant__ cuda_pool_backward a,
                      const T *__restrict__ dy, const uint8_t *__restrict__ index, T *__restrict__ dx)
{
    const cuda_shape &out = a.out;
    const cuda_window &k = a.window;
    const uint32_t vectors = n.vectors.by;
    LAUNCH_FOR(uint32_t, i, n.packs)
    {
        const pack_place p = place_of(i, n);
        const span rows = windows_over(p.y, k.kernel_h, stride, k.pad_h, out.h);
        const span columns = windows_over(p.x, k.kernel_w, stride, k.pad_w, out.w);
        pack sum = pack_of(0.0f);
        for (int32_t row = rows.begin; row < rows.end; row++) {
            uint32_t window = pack_at(p, out, vectors, row, columns.begin);
            /* The pixel's place in the window; each next window begins a stride further right. */
            int32_t place =
                (p.y + k.pad_h - row * k.stride) * k.kernel_w + p.x + k.pad_w - columns.begin * k.stride;
            LAUNCH_ROLLED
            for (int32_t column = columns.begin; column < columns.end; column++) {
                const winners at = reinterpret_cast<const winners *>(index)[window];
                const pack g = load(dy, window);
                for (int j = 0; j < CUDA_CHANNELS; j++)
                    sum.v[j] += at.v[j] == place ? g.v[j] : 0.0f;
                window += vectors;
                place -= k.stride;
            }
        }
        store(dx, i, sum);
    }
}

/* ---- launches ---- */

cudaError_t cuda_launch_max_pool(cudaStream_t stream, enum cuda_type type, const struct cuda_pool *pool)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(max_pool_forward<T>, launch_blocks(cuda_shape_count(pool->out) / CUDA_CHANNELS),
               LAUNCH_THREADS, 0, stream, numbering_of(pool->out), *pool, (const T *)pool->x, (T *)pool->y,
               pool->index);
        return cudaGetLastError();
    });
}

cudaError_t cuda_launch_max_pool_backward(cudaStream_t stream, enum cuda_type type,
                                          const struct cuda_pool_backward *pool)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(max_pool_gradient<T>, launch_blocks(cuda_shape_count(pool->in) / CUDA_CHANNELS),
               LAUNCH_THREADS, 0, stream, numbering_of(pool->in), divisor_of(pool->window.stride), *pool,
               (const T *)pool->dy, pool->index, (T *)pool->dx);
        return cudaGetLastError();
    });
}

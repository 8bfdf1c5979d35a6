/* Pooling over windows and over whole images, and their gradients. One pack of the result a thread, also
 * backward: there a thread gathers, in the windows' order, from all windows over its pixel, so that nothing
 * is added at random. Bound by DRAM; windows that overlap find their pixels in the caches. */
#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/warp.cuh"

/* Rows or columns [begin, end) of the image under window `i`. */
struct span {
    int32_t begin, end;
};

static __device__ __forceinline__ span window_span(int32_t i, int32_t kernel, int32_t stride, int32_t pad,
                                                   int32_t size)
{
    const int32_t corner = i * stride - pad;
    return span{max(corner, 0), min(corner + kernel, size)};
}

/* Windows [begin, end) over row or column `i` of the image. */
static __device__ __forceinline__ span windows_over(int32_t i, int32_t kernel, const divisor &stride,
                                                    int32_t pad, int32_t windows)
{
    const int32_t last = i + pad, before = last - kernel; /* corners, counted from the padding's edge */
    return span{before < 0 ? 0 : (int32_t)divided((uint32_t)before, stride) + 1,
                min((int32_t)divided((uint32_t)last, stride) + 1, windows)};
}

/* How packs of an activation are numbered. In 32 bits: 64 would cost registers that the windows need. */
struct numbering {
    uint32_t packs;
    divisor vectors, w, h;
};

static numbering numbering_of(struct cuda_shape s)
{
    const int32_t vectors = cuda_padded(s.c) / CUDA_CHANNELS;
    return numbering{(uint32_t)(cuda_shape_count(s) / CUDA_CHANNELS), divisor_of(vectors), divisor_of(s.w),
                     divisor_of(s.h)};
}

/* Where a pack lies. */
struct pack_place {
    int32_t image, y, x, vector;
};

static __device__ __forceinline__ pack_place place_of(uint32_t i, const numbering &n)
{
    pack_place p;
    p.vector = (int32_t)take_rest(&i, n.vectors);
    p.x = (int32_t)take_rest(&i, n.w);
    p.y = (int32_t)take_rest(&i, n.h);
    p.image = (int32_t)i;
    return p;
}

/* Number of the pack at (y, x) of the same image and channels. */
static __device__ __forceinline__ uint32_t pack_at(const pack_place &p, cuda_shape s, uint32_t vectors,
                                                   int32_t y, int32_t x)
{
    return (((uint32_t)p.image * (uint32_t)s.h + (uint32_t)y) * (uint32_t)s.w + (uint32_t)x) * vectors +
           (uint32_t)p.vector;
}

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
    max_pool_forward(numbering n, cuda_shape in, cuda_window k, const T *__restrict__ x, T *__restrict__ y,
                     uint8_t *__restrict__ index)
{
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
    max_pool_gradient(numbering n, cuda_shape out, cuda_window k, divisor stride, const T *__restrict__ dy,
                      const uint8_t *__restrict__ index, T *__restrict__ dx)
{
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

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    average_pool_forward(numbering n, cuda_shape in, cuda_window k, const T *__restrict__ x,
                         T *__restrict__ y)
{
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
    average_pool_gradient(numbering n, cuda_shape in, cuda_shape out, cuda_window k, divisor stride,
                          const T *__restrict__ dy, T *__restrict__ dx)
{
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

static unsigned blocks_of(struct cuda_shape s)
{
    return launch_blocks(cuda_shape_count(s) / CUDA_CHANNELS);
}

template <class T>
static cudaError_t launch_max_pool(cudaStream_t stream, struct cuda_shape in, struct cuda_shape out,
                                   struct cuda_window k, const T *x, T *y, uint8_t *index)
{
    LAUNCH(max_pool_forward<T>, blocks_of(out), LAUNCH_THREADS, 0, stream, numbering_of(out), in, k, x, y,
           index);
    return cudaGetLastError();
}

cudaError_t cuda_launch_max_pool(cudaStream_t stream, enum cuda_type type, struct cuda_shape in,
                                 struct cuda_shape out, struct cuda_window k, const void *x, void *y,
                                 uint8_t *index)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_max_pool(stream, in, out, k, (const T *)x, (T *)y, index);
    });
}

template <class T>
static cudaError_t launch_max_pool_backward(cudaStream_t stream, struct cuda_shape in, struct cuda_shape out,
                                            struct cuda_window k, const T *dy, const uint8_t *index, T *dx)
{
    LAUNCH(max_pool_gradient<T>, blocks_of(in), LAUNCH_THREADS, 0, stream, numbering_of(in), out, k,
           divisor_of(k.stride), dy, index, dx);
    return cudaGetLastError();
}

cudaError_t cuda_launch_max_pool_backward(cudaStream_t stream, enum cuda_type type, struct cuda_shape in,
                                          struct cuda_shape out, struct cuda_window k, const void *dy,
                                          const uint8_t *index, void *dx)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_max_pool_backward(stream, in, out, k, (const T *)dy, index, (T *)dx);
    });
}

template <class T>
static cudaError_t launch_average_pool(cudaStream_t stream, struct cuda_shape in, struct cuda_shape out,
                                       struct cuda_window k, const T *x, T *y)
{
    LAUNCH(average_pool_forward<T>, blocks_of(out), LAUNCH_THREADS, 0, stream, numbering_of(out), in, k, x,
           y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_average_pool(cudaStream_t stream, enum cuda_type type, struct cuda_shape in,
                                     struct cuda_shape out, struct cuda_window k, const void *x, void *y)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_average_pool(stream, in, out, k, (const T *)x, (T *)y);
    });
}

template <class T>
static cudaError_t launch_average_pool_backward(cudaStream_t stream, struct cuda_shape in,
                                                struct cuda_shape out, struct cuda_window k, const T *dy,
                                                T *dx)
{
    LAUNCH(average_pool_gradient<T>, blocks_of(in), LAUNCH_THREADS, 0, stream, numbering_of(in), in, out, k,
           divisor_of(k.stride), dy, dx);
    return cudaGetLastError();
}

cudaError_t cuda_launch_average_pool_backward(cudaStream_t stream, enum cuda_type type, struct cuda_shape in,
                                              struct cuda_shape out, struct cuda_window k, const void *dy,
                                              void *dx)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_average_pool_backward(stream, in, out, k, (const T *)dy, (T *)dx);
    });
}

template <class T>
static cudaError_t launch_global_pool(cudaStream_t stream, struct cuda_shape s, const T *x, T *y)
{
    const uint32_t vectors = (uint32_t)cuda_padded(s.c) / CUDA_CHANNELS, packs = (uint32_t)warp_packs(s.c);
    const divisor groups = divisor_of((vectors + packs - 1) / packs);
    const uint32_t warps = (uint32_t)s.n * groups.by, block_warps = LAUNCH_THREADS / WARP;
    LAUNCH(global_pool_forward<T>, (warps + block_warps - 1) / block_warps, LAUNCH_THREADS, 0, stream, warps,
           groups, divisor_of(packs), vectors, (uint32_t)(s.h * s.w), x, y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_global_pool(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                    const void *x, void *y)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_global_pool(stream, s, (const T *)x, (T *)y);
    });
}

template <class T>
static cudaError_t launch_global_pool_backward(cudaStream_t stream, struct cuda_shape s, const T *dy, T *dx)
{
    const numbering n = numbering_of(s);
    LAUNCH(global_pool_gradient<T>, blocks_of(s), LAUNCH_THREADS, 0, stream, n.packs, n.vectors,
           divisor_of((int64_t)s.h * s.w), dy, dx);
    return cudaGetLastError();
}

cudaError_t cuda_launch_global_pool_backward(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                             const void *dy, void *dx)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_global_pool_backward(stream, s, (const T *)dy, (T *)dx);
    });
}

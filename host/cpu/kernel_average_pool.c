/* Average pooling over windows and its gradient, a plane at a time. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

enum { PART = 64 }; /* columns of a row whose gradient is summed at once */

/* What is the same for all planes. */
struct pooling {
    struct cpu_shape in, out;
    struct cpu_window k;
};

/* Rows or columns [begin, end) of the image under window `i`. */
struct span {
    int32_t begin, end;
};

CPU_INLINE struct span window_span(int32_t i, int32_t kernel, int32_t stride, int32_t pad, int32_t size)
{
    const int32_t corner = i * stride - pad;
    struct span s = {corner, corner + kernel};
    if (s.begin < 0)
        s.begin = 0;
    if (s.end > size)
        s.end = size;
    return s;
}

CPU_INLINE void average_body(const enum cpu_type type, const struct pooling *pool, const void *x, void *y)
{
    const struct cpu_window k = pool->k;
    const size_t block = (size_t)pool->in.block, width = (size_t)pool->in.w;
    size_t to = 0;
    for (int32_t i = 0; i < pool->out.h; i++) {
        const struct span rows = window_span(i, k.kernel_h, k.stride, k.pad_h, pool->in.h);
        for (int32_t j = 0; j < pool->out.w; j++) {
            const struct span columns = window_span(j, k.kernel_w, k.stride, k.pad_w, pool->in.w);
            const float pixels = (float)((rows.end - rows.begin) * (columns.end - columns.begin));
            for (size_t half = 0; half < block; half += LANES_VALUES(type), to += LANES_VALUES(type)) {
                lanes sum[2] = {LANES_ZERO, LANES_ZERO}, v[2];
                for (int32_t r = rows.begin; r < rows.end; r++) {
                    size_t pixel = ((size_t)r * width + (size_t)columns.begin) * block + half;
                    for (int32_t c = columns.begin; c < columns.end; c++, pixel += block) {
                        LANES_LOAD(type, x, pixel, v);
                        for (int n = 0; n < LANES_VECTORS(type); n++)
                            sum[n] += v[n];
                    }
                }
                for (int n = 0; n < LANES_VECTORS(type); n++)
                    sum[n] /= LANES_ALL(pixels);
                LANES_STORE(type, y, to, sum);
            }
        }
    }
}

CPU_KERNEL static void plane_average(const struct pooling *pool, const void *x, void *y)
{
    CPU_BY_TYPE(pool->in.type, average_body, pool, x, y);
}

/* The first window whose last row or column is `at` or one behind it. */
CPU_INLINE int32_t first_window(int32_t at, int32_t kernel, int32_t stride, int32_t pad)
{
    const int32_t before = at + pad - kernel + 1;
    return before > 0 ? (before + stride - 1) / stride : 0;
}

/* A part of a row of dx, columns [begin, end) and the channels of a load from `half` on: what the windows over it give
 * is summed in float, window by window, and written once. */
CPU_INLINE void average_backward_part(const enum cpu_type type, const struct pooling *pool, const void *dy,
                                      void *dx, int32_t y, struct span part, size_t half)
{
    const struct cpu_window k = pool->k;
    const size_t block = (size_t)pool->in.block;
    lanes sums[PART][2], share[2];
    for (int32_t c = part.begin; c < part.end; c++)
        for (int v = 0; v < LANES_VECTORS(type); v++)
            sums[c - part.begin][v] = LANES_ZERO;
    for (int32_t i = first_window(y, k.kernel_h, k.stride, k.pad_h);
         i < pool->out.h && i * k.stride - k.pad_h <= y; i++) {
        const struct span rows = window_span(i, k.kernel_h, k.stride, k.pad_h, pool->in.h);
        for (int32_t j = first_window(part.begin, k.kernel_w, k.stride, k.pad_w);
             j < pool->out.w && j * k.stride - k.pad_w < part.end; j++) {
            const struct span columns = window_span(j, k.kernel_w, k.stride, k.pad_w, pool->in.w);
            const float pixels = (float)((rows.end - rows.begin) * (columns.end - columns.begin));
            LANES_LOAD(type, dy, ((size_t)i * (size_t)pool->out.w + (size_t)j) * block + half, share);
            for (int v = 0; v < LANES_VECTORS(type); v++)
                share[v] /= LANES_ALL(pixels);
            const int32_t begin = columns.begin > part.begin ? columns.begin : part.begin,
                          end = columns.end < part.end ? columns.end : part.end;
            for (int32_t c = begin; c < end; c++)
                for (int v = 0; v < LANES_VECTORS(type); v++)
                    sums[c - part.begin][v] += share[v];
        }
    }
    for (int32_t c = part.begin; c < part.end; c++)
        LANES_STORE(type, dx, ((size_t)y * (size_t)pool->in.w + (size_t)c) * block + half,
                    sums[c - part.begin]);
}

CPU_INLINE void average_backward_body(const enum cpu_type type, const struct pooling *pool, const void *dy,
                                      void *dx)
{
    for (int32_t y = 0; y < pool->in.h; y++)
        for (int32_t x = 0; x < pool->in.w; x += PART) {
            const struct span part = {x, x + PART < pool->in.w ? x + PART : pool->in.w};
            for (size_t half = 0; half < (size_t)pool->in.block; half += LANES_VALUES(type))
                average_backward_part(type, pool, dy, dx, y, part, half);
        }
}

CPU_KERNEL static void plane_average_backward(const struct pooling *pool, const void *dy, void *dx)
{
    CPU_BY_TYPE(pool->in.type, average_backward_body, pool, dy, dx);
}

void cpu_kernel_average_pool(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const void *x,
                             void *y)
{
    const struct pooling pool = {in, out, k};
    const size_t planes = cpu_shape_planes(in), in_count = cpu_shape_plane_count(in),
                 out_count = cpu_shape_plane_count(out);
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++)
        plane_average(&pool, cpu_read_from(in.type, x, p * in_count),
                      cpu_write_to(in.type, y, p * out_count));
}

void cpu_kernel_average_pool_backward(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                      const void *dy, void *dx)
{
    const struct pooling pool = {in, out, k};
    const size_t planes = cpu_shape_planes(in), in_count = cpu_shape_plane_count(in),
                 out_count = cpu_shape_plane_count(out);
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++)
        plane_average_backward(&pool, cpu_read_from(in.type, dy, p * out_count),
                               cpu_write_to(in.type, dx, p * in_count));
}

/* Average pooling over windows and over whole images, and their gradients, a plane at a time. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <string.h>

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

CPU_KERNEL static void plane_average(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                     const float *x, float *y)
{
    const size_t block = (size_t)in.block;
    for (int32_t i = 0; i < out.h; i++) {
        const struct span rows = window_span(i, k.kernel_h, k.stride, k.pad_h, in.h);
        for (int32_t j = 0; j < out.w; j++) {
            const struct span columns = window_span(j, k.kernel_w, k.stride, k.pad_w, in.w);
            const float pixels = (float)((rows.end - rows.begin) * (columns.end - columns.begin));
            for (size_t half = 0; half < block; half += LANES) {
                lanes sum = LANES_ZERO;
                for (int32_t r = rows.begin; r < rows.end; r++) {
                    const float *pixel =
                        x + ((size_t)r * (size_t)in.w + (size_t)columns.begin) * block + half;
                    for (int32_t c = columns.begin; c < columns.end; c++, pixel += block)
                        sum += LANES_IN(pixel);
                }
                LANES_AT(y) = sum / LANES_ALL(pixels);
                y += LANES;
            }
        }
    }
}

CPU_KERNEL static void plane_average_backward(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                              const float *dy, float *dx)
{
    const size_t block = (size_t)in.block;
    memset(dx, 0, (size_t)in.h * (size_t)in.w * block * sizeof *dx);
    for (int32_t i = 0; i < out.h; i++) {
        const struct span rows = window_span(i, k.kernel_h, k.stride, k.pad_h, in.h);
        for (int32_t j = 0; j < out.w; j++) {
            const struct span columns = window_span(j, k.kernel_w, k.stride, k.pad_w, in.w);
            const float pixels = (float)((rows.end - rows.begin) * (columns.end - columns.begin));
            for (size_t half = 0; half < block; half += LANES) {
                const lanes share = LANES_IN(dy) / LANES_ALL(pixels);
                dy += LANES;
                for (int32_t r = rows.begin; r < rows.end; r++) {
                    float *pixel = dx + ((size_t)r * (size_t)in.w + (size_t)columns.begin) * block + half;
                    for (int32_t c = columns.begin; c < columns.end; c++, pixel += block)
                        LANES_AT(pixel) += share;
                }
            }
        }
    }
}

void cpu_kernel_average_pool(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const float *x,
                             float *y)
{
    const int32_t planes = in.n * cpu_shape_blocks(in);
    const size_t in_count = (size_t)in.h * (size_t)in.w * (size_t)in.block;
    const size_t out_count = (size_t)out.h * (size_t)out.w * (size_t)out.block;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++)
        plane_average(in, out, k, x + (size_t)p * in_count, y + (size_t)p * out_count);
}

void cpu_kernel_average_pool_backward(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                      const float *dy, float *dx)
{
    const int32_t planes = in.n * cpu_shape_blocks(in);
    const size_t in_count = (size_t)in.h * (size_t)in.w * (size_t)in.block;
    const size_t out_count = (size_t)out.h * (size_t)out.w * (size_t)out.block;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++)
        plane_average_backward(in, out, k, dy + (size_t)p * out_count, dx + (size_t)p * in_count);
}

/* ---- whole images ---- */

/* Float sums of a few rows of pixels at a time, joined in a second sum, so that large images lose no digits:
 * the error grows with the square root of the pixels in both. */
CPU_KERNEL static void plane_mean(const float *x, size_t pixels, size_t block, float *y)
{
    enum { RUN = 256 };
    for (size_t half = 0; half < block; half += LANES) {
        lanes sum = LANES_ZERO;
        for (size_t begin = 0; begin < pixels; begin += RUN) {
            const size_t end = begin + RUN < pixels ? begin + RUN : pixels;
            lanes even = LANES_ZERO, odd = LANES_ZERO;
            size_t i = begin;
            for (; i + 2 <= end; i += 2) {
                even += LANES_IN(x + i * block + half);
                odd += LANES_IN(x + (i + 1) * block + half);
            }
            if (i < end)
                even += LANES_IN(x + i * block + half);
            sum += even + odd;
        }
        LANES_AT(y + half) = sum / LANES_ALL((float)pixels);
    }
}

CPU_KERNEL static void plane_fill(const float *dy, size_t pixels, size_t block, float *dx)
{
    for (size_t half = 0; half < block; half += LANES) {
        const lanes share = LANES_IN(dy + half) / LANES_ALL((float)pixels);
        for (size_t i = 0; i < pixels; i++)
            LANES_AT(dx + i * block + half) = share;
    }
}

void cpu_kernel_global_pool(struct cpu_shape s, const float *x, float *y)
{
    const int32_t planes = s.n * cpu_shape_blocks(s);
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++)
        plane_mean(x + (size_t)p * pixels * block, pixels, block, y + (size_t)p * block);
}

void cpu_kernel_global_pool_backward(struct cpu_shape s, const float *dy, float *dx)
{
    const int32_t planes = s.n * cpu_shape_blocks(s);
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++)
        plane_fill(dy + (size_t)p * block, pixels, block, dx + (size_t)p * pixels * block);
}

/* Average pooling over windows and its gradient, a plane at a time. */
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

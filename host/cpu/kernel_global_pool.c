/* Average pooling over whole images and its gradient, a plane at a time. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

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

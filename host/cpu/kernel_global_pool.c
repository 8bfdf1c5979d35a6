/* Average pooling over whole images and its gradient, a plane at a time. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

/* Float sums of a few rows of pixels at a time, joined in a second sum, so that large images lose no digits:
 * the error grows with the square root of the pixels in both. */
CPU_INLINE void mean_body(const enum cpu_type type, const void *x, size_t pixels, size_t block, void *y)
{
    enum { RUN = 256 };
    for (size_t half = 0; half < block; half += LANES_VALUES(type)) {
        lanes sum[2] = {LANES_ZERO, LANES_ZERO}, v[2];
        for (size_t begin = 0; begin < pixels; begin += RUN) {
            const size_t end = begin + RUN < pixels ? begin + RUN : pixels;
            lanes even[2] = {LANES_ZERO, LANES_ZERO}, odd[2] = {LANES_ZERO, LANES_ZERO};
            size_t i = begin;
            for (; i + 2 <= end; i += 2) {
                LANES_LOAD(type, x, i * block + half, v);
                for (int k = 0; k < LANES_VECTORS(type); k++)
                    even[k] += v[k];
                LANES_LOAD(type, x, (i + 1) * block + half, v);
                for (int k = 0; k < LANES_VECTORS(type); k++)
                    odd[k] += v[k];
            }
            if (i < end) {
                LANES_LOAD(type, x, i * block + half, v);
                for (int k = 0; k < LANES_VECTORS(type); k++)
                    even[k] += v[k];
            }
            for (int k = 0; k < LANES_VECTORS(type); k++)
                sum[k] += even[k] + odd[k];
        }
        for (int k = 0; k < LANES_VECTORS(type); k++)
            sum[k] /= LANES_ALL((float)pixels);
        LANES_STORE(type, y, half, sum);
    }
}

CPU_KERNEL static void plane_mean(enum cpu_type type, const void *x, size_t pixels, size_t block, void *y)
{
    CPU_BY_TYPE(type, mean_body, x, pixels, block, y);
}

CPU_INLINE void fill_body(const enum cpu_type type, const void *dy, size_t pixels, size_t block, void *dx)
{
    for (size_t half = 0; half < block; half += LANES_VALUES(type)) {
        lanes share[2];
        LANES_LOAD(type, dy, half, share);
        for (int k = 0; k < LANES_VECTORS(type); k++)
            share[k] /= LANES_ALL((float)pixels);
        for (size_t i = 0; i < pixels; i++)
            LANES_STORE(type, dx, i * block + half, share);
    }
}

CPU_KERNEL static void plane_fill(enum cpu_type type, const void *dy, size_t pixels, size_t block, void *dx)
{
    CPU_BY_TYPE(type, fill_body, dy, pixels, block, dx);
}

void cpu_kernel_global_pool(struct cpu_shape s, const void *x, void *y)
{
    const size_t planes = cpu_shape_planes(s);
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++)
        plane_mean(s.type, cpu_read_from(s.type, x, p * pixels * block), pixels, block,
                   cpu_write_to(s.type, y, p * block));
}

void cpu_kernel_global_pool_backward(struct cpu_shape s, const void *dy, void *dx)
{
    const size_t planes = cpu_shape_planes(s);
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++)
        plane_fill(s.type, cpu_read_from(s.type, dy, p * block), pixels, block,
                   cpu_write_to(s.type, dx, p * pixels * block));
}

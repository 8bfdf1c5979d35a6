/* Gradient of a depthwise convolution's kernel. A plane of x and one of dy give a sum for each tap and lane; images are
 * cut into a fixed number of slices, whose sums are joined in double, so that the order is that of the shape. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <string.h>

enum { SLICES = 16, MOST_TAPS = 7 /* that stay in registers */ };

static int32_t slices_of(struct cpu_shape s)
{
    return s.n < SLICES ? s.n : SLICES;
}

/* Floats that a slice has for a block of channels: of each tap, and behind them of the bias. */
static size_t sums_of(struct cpu_shape s, struct cpu_window k)
{
    return ((size_t)k.kernel_h * (size_t)k.kernel_w + 1) * (size_t)s.block;
}

size_t cpu_kernel_depthwise_scratch(struct cpu_shape s, struct cpu_window k)
{
    return (size_t)slices_of(s) * (size_t)cpu_shape_blocks(s) * sums_of(s, k) * sizeof(float);
}

/* One row of the kernel, `taps` of its columns from `left` on, eight lanes: x and dy are those of a plane, `row` is the
 * kernel's. Adds to sums[taps] vectors that are `block` apart. */
CPU_INLINE void sum_taps(const struct cpu_depthwise_weights *d, const float *x, const float *dy, int32_t row,
                         int32_t left, const int32_t taps, float *sums)
{
    const struct cpu_window k = d->window;
    const size_t block = (size_t)d->in.block;
    const int32_t width = d->in.w, corner = left - k.pad_w;
    lanes sum[MOST_TAPS];
    /* Columns whose taps are all inside the image: begin <= j < end. */
    int32_t begin = corner < 0 ? (-corner + k.stride - 1) / k.stride : 0;
    int32_t end = width - corner - taps < 0 ? 0 : (width - corner - taps) / k.stride + 1;
    begin = begin < d->out.w ? begin : d->out.w;
    end = end > d->out.w ? d->out.w : end < begin ? begin : end;
    for (int32_t t = 0; t < taps; t++)
        sum[t] = LANES_ZERO;
    for (int32_t i = 0; i < d->out.h; i++) {
        const int32_t from = i * k.stride + row - k.pad_h;
        if (from < 0 || from >= d->in.h)
            continue;
        const float *pixels = x + (size_t)from * (size_t)width * block;
        const float *gradients = dy + (size_t)i * (size_t)d->out.w * block;
        for (int32_t j = 0; j < d->out.w; j++) {
            const int32_t first = j * k.stride + corner;
            const lanes gradient = LANES_IN(gradients + (size_t)j * block);
            if (j >= begin && j < end) {
                const float *pixel = pixels + (size_t)first * block;
                for (int32_t t = 0; t < taps; t++)
                    sum[t] += gradient * LANES_IN(pixel + (size_t)t * block);
                continue;
            }
            for (int32_t t = 0; t < taps; t++)
                if (first + t >= 0 && first + t < width)
                    sum[t] += gradient * LANES_IN(pixels + (size_t)(first + t) * block);
        }
    }
    for (int32_t t = 0; t < taps; t++)
        LANES_AT(sums + (size_t)t * block) += sum[t];
}

/* Adds a plane's to the sums of its slice and block. */
CPU_KERNEL static void sum_plane(const struct cpu_depthwise_weights *d, const float *x, const float *dy,
                                 float *sums)
{
    const struct cpu_window k = d->window;
    const size_t block = (size_t)d->in.block, pixels = (size_t)d->out.h * (size_t)d->out.w;
    for (size_t half = 0; half < block; half += LANES) {
        float *to = sums + half;
        for (int32_t row = 0; row < k.kernel_h; row++)
            for (int32_t left = 0; left < k.kernel_w;) {
                const float *from = x + half, *gradient = dy + half;
                int32_t taps = k.kernel_w - left;
                switch (taps) { /* loops of constant length */
                case 1:
                    sum_taps(d, from, gradient, row, left, 1, to);
                    break;
                case 2:
                    sum_taps(d, from, gradient, row, left, 2, to);
                    break;
                case 3:
                    sum_taps(d, from, gradient, row, left, 3, to);
                    break;
                case 4:
                    sum_taps(d, from, gradient, row, left, 4, to);
                    break;
                case 5:
                    sum_taps(d, from, gradient, row, left, 5, to);
                    break;
                case 6:
                    sum_taps(d, from, gradient, row, left, 6, to);
                    break;
                default:
                    taps = MOST_TAPS;
                    sum_taps(d, from, gradient, row, left, MOST_TAPS, to);
                    break;
                }
                left += taps;
                to += (size_t)taps * block;
            }
        lanes sum = LANES_ZERO;
        for (size_t i = 0; d->dbias != NULL && i < pixels; i++)
            sum += LANES_IN(dy + i * block + half);
        LANES_AT(to) += sum;
    }
}

/* Sum number `at` of a block of channels, of all slices. */
static float join(const struct cpu_depthwise_weights *d, int32_t block, size_t at)
{
    const int32_t slices = slices_of(d->in), blocks = cpu_shape_blocks(d->in);
    const size_t length = sums_of(d->in, d->window);
    const float *sums = d->scratch;
    double sum = 0.0;
    for (int32_t slice = 0; slice < slices; slice++)
        sum += (double)sums[((size_t)slice * (size_t)blocks + (size_t)block) * length + at];
    return (float)sum;
}

void cpu_kernel_depthwise_weights(const struct cpu_depthwise_weights *d)
{
    const struct cpu_shape in = d->in, out = d->out;
    const int32_t slices = slices_of(in), blocks = cpu_shape_blocks(in), block = in.block;
    const size_t length = sums_of(in, d->window), taps = length / (size_t)block - 1;
    const size_t in_count = (size_t)in.h * (size_t)in.w * (size_t)block;
    const size_t out_count = (size_t)out.h * (size_t)out.w * (size_t)block;
    float *scratch = d->scratch;
#pragma omp parallel for schedule(static)
    for (int32_t part = 0; part < slices * blocks; part++) {
        const int32_t slice = part / blocks, b = part % blocks;
        float *sums = scratch + (size_t)part * length;
        memset(sums, 0, length * sizeof(*sums));
        for (int32_t n = (int32_t)((int64_t)slice * in.n / slices);
             n < (int32_t)((int64_t)(slice + 1) * in.n / slices); n++) {
            const size_t plane = (size_t)n * (size_t)blocks + (size_t)b;
            sum_plane(d, d->x + plane * in_count, d->dy + plane * out_count, sums);
        }
    }
    for (int32_t c = 0; c < in.c; c++) {
        const size_t lane = (size_t)(c % block);
        for (size_t t = 0; t < taps; t++)
            d->dkernel[(size_t)c * taps + t] = join(d, c / block, t * (size_t)block + lane);
        if (d->dbias != NULL)
            d->dbias[c] = join(d, c / block, taps * (size_t)block + lane);
    }
}

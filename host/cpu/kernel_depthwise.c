/* Gradient of a depthwise convolution's kernel. A plane of x and one of dy give a sum for each tap and channel; images
 * are cut into a fixed number of slices, whose sums are joined in double, so that the order is that of the shape. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <string.h>

enum { SLICES = 16, MOST_TAPS = 7 /* that stay in registers */, PART = 16 /* channels of a thread */ };

static int32_t slices_of(struct cpu_shape s)
{
    return s.n < SLICES ? s.n : SLICES;
}

/* Channels that are summed together: a part of a block. */
static int32_t part_of(struct cpu_shape s)
{
    return s.block < PART ? s.block : PART;
}

/* Floats that a slice has for a part: of each tap, and behind them of the bias. */
static size_t sums_of(struct cpu_shape s, struct cpu_window k)
{
    return ((size_t)k.kernel_h * (size_t)k.kernel_w + 1) * (size_t)part_of(s);
}

size_t cpu_kernel_depthwise_scratch(struct cpu_shape s, struct cpu_window k)
{
    const size_t parts = (size_t)(cpu_shape_padded(s) / part_of(s));
    return (size_t)slices_of(s) * parts * sums_of(s, k) * sizeof(float);
}

/* One row of the kernel, `taps` of its columns from `left` on, of the channels of a load. x and dy are those of a
 * plane, from `lane` on; `row` is the kernel's. Adds to sums[taps] vectors that are a part apart, in the order of the
 * loads. */
CPU_INLINE void sum_taps(const enum cpu_type type, const struct cpu_depthwise_weights *d, const void *x,
                         const void *dy, size_t lane, int32_t row, int32_t left, const int32_t taps,
                         float *sums)
{
    const struct cpu_window k = d->window;
    const size_t block = (size_t)d->in.block;
    const int32_t width = d->in.w, corner = left - k.pad_w;
    lanes sum[MOST_TAPS][2], gradient[2], v[2];
    /* Columns whose taps are all inside the image: begin <= j < end. */
    int32_t begin = corner < 0 ? (-corner + k.stride - 1) / k.stride : 0;
    int32_t end = width - corner - taps < 0 ? 0 : (width - corner - taps) / k.stride + 1;
    begin = begin < d->out.w ? begin : d->out.w;
    end = end > d->out.w ? d->out.w : end < begin ? begin : end;
    for (int32_t t = 0; t < taps; t++)
        sum[t][0] = sum[t][1] = LANES_ZERO;
    for (int32_t i = 0; i < d->out.h; i++) {
        const int32_t from = i * k.stride + row - k.pad_h;
        if (from < 0 || from >= d->in.h)
            continue;
        const size_t pixels = (size_t)from * (size_t)width;
        size_t at = (size_t)i * (size_t)d->out.w * block + lane;
        for (int32_t j = 0; j < d->out.w; j++, at += block) {
            const int32_t first = j * k.stride + corner;
            LANES_LOAD(type, dy, at, gradient);
            if (j >= begin && j < end) {
                const size_t pixel = (pixels + (size_t)first) * block + lane;
                for (int32_t t = 0; t < taps; t++) {
                    LANES_LOAD(type, x, pixel + (size_t)t * block, v);
                    for (int n = 0; n < LANES_VECTORS(type); n++)
                        sum[t][n] += gradient[n] * v[n];
                }
                continue;
            }
            for (int32_t t = 0; t < taps; t++)
                if (first + t >= 0 && first + t < width) {
                    LANES_LOAD(type, x, (pixels + (size_t)(first + t)) * block + lane, v);
                    for (int n = 0; n < LANES_VECTORS(type); n++)
                        sum[t][n] += gradient[n] * v[n];
                }
        }
    }
    const size_t part = (size_t)part_of(d->in);
    for (int32_t t = 0; t < taps; t++)
        for (int n = 0; n < LANES_VECTORS(type); n++)
            LANES_AT(sums + (size_t)t * part + n * LANES) += sum[t][n];
}

/* The same with loops of constant length. Returns how many of the taps that were left. */
CPU_INLINE int32_t sum_some(const enum cpu_type type, const struct cpu_depthwise_weights *d, const void *x,
                            const void *dy, size_t lane, int32_t row, int32_t left, float *sums)
{
#define TAPS(count)                                                                                          \
    case count:                                                                                              \
        sum_taps(type, d, x, dy, lane, row, left, count, sums);                                              \
        return count
    switch (d->window.kernel_w - left) {
        TAPS(1);
        TAPS(2);
        TAPS(3);
        TAPS(4);
        TAPS(5);
        TAPS(6);
    default:
        sum_taps(type, d, x, dy, lane, row, left, MOST_TAPS, sums);
        return MOST_TAPS;
    }
#undef TAPS
}

CPU_INLINE void plane_body(const enum cpu_type type, const struct cpu_depthwise_weights *d, const void *x,
                           const void *dy, size_t lane, float *sums)
{
    const struct cpu_window k = d->window;
    const size_t part = (size_t)part_of(d->in), pixels = (size_t)d->out.h * (size_t)d->out.w;
    for (size_t half = 0; half < part; half += LANES_VALUES(type)) {
        float *to = sums + half;
        for (int32_t row = 0; row < k.kernel_h; row++)
            for (int32_t left = 0; left < k.kernel_w;) {
                const int32_t taps = sum_some(type, d, x, dy, lane + half, row, left, to);
                left += taps;
                to += (size_t)taps * part;
            }
        lanes sum[2] = {LANES_ZERO, LANES_ZERO}, v[2];
        for (size_t i = 0; d->dbias != NULL && i < pixels; i++) {
            LANES_LOAD(type, dy, i * (size_t)d->out.block + lane + half, v);
            for (int n = 0; n < LANES_VECTORS(type); n++)
                sum[n] += v[n];
        }
        for (int n = 0; n < LANES_VECTORS(type); n++)
            LANES_AT(to + n * LANES) += sum[n];
    }
}

/* Adds what a plane has for the part that begins at `lane` of its block. */
CPU_KERNEL static void sum_plane(const struct cpu_depthwise_weights *d, const void *x, const void *dy,
                                 size_t lane, float *sums)
{
    CPU_BY_TYPE(d->in.type, plane_body, d, x, dy, lane, sums);
}

/* Sum number `at` of a part, of all slices. */
static float join(const struct cpu_depthwise_weights *d, int32_t part, size_t at)
{
    const int32_t slices = slices_of(d->in), parts = cpu_shape_padded(d->in) / part_of(d->in);
    const size_t length = sums_of(d->in, d->window);
    const float *sums = d->scratch;
    double sum = 0.0;
    for (int32_t slice = 0; slice < slices; slice++)
        sum += (double)sums[((size_t)slice * (size_t)parts + (size_t)part) * length + at];
    return (float)sum;
}

void cpu_kernel_depthwise_weights(const struct cpu_depthwise_weights *d)
{
    const struct cpu_shape in = d->in, out = d->out;
    const int32_t slices = slices_of(in), width = part_of(in), parts = cpu_shape_padded(in) / width;
    const size_t length = sums_of(in, d->window), taps = length / (size_t)width - 1;
    const size_t in_count = cpu_shape_plane_count(in), out_count = cpu_shape_plane_count(out);
    float *scratch = d->scratch;
#pragma omp parallel for schedule(static)
    for (int32_t share = 0; share < slices * parts; share++) {
        const int32_t slice = share / parts, channel = share % parts * width, block = channel / in.block;
        float *sums = scratch + (size_t)share * length;
        memset(sums, 0, length * sizeof(*sums));
        for (int32_t n = (int32_t)((int64_t)slice * in.n / slices);
             n < (int32_t)((int64_t)(slice + 1) * in.n / slices); n++) {
            const size_t plane = (size_t)n * (size_t)cpu_shape_blocks(in) + (size_t)block;
            sum_plane(d, cpu_read_from(in.type, d->x, plane * in_count),
                      cpu_read_from(in.type, d->dy, plane * out_count), (size_t)(channel % in.block), sums);
        }
    }
    for (int32_t c = 0; c < in.c; c++) {
        const size_t lane = (size_t)lanes_of_value(in.type, c % width);
        for (size_t t = 0; t < taps; t++)
            d->dkernel[(size_t)c * taps + t] = join(d, c / width, t * (size_t)width + lane);
        if (d->dbias != NULL)
            d->dbias[c] = join(d, c / width, taps * (size_t)width + lane);
    }
}

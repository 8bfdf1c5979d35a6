/* Max pooling over blocked tensors and its gradient, a plane at a time, eight channels side by side.
 *
 * Bound by RAM for 2x2 windows; for others by the window's comparisons, which find their pixels in the first
 * cache. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <string.h>

/* Compares one more pixel: where it beats `best` strictly, it takes its place. */
#define CONSIDER(value, place)                                                                               \
    do {                                                                                                     \
        const lanes candidate = (value);                                                                     \
        const lanes_mask better = candidate > best;                                                          \
        best = LANES_CHOOSE(better, candidate, best);                                                        \
        at = (better & (place)) | (~better & at);                                                            \
    } while (0)

/* Windows of 2x2, stride 2, no padding: no window is clipped. */
CPU_KERNEL static void plane_pool_halving(struct cpu_shape in, struct cpu_shape out, const float *x, float *y,
                                          uint8_t *index)
{
    const size_t block = (size_t)in.block, row = (size_t)in.w * block;
    for (int32_t i = 0; i < out.h; i++) {
        const float *corner = x + (size_t)i * 2 * row;
        for (int32_t j = 0; j < out.w; j++, corner += block) {
            for (size_t half = 0; half < block; half += LANES, corner += LANES) {
                lanes best = LANES_IN(corner);
                lanes_mask at = {0, 0, 0, 0, 0, 0, 0, 0};
                CONSIDER(LANES_IN(corner + block), 1);
                CONSIDER(LANES_IN(corner + row), 2);
                CONSIDER(LANES_IN(corner + row + block), 3);
                LANES_AT(y) = best;
                y += LANES;
                if (index) {
                    *(lanes_byte *)index = LANES_TO_BYTES(at);
                    index += LANES;
                }
            }
        }
    }
}

/* The part of a window inside the image, as rows and columns of the window: first inside, first behind. */
struct clip {
    int32_t begin, end;
};

CPU_INLINE struct clip clip_window(int32_t corner, int32_t kernel, int32_t size)
{
    struct clip c = {corner < 0 ? -corner : 0, kernel};
    if (c.end > size - corner)
        c.end = size - corner;
    return c;
}

CPU_KERNEL static void plane_pool(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                  const float *x, float *y, uint8_t *index)
{
    const size_t block = (size_t)in.block;
    for (int32_t i = 0; i < out.h; i++) {
        const int32_t top = i * k.stride - k.pad_h;
        const struct clip rows = clip_window(top, k.kernel_h, in.h);
        for (int32_t j = 0; j < out.w; j++) {
            const int32_t left = j * k.stride - k.pad_w;
            const struct clip columns = clip_window(left, k.kernel_w, in.w);
            for (size_t half = 0; half < block; half += LANES) {
                /* The first pixel inside stands even when it is NaN, so the place always lies inside. */
                const float *first =
                    x + ((size_t)(top + rows.begin) * (size_t)in.w + (size_t)(left + columns.begin)) * block +
                    half;
                lanes best = LANES_IN(first);
                lanes_mask at =
                    (lanes_mask){0, 0, 0, 0, 0, 0, 0, 0} + (rows.begin * k.kernel_w + columns.begin);
                for (int32_t r = rows.begin; r < rows.end; r++) {
                    const float *pixel = first + (size_t)(r - rows.begin) * (size_t)in.w * block;
                    for (int32_t c = columns.begin; c < columns.end; c++, pixel += block)
                        CONSIDER(LANES_IN(pixel), r * k.kernel_w + c);
                }
                LANES_AT(y) = best;
                y += LANES;
                if (index) {
                    *(lanes_byte *)index = LANES_TO_BYTES(at);
                    index += LANES;
                }
            }
        }
    }
}

static bool is_halving(struct cpu_window k)
{
    return k.kernel_h == 2 && k.kernel_w == 2 && k.stride == 2 && k.pad_h == 0 && k.pad_w == 0;
}

void cpu_kernel_max_pool(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const float *x,
                         float *y, uint8_t *index)
{
    const int32_t planes = in.n * cpu_shape_blocks(in);
    const size_t in_count = (size_t)in.h * (size_t)in.w * (size_t)in.block;
    const size_t out_count = (size_t)out.h * (size_t)out.w * (size_t)out.block;
    const bool halving = is_halving(k);
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        const float *from = x + (size_t)p * in_count;
        float *to = y + (size_t)p * out_count;
        uint8_t *places = index ? index + (size_t)p * out_count : NULL;
        if (halving)
            plane_pool_halving(in, out, from, to, places);
        else
            plane_pool(in, out, k, from, to, places);
    }
}

/* Every pixel of dx is written once; a last odd row or column lies in no window and becomes 0. */
CPU_KERNEL static void plane_spread_halving(struct cpu_shape in, struct cpu_shape out, const float *dy,
                                            const uint8_t *index, float *dx)
{
    const size_t block = (size_t)in.block, row = (size_t)in.w * block;
    for (int32_t i = 0; i < out.h; i++) {
        float *corner = dx + (size_t)i * 2 * row;
        for (int32_t j = 0; j < out.w; j++, corner += block) {
            for (size_t half = 0; half < block; half += LANES, corner += LANES) {
                const lanes d = LANES_IN(dy);
                const lanes_mask at = LANES_FROM_BYTES(*(const lanes_byte *)index);
                LANES_AT(corner) = LANES_WHERE(d, at == 0);
                LANES_AT(corner + block) = LANES_WHERE(d, at == 1);
                LANES_AT(corner + row) = LANES_WHERE(d, at == 2);
                LANES_AT(corner + row + block) = LANES_WHERE(d, at == 3);
                dy += LANES;
                index += LANES;
            }
        }
        if (in.w % 2) {
            memset(corner, 0, block * sizeof(*dx));
            memset(corner + row, 0, block * sizeof(*dx));
        }
    }
    if (in.h % 2)
        memset(dx + (size_t)(in.h - 1) * row, 0, row * sizeof(*dx));
}

CPU_KERNEL static void plane_spread(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                    const float *dy, const uint8_t *index, float *dx)
{
    const size_t block = (size_t)in.block;
    memset(dx, 0, (size_t)in.h * (size_t)in.w * block * sizeof(*dx));
    for (int32_t i = 0; i < out.h; i++) {
        const int32_t top = i * k.stride - k.pad_h;
        const struct clip rows = clip_window(top, k.kernel_h, in.h);
        for (int32_t j = 0; j < out.w; j++) {
            const int32_t left = j * k.stride - k.pad_w;
            const struct clip columns = clip_window(left, k.kernel_w, in.w);
            for (size_t half = 0; half < block; half += LANES) {
                const lanes d = LANES_IN(dy);
                const lanes_mask at = LANES_FROM_BYTES(*(const lanes_byte *)index);
                for (int32_t r = rows.begin; r < rows.end; r++) {
                    float *pixel =
                        dx + ((size_t)(top + r) * (size_t)in.w + (size_t)(left + columns.begin)) * block +
                        half;
                    for (int32_t c = columns.begin; c < columns.end; c++, pixel += block)
                        LANES_AT(pixel) += LANES_WHERE(d, at == r * k.kernel_w + c);
                }
                dy += LANES;
                index += LANES;
            }
        }
    }
}

void cpu_kernel_max_pool_backward(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                  const float *dy, const uint8_t *index, float *dx)
{
    const int32_t planes = in.n * cpu_shape_blocks(in);
    const size_t in_count = (size_t)in.h * (size_t)in.w * (size_t)in.block;
    const size_t out_count = (size_t)out.h * (size_t)out.w * (size_t)out.block;
    const bool halving = is_halving(k);
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        const float *from = dy + (size_t)p * out_count;
        const uint8_t *places = index + (size_t)p * out_count;
        float *to = dx + (size_t)p * in_count;
        if (halving)
            plane_spread_halving(in, out, from, places, to);
        else
            plane_spread(in, out, k, from, places, to);
    }
}

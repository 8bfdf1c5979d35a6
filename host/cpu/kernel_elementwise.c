/* Activations, their gradients and addition, over whole tensors as flat arrays; dropout. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/program/activation.h"

/* Floats of one share of a flat array: 64 KiB, so that a share's call costs nothing beside its memory. */
enum { SHARE = 16384 };

static size_t share_length(size_t count, size_t begin)
{
    return count - begin < SHARE ? count - begin : SHARE;
}

/* Plain loops: they have no sums, so the width of the compiler's vectors does not show in the results. */
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    CPU_KERNEL static void share_##name(size_t count, const float *restrict x, float *restrict y)            \
    {                                                                                                        \
        for (size_t i = 0; i < count; i++)                                                                   \
            y[i] = activation_##name(x[i]);                                                                  \
    }                                                                                                        \
    CPU_KERNEL static void share_##name##_backward(size_t count, const float *restrict seen,                 \
                                                   const float *restrict dy, float *restrict dx)             \
    {                                                                                                        \
        for (size_t i = 0; i < count; i++)                                                                   \
            dx[i] = activation_##name##_backward(seen[i], dy[i]);                                            \
    }
#include "host/net/layers.def"

static void share_forward(enum activation_kind function, size_t count, const float *x, float *y)
{
    switch (function) {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    case ACTIVATION_##KIND:                                                                                  \
        share_##name(count, x, y);                                                                           \
        break;
#include "host/net/layers.def"
    case ACTIVATION_COUNT:
        break;
    }
}

void cpu_kernel_activation(enum activation_kind function, size_t count, const float *x, float *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += SHARE)
        share_forward(function, share_length(count, i), x + i, y + i);
}

static void share_gradient(enum activation_kind function, size_t count, const float *seen, const float *dy,
                           float *dx)
{
    switch (function) {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    case ACTIVATION_##KIND:                                                                                  \
        share_##name##_backward(count, seen, dy, dx);                                                        \
        break;
#include "host/net/layers.def"
    case ACTIVATION_COUNT:
        break;
    }
}

void cpu_kernel_activation_backward(enum activation_kind function, size_t count, const float *seen,
                                    const float *dy, float *dx)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += SHARE)
        share_gradient(function, share_length(count, i), seen + i, dy + i, dx + i);
}

CPU_KERNEL static void share_add(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i += LANES)
        LANES_AT(y + i) = LANES_IN(a + i) + LANES_IN(b + i);
}

void cpu_kernel_add(size_t count, const float *a, const float *b, float *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += SHARE)
        share_add(share_length(count, i), a + i, b + i, y + i);
}

/* Channels of a plane are drawn one after another, since four neighbours in N,C,H,W order share a draw.
 * `group` is the draw at hand, so that neighbours in a row of channels share it too when an image is a single
 * pixel. */
void cpu_kernel_dropout(struct cpu_shape s, const float *x, float rate, uint64_t seed, uint32_t step,
                        uint32_t row, uint32_t layer_id, float *y)
{
    const int32_t blocks = cpu_shape_blocks(s), planes = s.n * blocks;
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
    const float kept = 1.0f - rate;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        const float *from = x + (size_t)p * pixels * block;
        float *to = y + (size_t)p * pixels * block;
        uint64_t group = UINT64_MAX;
        struct random4 draw = {{0, 0, 0, 0}};
        for (size_t lane = 0; lane < block; lane++) {
            const size_t channel = (size_t)(p % blocks) * block + lane;
            if (channel >= (size_t)s.c) {
                for (size_t i = 0; i < pixels; i++)
                    to[i * block + lane] = 0.0f;
                continue;
            }
            uint64_t element = (((size_t)row + (size_t)(p / blocks)) * (size_t)s.c + channel) * pixels;
            for (size_t i = 0; i < pixels; i++, element++) {
                if (element / 4 != group) {
                    group = element / 4;
                    draw = random_draw(seed, RANDOM_DROPOUT, (uint64_t)step << 24 | group, layer_id);
                }
                const bool keep = random_unit(draw.v[element % 4]) >= rate;
                to[i * block + lane] = keep ? from[i * block + lane] / kept : 0.0f;
            }
        }
    }
}

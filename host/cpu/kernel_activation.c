/* Activations and their gradients, over whole tensors as flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/program/activation.h"

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

/* How each is done over a share of a tensor. */
static const struct activation_loops {
    void (*forward)(size_t count, const float *x, float *y);
    void (*backward)(size_t count, const float *seen, const float *dy, float *dx);
} loops[ACTIVATION_COUNT] = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = {share_##name, share_##name##_backward},
#include "host/net/layers.def"
};

/* bf16 is done a piece at a time, which lies in the first cache as floats, in the order of LANES_LOAD. */
enum { PIECE = 1024 };

CPU_KERNEL static void widen(size_t count, const uint16_t *from, float *to)
{
    lanes v[2];
    for (size_t i = 0; i < count; i += 16) {
        LANES_LOAD16(CPU_BF16, from, i, v);
        LANES_STORE16(CPU_FLOAT, to, i, v);
    }
}

CPU_KERNEL static void narrow(size_t count, const float *from, uint16_t *to)
{
    lanes v[2];
    for (size_t i = 0; i < count; i += 16) {
        LANES_LOAD16(CPU_FLOAT, from, i, v);
        LANES_STORE16(CPU_BF16, to, i, v);
    }
}

static void share_bf16(enum activation_kind function, size_t count, const uint16_t *x, uint16_t *y)
{
    _Alignas(64) float in[PIECE], out[PIECE];
    for (size_t i = 0; i < count; i += PIECE) {
        const size_t length = count - i < PIECE ? count - i : PIECE;
        widen(length, x + i, in);
        loops[function].forward(length, in, out);
        narrow(length, out, y + i);
    }
}

static void share_bf16_backward(enum activation_kind function, size_t count, const uint16_t *seen,
                                const uint16_t *dy, uint16_t *dx)
{
    _Alignas(64) float in[PIECE], given[PIECE], out[PIECE];
    for (size_t i = 0; i < count; i += PIECE) {
        const size_t length = count - i < PIECE ? count - i : PIECE;
        widen(length, seen + i, in);
        widen(length, dy + i, given);
        loops[function].backward(length, in, given, out);
        narrow(length, out, dx + i);
    }
}

void cpu_kernel_activation(enum activation_kind function, enum cpu_type type, size_t count, const void *x,
                           void *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE) {
        const size_t length = cpu_share_length(count, i);
        if (type == CPU_BF16)
            share_bf16(function, length, (const uint16_t *)x + i, (uint16_t *)y + i);
        else
            loops[function].forward(length, (const float *)x + i, (float *)y + i);
    }
}

void cpu_kernel_activation_backward(enum activation_kind function, enum cpu_type type, size_t count,
                                    const void *seen, const void *dy, void *dx)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE) {
        const size_t length = cpu_share_length(count, i);
        if (type == CPU_BF16)
            share_bf16_backward(function, length, (const uint16_t *)seen + i, (const uint16_t *)dy + i,
                                (uint16_t *)dx + i);
        else
            loops[function].backward(length, (const float *)seen + i, (const float *)dy + i, (float *)dx + i);
    }
}

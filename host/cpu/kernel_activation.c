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

void cpu_kernel_activation(enum activation_kind function, size_t count, const float *x, float *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        loops[function].forward(cpu_share_length(count, i), x + i, y + i);
}

void cpu_kernel_activation_backward(enum activation_kind function, size_t count, const float *seen,
                                    const float *dy, float *dx)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        loops[function].backward(cpu_share_length(count, i), seen + i, dy + i, dx + i);
}

/* Activations and their gradients, over whole tensors as flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/program/activation.h"

/* Plain loops: they have no sums, so the width of the compiler's vectors does not show in the results. */
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    CPU_INLINE void name##_body(const enum cpu_type type, size_t count, const void *restrict x,              \
                                void *restrict y)                                                            \
    {                                                                                                        \
        for (size_t i = 0; i < count; i++)                                                                   \
            cpu_set_value(type, y, i, activation_##name(cpu_value(type, x, i)));                             \
    }                                                                                                        \
    CPU_INLINE void name##_backward_body(const enum cpu_type type, size_t count, const void *restrict seen,  \
                                         const void *restrict dy, void *restrict dx)                         \
    {                                                                                                        \
        for (size_t i = 0; i < count; i++)                                                                   \
            cpu_set_value(type, dx, i,                                                                       \
                          activation_##name##_backward(cpu_value(type, seen, i), cpu_value(type, dy, i)));   \
    }                                                                                                        \
    CPU_KERNEL static void share_##name(enum cpu_type type, size_t count, const void *x, void *y)            \
    {                                                                                                        \
        CPU_BY_TYPE(type, name##_body, count, x, y);                                                         \
    }                                                                                                        \
    CPU_KERNEL static void share_##name##_backward(enum cpu_type type, size_t count, const void *seen,       \
                                                   const void *dy, void *dx)                                 \
    {                                                                                                        \
        CPU_BY_TYPE(type, name##_backward_body, count, seen, dy, dx);                                        \
    }
#include "host/net/layers.def"

/* How each is done over a share of a tensor. */
static const struct activation_loops {
    void (*forward)(enum cpu_type type, size_t count, const void *x, void *y);
    void (*backward)(enum cpu_type type, size_t count, const void *seen, const void *dy, void *dx);
} loops[ACTIVATION_COUNT] = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = {share_##name, share_##name##_backward},
#include "host/net/layers.def"
};

void cpu_kernel_activation(enum activation_kind function, enum cpu_type type, size_t count, const void *x,
                           void *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        loops[function].forward(type, cpu_share_length(count, i), cpu_read_from(type, x, i),
                                cpu_write_to(type, y, i));
}

void cpu_kernel_activation_backward(enum activation_kind function, enum cpu_type type, size_t count,
                                    const void *seen, const void *dy, void *dx)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        loops[function].backward(type, cpu_share_length(count, i), cpu_read_from(type, seen, i),
                                 cpu_read_from(type, dy, i), cpu_write_to(type, dx, i));
}

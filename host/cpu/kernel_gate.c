/* Channels times what their gates are open, and the gradients of both, a plane at a time and of that sixteen channels
 * at a time. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/program/activation.h"

enum { STRIP = 16 };

/* A plane: pixels, and how many channels it has. */
struct plane {
    size_t pixels, block;
};

CPU_INLINE void gate_body(const enum cpu_type type, struct plane plane, const void *x, const void *gate,
                          void *y)
{
    _Alignas(64) float factor[STRIP];
    for (size_t first = 0; first < plane.block; first += STRIP) {
        const size_t end = first + STRIP < plane.block ? first + STRIP : plane.block;
        for (size_t lane = 0; lane < end - first; lane++)
            factor[lane] =
                activation_gate(cpu_value(type, gate, first + (size_t)lanes_value(type, (int32_t)lane)));
        for (size_t half = first; half < end; half += LANES_VALUES(type)) {
            const float *by = factor + half - first;
            for (size_t i = half; i < plane.pixels * plane.block; i += plane.block) {
                lanes v[2];
                LANES_LOAD(type, x, i, v);
                for (int k = 0; k < LANES_VECTORS(type); k++)
                    v[k] *= LANES_IN(by + k * LANES);
                LANES_STORE(type, y, i, v);
            }
        }
    }
}

CPU_KERNEL static void plane_gate(enum cpu_type type, struct plane plane, const void *x, const void *gate,
                                  void *y)
{
    CPU_BY_TYPE(type, gate_body, plane, x, gate, y);
}

/* What the gradient reads and writes of a plane. */
struct plane_backward {
    const void *x, *gate, *dy;
    void *dx, *dgate;
};

/* Float sums of a few pixels at a time, joined in a second sum, as of a global pool. */
CPU_INLINE void gate_backward_body(const enum cpu_type type, struct plane plane, struct plane_backward at)
{
    enum { RUN = 256 };
    const size_t pixels = plane.pixels, block = plane.block;
    _Alignas(64) float factor[STRIP], slope[STRIP];
    for (size_t first = 0; first < block; first += STRIP) {
        const size_t last = first + STRIP < block ? first + STRIP : block;
        for (size_t lane = 0; lane < last - first; lane++) {
            const float gate = cpu_value(type, at.gate, first + (size_t)lanes_value(type, (int32_t)lane));
            factor[lane] = activation_gate(gate);
            slope[lane] = activation_gate_slope(gate);
        }
        for (size_t half = first; half < last; half += LANES_VALUES(type)) {
            const float *by = factor + half - first;
            lanes sum[2] = {LANES_ZERO, LANES_ZERO};
            for (size_t begin = 0; begin < pixels; begin += RUN) {
                const size_t end = begin + RUN < pixels ? begin + RUN : pixels;
                lanes part[2] = {LANES_ZERO, LANES_ZERO};
                for (size_t i = begin * block + half; i < end * block; i += block) {
                    lanes g[2], x[2];
                    LANES_LOAD(type, at.dy, i, g);
                    LANES_LOAD(type, at.x, i, x);
                    for (int k = 0; k < LANES_VECTORS(type); k++) {
                        part[k] += g[k] * x[k];
                        g[k] *= LANES_IN(by + k * LANES);
                    }
                    LANES_STORE(type, at.dx, i, g);
                }
                for (int k = 0; k < LANES_VECTORS(type); k++)
                    sum[k] += part[k];
            }
            for (int k = 0; k < LANES_VECTORS(type); k++)
                sum[k] *= LANES_IN(slope + half - first + k * LANES);
            LANES_STORE(type, at.dgate, half, sum);
        }
    }
}

CPU_KERNEL static void plane_gate_backward(enum cpu_type type, struct plane plane,
                                           const struct plane_backward *at)
{
    CPU_BY_TYPE(type, gate_backward_body, plane, *at);
}

void cpu_kernel_gate(struct cpu_shape s, const void *x, const void *gate, void *y)
{
    const size_t planes = cpu_shape_planes(s);
    const struct plane plane = {(size_t)s.h * (size_t)s.w, (size_t)s.block};
    const size_t count = plane.pixels * plane.block;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++)
        plane_gate(s.type, plane, cpu_read_from(s.type, x, p * count),
                   cpu_read_from(s.type, gate, p * plane.block), cpu_write_to(s.type, y, p * count));
}

void cpu_kernel_gate_backward(const struct cpu_gate_backward *gate)
{
    const struct cpu_shape s = gate->shape;
    const size_t planes = cpu_shape_planes(s);
    const struct plane plane = {(size_t)s.h * (size_t)s.w, (size_t)s.block};
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++) {
        const size_t at = p * plane.pixels * plane.block, channel = p * plane.block;
        plane_gate_backward(s.type, plane,
                            &(struct plane_backward){
                                .x = cpu_read_from(s.type, gate->x, at),
                                .gate = cpu_read_from(s.type, gate->gate, channel),
                                .dy = cpu_read_from(s.type, gate->dy, at),
                                .dx = cpu_write_to(s.type, gate->dx, at),
                                .dgate = cpu_write_to(s.type, gate->dgate, channel),
                            });
    }
}

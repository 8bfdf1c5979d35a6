/* Channels times what their gates are open, and the gradients of both, a plane at a time. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/program/activation.h"

enum { MAX_BLOCK = 16 };

CPU_KERNEL static void plane_gate(const float *x, const float *gate, size_t pixels, size_t block, float *y)
{
    _Alignas(64) float factor[MAX_BLOCK];
    for (size_t c = 0; c < block; c++)
        factor[c] = activation_gate(gate[c]);
    for (size_t half = 0; half < block; half += LANES) {
        const lanes by = LANES_IN(factor + half);
        for (size_t i = half; i < pixels * block; i += block)
            LANES_AT(y + i) = LANES_IN(x + i) * by;
    }
}

/* Float sums of a few pixels at a time, joined in a second sum, as of a global pool. */
CPU_KERNEL static void plane_gate_backward(const float *x, const float *gate, const float *dy, size_t pixels,
                                           size_t block, float *dx, float *dgate)
{
    enum { RUN = 256 };
    _Alignas(64) float factor[MAX_BLOCK], slope[MAX_BLOCK];
    for (size_t c = 0; c < block; c++) {
        factor[c] = activation_gate(gate[c]);
        slope[c] = activation_gate_slope(gate[c]);
    }
    for (size_t half = 0; half < block; half += LANES) {
        const lanes by = LANES_IN(factor + half);
        lanes sum = LANES_ZERO;
        for (size_t begin = 0; begin < pixels; begin += RUN) {
            const size_t end = begin + RUN < pixels ? begin + RUN : pixels;
            lanes part = LANES_ZERO;
            for (size_t i = begin * block + half; i < end * block; i += block) {
                const lanes g = LANES_IN(dy + i);
                part += g * LANES_IN(x + i);
                LANES_AT(dx + i) = g * by;
            }
            sum += part;
        }
        LANES_AT(dgate + half) = sum * LANES_IN(slope + half);
    }
}

void cpu_kernel_gate(struct cpu_shape s, const float *x, const float *gate, float *y)
{
    const int32_t planes = s.n * cpu_shape_blocks(s);
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++)
        plane_gate(x + (size_t)p * pixels * block, gate + (size_t)p * block, pixels, block,
                   y + (size_t)p * pixels * block);
}

void cpu_kernel_gate_backward(const struct cpu_gate_backward *gate)
{
    const struct cpu_shape s = gate->shape;
    const int32_t planes = s.n * cpu_shape_blocks(s);
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        const size_t at = (size_t)p * pixels * block, channel = (size_t)p * block;
        plane_gate_backward(gate->x + at, gate->gate + channel, gate->dy + at, pixels, block, gate->dx + at,
                            gate->dgate + channel);
    }
}

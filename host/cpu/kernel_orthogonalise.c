/* Muon's momentum, over flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

/* Squares are summed in as many sums as there are lanes, in float: a share has 2,048 for each. */
CPU_KERNEL static double share_momentum(size_t count, float momentum, const float *restrict gradient,
                                        float *restrict velocity, float *restrict update)
{
    float squares[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const float v = momentum * velocity[i + k] + gradient[i + k];
            const float x = gradient[i + k] + momentum * v;
            velocity[i + k] = v;
            update[i + k] = x;
            squares[k] += x * x;
        }
    for (size_t k = 0; i < count; i++, k++) {
        velocity[i] = momentum * velocity[i] + gradient[i];
        update[i] = gradient[i] + momentum * velocity[i];
        squares[k] += update[i] * update[i];
    }
    double sum = 0.0;
    for (size_t k = 0; k < LANES; k++)
        sum += (double)squares[k];
    return sum;
}

size_t cpu_kernel_momentum_sums(size_t count)
{
    return (count + CPU_SHARE - 1) / CPU_SHARE;
}

double cpu_kernel_momentum(size_t count, float momentum, const float *gradient, float *velocity,
                           float *update, double *sums)
{
    const size_t shares = cpu_kernel_momentum_sums(count);
#pragma omp parallel for default(shared) schedule(static)
    for (size_t s = 0; s < shares; s++) {
        const size_t at = s * CPU_SHARE;
        sums[s] =
            share_momentum(cpu_share_length(count, at), momentum, gradient + at, velocity + at, update + at);
    }
    double sum = 0.0;
    for (size_t s = 0; s < shares; s++)
        sum += sums[s];
    return sum;
}

CPU_KERNEL static void share_scale(size_t count, float factor, float *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] *= factor;
}

void cpu_kernel_scale(size_t count, float factor, float *values)
{
#pragma omp parallel for default(shared) schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        share_scale(cpu_share_length(count, i), factor, values + i);
}

CPU_KERNEL static void share_narrow(size_t count, float factor, const float *values, uint16_t *narrow)
{
    for (size_t i = 0; i < count; i++)
        narrow[i] = cpu_to_bf16(factor * values[i]);
}

void cpu_kernel_narrow(size_t count, float factor, const float *values, uint16_t *narrow)
{
#pragma omp parallel for default(shared) schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        share_narrow(cpu_share_length(count, i), factor, values + i, narrow + i);
}

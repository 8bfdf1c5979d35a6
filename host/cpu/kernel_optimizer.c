/* Optimizer updates and the weight average, over flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <math.h>
#include <string.h>

/* Floats of a share: ranges are walked in pieces of this length, piece by piece over all threads. */
enum { SHARE = 16384 };

/* What one step needs of the optimizer's numbers. */
struct update {
    float momentum, second; /* AdamW: b1, b2 */
    float rate, keep;       /* of the range; keep: what decay leaves */
    float first_scale;      /* AdamW: 1 / (1 - b1^t) */
    float second_scale;     /* AdamW: 1 / (1 - b2^t) */
};

CPU_KERNEL static void share_sgd(size_t count, const struct update *u, const float *restrict gradient,
                                 float *restrict value, float *restrict velocity)
{
    const float momentum = u->momentum, rate = u->rate, keep = u->keep;
    for (size_t i = 0; i < count; i++) {
        const float v = momentum * velocity[i] + gradient[i];
        velocity[i] = v;
        value[i] = value[i] * keep - rate * (gradient[i] + momentum * v);
    }
}

CPU_KERNEL static void share_adamw(size_t count, const struct update *u, const float *restrict gradient,
                                   float *restrict value, float *restrict first, float *restrict second)
{
    const float b1 = u->momentum, b2 = u->second, rate = u->rate, keep = u->keep;
    const float first_scale = u->first_scale, second_scale = u->second_scale;
    for (size_t i = 0; i < count; i++) {
        const float g = gradient[i];
        const float m = b1 * first[i] + (1.0f - b1) * g;
        const float s = b2 * second[i] + (1.0f - b2) * g * g;
        first[i] = m;
        second[i] = s;
        value[i] =
            value[i] * keep - rate * (m * first_scale) / (sqrtf(s * second_scale) + OPTIMIZER_ADAM_EPSILON);
    }
}

void cpu_kernel_optimizer(int32_t range_count, const struct cpu_weight_range *ranges,
                          const struct optimizer *optimizer, float rate, uint32_t number,
                          const float *gradient, float *value, float *first, float *second)
{
    const double t = (double)number + 1.0;
    const struct update common = {
        .momentum = optimizer->momentum,
        .second = optimizer->second,
        .first_scale = (float)(1.0 / (1.0 - pow((double)optimizer->momentum, t))),
        .second_scale = (float)(1.0 / (1.0 - pow((double)optimizer->second, t))),
    };
    const bool sgd = optimizer->kind == OPTIMIZER_SGD;
    /* One region for all ranges: networks have many short ones. Each thread walks them all and takes its
     * shares. */
#pragma omp parallel default(shared)
    for (int32_t r = 0; r < range_count; r++) {
        struct update u = common;
        u.rate = rate * optimizer_rate(optimizer, ranges[r].part, ranges[r].gain);
        u.keep = (float)(1.0 - (double)rate * (double)optimizer_decay(optimizer, ranges[r].part));
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < ranges[r].count; i += SHARE) {
            const size_t at = ranges[r].offset + i;
            const size_t count = ranges[r].count - i < SHARE ? ranges[r].count - i : SHARE;
            if (sgd)
                share_sgd(count, &u, gradient + at, value + at, first + at);
            else
                share_adamw(count, &u, gradient + at, value + at, first + at, second + at);
        }
    }
}

CPU_KERNEL static void share_average(size_t count, float decay, const float *restrict value,
                                     float *restrict average)
{
    for (size_t i = 0; i < count; i++)
        average[i] = decay * average[i] + (1.0f - decay) * value[i];
}

void cpu_kernel_weight_average(size_t count, float decay, bool look_ahead, float *value, float *average)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += SHARE) {
        const size_t share = count - i < SHARE ? count - i : SHARE;
        share_average(share, decay, value + i, average + i);
        if (look_ahead)
            memcpy(value + i, average + i, share * sizeof(*value));
    }
}

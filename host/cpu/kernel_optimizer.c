/* Optimizer updates, over flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <math.h>

/* What one step needs of the optimizer's numbers. */
struct factors {
    float momentum, second; /* AdamW: b1, b2 */
    float rate, keep;       /* of the range; keep: what decay leaves */
    float first_scale;      /* AdamW: 1 / (1 - b1^t) */
    float second_scale;     /* AdamW: 1 / (1 - b2^t) */
};

CPU_KERNEL static void share_sgd(size_t count, const struct factors *u, const float *restrict gradient,
                                 float *restrict value, float *restrict velocity)
{
    const float momentum = u->momentum, rate = u->rate, keep = u->keep;
    for (size_t i = 0; i < count; i++) {
        const float v = momentum * velocity[i] + gradient[i];
        velocity[i] = v;
        value[i] = value[i] * keep - rate * (gradient[i] + momentum * v);
    }
}

CPU_KERNEL static void share_update(size_t count, const struct factors *u, const float *restrict update,
                                    float *restrict value)
{
    const float rate = u->rate, keep = u->keep;
    for (size_t i = 0; i < count; i++)
        value[i] = value[i] * keep - rate * update[i];
}

CPU_KERNEL static void share_adamw(size_t count, const struct factors *u, const float *restrict gradient,
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

void cpu_kernel_optimizer(const struct cpu_optimizer *update)
{
    const struct optimizer *optimizer = update->optimizer;
    const double t = (double)update->number + 1.0;
    const struct factors common = {
        .momentum = optimizer->momentum,
        .second = optimizer->second,
        .first_scale = (float)(1.0 / (1.0 - pow((double)optimizer->momentum, t))),
        .second_scale = (float)(1.0 / (1.0 - pow((double)optimizer->second, t))),
    };
    const bool adamw = optimizer->kind == OPTIMIZER_ADAMW;
    /* One region for all ranges: networks have many short ones. Each thread walks them all and takes its
     * shares. */
#pragma omp parallel default(shared)
    for (int32_t r = 0; r < update->range_count; r++) {
        const struct cpu_weight_range *range = &update->ranges[r];
        struct factors u = common;
        u.rate = update->rate * optimizer_rate(optimizer, range->part, range->rate);
        u.keep = (float)(1.0 - (double)update->rate * (double)optimizer_decay(optimizer, range->part));
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < range->count; i += CPU_SHARE) {
            const size_t at = range->offset + i, count = cpu_share_length(range->count, i);
            const float *gradient = update->gradients + range->gradient + i;
            if (range->orthogonal)
                share_update(count, &u, gradient, update->value + at);
            else if (adamw)
                share_adamw(count, &u, gradient, update->value + at, update->first + at, update->second + at);
            else
                share_sgd(count, &u, gradient, update->value + at, update->first + at);
        }
    }
}

/* The weight average, over flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

CPU_KERNEL static void share_average(size_t count, float decay, const float *restrict value,
                                     float *restrict average)
{
    for (size_t i = 0; i < count; i++)
        average[i] = decay * average[i] + (1.0f - decay) * value[i];
}

void cpu_kernel_weight_average(size_t count, float decay, const float *value, float *average)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        share_average(cpu_share_length(count, i), decay, value + i, average + i);
}

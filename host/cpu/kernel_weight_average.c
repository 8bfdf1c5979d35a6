/* The weight average, over flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <string.h>

CPU_KERNEL static void share_average(size_t count, float decay, const float *restrict value,
                                     float *restrict average)
{
    for (size_t i = 0; i < count; i++)
        average[i] += (1.0f - decay) * (value[i] - average[i]);
}

void cpu_kernel_weight_average(size_t count, float decay, bool look_ahead, float *value, float *average)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE) {
        const size_t length = cpu_share_length(count, i);
        share_average(length, decay, value + i, average + i);
        if (look_ahead)
            memcpy(value + i, average + i, length * sizeof(*value));
    }
}

/* Addition, over whole tensors as flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

CPU_KERNEL static void share_add(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i += LANES)
        LANES_AT(y + i) = LANES_IN(a + i) + LANES_IN(b + i);
}

void cpu_kernel_add(size_t count, const float *a, const float *b, float *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        share_add(cpu_share_length(count, i), a + i, b + i, y + i);
}

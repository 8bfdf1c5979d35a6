/* Addition, over whole tensors as flat arrays. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

CPU_INLINE void add_body(const enum cpu_type type, size_t count, const void *a, const void *b, void *y)
{
    for (size_t i = 0; i < count; i += LANES_VALUES(type)) {
        lanes left[2], right[2];
        LANES_LOAD(type, a, i, left);
        LANES_LOAD(type, b, i, right);
        for (int k = 0; k < LANES_VECTORS(type); k++)
            left[k] += right[k];
        LANES_STORE(type, y, i, left);
    }
}

CPU_KERNEL static void share_add(enum cpu_type type, size_t count, const void *a, const void *b, void *y)
{
    CPU_BY_TYPE(type, add_body, count, a, b, y);
}

void cpu_kernel_add(enum cpu_type type, size_t count, const void *a, const void *b, void *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += CPU_SHARE)
        share_add(type, cpu_share_length(count, i), cpu_read_from(type, a, i), cpu_read_from(type, b, i),
                  cpu_write_to(type, y, i));
}

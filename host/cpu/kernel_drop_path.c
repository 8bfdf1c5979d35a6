/* Drop path: whole images times a factor each, forward and backward. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/device/drop_path.h"

CPU_INLINE void image_body(const enum cpu_type type, size_t count, const void *x, float factor, void *y)
{
    for (size_t i = 0; i < count; i += LANES_VALUES(type)) {
        lanes v[2];
        LANES_LOAD(type, x, i, v);
        for (int n = 0; n < LANES_VECTORS(type); n++)
            v[n] *= LANES_ALL(factor);
        LANES_STORE(type, y, i, v);
    }
}

CPU_KERNEL static void image_drop(enum cpu_type type, size_t count, const void *x, float factor, void *y)
{
    CPU_BY_TYPE(type, image_body, count, x, factor, y);
}

void cpu_kernel_drop_path(struct cpu_shape s, const void *x, float rate, const struct step *step,
                          uint32_t layer_id, void *y)
{
    const size_t image = cpu_shape_count(s) / (size_t)s.n;
#pragma omp parallel for schedule(static)
    for (int32_t n = 0; n < s.n; n++) {
        const float factor =
            drop_path_factor(step->seed, step->number, step->row + (uint32_t)n, layer_id, rate);
        image_drop(s.type, image, cpu_read_from(s.type, x, (size_t)n * image), factor,
                   cpu_write_to(s.type, y, (size_t)n * image));
    }
}

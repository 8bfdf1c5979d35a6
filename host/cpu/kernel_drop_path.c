/* Drop path: whole images times a factor each, forward and backward. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/device/drop_path.h"

CPU_INLINE void scale_body(const enum cpu_type type, size_t count, float factor, const void *x, void *y)
{
    for (size_t i = 0; i < count; i++)
        cpu_set_value(type, y, i, factor * cpu_value(type, x, i));
}

static void scale(enum cpu_type type, size_t count, float factor, const void *x, void *y)
{
    CPU_BY_TYPE(type, scale_body, count, factor, x, y);
}

void cpu_kernel_drop_path(struct cpu_shape s, const void *x, float rate, const struct step *step,
                          uint32_t layer_id, void *y)
{
    const size_t image = cpu_shape_count(s) / (size_t)s.n;
#pragma omp parallel for schedule(static)
    for (int32_t n = 0; n < s.n; n++) {
        const uint32_t row = step->row + (uint32_t)n;
        scale(s.type, image, drop_path_factor(step->seed, step->number, row, layer_id, rate),
              cpu_read_from(s.type, x, (size_t)n * image), cpu_write_to(s.type, y, (size_t)n * image));
    }
}

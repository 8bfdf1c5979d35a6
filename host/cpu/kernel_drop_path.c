/* Drop path: whole images times a factor each, forward and backward. */
#include "host/cpu/kernels.h"
#include "host/device/drop_path.h"

void cpu_kernel_drop_path(struct cpu_shape s, const float *x, float rate, const struct step *step,
                          uint32_t layer_id, float *y)
{
    const size_t image = cpu_shape_count(s) / (size_t)s.n;
#pragma omp parallel for schedule(static)
    for (int32_t n = 0; n < s.n; n++) {
        const float factor =
            drop_path_factor(step->seed, step->number, step->row + (uint32_t)n, layer_id, rate);
        const float *from = x + (size_t)n * image;
        float *to = y + (size_t)n * image;
        for (size_t i = 0; i < image; i++)
            to[i] = factor * from[i];
    }
}

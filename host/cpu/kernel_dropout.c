/* Dropout over blocked tensors, forward and backward. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

/* Channels of a plane are drawn one after another, since four neighbours in N,C,H,W order share a draw.
 * `group` is the draw at hand, so that neighbours in a row of channels share it too when an image is a single
 * pixel. */
void cpu_kernel_dropout(struct cpu_shape s, const void *x, float rate, const struct step *step,
                        uint32_t layer_id, void *y)
{
    const int32_t blocks = cpu_shape_blocks(s), planes = s.n * blocks;
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
    const float kept = 1.0f - rate;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        const void *from = cpu_read_from(s.type, x, (size_t)p * pixels * block);
        void *to = cpu_write_to(s.type, y, (size_t)p * pixels * block);
        uint64_t group = UINT64_MAX;
        struct random4 draw = {{0, 0, 0, 0}};
        for (size_t lane = 0; lane < block; lane++) {
            const size_t channel = (size_t)(p % blocks) * block + lane;
            if (channel >= (size_t)s.c) {
                for (size_t i = 0; i < pixels; i++)
                    cpu_set_value(s.type, to, i * block + lane, 0.0f);
                continue;
            }
            uint64_t element = (((size_t)step->row + (size_t)(p / blocks)) * (size_t)s.c + channel) * pixels;
            for (size_t i = 0; i < pixels; i++, element++) {
                if (element / 4 != group) {
                    group = element / 4;
                    draw = random_draw(step->seed, RANDOM_DROPOUT, (uint64_t)step->number << 24 | group,
                                       layer_id);
                }
                const bool keep = random_unit(draw.v[element % 4]) >= rate;
                const float value = cpu_value(s.type, from, i * block + lane);
                cpu_set_value(s.type, to, i * block + lane, keep ? value / kept : 0.0f);
            }
        }
    }
}

/* Max pooling over windows. The index holds the winner's place in its plane, row * width + column. */
#include "host/ref/ref.h"

#include <string.h>

/* Of equals the first, row by row; the first pixel counts even when it is NaN. */
static int32_t winner(const double *plane, int32_t width, struct ref_window w)
{
    int32_t best = w.top * width + w.left;
    for (int32_t row = w.top; row < w.bottom; row++)
        for (int32_t column = w.left; column < w.right; column++)
            if (plane[row * width + column] > plane[best])
                best = row * width + column;
    return best;
}

enum status ref_run_max_pool(const struct op_call *call)
{
    const double *x = ref_input(call, MAX_POOL_IN_X);
    double *y = ref_output(call, MAX_POOL_OUT_Y), *index = ref_output(call, MAX_POOL_OUT_INDEX);
    struct shape in = op_input_shape(call, MAX_POOL_IN_X), out = op_output_shape(call, MAX_POOL_OUT_Y);
    for (int32_t p = 0; p < out.n * out.c; p++) {
        const double *plane = x + (size_t)p * ref_plane(in);
        for (int32_t i = 0; i < out.h; i++)
            for (int32_t j = 0; j < out.w; j++) {
                size_t at = (size_t)p * ref_plane(out) + (size_t)(i * out.w + j);
                int32_t best = winner(plane, in.w, ref_window_at(call->op, in, i, j));
                y[at] = plane[best];
                if (index)
                    index[at] = best;
            }
    }
    return ST_OK;
}

enum status ref_run_max_pool_backward(const struct op_call *call)
{
    const double *dy = ref_input(call, MAX_POOL_BACKWARD_IN_DY),
                 *index = ref_input(call, MAX_POOL_BACKWARD_IN_INDEX);
    double *dx = ref_output(call, MAX_POOL_BACKWARD_OUT_DX);
    struct shape out = op_input_shape(call, MAX_POOL_BACKWARD_IN_DY),
                 in = op_output_shape(call, MAX_POOL_BACKWARD_OUT_DX);
    memset(dx, 0, ref_count(in) * sizeof *dx);
    for (size_t at = 0; at < ref_count(out); at++)
        dx[at / ref_plane(out) * ref_plane(in) + (size_t)index[at]] += dy[at];
    return ST_OK;
}

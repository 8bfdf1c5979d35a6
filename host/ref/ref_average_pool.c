/* Average pooling over windows: the mean of the pixels inside the image. */
#include "host/ref/ref.h"

#include <string.h>

enum status ref_run_average_pool(const struct op_call *call)
{
    const double *x = ref_input(call, AVERAGE_POOL_IN_X);
    double *y = ref_output(call, AVERAGE_POOL_OUT_Y);
    struct shape in = op_input_shape(call, AVERAGE_POOL_IN_X),
                 out = op_output_shape(call, AVERAGE_POOL_OUT_Y);
    for (int32_t p = 0; p < out.n * out.c; p++) {
        const double *plane = x + (size_t)p * ref_plane(in);
        for (int32_t i = 0; i < out.h; i++)
            for (int32_t j = 0; j < out.w; j++) {
                struct ref_window w = ref_window_at(call->op, in, i, j);
                double sum = 0;
                for (int32_t row = w.top; row < w.bottom; row++)
                    for (int32_t column = w.left; column < w.right; column++)
                        sum += plane[row * in.w + column];
                int32_t pixels = (w.bottom - w.top) * (w.right - w.left);
                y[(size_t)p * ref_plane(out) + (size_t)(i * out.w + j)] = sum / pixels;
            }
    }
    return ST_OK;
}

enum status ref_run_average_pool_backward(const struct op_call *call)
{
    const double *dy = ref_input(call, AVERAGE_POOL_BACKWARD_IN_DY);
    double *dx = ref_output(call, AVERAGE_POOL_BACKWARD_OUT_DX);
    struct shape out = op_input_shape(call, AVERAGE_POOL_BACKWARD_IN_DY),
                 in = op_output_shape(call, AVERAGE_POOL_BACKWARD_OUT_DX);
    memset(dx, 0, ref_count(in) * sizeof *dx);
    for (int32_t p = 0; p < out.n * out.c; p++) {
        double *plane = dx + (size_t)p * ref_plane(in);
        for (int32_t i = 0; i < out.h; i++)
            for (int32_t j = 0; j < out.w; j++) {
                struct ref_window w = ref_window_at(call->op, in, i, j);
                int32_t pixels = (w.bottom - w.top) * (w.right - w.left);
                double share = dy[(size_t)p * ref_plane(out) + (size_t)(i * out.w + j)] / pixels;
                for (int32_t row = w.top; row < w.bottom; row++)
                    for (int32_t column = w.left; column < w.right; column++)
                        plane[row * in.w + column] += share;
            }
    }
    return ST_OK;
}

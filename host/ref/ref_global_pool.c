/* Average pooling over the whole image. */
#include "host/ref/ref.h"

enum status ref_run_global_pool(const struct op_call *call)
{
    const double *x = ref_input(call, GLOBAL_POOL_IN_X);
    double *y = ref_output(call, GLOBAL_POOL_OUT_Y);
    size_t pixels = ref_plane(op_input_shape(call, GLOBAL_POOL_IN_X));
    for (size_t p = 0; p < ref_count(op_output_shape(call, GLOBAL_POOL_OUT_Y)); p++) {
        double sum = 0;
        for (size_t i = 0; i < pixels; i++)
            sum += x[p * pixels + i];
        y[p] = sum / (double)pixels;
    }
    return ST_OK;
}

enum status ref_run_global_pool_backward(const struct op_call *call)
{
    const double *dy = ref_input(call, GLOBAL_POOL_BACKWARD_IN_DY);
    double *dx = ref_output(call, GLOBAL_POOL_BACKWARD_OUT_DX);
    size_t pixels = ref_plane(op_output_shape(call, GLOBAL_POOL_BACKWARD_OUT_DX));
    for (size_t at = 0; at < ref_count(op_output_shape(call, GLOBAL_POOL_BACKWARD_OUT_DX)); at++)
        dx[at] = dy[at / pixels] / (double)pixels;
    return ST_OK;
}

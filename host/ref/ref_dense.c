/* Dense: y[n,o] = bias[o] + sum over the flattened input of x[n,e] * kernel[o,e]. */
#include "host/ref/ref.h"

#include <string.h>

enum status ref_run_dense(const struct op_call *call)
{
    const double *x = ref_input(call, DENSE_IN_X), *kernel = ref_input(call, DENSE_IN_KERNEL),
                 *bias = ref_input(call, DENSE_IN_BIAS);
    double *y = ref_output(call, DENSE_OUT_Y);
    struct shape out = op_output_shape(call, DENSE_OUT_Y);
    size_t width = ref_count(op_input_shape(call, DENSE_IN_X)) / (size_t)out.n, classes = (size_t)out.c;
    for (size_t n = 0; n < (size_t)out.n; n++)
        for (size_t o = 0; o < classes; o++) {
            double sum = bias ? bias[o] : 0;
            for (size_t e = 0; e < width; e++)
                sum += x[n * width + e] * kernel[o * width + e];
            y[n * classes + o] = sum;
        }
    return ST_OK;
}

enum status ref_run_dense_backward_data(const struct op_call *call)
{
    const double *dy = ref_input(call, DENSE_BACKWARD_DATA_IN_DY),
                 *kernel = ref_input(call, DENSE_BACKWARD_DATA_IN_KERNEL);
    double *dx = ref_output(call, DENSE_BACKWARD_DATA_OUT_DX);
    struct shape out = op_input_shape(call, DENSE_BACKWARD_DATA_IN_DY);
    size_t width = ref_count(op_output_shape(call, DENSE_BACKWARD_DATA_OUT_DX)) / (size_t)out.n,
           classes = (size_t)out.c;
    memset(dx, 0, (size_t)out.n * width * sizeof *dx);
    for (size_t n = 0; n < (size_t)out.n; n++)
        for (size_t o = 0; o < classes; o++)
            for (size_t e = 0; e < width; e++)
                dx[n * width + e] += dy[n * classes + o] * kernel[o * width + e];
    return ST_OK;
}

enum status ref_run_dense_backward_weights(const struct op_call *call)
{
    const double *x = ref_input(call, DENSE_BACKWARD_WEIGHTS_IN_X),
                 *dy = ref_input(call, DENSE_BACKWARD_WEIGHTS_IN_DY);
    double *dkernel = ref_output(call, DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL),
           *dbias = ref_output(call, DENSE_BACKWARD_WEIGHTS_OUT_DBIAS);
    struct shape out = op_input_shape(call, DENSE_BACKWARD_WEIGHTS_IN_DY);
    size_t width = ref_count(op_input_shape(call, DENSE_BACKWARD_WEIGHTS_IN_X)) / (size_t)out.n,
           classes = (size_t)out.c;
    memset(dkernel, 0, classes * width * sizeof *dkernel);
    if (dbias)
        memset(dbias, 0, classes * sizeof *dbias);
    for (size_t n = 0; n < (size_t)out.n; n++)
        for (size_t o = 0; o < classes; o++) {
            double gradient = dy[n * classes + o];
            if (dbias)
                dbias[o] += gradient;
            for (size_t e = 0; e < width; e++)
                dkernel[o * width + e] += gradient * x[n * width + e];
        }
    return ST_OK;
}

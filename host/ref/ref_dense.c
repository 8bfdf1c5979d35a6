/* Dense: y[n,o] = bias[o] + sum over the flattened input of x[n,e] * kernel[o,e]. */
#include "host/ref/ref.h"

#include <string.h>

void ref_run_dense(const struct ref_call *call)
{
    const double *x = ref_input(call, 0), *kernel = ref_input(call, 1), *bias = ref_input(call, 2);
    double *y = ref_output(call, 0);
    struct shape out = ref_output_shape(call, 0);
    size_t width = ref_count(ref_input_shape(call, 0)) / (size_t)out.n, classes = (size_t)out.c;
    for (size_t n = 0; n < (size_t)out.n; n++)
        for (size_t o = 0; o < classes; o++) {
            double sum = bias ? bias[o] : 0;
            for (size_t e = 0; e < width; e++)
                sum += x[n * width + e] * kernel[o * width + e];
            y[n * classes + o] = sum;
        }
}

void ref_run_dense_backward_data(const struct ref_call *call)
{
    const double *dy = ref_input(call, 0), *kernel = ref_input(call, 1);
    double *dx = ref_output(call, 0);
    struct shape out = ref_input_shape(call, 0);
    size_t width = ref_count(ref_output_shape(call, 0)) / (size_t)out.n, classes = (size_t)out.c;
    memset(dx, 0, (size_t)out.n * width * sizeof *dx);
    for (size_t n = 0; n < (size_t)out.n; n++)
        for (size_t o = 0; o < classes; o++)
            for (size_t e = 0; e < width; e++)
                dx[n * width + e] += dy[n * classes + o] * kernel[o * width + e];
}

void ref_run_dense_backward_weights(const struct ref_call *call)
{
    const double *x = ref_input(call, 0), *dy = ref_input(call, 1);
    double *dkernel = ref_output(call, 0), *dbias = ref_output(call, 1);
    struct shape out = ref_input_shape(call, 1);
    size_t width = ref_count(ref_input_shape(call, 0)) / (size_t)out.n, classes = (size_t)out.c;
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
}

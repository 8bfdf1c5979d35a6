/* Convolution: y[n,o,i,j] = bias[o] + sum over c, u, v of x[n, c of o's group, i*stride - pad + u, ...] *
 * kernel[o,c,u,v], zero outside the image. All three directions walk the same triples (output place, input
 * place, tap). */
#include "host/ref/ref.h"

#include <string.h>

/* What one output channel at one place reads: the part of the window that lies inside the image. */
struct taps {
    int32_t first_c;        /* the group's first input channel */
    int32_t top, left;      /* the window's corner in the image, may be negative */
    int32_t u0, u1, v0, v1; /* taps inside the image: u0 <= u < u1, v0 <= v < v1 */
};

static struct taps taps_at(const struct prog_op *op, struct shape x, struct shape kernel, int32_t out_channel,
                           int32_t i, int32_t j)
{
    struct taps t;
    t.first_c = out_channel / (kernel.n / op->window.groups) * kernel.c;
    t.top = i * op->window.stride - op->window.pad_h;
    t.left = j * op->window.stride - op->window.pad_w;
    t.u0 = t.top < 0 ? -t.top : 0;
    t.v0 = t.left < 0 ? -t.left : 0;
    t.u1 = t.top + kernel.h > x.h ? x.h - t.top : kernel.h;
    t.v1 = t.left + kernel.w > x.w ? x.w - t.left : kernel.w;
    return t;
}

enum status ref_run_conv(const struct op_call *call)
{
    const double *x = ref_input(call, CONV_IN_X), *kernel = ref_input(call, CONV_IN_KERNEL),
                 *bias = ref_input(call, CONV_IN_BIAS);
    double *y = ref_output(call, CONV_OUT_Y);
    struct shape in = op_input_shape(call, CONV_IN_X), k = op_input_shape(call, CONV_IN_KERNEL),
                 out = op_output_shape(call, CONV_OUT_Y);
    for (int32_t n = 0; n < out.n; n++)
        for (int32_t o = 0; o < out.c; o++)
            for (int32_t i = 0; i < out.h; i++)
                for (int32_t j = 0; j < out.w; j++) {
                    struct taps t = taps_at(call->op, in, k, o, i, j);
                    double sum = bias ? bias[o] : 0;
                    for (int32_t c = 0; c < k.c; c++)
                        for (int32_t u = t.u0; u < t.u1; u++)
                            for (int32_t v = t.v0; v < t.v1; v++)
                                sum += x[ref_at(in, n, t.first_c + c, t.top + u, t.left + v)] *
                                       kernel[ref_at(k, o, c, u, v)];
                    y[ref_at(out, n, o, i, j)] = sum;
                }
    return ST_OK;
}

enum status ref_run_conv_backward_data(const struct op_call *call)
{
    const double *dy = ref_input(call, CONV_BACKWARD_DATA_IN_DY),
                 *kernel = ref_input(call, CONV_BACKWARD_DATA_IN_KERNEL);
    double *dx = ref_output(call, CONV_BACKWARD_DATA_OUT_DX);
    struct shape out = op_input_shape(call, CONV_BACKWARD_DATA_IN_DY),
                 k = op_input_shape(call, CONV_BACKWARD_DATA_IN_KERNEL),
                 in = op_output_shape(call, CONV_BACKWARD_DATA_OUT_DX);
    memset(dx, 0, ref_count(in) * sizeof *dx);
    for (int32_t n = 0; n < out.n; n++)
        for (int32_t o = 0; o < out.c; o++)
            for (int32_t i = 0; i < out.h; i++)
                for (int32_t j = 0; j < out.w; j++) {
                    struct taps t = taps_at(call->op, in, k, o, i, j);
                    double gradient = dy[ref_at(out, n, o, i, j)];
                    for (int32_t c = 0; c < k.c; c++)
                        for (int32_t u = t.u0; u < t.u1; u++)
                            for (int32_t v = t.v0; v < t.v1; v++)
                                dx[ref_at(in, n, t.first_c + c, t.top + u, t.left + v)] +=
                                    gradient * kernel[ref_at(k, o, c, u, v)];
                }
    return ST_OK;
}

enum status ref_run_conv_backward_weights(const struct op_call *call)
{
    const double *x = ref_input(call, CONV_BACKWARD_WEIGHTS_IN_X),
                 *dy = ref_input(call, CONV_BACKWARD_WEIGHTS_IN_DY);
    double *dkernel = ref_output(call, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL),
           *dbias = ref_output(call, CONV_BACKWARD_WEIGHTS_OUT_DBIAS);
    struct shape in = op_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                 out = op_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_DY),
                 k = op_output_shape(call, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL);
    memset(dkernel, 0, ref_count(k) * sizeof *dkernel);
    if (dbias)
        memset(dbias, 0, (size_t)out.c * sizeof *dbias);
    for (int32_t n = 0; n < out.n; n++)
        for (int32_t o = 0; o < out.c; o++)
            for (int32_t i = 0; i < out.h; i++)
                for (int32_t j = 0; j < out.w; j++) {
                    struct taps t = taps_at(call->op, in, k, o, i, j);
                    double gradient = dy[ref_at(out, n, o, i, j)];
                    if (dbias)
                        dbias[o] += gradient;
                    for (int32_t c = 0; c < k.c; c++)
                        for (int32_t u = t.u0; u < t.u1; u++)
                            for (int32_t v = t.v0; v < t.v1; v++)
                                dkernel[ref_at(k, o, c, u, v)] +=
                                    gradient * x[ref_at(in, n, t.first_c + c, t.top + u, t.left + v)];
                }
    return ST_OK;
}

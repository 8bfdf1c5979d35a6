/* Batch norm (Ioffe, Szegedy 2015), alone or fused with an add and a ReLU. Per channel, over N, H and W:
 *   normal = (x - mean) * invstd;   y = f(scale * normal + shift + addend)
 * and backward, with g the gradient behind the ReLU and M the number of values:
 *   dshift = sum g;   dscale = sum g * normal;   dx = scale * invstd * (g - (dshift + normal * dscale) / M)
 */
#include "host/ref/ref.h"

#include <math.h>

/* f(scale * (x - mean) * invstd + shift + addend) over channel c, in training and in inference, which have the same
 * operands. */
static void normalise_channel(const struct op_call *call, int32_t c, double mean, double invstd)
{
    const double *x = ref_input(call, BATCH_NORM_IN_X), *addend = ref_input(call, BATCH_NORM_IN_ADDEND);
    double scale = ref_input(call, BATCH_NORM_IN_SCALE)[c], shift = ref_input(call, BATCH_NORM_IN_SHIFT)[c];
    double *y = ref_output(call, BATCH_NORM_OUT_Y);
    struct shape shape = op_input_shape(call, BATCH_NORM_IN_X);
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    for (int32_t n = 0; n < shape.n; n++) {
        size_t at = ref_at(shape, n, c, 0, 0);
        for (size_t end = at + plane; at < end; at++) {
            double value = scale * (x[at] - mean) * invstd + shift + (addend ? addend[at] : 0);
            y[at] = call->op->norm.relu && !(value > 0) ? 0 : value;
        }
    }
}

/* Mean of the channel's (x - centre)^power, power 1 or 2. */
static double channel_moment(const double *x, struct shape shape, int32_t c, double centre, int power)
{
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    double sum = 0;
    for (int32_t n = 0; n < shape.n; n++) {
        size_t at = ref_at(shape, n, c, 0, 0);
        for (size_t end = at + plane; at < end; at++) {
            double difference = x[at] - centre;
            sum += power == 2 ? difference * difference : difference;
        }
    }
    return sum / ((double)shape.n * (double)plane);
}

enum status ref_run_batch_norm(const struct op_call *call)
{
    const double *x = ref_input(call, BATCH_NORM_IN_X);
    double *running_mean = ref_input(call, BATCH_NORM_IN_RUNNING_MEAN),
           *running_var = ref_input(call, BATCH_NORM_IN_RUNNING_VAR);
    double *saved_mean = ref_output(call, BATCH_NORM_OUT_MEAN),
           *saved_invstd = ref_output(call, BATCH_NORM_OUT_INVSTD);
    struct shape shape = op_input_shape(call, BATCH_NORM_IN_X);
    double momentum = (double)call->op->norm.momentum;
    for (int32_t c = 0; c < shape.c; c++) {
        double mean = channel_moment(x, shape, c, 0, 1);
        double variance = channel_moment(x, shape, c, mean, 2);
        double invstd = 1 / sqrt(variance + (double)GRAPH_BATCH_NORM_EPSILON);
        normalise_channel(call, c, mean, invstd);
        saved_mean[c] = mean;
        saved_invstd[c] = invstd;
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean;
        running_var[c] = (1 - momentum) * running_var[c] + momentum * variance;
    }
    return ST_OK;
}

enum status ref_run_batch_norm_inference(const struct op_call *call)
{
    const double *running_mean = ref_input(call, BATCH_NORM_INFERENCE_IN_RUNNING_MEAN),
                 *running_var = ref_input(call, BATCH_NORM_INFERENCE_IN_RUNNING_VAR);
    for (int32_t c = 0; c < op_input_shape(call, BATCH_NORM_INFERENCE_IN_X).c; c++)
        normalise_channel(call, c, running_mean[c],
                          1 / sqrt(running_var[c] + (double)GRAPH_BATCH_NORM_EPSILON));
    return ST_OK;
}

enum status ref_run_batch_norm_backward(const struct op_call *call)
{
    const double *x = ref_input(call, BATCH_NORM_BACKWARD_IN_X),
                 *y = ref_input(call, BATCH_NORM_BACKWARD_IN_Y),
                 *dy = ref_input(call, BATCH_NORM_BACKWARD_IN_DY);
    const double *scale = ref_input(call, BATCH_NORM_BACKWARD_IN_SCALE),
                 *mean = ref_input(call, BATCH_NORM_BACKWARD_IN_MEAN),
                 *invstd = ref_input(call, BATCH_NORM_BACKWARD_IN_INVSTD);
    double *dx = ref_output(call, BATCH_NORM_BACKWARD_OUT_DX),
           *dscale = ref_output(call, BATCH_NORM_BACKWARD_OUT_DSCALE),
           *dshift = ref_output(call, BATCH_NORM_BACKWARD_OUT_DSHIFT);
    double *daddend = ref_output(call, BATCH_NORM_BACKWARD_OUT_DADDEND);
    struct shape shape = op_input_shape(call, BATCH_NORM_BACKWARD_IN_X);
    bool relu = call->op->norm.relu;
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    double count = (double)shape.n * (double)plane;
    for (int32_t c = 0; c < shape.c; c++) {
        double sum = 0, sum_normal = 0;
        for (int32_t n = 0; n < shape.n; n++) {
            size_t at = ref_at(shape, n, c, 0, 0);
            for (size_t end = at + plane; at < end; at++) {
                double gradient = relu && !(y[at] > 0) ? 0 : dy[at];
                sum += gradient;
                sum_normal += gradient * (x[at] - mean[c]) * invstd[c];
                if (daddend)
                    daddend[at] = gradient;
            }
        }
        dshift[c] = sum;
        dscale[c] = sum_normal;
        for (int32_t n = 0; n < shape.n; n++) {
            size_t at = ref_at(shape, n, c, 0, 0);
            for (size_t end = at + plane; at < end; at++) {
                double gradient = relu && !(y[at] > 0) ? 0 : dy[at];
                double normal = (x[at] - mean[c]) * invstd[c];
                dx[at] = scale[c] * invstd[c] * (gradient - (sum + normal * sum_normal) / count);
            }
        }
    }
    return ST_OK;
}

/* Batch norm (Ioffe, Szegedy 2015), alone or fused with an add and a ReLU. Per channel, over N, H and W:
 *   normal = (x - mean) * invstd;   y = f(scale * normal + shift + addend)
 * and backward, with g the gradient behind the ReLU and M the number of values:
 *   dshift = sum g;   dscale = sum g * normal;   dx = scale * invstd * (g - (dshift + normal * dscale) / M)
 */
#include "host/ref/ref.h"

#include <math.h>

/* f(scale * (x - mean) * invstd + shift + addend) over channel c. */
static void normalise_channel(const struct ref_call *call, int32_t c, double mean, double invstd)
{
    const double *x = ref_input(call, 0), *addend = ref_input(call, 5);
    double scale = ref_input(call, 1)[c], shift = ref_input(call, 2)[c];
    double *y = ref_output(call, 0);
    struct shape shape = ref_input_shape(call, 0);
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

void ref_run_batch_norm(const struct ref_call *call)
{
    const double *x = ref_input(call, 0);
    double *running_mean = ref_input(call, 3), *running_var = ref_input(call, 4);
    double *saved_mean = ref_output(call, 1), *saved_invstd = ref_output(call, 2);
    struct shape shape = ref_input_shape(call, 0);
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
}

void ref_run_batch_norm_inference(const struct ref_call *call)
{
    const double *running_mean = ref_input(call, 3), *running_var = ref_input(call, 4);
    for (int32_t c = 0; c < ref_input_shape(call, 0).c; c++)
        normalise_channel(call, c, running_mean[c],
                          1 / sqrt(running_var[c] + (double)GRAPH_BATCH_NORM_EPSILON));
}

void ref_run_batch_norm_backward(const struct ref_call *call)
{
    const double *x = ref_input(call, 0), *y = ref_input(call, 1), *dy = ref_input(call, 2);
    const double *scale = ref_input(call, 3), *mean = ref_input(call, 4), *invstd = ref_input(call, 5);
    double *dx = ref_output(call, 0), *dscale = ref_output(call, 1), *dshift = ref_output(call, 2);
    double *daddend = ref_output(call, 3);
    struct shape shape = ref_input_shape(call, 0);
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
}

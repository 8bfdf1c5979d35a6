/* Pooling over windows (maximum, mean of the pixels inside the image) and over the whole image.
 * A max pool's index holds the winner's place in its plane, row * width + column. */
#include "host/ref/ref.h"

#include <string.h>

/* The part of output (i, j)'s window that lies inside the image; never empty, because pad < kernel. */
struct window {
    int32_t top, bottom, left, right; /* top <= row < bottom, left <= column < right */
};

static struct window window_at(const struct prog_op *op, struct shape in, int32_t i, int32_t j)
{
    int32_t top = i * op->window.stride - op->window.pad_h, bottom = top + op->window.kernel_h;
    int32_t left = j * op->window.stride - op->window.pad_w, right = left + op->window.kernel_w;
    return (struct window){top < 0 ? 0 : top, bottom > in.h ? in.h : bottom, left < 0 ? 0 : left,
                           right > in.w ? in.w : right};
}

static size_t plane_size(struct shape shape)
{
    return (size_t)shape.h * (size_t)shape.w;
}

/* Of equals the first, row by row; the first pixel counts even when it is NaN. */
static int32_t winner(const double *plane, int32_t width, struct window w)
{
    int32_t best = w.top * width + w.left;
    for (int32_t row = w.top; row < w.bottom; row++)
        for (int32_t column = w.left; column < w.right; column++)
            if (plane[row * width + column] > plane[best])
                best = row * width + column;
    return best;
}

void ref_run_max_pool(const struct ref_call *call)
{
    const double *x = ref_input(call, 0);
    double *y = ref_output(call, 0), *index = ref_output(call, 1);
    struct shape in = ref_input_shape(call, 0), out = ref_output_shape(call, 0);
    for (int32_t p = 0; p < out.n * out.c; p++) {
        const double *plane = x + (size_t)p * plane_size(in);
        for (int32_t i = 0; i < out.h; i++)
            for (int32_t j = 0; j < out.w; j++) {
                size_t at = (size_t)p * plane_size(out) + (size_t)(i * out.w + j);
                int32_t best = winner(plane, in.w, window_at(call->op, in, i, j));
                y[at] = plane[best];
                if (index)
                    index[at] = best;
            }
    }
}

void ref_run_max_pool_backward(const struct ref_call *call)
{
    const double *dy = ref_input(call, 0), *index = ref_input(call, 1);
    double *dx = ref_output(call, 0);
    struct shape out = ref_input_shape(call, 0), in = ref_output_shape(call, 0);
    memset(dx, 0, ref_count(in) * sizeof *dx);
    for (size_t at = 0; at < ref_count(out); at++)
        dx[at / plane_size(out) * plane_size(in) + (size_t)index[at]] += dy[at];
}

void ref_run_average_pool(const struct ref_call *call)
{
    const double *x = ref_input(call, 0);
    double *y = ref_output(call, 0);
    struct shape in = ref_input_shape(call, 0), out = ref_output_shape(call, 0);
    for (int32_t p = 0; p < out.n * out.c; p++) {
        const double *plane = x + (size_t)p * plane_size(in);
        for (int32_t i = 0; i < out.h; i++)
            for (int32_t j = 0; j < out.w; j++) {
                struct window w = window_at(call->op, in, i, j);
                double sum = 0;
                for (int32_t row = w.top; row < w.bottom; row++)
                    for (int32_t column = w.left; column < w.right; column++)
                        sum += plane[row * in.w + column];
                int32_t pixels = (w.bottom - w.top) * (w.right - w.left);
                y[(size_t)p * plane_size(out) + (size_t)(i * out.w + j)] = sum / pixels;
            }
    }
}

void ref_run_average_pool_backward(const struct ref_call *call)
{
    const double *dy = ref_input(call, 0);
    double *dx = ref_output(call, 0);
    struct shape out = ref_input_shape(call, 0), in = ref_output_shape(call, 0);
    memset(dx, 0, ref_count(in) * sizeof *dx);
    for (int32_t p = 0; p < out.n * out.c; p++) {
        double *plane = dx + (size_t)p * plane_size(in);
        for (int32_t i = 0; i < out.h; i++)
            for (int32_t j = 0; j < out.w; j++) {
                struct window w = window_at(call->op, in, i, j);
                int32_t pixels = (w.bottom - w.top) * (w.right - w.left);
                double share = dy[(size_t)p * plane_size(out) + (size_t)(i * out.w + j)] / pixels;
                for (int32_t row = w.top; row < w.bottom; row++)
                    for (int32_t column = w.left; column < w.right; column++)
                        plane[row * in.w + column] += share;
            }
    }
}

void ref_run_global_pool(const struct ref_call *call)
{
    const double *x = ref_input(call, 0);
    double *y = ref_output(call, 0);
    size_t pixels = plane_size(ref_input_shape(call, 0));
    for (size_t p = 0; p < ref_count(ref_output_shape(call, 0)); p++) {
        double sum = 0;
        for (size_t i = 0; i < pixels; i++)
            sum += x[p * pixels + i];
        y[p] = sum / (double)pixels;
    }
}

void ref_run_global_pool_backward(const struct ref_call *call)
{
    const double *dy = ref_input(call, 0);
    double *dx = ref_output(call, 0);
    size_t pixels = plane_size(ref_output_shape(call, 0));
    for (size_t at = 0; at < ref_count(ref_output_shape(call, 0)); at++)
        dx[at] = dy[at / pixels] / (double)pixels;
}

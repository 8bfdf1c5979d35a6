/* Resizing with a separable triangle filter. When an axis shrinks, the triangle is widened by the same
 * factor, so every input pixel counts and nothing aliases; when it grows, this is linear interpolation. Rows
 * are mixed first, into one row of floats, which is then mixed along itself: no image is held in between. */
#include "host/data/data_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which part of the input is drawn on which part of the output. */
struct frame {
    double top, left, height, width; /* input pixels */
    int32_t to_top, to_left, to_height, to_width;
};

enum status data_fit_parse(const char *text, enum job_fit *fit, struct error *err)
{
    if (job_fit_of(text, fit))
        return ST_OK;
    return error_set(err, ST_RANGE, "dataset fit \"%s\": expected stretch, crop or pad", text);
}

static int32_t rounded_side(double side, int32_t most)
{
    int32_t whole = (int32_t)(side + 0.5);
    return whole < 1 ? 1 : whole > most ? most : whole;
}

/* stretch: all onto all. crop: the largest middle part of the output's proportions. pad: all onto a middle
 * part. */
static struct frame make_frame(int32_t height, int32_t width, enum job_fit fit, int32_t to_height,
                               int32_t to_width)
{
    struct frame frame = {
        .height = height, .width = width, .to_height = to_height, .to_width = to_width}; /* stretch */
    double by_height = (double)to_height / height, by_width = (double)to_width / width;
    double scale;
    switch (fit) {
    case JOB_FIT_STRETCH:
        break;
    case JOB_FIT_CROP:
        scale = fmax(by_height, by_width);
        frame.height = fmin(to_height / scale, height);
        frame.width = fmin(to_width / scale, width);
        frame.top = (height - frame.height) / 2;
        frame.left = (width - frame.width) / 2;
        break;
    case JOB_FIT_PAD:
        scale = fmin(by_height, by_width);
        frame.to_height = rounded_side(height * scale, to_height);
        frame.to_width = rounded_side(width * scale, to_width);
        frame.to_top = (to_height - frame.to_height) / 2;
        frame.to_left = (to_width - frame.to_width) / 2;
        break;
    }
    return frame;
}

int32_t data_resize_shrink(int32_t height, int32_t width, enum job_fit fit, int32_t to_height,
                           int32_t to_width)
{
    struct frame frame = make_frame(height, width, fit, to_height, to_width);
    double spare = fmin(frame.height / frame.to_height, frame.width / frame.to_width);
    int32_t shrink = 8;
    while (shrink > 1 && spare < 2.0 * shrink)
        shrink /= 2;
    return shrink;
}

/* Makes room for `outputs` pixels of at most `most` taps. */
static enum status reserve_taps(struct resize_taps *taps, size_t outputs, size_t most, struct error *err)
{
    if (outputs > taps->output_capacity) {
        free(taps->first);
        free(taps->count);
        taps->output_capacity = 0;
        taps->first = malloc(outputs * sizeof(*taps->first));
        taps->count = malloc(outputs * sizeof(*taps->count));
        if (taps->first == NULL || taps->count == NULL)
            return error_memory(err, "resizing", outputs * sizeof(*taps->first));
        taps->output_capacity = outputs;
    }
    if (outputs * most > taps->weight_capacity) {
        free(taps->weights);
        taps->weight_capacity = 0;
        taps->weights = malloc(outputs * most * sizeof(*taps->weights));
        if (taps->weights == NULL)
            return error_memory(err, "resizing", outputs * most * sizeof(*taps->weights));
        taps->weight_capacity = outputs * most;
    }
    taps->most = (int32_t)most;
    return ST_OK;
}

/* Taps that draw `outputs` pixels from [from, from + extent) of an axis of `length` inputs. */
static enum status make_taps(struct resize_taps *taps, int32_t length, double from, double extent,
                             int32_t outputs, struct error *err)
{
    double step = extent / outputs, reach = fmax(step, 1.0);
    enum status st = reserve_taps(taps, (size_t)outputs, (size_t)(2 * ceil(reach)) + 2, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < outputs; i++) {
        float *weights = taps->weights + (size_t)i * (size_t)taps->most;
        double centre = from + (i + 0.5) * step, sum = 0;
        int32_t low = (int32_t)fmax(floor(centre - reach + 0.5), 0);
        int32_t high = (int32_t)fmin(floor(centre + reach + 0.5), length);
        for (int32_t j = low; j < high; j++)
            sum += fmax(0, 1 - fabs(j + 0.5 - centre) / reach);
        for (int32_t j = low; j < high; j++)
            weights[j - low] = (float)(fmax(0, 1 - fabs(j + 0.5 - centre) / reach) / sum);
        taps->first[i] = low;
        taps->count[i] = high - low;
    }
    return ST_OK;
}

/* row[stride] = the input rows of output row `output`, mixed. */
static void mix_rows(const struct resize_taps *taps, int32_t output, const uint8_t *from, size_t stride,
                     float *row)
{
    const float *weights = taps->weights + (size_t)output * (size_t)taps->most;
    memset(row, 0, stride * sizeof(*row));
    for (int32_t k = 0; k < taps->count[output]; k++) {
        const uint8_t *line = from + (size_t)(taps->first[output] + k) * stride;
        float weight = weights[k];
        for (size_t x = 0; x < stride; x++)
            row[x] += weight * (float)line[x];
    }
}

/* to[outputs] = channel `channel` of the row, mixed along itself and rounded. */
static void mix_along(const struct resize_taps *taps, int32_t outputs, const float *row, int32_t channels,
                      int32_t channel, uint8_t *to)
{
    for (int32_t i = 0; i < outputs; i++) {
        const float *weights = taps->weights + (size_t)i * (size_t)taps->most;
        const float *at = row + (size_t)taps->first[i] * (size_t)channels + channel;
        float sum = 0.5f;
        for (int32_t k = 0; k < taps->count[i]; k++)
            sum += weights[k] * at[(size_t)k * (size_t)channels];
        to[i] =
            sum >= 255.0f ? 255 : (uint8_t)sum; /* weights and pixels are not negative, so nor is the sum */
    }
}

static void copy_planes(const uint8_t *from, int32_t channels, size_t count, uint8_t *to)
{
    for (int32_t c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++)
            to[(size_t)c * count + i] = from[i * (size_t)channels + (size_t)c];
}

enum status data_resize(struct resize_work *work, const struct resize_order *order, uint8_t *to,
                        struct error *err)
{
    const int32_t channels = order->channels;
    const size_t plane = (size_t)order->to_height * (size_t)order->to_width,
                 stride = (size_t)order->width * (size_t)channels;
    if (order->height == order->to_height && order->width == order->to_width) {
        copy_planes(order->from, channels, plane, to);
        return ST_OK;
    }
    const struct frame frame =
        make_frame(order->height, order->width, order->fit, order->to_height, order->to_width);
    enum status st = make_taps(&work->rows, order->height, frame.top, frame.height, frame.to_height, err);
    if (st == ST_OK)
        st = make_taps(&work->columns, order->width, frame.left, frame.width, frame.to_width, err);
    if (st != ST_OK)
        return st;
    if (stride > work->row_capacity) {
        free(work->row);
        work->row_capacity = 0;
        work->row = malloc(stride * sizeof(*work->row));
        if (work->row == NULL)
            return error_memory(err, "resizing", stride * sizeof(*work->row));
        work->row_capacity = stride;
    }
    if (frame.to_height < order->to_height || frame.to_width < order->to_width)
        memset(to, 0, plane * (size_t)channels);
    for (int32_t y = 0; y < frame.to_height; y++) {
        mix_rows(&work->rows, y, order->from, stride, work->row);
        size_t corner = (size_t)(frame.to_top + y) * (size_t)order->to_width + (size_t)frame.to_left;
        for (int32_t c = 0; c < channels; c++)
            mix_along(&work->columns, frame.to_width, work->row, channels, c,
                      to + (size_t)c * plane + corner);
    }
    return ST_OK;
}

void data_resize_free(struct resize_work *work)
{
    free(work->rows.first);
    free(work->rows.count);
    free(work->rows.weights);
    free(work->columns.first);
    free(work->columns.count);
    free(work->columns.weights);
    free(work->row);
    *work = (struct resize_work){0};
}

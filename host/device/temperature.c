#include "host/device/temperature.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

/* As in views.h: a class without any chance may still be the answer. */
static double log_of(float probability)
{
    return log(fmax((double)probability, (double)FLT_MIN));
}

/* Of an image's answer that is given the most. */
static double largest_log(const float *answer, int32_t classes)
{
    float most = answer[0];
    for (int32_t k = 1; k < classes; k++)
        most = fmaxf(most, answer[k]);
    return log_of(most);
}

void temperature_apply(float *probabilities, int32_t rows, int32_t classes, float temperature)
{
    const double inverse = 1.0 / (double)temperature;
    if (temperature == 1.0f)
        return;
    for (int32_t row = 0; row < rows; row++) {
        float *values = probabilities + (size_t)row * (size_t)classes;
        const double top = largest_log(values, classes);
        double total = 0.0;
        for (int32_t k = 0; k < classes; k++)
            total += exp((log_of(values[k]) - top) * inverse);
        for (int32_t k = 0; k < classes; k++)
            values[k] = (float)(exp((log_of(values[k]) - top) * inverse) / total);
    }
}

/* Adds one image's part of the first two derivatives of the sum of losses by 1/T: with z the logarithms of its
 * probabilities, by p^(1/T) normalised, the mean of z less that of the label; and the variance of z. */
static void add_image(const float *answer, int32_t classes, int32_t label, double inverse, double slopes[2])
{
    const double top = largest_log(answer, classes);
    double total = 0.0, first = 0.0, second = 0.0;
    for (int32_t k = 0; k < classes; k++) {
        const double z = log_of(answer[k]) - top, weight = exp(z * inverse);
        total += weight;
        first += weight * z;
        second += weight * z * z;
    }
    const double mean = first / total;
    slopes[0] += mean - (log_of(answer[label]) - top);
    slopes[1] += second / total - mean * mean;
}

/* The same of what is to be least, by u = log T. */
static void slopes_at(const float *probabilities, int32_t rows, int32_t classes, const int32_t *labels,
                      double u, double slopes[2])
{
    const double inverse = exp(-u);
    double by_inverse[2] = {0.0, 0.0};
    for (int32_t row = 0; row < rows; row++)
        add_image(probabilities + (size_t)row * (size_t)classes, classes, labels[row], inverse, by_inverse);
    slopes[0] = u - inverse * by_inverse[0];
    slopes[1] = 1.0 + inverse * by_inverse[0] + inverse * inverse * by_inverse[1];
}

/* Newton's steps to where the slope is 0, within two ends between which its sign changes, halved where a step would
 * leave them. */
float temperature_fit(const float *probabilities, int32_t rows, int32_t classes, const int32_t *labels)
{
    enum { MOST_STEPS = 60 };
    static const double CLOSE = 1e-7;
    double low = log(TEMPERATURE_LEAST), high = log(TEMPERATURE_MOST), u = 0.0;
    for (int step = 0; step < MOST_STEPS && high - low > CLOSE; step++) {
        double slopes[2];
        slopes_at(probabilities, rows, classes, labels, u, slopes);
        const double next = u - slopes[0] / slopes[1];
        if (slopes[1] > 0.0 && fabs(next - u) <= CLOSE)
            break;
        if (slopes[0] > 0.0)
            high = u;
        else
            low = u;
        u = slopes[1] > 0.0 && next > low && next < high ? next : 0.5 * (low + high);
    }
    return (float)exp(u);
}

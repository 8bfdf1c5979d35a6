#include "host/device/temperature.h"

#include "host/base/labels.h"

/* Of an image's answer that is given the most. */
static double largest_log(const float *answer, int32_t classes)
{
    float most = answer[0];
    for (int32_t k = 1; k < classes; k++)
        most = fmaxf(most, answer[k]);
    return labels_log_chance(most);
}

static double sigmoid(double logit)
{
    return 1.0 / (1.0 + exp(-logit));
}

void temperature_apply(float *probabilities, int32_t rows, int32_t classes, float temperature, bool sets)
{
    const double inverse = 1.0 / (double)temperature;
    if (temperature == 1.0f)
        return;
    for (size_t i = 0; sets && i < (size_t)rows * (size_t)classes; i++)
        probabilities[i] = (float)sigmoid(labels_logit(probabilities[i]) * inverse);
    if (sets)
        return;
    for (int32_t row = 0; row < rows; row++) {
        float *values = probabilities + (size_t)row * (size_t)classes;
        const double top = largest_log(values, classes);
        double total = 0.0;
        for (int32_t k = 0; k < classes; k++)
            total += exp((labels_log_chance(values[k]) - top) * inverse);
        for (int32_t k = 0; k < classes; k++)
            values[k] = (float)(exp((labels_log_chance(values[k]) - top) * inverse) / total);
    }
}

/* Adds one image's part of the first two derivatives of the sum of losses by 1/T: with z the logarithms of its
 * probabilities, by p^(1/T) normalised, the mean of z less that of the label; and the variance of z. */
static void add_image(const float *answer, int32_t classes, int32_t label, double inverse, double slopes[2])
{
    const double top = largest_log(answer, classes);
    double total = 0.0, first = 0.0, second = 0.0;
    for (int32_t k = 0; k < classes; k++) {
        const double z = labels_log_chance(answer[k]) - top, weight = exp(z * inverse);
        total += weight;
        first += weight * z;
        second += weight * z * z;
    }
    const double mean = first / total;
    slopes[0] += mean - (labels_log_chance(answer[label]) - top);
    slopes[1] += second / total - mean * mean;
}

/* The same of an image whose label is a set: with z a class's logit and p = sigmoid(z / T), (p - t) z and
 * p (1 - p) z^2. */
static void add_set(const float *answer, int32_t classes, const uint8_t *set, double inverse,
                    double slopes[2])
{
    for (int32_t k = 0; k < classes; k++) {
        const double z = labels_logit(answer[k]), p = sigmoid(z * inverse);
        slopes[0] += (p - (double)set[k]) * z;
        slopes[1] += p * (1.0 - p) * z * z;
    }
}

/* The images that a temperature is fitted to. */
struct fitted {
    const float *probabilities;
    int32_t rows, classes;
    const int32_t *labels;
    const uint8_t *label_sets;
};

/* The same of what is to be least, by u = log T. */
static void slopes_at(const struct fitted *fitted, double u, double slopes[2])
{
    const double inverse = exp(-u);
    const size_t classes = (size_t)fitted->classes;
    double by_inverse[2] = {0.0, 0.0};
    for (int32_t row = 0; row < fitted->rows; row++) {
        const float *answer = fitted->probabilities + (size_t)row * classes;
        const int32_t label = fitted->labels[row];
        if (fitted->label_sets != NULL)
            add_set(answer, fitted->classes, fitted->label_sets + (size_t)label * classes, inverse,
                    by_inverse);
        else
            add_image(answer, fitted->classes, label, inverse, by_inverse);
    }
    slopes[0] = u - inverse * by_inverse[0];
    slopes[1] = 1.0 + inverse * by_inverse[0] + inverse * inverse * by_inverse[1];
}

/* Newton's steps to where the slope is 0, within two ends between which its sign changes, halved where a step would
 * leave them. */
float temperature_fit(const float *probabilities, int32_t rows, int32_t classes, const int32_t *labels,
                      const uint8_t *label_sets)
{
    const struct fitted fitted = {probabilities, rows, classes, labels, label_sets};
    enum { MOST_STEPS = 60 };
    static const double CLOSE = 1e-7;
    double low = log(TEMPERATURE_LEAST), high = log(TEMPERATURE_MOST), u = 0.0;
    for (int step = 0; step < MOST_STEPS && high - low > CLOSE; step++) {
        double slopes[2];
        slopes_at(&fitted, u, slopes);
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

#include "host/device/views.h"

#include "host/base/labels.h"

#include <float.h>
#include <math.h>

bool views_are_known(int32_t count)
{
    return count == 1 || count == 2 || count == 3 || count == 6;
}

struct views views_of(int32_t count)
{
    const int32_t sides = count % 2 == 0 ? 2 : 1, shifts = count / sides;
    struct views views = {.count = count};
    for (int32_t i = 0; i < count; i++) {
        const int32_t shift = i / sides == 2 ? 1 : -(i / sides);
        views.items[i] = (struct augment_view){.shift_y = shift, .shift_x = shift, .mirrored = i % sides};
        views.weights[i] = (shifts == 1 ? 1.0f : shift == 0 ? 0.5f : 0.25f) / (float)sides;
    }
    return views;
}

void views_add(float *sums, const float *probabilities, size_t count, float weight, bool sets)
{
    /* A class that is given no chance at all by one view may still be the answer by the others. */
    for (size_t i = 0; i < count; i++)
        sums[i] +=
            weight * (sets ? (float)labels_logit(probabilities[i]) : logf(fmaxf(probabilities[i], FLT_MIN)));
}

static float sigmoid(float logit)
{
    return (float)(1.0 / (1.0 + exp(-(double)logit)));
}

void views_finish(float *sums, int32_t rows, int32_t classes, bool sets)
{
    for (size_t i = 0; sets && i < (size_t)rows * (size_t)classes; i++)
        sums[i] = sigmoid(sums[i]);
    if (sets)
        return;
    for (int32_t row = 0; row < rows; row++) {
        float *values = sums + (size_t)row * (size_t)classes, most = values[0];
        double total = 0.0;
        for (int32_t k = 1; k < classes; k++)
            most = fmaxf(most, values[k]);
        for (int32_t k = 0; k < classes; k++)
            total += exp((double)(values[k] - most));
        for (int32_t k = 0; k < classes; k++)
            values[k] = (float)(exp((double)(values[k] - most)) / total);
    }
}

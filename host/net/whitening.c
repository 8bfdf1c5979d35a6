#include "host/net/whitening.h"

#include "host/base/matrix.h"

#include <math.h>
#include <string.h>

enum { MOST = GRAPH_WHITENING_CHANNELS * GRAPH_WHITENING_SIDE * GRAPH_WHITENING_SIDE };

/* Directions in which images hardly differ are not blown up beyond this. */
static const double SMALLEST_VARIANCE = 5e-4;

/* Which sign an eigenvector has is the method's whim. */
static double sign_of(const double *vector, int32_t count)
{
    int32_t largest = 0;
    for (int32_t i = 1; i < count; i++)
        if (fabs(vector[i]) > fabs(vector[largest]) * (1.0 + 1e-6))
            largest = i;
    return vector[largest] < 0.0 ? -1.0 : 1.0;
}

enum status whitening_make(struct whitening *whitening, int32_t channels, const double *moments,
                           struct error *err)
{
    *whitening = (struct whitening){0};
    if (channels < 1 || channels > GRAPH_WHITENING_CHANNELS)
        return error_set(err, ST_RANGE, "whitening: found %d channels, expected 1 to %d", (int)channels,
                         GRAPH_WHITENING_CHANNELS);
    const int32_t count = channels * GRAPH_WHITENING_SIDE * GRAPH_WHITENING_SIDE;
    double work[MOST * MOST], vectors[MOST * MOST], variances[MOST];
    memcpy(work, moments, (size_t)count * (size_t)count * sizeof(*work));
    if (!matrix_eigen(work, count, variances, vectors))
        return error_set(err, ST_RANGE, "whitening: found moments that are not finite");
    for (int32_t k = 0; k < count; k++) {
        const double *vector = vectors + k * count;
        const double scale = sign_of(vector, count) / sqrt(fmax(variances[k], 0.0) + SMALLEST_VARIANCE);
        for (int32_t i = 0; i < count; i++) {
            const float value = (float)(scale * vector[i]);
            whitening->filters[k * count + i] = value;
            whitening->filters[(count + k) * count + i] = -value;
        }
    }
    whitening->channels = channels;
    return ST_OK;
}

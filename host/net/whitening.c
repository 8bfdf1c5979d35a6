#include "host/net/whitening.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

enum { MOST = GRAPH_WHITENING_CHANNELS * GRAPH_WHITENING_SIDE * GRAPH_WHITENING_SIDE };

/* Directions in which images hardly differ are not blown up beyond this. */
static const double SMALLEST_VARIANCE = 5e-4;

/* Which sign an eigenvector has is LAPACK's whim. */
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
    double vectors[MOST * MOST], variances[MOST];
    memcpy(vectors, moments, (size_t)count * (size_t)count * sizeof(*vectors));
    /* In rows: as the matrix is symmetric, LAPACK's columns are these rows. */
    const lapack_int info = LAPACKE_dsyev(LAPACK_COL_MAJOR, 'V', 'U', count, vectors, count, variances);
    if (info != 0)
        return error_set(err, info == LAPACK_WORK_MEMORY_ERROR ? ST_MEMORY : ST_RANGE,
                         "whitening: LAPACK's dsyev ended with %d, expected finite moments", (int)info);
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

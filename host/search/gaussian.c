#include "host/search/gaussian.h"

#include "host/base/matrix.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gaussian {
    int32_t n;
    double length, noise; /* of the kernel; see the header */
    double offset, scale; /* target = offset + scale * standardised */
    double *factor;       /* n x n, lower, column by column: Cholesky factor of the covariance */
    double *weights;      /* n: covariance^-1 * standardised targets */
    double *scratch;      /* n */
};

/* Lengths to try, times the median distance, and shares of noise. The first of each is the prior choice: it
 * stays when nothing is likelier. At most half is held to be noise, so that doubt about the unknown never
 * vanishes. */
static const double length_grid[] = {1.0,    0.125,  0.1768, 0.25,   0.3536, 0.5,
                                     0.7071, 1.4142, 2.0,    2.8284, 4.0,    8.0};
static const double noise_grid[] = {0.1, 0.001, 0.003, 0.01, 0.03, 0.2, 0.35, 0.5};

enum {
    LENGTHS = sizeof(length_grid) / sizeof(length_grid[0]),
    NOISES = sizeof(noise_grid) / sizeof(noise_grid[0])
};

static double covariance(const struct gaussian *g, double distance)
{
    double ratio = distance / g->length;
    return (1.0 - g->noise) * exp(-ratio * ratio);
}

/* Factors the covariance of all pairs for g's length and noise. What is added to the diagonal rises until it
 * succeeds: at n the diagonal outweighs each row, so it ends. */
static enum status factorise(struct gaussian *g, const double *distances, struct error *err)
{
    size_t n = (size_t)g->n;
    for (double added = 0.0; added <= 20.0 * g->n; added = added > 0.0 ? 10.0 * added : 1e-10) {
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < i; j++)
                g->factor[j * n + i] = covariance(g, distances[i * n + j]);
            g->factor[i * n + i] = 1.0 + added;
        }
        if (matrix_cholesky(g->factor, g->n))
            return ST_OK;
    }
    return error_set(err, ST_RANGE, "Gaussian process: covariance of %d targets stays indefinite", g->n);
}

/* Factors and solves for g's length and noise; the log marginal likelihood but for a constant. `standard` are
 * the standardised targets. */
static enum status evaluate(struct gaussian *g, const double *distances, const double *standard,
                            double *likelihood, struct error *err)
{
    enum status st = factorise(g, distances, err);
    if (st != ST_OK)
        return st;
    size_t n = (size_t)g->n;
    memcpy(g->weights, standard, n * sizeof(*standard));
    matrix_solve_lower(g->factor, g->n, g->weights);
    matrix_solve_lower_transposed(g->factor, g->n, g->weights);
    *likelihood = -0.5 * matrix_dot(standard, g->weights, g->n);
    for (size_t i = 0; i < n; i++)
        *likelihood -= log(g->factor[i * n + i]);
    return ST_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the distances above 0; 1 when there is none. `work` holds n * n values. */
static double median_distance(const double *distances, size_t n, double *work)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (distances[i * n + j] > 0.0)
                work[count++] = distances[i * n + j];
    if (count == 0)
        return 1.0;
    qsort(work, count, sizeof(*work), compare_doubles);
    return work[count / 2];
}

/* Sets offset and scale. Equal targets have no scale of their own: 1. */
static void standardise(struct gaussian *g, const double *targets, double *standard)
{
    double sum = 0.0, square = 0.0;
    for (int32_t i = 0; i < g->n; i++)
        sum += targets[i];
    g->offset = sum / g->n;
    for (int32_t i = 0; i < g->n; i++)
        square += (targets[i] - g->offset) * (targets[i] - g->offset);
    g->scale = sqrt(square / g->n);
    /* Below rounding, differences say nothing. */
    if (!(g->scale > 1e-12 * fabs(g->offset)) || g->scale < DBL_MIN)
        g->scale = 1.0;
    for (int32_t i = 0; i < g->n; i++)
        standard[i] = (targets[i] - g->offset) / g->scale;
}

static enum status search_grid(struct gaussian *g, const double *distances, const double *standard,
                               struct error *err)
{
    double unit = median_distance(distances, (size_t)g->n, g->factor);
    double best = -INFINITY, best_length = unit, best_noise = noise_grid[0], likelihood;
    for (int32_t l = 0; l < LENGTHS; l++)
        for (int32_t s = 0; s < NOISES; s++) {
            g->length = unit * length_grid[l];
            g->noise = noise_grid[s];
            enum status st = evaluate(g, distances, standard, &likelihood, err);
            if (st != ST_OK)
                return st;
            if (likelihood > best) {
                best = likelihood;
                best_length = g->length;
                best_noise = g->noise;
            }
        }
    g->length = best_length;
    g->noise = best_noise;
    return evaluate(g, distances, standard, &likelihood, err);
}

static enum status check_data(const double *distances, const double *targets, int32_t n, struct error *err)
{
    if (n < 1)
        return error_set(err, ST_RANGE, "Gaussian process: found %d targets, expected at least 1", n);
    for (int32_t i = 0; i < n; i++) {
        if (!isfinite(targets[i]))
            return error_set(err, ST_RANGE, "Gaussian process: target %d is %g, expected a finite value", i,
                             targets[i]);
        for (int32_t j = 0; j < n; j++) {
            double d = distances[(size_t)i * (size_t)n + (size_t)j];
            if (!(d >= 0.0 && d <= DBL_MAX))
                return error_set(err, ST_RANGE,
                                 "Gaussian process: distance %d to %d is %g, expected 0 or more", i, j, d);
        }
    }
    return ST_OK;
}

enum status gaussian_fit(const double *distances, const double *targets, int32_t n, struct gaussian **made,
                         struct error *err)
{
    *made = NULL;
    enum status st = check_data(distances, targets, n, err);
    if (st != ST_OK)
        return st;
    size_t count = (size_t)n;
    double *standard = malloc(count * sizeof(*standard));
    struct gaussian *g = calloc(1, sizeof(*g));
    if (standard == NULL || g == NULL) {
        st = error_memory(err, "Gaussian process", count * sizeof(*standard) + sizeof(*g));
        goto out;
    }
    g->n = n;
    g->factor = malloc(count * count * sizeof(*g->factor));
    g->weights = malloc(count * sizeof(*g->weights));
    g->scratch = malloc(count * sizeof(*g->scratch));
    if (g->factor == NULL || g->weights == NULL || g->scratch == NULL) {
        st = error_memory(err, "Gaussian process", (count + 2) * count * sizeof(*g->factor));
        goto out;
    }
    standardise(g, targets, standard);
    st = search_grid(g, distances, standard, err);
    if (st == ST_OK) {
        *made = g;
        g = NULL;
    }
out:
    free(standard);
    gaussian_free(g);
    return st;
}

enum status gaussian_predict(struct gaussian *gaussian, const double *distances, double *mean,
                             double *deviation, struct error *err)
{
    struct gaussian *g = gaussian;
    for (int32_t i = 0; i < g->n; i++) {
        if (!(distances[i] >= 0.0 && distances[i] <= DBL_MAX))
            return error_set(err, ST_RANGE, "Gaussian process: distance to %d is %g, expected 0 or more", i,
                             distances[i]);
        g->scratch[i] = covariance(g, distances[i]);
    }
    *mean = g->offset + g->scale * matrix_dot(g->scratch, g->weights, g->n);
    matrix_solve_lower(g->factor, g->n, g->scratch);
    double variance = 1.0 - g->noise - matrix_dot(g->scratch, g->scratch, g->n);
    *deviation = variance > 0.0 ? g->scale * sqrt(variance) : 0.0; /* rounding, or an indefinite kernel */
    return ST_OK;
}

void gaussian_free(struct gaussian *gaussian)
{
    if (gaussian == NULL)
        return;
    free(gaussian->factor);
    free(gaussian->weights);
    free(gaussian->scratch);
    free(gaussian);
}

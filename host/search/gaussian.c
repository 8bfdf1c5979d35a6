#include "host/search/gaussian.h"

#include "host/base/matrix.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What rounding may make of an eigenvalue that is 0. */
static const double EIGENVALUE = 1e-8;

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
static const double length_grid[] = {1.0, 0.125, 0.1768, 0.25, 0.3536, 0.5, 0.7071};
static const double noise_grid[] = {0.1, 0.001, 0.003, 0.01, 0.03, 0.2, 0.35, 0.5};

enum {
    LENGTHS = sizeof(length_grid) / sizeof(length_grid[0]),
    NOISES = sizeof(noise_grid) / sizeof(noise_grid[0]),
    PART = 256, /* targets that length and noise are chosen by: each choice costs the cube of their number */
};

double gaussian_kernel(double distance, double length)
{
    return exp(-distance / length);
}

static double covariance(const struct gaussian *g, double distance)
{
    return (1.0 - g->noise) * gaussian_kernel(distance, g->length);
}

/* Factors share * kernel with that diagonal; false where it is not positive definite. */
static bool try_factor(struct gaussian *g, const double *distances, double share, double diagonal)
{
    const size_t n = (size_t)g->n;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            g->factor[j * n + i] = share * gaussian_kernel(distances[i * n + j], g->length);
        g->factor[i * n + i] = diagonal;
    }
    return matrix_cholesky(g->factor, g->n);
}

/* Whether the kernel has no eigenvalue below -EIGENVALUE for g's length. */
static bool is_positive(struct gaussian *g, const double *distances)
{
    return try_factor(g, distances, 1.0, 1.0 + EIGENVALUE);
}

static enum status factorise(struct gaussian *g, const double *distances, struct error *err)
{
    return try_factor(g, distances, 1.0 - g->noise, 1.0)
               ? ST_OK
               : error_set(err, ST_RANGE, "Gaussian process: covariance of %d targets is indefinite", g->n);
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

/* Sets g's length and noise to those that make the targets likeliest, or PART of them, evenly spaced, of more. A length
 * for which the kernel is not positive definite is no choice. */
static enum status search_grid(struct gaussian *g, const double *distances, const double *standard,
                               struct error *err)
{
    const size_t all = (size_t)g->n, n = all < PART ? all : PART;
    struct gaussian part = {
        .n = (int32_t)n, .factor = g->factor, .weights = g->weights}; /* g's, for the time being */
    double *between = malloc(n * n * sizeof(*between)), *targets = malloc(n * sizeof(*targets));
    enum status st = ST_OK;
    if (between == NULL || targets == NULL) {
        st = error_memory(err, "part of the targets", (n + 1) * n * sizeof(*between));
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        targets[i] = standard[i * all / n];
        for (size_t j = 0; j < n; j++)
            between[i * n + j] = distances[i * all / n * all + j * all / n];
    }
    const double unit = median_distance(between, n, part.factor);
    double best = -INFINITY, likelihood;
    g->length = unit;
    g->noise = noise_grid[0];
    for (int32_t l = 0; st == ST_OK && l < LENGTHS; l++) {
        part.length = unit * length_grid[l];
        const bool positive = is_positive(&part, between);
        for (int32_t s = 0; st == ST_OK && positive && s < NOISES; s++) {
            part.noise = noise_grid[s];
            st = evaluate(&part, between, targets, &likelihood, err);
            if (st == ST_OK && likelihood > best) {
                best = likelihood;
                g->length = part.length;
                g->noise = part.noise;
            }
        }
    }
    for (int32_t tries = 0; st == ST_OK && !is_positive(g, distances); tries++) {
        g->length /= 2.0; /* the shorter, the more like the unit matrix */
        if (tries == 64)
            st =
                error_set(err, ST_RANGE, "Gaussian process: the kernel of %d targets stays indefinite", g->n);
    }
out:
    free(targets);
    free(between);
    return st;
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
    double likelihood;
    st = search_grid(g, distances, standard, err);
    if (st == ST_OK)
        st = evaluate(g, distances, standard, &likelihood, err);
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
    *deviation = variance > 0.0 ? g->scale * sqrt(variance)
                                : 0.0; /* rounding, or a thing that is no network's distance away */
    return ST_OK;
}

double gaussian_length(const struct gaussian *gaussian)
{
    return gaussian->length;
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

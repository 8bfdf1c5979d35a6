#include "host/search/gain_model.h"

#include "host/base/matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The process's shape: the two parts' deviations, in logarithms of errors, and their lengths, in edit distances and in
 * weak deviations of the prior. */
struct shape_of_process {
    double edit, features, edit_length, feature_length;
};

/* What is tried; a part of 0 is none. */
static const double deviation_grid[] = {0.0, 0.02, 0.05};
static const double edit_length_grid[] = {0.5, 2.0}, feature_length_grid[] = {1.0, 3.0};

enum {
    DEVIATIONS = sizeof(deviation_grid) / sizeof(deviation_grid[0]),
    EDIT_LENGTHS = sizeof(edit_length_grid) / sizeof(edit_length_grid[0]),
    FEATURE_LENGTHS = sizeof(feature_length_grid) / sizeof(feature_length_grid[0]),
    PART = 128, /* gains that the shape is chosen by */
};

struct gain_model {
    struct gain_prior prior;
    struct shape_of_process process;
    int32_t count;
    struct gain_seen *seen;
    double *factor;  /* count x count, of the covariance with the noise */
    double *weights; /* covariance^-1 (gain - prior's mean) */
    double *scratch;
};

/* ---- covariance ---- */

static double edit_difference(const struct gain_point *a, const struct gain_point *b)
{
    double sum = 0.0;
    for (int32_t i = 0; i < a->landmarks; i++)
        sum += fabs(a->distances[i] - b->distances[i]);
    return a->landmarks > 0 ? sum / a->landmarks : 0.0;
}

/* The features' scales are those in which they are thought to matter alike. */
static double feature_difference(const struct gain_point *a, const struct gain_point *b)
{
    static const double UNIT = 0.05;
    double sum = 0.0;
    for (int i = 0; i < CHANGE_COUNT; i++) {
        const double difference =
            change_weak((enum change_feature)i) / UNIT * (a->change.of[i] - b->change.of[i]);
        sum += difference * difference;
    }
    return sum;
}

static double process_covariance(const struct shape_of_process *process, const struct gain_point *a,
                                 const struct gain_point *b)
{
    double covariance = 0.0;
    if (process->edit > 0.0)
        covariance += process->edit * process->edit * exp(-edit_difference(a, b) / process->edit_length);
    if (process->features > 0.0)
        covariance +=
            process->features * process->features *
            exp(-feature_difference(a, b) / (2.0 * process->feature_length * process->feature_length));
    return covariance;
}

double gain_model_covariance(const struct gain_point *a, const struct gain_point *b)
{
    static const struct shape_of_process unit = {1.0, 1.0, 1.0, 1.0};
    return process_covariance(&unit, a, b);
}

static double covariance(const struct gain_model *model, const struct gain_point *a,
                         const struct gain_point *b)
{
    double sum = process_covariance(&model->process, a, b);
    for (int i = 0; i < CHANGE_COUNT; i++)
        sum += model->prior.deviation[i] * model->prior.deviation[i] * a->change.of[i] * b->change.of[i];
    return sum;
}

static double prior_mean(const struct gain_prior *prior, const struct change *change)
{
    double sum = 0.0;
    for (int i = 0; i < CHANGE_COUNT; i++)
        sum += prior->mean[i] * change->of[i];
    return sum;
}

/* ---- fitting ---- */

/* Factors and solves for the first `n` of every `all / n`-th gain; the log likelihood but for a constant, NAN where it
 * can't be done. */
static double evaluate(struct gain_model *model, int32_t n)
{
    const size_t size = (size_t)n, all = (size_t)model->count;
    double likelihood = 0.0;
    for (size_t i = 0; i < size; i++) {
        const struct gain_seen *a = &model->seen[i * all / size];
        for (size_t j = 0; j <= i; j++)
            model->factor[j * size + i] = covariance(model, &a->point, &model->seen[j * all / size].point);
        model->factor[i * size + i] += a->deviation * a->deviation + GAIN_MODEL_SEED * GAIN_MODEL_SEED;
        model->weights[i] = model->scratch[i] = a->gain - prior_mean(&model->prior, &a->point.change);
    }
    if (!matrix_cholesky(model->factor, n))
        return NAN;
    matrix_solve_lower(model->factor, n, model->weights);
    matrix_solve_lower_transposed(model->factor, n, model->weights);
    likelihood -= 0.5 * matrix_dot(model->scratch, model->weights, n);
    for (size_t i = 0; i < size; i++)
        likelihood -= log(model->factor[i * size + i]);
    return likelihood;
}

static void choose_process(struct gain_model *model)
{
    const int32_t part = model->count < PART ? model->count : PART;
    struct shape_of_process best = {.edit_length = 1.0, .feature_length = 1.0};
    double most = -INFINITY;
    for (int at = 0; at < DEVIATIONS * DEVIATIONS * EDIT_LENGTHS * FEATURE_LENGTHS; at++) {
        const int lengths = at / (DEVIATIONS * DEVIATIONS);
        model->process = (struct shape_of_process){
            .edit = deviation_grid[at % DEVIATIONS],
            .features = deviation_grid[at / DEVIATIONS % DEVIATIONS],
            .edit_length = edit_length_grid[lengths % EDIT_LENGTHS],
            .feature_length = feature_length_grid[lengths / EDIT_LENGTHS],
        };
        const double likelihood = evaluate(model, part);
        if (likelihood > most) {
            most = likelihood;
            best = model->process;
        }
    }
    model->process = best;
}

static bool is_finite(const struct gain_seen *seen)
{
    double sum = seen->gain + seen->deviation;
    for (int i = 0; i < CHANGE_COUNT; i++)
        sum += seen->point.change.of[i];
    for (int32_t i = 0; i < seen->point.landmarks; i++)
        sum += seen->point.distances[i];
    return isfinite(sum);
}

enum status gain_model_fit(const struct gain_prior *prior, const struct gain_seen *seen, int32_t count,
                           struct gain_model **made, struct error *err)
{
    const int32_t kept = count < GAIN_MODEL_MOST ? count : GAIN_MODEL_MOST;
    const size_t n = (size_t)kept + 1; /* malloc may return NULL for nothing */
    *made = NULL;
    for (int32_t i = 0; i < count; i++)
        if (!is_finite(&seen[i]))
            return error_set(err, ST_RANGE, "surrogate: gain %d is %g +- %g of a change that is not finite",
                             i, seen[i].gain, seen[i].deviation);
    struct gain_model *model = calloc(1, sizeof(*model));
    if (model == NULL)
        return error_memory(err, "surrogate", sizeof(*model));
    model->prior = *prior;
    model->count = kept;
    model->seen = malloc(n * sizeof(*model->seen));
    model->factor = malloc(n * n * sizeof(*model->factor));
    model->weights = malloc(n * sizeof(*model->weights));
    model->scratch = malloc(n * sizeof(*model->scratch));
    if (model->seen == NULL || model->factor == NULL || model->weights == NULL || model->scratch == NULL) {
        gain_model_free(model);
        return error_memory(err, "surrogate", n * n * sizeof(*model->factor));
    }
    memcpy(model->seen, seen + (count - kept), (size_t)kept * sizeof(*seen));
    if (count >= GAIN_MODEL_FEW)
        choose_process(model);
    if (isnan(evaluate(model, kept))) {
        gain_model_free(model);
        return error_set(err, ST_RANGE, "surrogate: the covariance of %d gains is indefinite", (int)kept);
    }
    *made = model;
    return ST_OK;
}

void gain_model_free(struct gain_model *model)
{
    if (model == NULL)
        return;
    free(model->seen);
    free(model->factor);
    free(model->weights);
    free(model->scratch);
    free(model);
}

/* ---- predictions ---- */

void gain_model_predict(struct gain_model *model, const struct gain_point *point, double *mean,
                        double *deviation)
{
    for (int32_t i = 0; i < model->count; i++)
        model->scratch[i] = covariance(model, point, &model->seen[i].point);
    *mean =
        prior_mean(&model->prior, &point->change) + matrix_dot(model->scratch, model->weights, model->count);
    matrix_solve_lower(model->factor, model->count, model->scratch);
    const double variance =
        covariance(model, point, point) - matrix_dot(model->scratch, model->scratch, model->count);
    *deviation = sqrt(fmax(variance, 0.0));
}

double gain_model_improvement(double mean, double deviation, double least)
{
    const double above = mean - least;
    if (!(deviation > 0.0))
        return fmax(above, 0.0);
    const double z = above / deviation;
    const double density = exp(-0.5 * z * z) / sqrt(2.0 * acos(-1.0));
    return fmax(above * 0.5 * erfc(-z / sqrt(2.0)) + deviation * density, 0.0);
}

#include "host/search/ladder_predict.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

/* The prior's means: slope and curvature of size and of epochs. Curvature as measured on CIFAR-10 at 16 x 16 pixels,
 * where the slope of epochs falls from 0.25 at one epoch to 0.1 at a hundred. */
static const double SLOPE = 0.135, CURVATURE = 0.04;

/* Variances of what is unknown. c could be anything, but not far from another family's. */
static const double CONSTANT_VARIANCE = 4.0, OWN_CONSTANT_VARIANCE = 0.15 * 0.15;
static const double SLOPE_VARIANCE = 0.05 * 0.05, SIZE_CURVATURE_VARIANCE = 0.015 * 0.015,
                    EPOCH_CURVATURE_VARIANCE = 0.03 * 0.03;
/* The part of those that the families do not share. */
static const double OWN_PART = 0.3;
/* What one network is better or worse than its family's law says; and that other hyperparameters are so, which is
 * likely to be for the worse, by so much for each doubling. Those further off than one could be anything. */
static const double NETWORK_VARIANCE = 0.02 * 0.02, CHANGE_VARIANCE = 0.05 * 0.05, CHANGE_LOSS = 0.02;
/* Between two trainings that differ in their seed. */
static const double SEED_VARIANCE = 0.03 * 0.03;

/* Errors closer than this are the same, in logarithms. */
static const double TIE = 0.02;

/* Usual networks are as large as is good for this many images, seen this many times. */
static const double BALANCE_EPOCHS = 16.0, BALANCE_IMAGES = 45000.0;

double ladder_balance(int32_t images)
{
    return BALANCE_EPOCHS * sqrt(BALANCE_IMAGES / images);
}

double ladder_best_size(double epochs, double balance)
{
    return sqrt(epochs / balance);
}

/* ---- the law ---- */

struct point {
    int32_t family, set;
    double size, epochs; /* logarithms */
    double change;
};

static struct point point_of(const struct ladder_run *run, double balance)
{
    return (struct point){.family = run->family,
                          .size = log(run->size),
                          .epochs = log(run->epochs / balance),
                          .set = run->set,
                          .change = run->change};
}

static double gain(double t)
{
    t = fmin(t, SLOPE / CURVATURE);
    return SLOPE * t - 0.5 * CURVATURE * t * t;
}

static double prior_mean(const struct point *p)
{
    return CHANGE_LOSS * p->change - gain(p->size) - gain(p->epochs);
}

double ladder_prior(double size, double epochs, double balance)
{
    return -gain(log(size)) - gain(log(epochs / balance));
}

static double prior_covariance(const struct point *a, const struct point *b)
{
    const double size = a->size * b->size, epochs = a->epochs * b->epochs;
    const double laws = SLOPE_VARIANCE * (size + epochs) + 0.25 * SIZE_CURVATURE_VARIANCE * size * size +
                        0.25 * EPOCH_CURVATURE_VARIANCE * epochs * epochs;
    if (a->family != b->family)
        return CONSTANT_VARIANCE + (1.0 - OWN_PART) * laws;
    const double change = fmax(a->change, 1.0);
    double covariance = CONSTANT_VARIANCE + OWN_CONSTANT_VARIANCE + laws;
    if (a->set == b->set && a->set != 0)
        covariance += CHANGE_VARIANCE * change * change;
    if (a->set == b->set && a->size == b->size)
        covariance += NETWORK_VARIANCE;
    return covariance;
}

/* ---- what is seen of it ---- */

/* Errors of 0 and 1 have no logarithm, and no doubt: half an image is added to both. */
static double share_wrong(double error, int32_t images)
{
    return (error * images + 0.5) / (images + 1.0);
}

static double noise_variance(double error, int32_t images)
{
    return SEED_VARIANCE + (1.0 - error) / (error * images);
}

struct posterior {
    int32_t count;
    struct point points[LADDER_MOST_RUNS];
    double factor[LADDER_MOST_RUNS][LADDER_MOST_RUNS]; /* lower triangle: Cholesky factor of the covariance */
    double weights[LADDER_MOST_RUNS];                  /* covariance^-1 (seen - expected before) */
};

/* Solves factor y = b in place. */
static void solve_forward(const struct posterior *posterior, double *b)
{
    for (int32_t i = 0; i < posterior->count; i++) {
        for (int32_t j = 0; j < i; j++)
            b[i] -= posterior->factor[i][j] * b[j];
        b[i] /= posterior->factor[i][i];
    }
}

static void solve_backward(const struct posterior *posterior, double *b)
{
    for (int32_t i = posterior->count - 1; i >= 0; i--) {
        for (int32_t j = i + 1; j < posterior->count; j++)
            b[i] -= posterior->factor[j][i] * b[j];
        b[i] /= posterior->factor[i][i];
    }
}

/* The covariance is one of a sum of independent things and the noise: it is positive definite. */
static void factorise(struct posterior *posterior, const double *noise)
{
    for (int32_t i = 0; i < posterior->count; i++) {
        for (int32_t j = 0; j <= i; j++) {
            double sum = prior_covariance(&posterior->points[i], &posterior->points[j]);
            sum += i == j ? noise[i] : 0.0;
            for (int32_t k = 0; k < j; k++)
                sum -= posterior->factor[i][k] * posterior->factor[j][k];
            posterior->factor[i][j] = i == j ? sqrt(fmax(sum, DBL_EPSILON)) : sum / posterior->factor[j][j];
        }
    }
}

static void learn(struct posterior *posterior, const struct ladder_seen *seen)
{
    double noise[LADDER_MOST_RUNS];
    posterior->count = seen->count;
    for (int32_t i = 0; i < seen->count; i++) {
        const double error = share_wrong(seen->runs[i].error, seen->validation_images);
        posterior->points[i] = point_of(&seen->runs[i], seen->balance);
        posterior->weights[i] = log(error) - prior_mean(&posterior->points[i]);
        noise[i] = noise_variance(error, seen->validation_images);
    }
    factorise(posterior, noise);
    solve_forward(posterior, posterior->weights);
    solve_backward(posterior, posterior->weights);
}

static struct ladder_guess guess(const struct posterior *posterior, const struct point *at)
{
    double mean = prior_mean(at), variance = prior_covariance(at, at), covariance[LADDER_MOST_RUNS];
    for (int32_t i = 0; i < posterior->count; i++) {
        covariance[i] = prior_covariance(at, &posterior->points[i]);
        mean += covariance[i] * posterior->weights[i];
    }
    solve_forward(posterior, covariance);
    for (int32_t i = 0; i < posterior->count; i++)
        variance -= covariance[i] * covariance[i];
    return (struct ladder_guess){.mean = mean, .deviation = sqrt(fmax(variance, 0.0))};
}

static bool is_positive(double value)
{
    return value > 0.0 && isfinite(value);
}

static enum status check(const struct ladder_run *runs, int32_t count, bool done, struct error *err)
{
    if (count < 0 || count > LADDER_MOST_RUNS)
        return error_set(err, ST_RANGE, "ladder: found %d trainings, expected at most %d", (int)count,
                         LADDER_MOST_RUNS);
    for (int32_t i = 0; i < count; i++) {
        const struct ladder_run *run = &runs[i];
        if (!is_positive(run->size) || !(run->change >= 0.0) || isinf(run->change) ||
            !is_positive(run->epochs) || (done && !(run->error >= 0.0 && run->error <= 1.0)))
            return error_set(err, ST_RANGE,
                             "ladder: training %d has size %g, change %g, %g epochs, error %g; expected "
                             "positive numbers, and a share",
                             (int)i, run->size, run->change, run->epochs, run->error);
    }
    return ST_OK;
}

enum status ladder_predict(const struct ladder_seen *seen, const struct ladder_run *wanted,
                           int32_t wanted_count, struct ladder_guess *guesses, struct error *err)
{
    struct posterior posterior;
    enum status st = check(seen->runs, seen->count, true, err);
    if (st == ST_OK)
        st = check(wanted, wanted_count, false, err);
    if (st != ST_OK)
        return st;
    learn(&posterior, seen);
    for (int32_t i = 0; i < wanted_count; i++) {
        const struct point at = point_of(&wanted[i], seen->balance);
        guesses[i] = guess(&posterior, &at);
    }
    return ST_OK;
}

/* The best of a family, or of all of them (-1); -1: there is none. */
static int32_t find_best(const struct ladder_run *wanted, const struct ladder_guess *guesses, int32_t count,
                         int32_t family)
{
    int32_t best = -1;
    for (int32_t i = 0; i < count; i++)
        if ((family < 0 || wanted[i].family == family) && (best < 0 || guesses[i].mean < guesses[best].mean))
            best = i;
    return best;
}

int32_t ladder_choose(const struct ladder_run *wanted, const struct ladder_guess *guesses, int32_t count)
{
    const int32_t of_all = find_best(wanted, guesses, count, -1);
    int32_t family = wanted[of_all].family;
    for (int32_t i = 0; i < count; i++)
        if (wanted[i].family < family && guesses[i].mean < guesses[of_all].mean + TIE)
            family = wanted[i].family;
    const int32_t best = find_best(wanted, guesses, count, family);
    int32_t chosen = best;
    for (int32_t i = 0; i < count; i++) {
        const bool ties = wanted[i].family == family && guesses[i].mean < guesses[best].mean + TIE;
        const double larger = wanted[i].size - wanted[chosen].size;
        if (ties && (larger > 0.0 || (larger == 0.0 && guesses[i].mean < guesses[chosen].mean)))
            chosen = i;
    }
    return chosen;
}

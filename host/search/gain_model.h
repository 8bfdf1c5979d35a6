/* The surrogate: what a change is expected to gain over the control at the deadline, with its interval, from those
 * that were tried. A gain is the logarithm of the control's error less that of the changed network.
 *
 * With fewer than GAIN_MODEL_FEW of them it is Bayesian linear regression on the numbers of a change, with the prior's
 * means and deviations (Bishop, "Pattern recognition and machine learning", section 3.3). Behind that a Gaussian
 * process on top of it, whose covariance of two changes is
 *
 *     s1^2 exp(-D / l1) + s2^2 exp(-|f - f'|^2 / (2 l2^2))
 *
 * D is how far the two are apart by their edit distances to some networks, the landmarks: the mean of the differences,
 * at most their edit distance, for that obeys the triangle inequality. The absolute value in one dimension makes a
 * covariance of e^-|x|, and so does any product of these; the regression's is a sum of squares. So all of it is
 * positive definite by construction, which the edit distance itself is not (gaussian.h).
 *
 * The noise of each gain is known: its deviation, and GAIN_MODEL_SEED, what two trainings differ in by chance. s and l
 * are those of a grid that make the gains likeliest; of many, a part of them. */
#ifndef NASRUN_SEARCH_GAIN_MODEL_H
#define NASRUN_SEARCH_GAIN_MODEL_H

#include "host/search/gain_prior.h"

enum {
    GAIN_MODEL_FEW = 100,
    GAIN_MODEL_LANDMARKS = 16,
    GAIN_MODEL_MOST =
        512, /* gains that are taken into account: of more the last, for the work grows as the cube */
};
#define GAIN_MODEL_SEED 0.03

/* A changed network as the model sees it. */
struct gain_point {
    struct change change;
    int32_t landmarks;
    double distances
        [GAIN_MODEL_LANDMARKS]; /* edit distances to the landmarks, which are the same for all points */
};

struct gain_seen {
    struct gain_point point;
    double gain, deviation;
};

struct gain_model;

/* `count` may be 0. ST_RANGE when a number is not finite, ST_MEMORY. */
enum status gain_model_fit(const struct gain_prior *prior, const struct gain_seen *seen, int32_t count,
                           struct gain_model **made, struct error *err);
void gain_model_free(struct gain_model *model); /* NULL is allowed */

/* Mean and deviation of the true gain, noise left out. Uses memory of the model: one thread at a time. */
void gain_model_predict(struct gain_model *model, const struct gain_point *point, double *mean,
                        double *deviation);

/* The process's covariance, without the regression's, with s and l of 1: for whoever wants to see that it is one. */
double gain_model_covariance(const struct gain_point *a, const struct gain_point *b);

/* By how much a normal number exceeds `least`, in the mean, where it does; 0 where it doesn't (Jones, Schonlau, Welch
 * 1998). */
double gain_model_improvement(double mean, double deviation, double least);

#endif

/* What short trainings of networks of several sizes say about long ones. Pure functions of numbers.
 *
 * Networks of a family differ in their width. One of relative size s that is trained in one annealed cycle of e epochs
 * is taken to have the validation error
 *
 *     ln error = c - h(n) - h'(x),    n = ln s, x = ln (e / balance),    h(t) = g t - k t^2 / 2, up to its maximum
 *
 * with slopes and curvatures of their own for size and epochs: both help, each less and less. Where the slopes are
 * equal lies the best size for a compute s e. With equal curvatures it grows as the root of the compute, and the error
 * of the best size falls as compute^-g. Airbench's records (Jordan 2024: 6, 5 and 4 % error of CIFAR-10 for 0.36, 1.4
 * and 4.9 PFLOP) are g = 0.135; Hoffmann et al. 2022 found the root.
 *
 * c is a family's own, but not far from the others'; slopes and curvatures have prior means and deviations, which the
 * families share, and from which each may differ a little. All is linear in these, so that a posterior is one solution
 * of linear equations: a few trainings of half an epoch move the prior little, and those of many epochs more. Without
 * it whoever takes the best of short runs takes too small a network: its short runs are further along. */
#ifndef NASRUN_SEARCH_LADDER_PREDICT_H
#define NASRUN_SEARCH_LADDER_PREDICT_H

#include "host/base/error.h"

#include <stdint.h>

/* Trainings that are taken into account, at most. */
enum { LADDER_MOST_RUNS = 64 };

/* A training from fresh weights, done or to be done. */
struct ladder_run {
    int32_t family; /* from 0; which one, not how good */
    double size;    /* > 0: operations of an image over those of the family's usual network */
    double change;  /* >= 0: how far its hyperparameters are from the usual, in doublings of one of them */
    double epochs;  /* > 0: of its one cycle */
    double error;   /* share of the validation images; of one that is done */
    int32_t set;    /* which hyperparameters it has; equal numbers are equal ones, 0 the usual */
};

/* What is known: trainings that are done, whose errors were found on so many images. */
struct ladder_seen {
    const struct ladder_run *runs;
    int32_t count;  /* may be 0 */
    double balance; /* ladder_balance */
    int32_t validation_images;
};

/* Of the natural logarithm of an error. */
struct ladder_guess {
    double mean, deviation;
};

/* Epochs for which a family's usual network is taken to have the right size, with so many training images. */
double ladder_balance(int32_t images);

/* The size that the prior finds best where a network of the usual size would see so many epochs, and time grows with
 * the size. */
double ladder_best_size(double epochs, double balance);

/* What the prior expects of a network of that size after so many epochs, as ln error - c. */
double ladder_prior(double size, double epochs, double balance);

/* What to expect of each of `wanted`, after what was seen. ST_RANGE when there are more than LADDER_MOST_RUNS of
 * either, or a number is not what it may be. */
enum status ladder_predict(const struct ladder_seen *seen, const struct ladder_run *wanted,
                           int32_t wanted_count, struct ladder_guess *guesses, struct error *err);

/* Which of the guesses to take, but for differences that nobody could tell: the first family of those that are as good
 * as the best, for families are given in the order of what is thought of them before; of that, the largest network of
 * those as good as its best. `count` > 0. */
int32_t ladder_choose(const struct ladder_run *wanted, const struct ladder_guess *guesses, int32_t count);

#endif

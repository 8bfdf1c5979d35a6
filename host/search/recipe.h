/* Recipes: how a candidate is trained where that differs from what the job says. A part of each proposal; the journal
 * keeps it with its candidate. */
#ifndef NASRUN_SEARCH_RECIPE_H
#define NASRUN_SEARCH_RECIPE_H

#include "spec/job.h"

/* The hyperparameters that a proposal may set: numbers of struct job_train, whose names they have, in the journal as
 * well. Those that the job may give a range (JOB_SEARCHED) are among them. */
/* clang-format off */
#define RECIPE_HYPERPARAMETERS(X) \
    X(learning_rate) \
    X(momentum) \
    X(weight_decay) \
    X(label_smoothing) \
    X(average) \
    X(batch)
/* clang-format on */

struct hyperparameters { /* NAN: the job's */
#define RECIPE_FIELD(name) double name;
    RECIPE_HYPERPARAMETERS(RECIPE_FIELD)
#undef RECIPE_FIELD
};

struct recipe {
    /* above 0, times what a candidate of its kind gets (budget.h), as far as the search has it left */
    double budget;
    /* The candidate whose batches it sees: the same images in the same order, augmented alike, from the first step on,
     * so that two trainings differ in nothing but what is compared; -1: batches of its own. */
    int32_t batches_of;
    struct hyperparameters hyperparameters;
};

/* As the job says: budget 1, batches of its own, no hyperparameters. */
struct recipe recipe_usual(void);

/* The job's settings with those of the hyperparameters that are set in their place. */
struct job_train recipe_train(const struct job_train *job, const struct hyperparameters *hyperparameters);

#endif

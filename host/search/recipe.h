/* Recipes: how a candidate is trained where that differs from what the job says. A part of each proposal; the journal
 * keeps it with its candidate. */
#ifndef NASRUN_SEARCH_RECIPE_H
#define NASRUN_SEARCH_RECIPE_H

#include "host/net/graph.h"
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
    X(batch) \
    X(translate) \
    X(cutout) \
    X(warmup) \
    X(hold)
/* clang-format on */

struct hyperparameters { /* NAN: the job's */
#define RECIPE_FIELD(name) double name;
    RECIPE_HYPERPARAMETERS(RECIPE_FIELD)
#undef RECIPE_FIELD
};

/* As in Zaidi et al. 2022, "When does re-initialization work?", and in PBT-NAS (Chebykin et al. 2023). */
#define RECIPE_SHRINK  0.4
#define RECIPE_PERTURB 0.1

/* What a policy said (reinforce.c), for it to learn from when the result is there. */
enum { RECIPE_TOKENS = 24 };
struct recipe_policy {
    int32_t count; /* 0: no policy was asked */
    int32_t tokens[RECIPE_TOKENS];
    double entropy;  /* mean of the tokens', in nats */
    double baseline; /* moving average of the rewards until then; NAN: there was none */
};

struct recipe {
    /* above 0, times what a candidate of its kind gets (budget.h), as far as the search has it left */
    double budget;
    /* The candidate whose batches it sees: the same images in the same order, augmented alike, from the first step on,
     * so that two trainings differ in nothing but what is compared; -1: batches of its own. */
    int32_t batches_of;
    /* It goes on from where the parent stood when its learning rate had held, before it fell: with its weights, the
     * optimizer's momentum, its place in the epoch; through the morphs, if there are any. Else it begins with the
     * weights that the parent ended with. The parent's recipe has a hold. */
    bool goes_on;
    /* The candidate, of a recipe with a hold, that has ended and that its losses on the validation images are compared
     * with, image by image; -1: none. Its own recipe has a hold, too. */
    int32_t compared_with;
    /* Which fresh weights it begins with, or gets some of: -1 those of the job's seed; from 0 on others, a number for
     * each. */
    int32_t fresh;
    /* Of a model trained further that does not go on: what is left of each trained kernel, to which RECIPE_PERTURB of
     * fresh weights is added ("shrink and perturb", Ash, Adams 2020); NAN: its weights as they are. */
    double shrink;
    /* The version of the prior in search.prior by which it was chosen; -1: it was not. */
    int32_t prior;
    struct recipe_policy policy;
    struct hyperparameters hyperparameters;
};

/* As the job says: budget 1, batches of its own, from the parent's end, compared with none, the seed's fresh weights,
 * nothing shrunk, by no prior, by no policy, no hyperparameters. */
struct recipe recipe_usual(void);

/* The job's settings with those of the hyperparameters that are set in their place, and what "auto" of train.translate
 * and train.cutout stands for with such images. */
struct job_train recipe_train(const struct job_train *job, const struct hyperparameters *hyperparameters,
                              struct shape image);

/* What "auto" of train.translate and train.cutout stands for in a final fit of so many epochs, where that is something
 * else than in a short training: the hyperparameters that are to be set. */
void recipe_augment(const struct job_train *job, double epochs, struct shape image,
                    struct hyperparameters *hyperparameters);

#endif

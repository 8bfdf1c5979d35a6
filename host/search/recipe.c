#include "host/search/recipe.h"

#include <math.h>

/* Parts of the short side: how far images are shifted in short trainings; and in long ones, where a square is cut out
 * of them, too (tests/bench/RECIPE.md: after 12 epochs that costs, after 40 it helps). */
enum { TRANSLATE_PART = 16, LONG_TRANSLATE_PART = 8, LONG_CUTOUT_PART = 4 };
static const double LONG_EPOCHS = 25.0;

static int32_t short_side(struct shape image)
{
    return image.h < image.w ? image.h : image.w;
}

struct recipe recipe_usual(void)
{
    struct recipe recipe = {.budget = 1.0,
                            .batches_of = -1,
                            .compared_with = -1,
                            .fresh = -1,
                            .shrink = NAN,
                            .prior = -1,
                            .policy = {.entropy = NAN, .baseline = NAN}};
#define UNSET(name) recipe.hyperparameters.name = NAN;
    RECIPE_HYPERPARAMETERS(UNSET)
#undef UNSET
    return recipe;
}

struct job_train recipe_train(const struct job_train *job, const struct hyperparameters *hyperparameters,
                              struct shape image)
{
    struct job_train train = *job;
#define SET(name)                                                                                            \
    if (!isnan(hyperparameters->name))                                                                       \
        train.name = hyperparameters->name;
    RECIPE_HYPERPARAMETERS(SET)
#undef SET
    if (train.translate == JOB_AUTO)
        train.translate = short_side(image) / TRANSLATE_PART;
    if (train.cutout == JOB_AUTO)
        train.cutout = 0;
    return train;
}

void recipe_augment(const struct job_train *job, double epochs, struct shape image,
                    struct hyperparameters *hyperparameters)
{
    if (epochs < LONG_EPOCHS)
        return;
    if (job->translate == JOB_AUTO)
        hyperparameters->translate = short_side(image) / LONG_TRANSLATE_PART;
    if (job->cutout == JOB_AUTO)
        hyperparameters->cutout = short_side(image) / LONG_CUTOUT_PART;
}

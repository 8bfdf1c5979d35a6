#include "host/search/recipe.h"

#include <math.h>

struct recipe recipe_usual(void)
{
    struct recipe recipe = {.budget = 1.0, .batches_of = -1, .compared_with = -1};
#define UNSET(name) recipe.hyperparameters.name = NAN;
    RECIPE_HYPERPARAMETERS(UNSET)
#undef UNSET
    return recipe;
}

struct job_train recipe_train(const struct job_train *job, const struct hyperparameters *hyperparameters)
{
    struct job_train train = *job;
#define SET(name)                                                                                            \
    if (!isnan(hyperparameters->name))                                                                       \
        train.name = hyperparameters->name;
    RECIPE_HYPERPARAMETERS(SET)
#undef SET
    return train;
}

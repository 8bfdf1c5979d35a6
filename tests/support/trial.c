#include "tests/support/trial.h"

struct search_trial trial_of_proposal(int32_t id, const struct proposal *proposal)
{
    return (struct search_trial){.id = id,
                                 .parent = proposal->parent,
                                 .start = proposal->start,
                                 .graph = &proposal->graph,
                                 .recipe = proposal->recipe,
                                 .prediction = proposal->prediction};
}

struct search_trial trial_of_model(const struct search_model *model)
{
    return (struct search_trial){.id = model->id,
                                 .parent = model->parent,
                                 .start = model->start,
                                 .graph = &model->graph,
                                 .recipe = model->recipe,
                                 .prediction = model->prediction,
                                 .epochs = model->epochs,
                                 .images_per_second = model->images_per_second,
                                 .gain = model->gain,
                                 .gain_deviation = model->gain_deviation};
}

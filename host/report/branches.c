/* What the changes on a trunk have shown. */
#include "host/report/history.h"

#include <math.h>

/* Whether the trunk went on from it: what follows is no change of the same round. */
static bool was_accepted(const struct history *history, const struct history_model *change)
{
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        if (model->parent == change->id && model->compared_with < 0)
            return true;
    }
    return false;
}

/* A control is one that others are compared with. */
static int32_t count_controls(const struct history *history)
{
    int32_t count = 0;
    for (int32_t i = 0; i < history->model_count; i++) {
        bool is_one = false;
        for (int32_t k = 0; k < history->model_count && !is_one; k++)
            is_one = history->models[k].compared_with == history->models[i].id;
        count += is_one;
    }
    return count;
}

/* The deviation of the mean is that of one: all are compared on the same images. */
struct history_branches history_branches_of(const struct history *history)
{
    struct history_branches branches = {.rounds = count_controls(history)};
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        const struct history_model *control =
            model->compared_with >= 0 ? history_find(history, model->compared_with) : NULL;
        if (control == NULL || !model->finished || isnan(model->gain))
            continue;
        branches.changes++;
        branches.accepted += was_accepted(history, model);
        if (model->morphs == 0)
            continue;
        branches.morphs++;
        branches.gain += (model->gain - branches.gain) / branches.morphs;
        branches.gain_deviation += (model->gain_deviation - branches.gain_deviation) / branches.morphs;
        branches.gained_accuracy +=
            (model->validation_accuracy - control->validation_accuracy - branches.gained_accuracy) /
            branches.morphs;
    }
    return branches;
}

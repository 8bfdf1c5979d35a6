#include "host/search/population.h"

#include "host/net/cost.h"
#include "host/search/rungs.h"

#include <math.h>
#include <stdlib.h>

/* What a training on a rung misses of what there is at the deadline, in logarithms of errors, by its rung: judged, to
 * be about what the ladder's law leaves open of trainings that short (ladder_predict.c). */
static const double MISSES[EVOLUTION_MOST_RUNGS + 1] = {0.10, 0.07, 0.05, 0.03, 0.02};

/* None was trained for less. */
static const double LEAST_EPOCHS = 1e-3;

/* ---- what was trained ---- */

struct member *population_find(const struct search *search, const struct population *population,
                               const struct search_model *model)
{
    for (int32_t i = 0; i < population->count; i++)
        if (search_is_of(search, population->members[i].first, model->fingerprint,
                         &model->recipe.hyperparameters))
            return &population->members[i];
    return NULL;
}

/* Which training it is: a longer one by its weights, any other one by how many came before. */
static void note(struct member *member, const struct search_model *model)
{
    const int32_t longer = model->recipe.fresh - POPULATION_WEIGHTS - 1; /* -1: it is on a rung */
    int32_t at = longer < 0 ? 0 : POPULATION_LONGER + longer;
    while (longer < 0 && at < POPULATION_LONGER && member->trainings[at] != NULL)
        at++;
    if (at < (longer < 0 ? POPULATION_LONGER : POPULATION_TRAININGS))
        member->trainings[at] = model;
}

bool member_went_well(const struct member *member, int32_t at)
{
    return member->trainings[at] != NULL && search_ended_well(member->trainings[at]);
}

bool member_failed(const struct member *member)
{
    return !member->first->is_pending && !search_ended_well(member->first);
}

/* None is better than the validation images can tell. */
static double error_of(const struct search_means *means, const struct search_model *model)
{
    return fmax(1.0 - model->score, 0.5 / means->validation_images);
}

/* The logarithm of its error at the deadline, by the law's prior: what it is now, and what so many epochs more bring a
 * network of that size. Of what it is now it is taken to have had so many epochs at the `least`. */
static enum status look_ahead(const struct search_request *request, const struct ladder_usual *usual,
                              const struct search_model *model, double least, double *outlook,
                              struct error *err)
{
    const struct search_means *means = &request->means;
    struct ladder_run wanted[2] = {
        {.size = ladder_size(usual, &model->graph), .epochs = fmax(model->epochs, least)}};
    const struct ladder_seen nothing = {.balance = ladder_balance(means->train_images),
                                        .validation_images = means->validation_images};
    struct ladder_guess guesses[2];
    wanted[1] = wanted[0];
    wanted[1].epochs = fmax(rungs_final_epochs(request, model), wanted[0].epochs);
    enum status st = ladder_predict(&nothing, wanted, 2, guesses, err);
    if (st == ST_OK)
        *outlook = log(error_of(means, model)) + guesses[1].mean - guesses[0].mean;
    return st;
}

/* Over the control's training of the same length. Repetitions are compared with its longer one. Who came less far in
 * that time is not thought to have more before it: where all are still near chance, that would be all that counts. */
static enum status measure(const struct search_request *request, const struct ladder_usual *usual,
                           struct population *population, struct error *err)
{
    const struct member *control = &population->members[0];
    double controls[POPULATION_TRAININGS], epochs[POPULATION_TRAININGS];
    enum status st = ST_OK;
    for (int32_t at = 0; st == ST_OK && at < POPULATION_TRAININGS; at++) {
        const int32_t of = at < POPULATION_LONGER ? at : POPULATION_LONGER;
        controls[at] = NAN;
        epochs[at] = LEAST_EPOCHS;
        if (!member_went_well(control, of))
            continue;
        epochs[at] = fmax(control->trainings[of]->epochs, LEAST_EPOCHS);
        st = look_ahead(request, usual, control->trainings[of], epochs[at], &controls[at], err);
    }
    for (int32_t i = 0; st == ST_OK && i < population->count; i++)
        for (int32_t at = 0; st == ST_OK && at < POPULATION_TRAININGS; at++) {
            struct member *member = &population->members[i];
            double outlook = NAN;
            if (member_went_well(member, at))
                st = look_ahead(request, usual, member->trainings[at], epochs[at], &outlook, err);
            member->gains[at] = controls[at] - outlook;
        }
    return st;
}

enum status population_look(const struct search *search, const struct search_request *request,
                            struct population *population, struct error *err)
{
    struct ladder_usual usual;
    *population =
        (struct population){.members = calloc((size_t)search_count(search) + 1, sizeof(struct member))};
    if (population->members == NULL)
        return error_memory(err, "networks of the evolution", sizeof(struct member));
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (!evolution_has(model))
            continue;
        struct member *member = population_find(search, population, model);
        if (member == NULL) {
            member = &population->members[population->count++];
            member->first = model;
        }
        note(member, model);
        if (model->recipe.fresh == POPULATION_WEIGHTS)
            population->spent += model->recipe.budget * request->means.candidate / request->means.workers;
    }
    enum status st = ladder_usual(search_setup(search), &request->limits, 0, &usual, err);
    return st == ST_OK && population->count > 0 ? measure(request, &usual, population, err) : st;
}

int32_t member_highest(const struct member *member)
{
    int32_t at = POPULATION_LONGER;
    while (at >= 0 && isnan(member->gains[at]))
        at--;
    return at;
}

double member_gain(const struct member *member)
{
    const int32_t at = member_highest(member);
    return at < 0 ? -INFINITY : member->gains[at];
}

double member_deviation(const struct search_means *means, const struct member *member, int32_t at)
{
    const double error = error_of(means, member->trainings[at]), misses = MISSES[at];
    return sqrt(2.0 * (1.0 - error) / (error * means->validation_images) + misses * misses);
}

double member_mean(const struct member *member, int32_t *count)
{
    double sum = 0.0;
    *count = 0;
    for (int32_t at = POPULATION_LONGER; at < POPULATION_TRAININGS; at++)
        if (!isnan(member->gains[at])) {
            sum += member->gains[at];
            ++*count;
        }
    return *count > 0 ? sum / *count : NAN;
}

/* ---- who stands where ---- */

int32_t population_better(const struct population *population, int32_t at, double gain)
{
    int32_t better = 0;
    for (int32_t i = 0; i < population->count; i++)
        better += population->members[i].gains[at] > gain;
    return better;
}

int32_t population_known(const struct population *population, int32_t at)
{
    int32_t known = 0;
    for (int32_t i = 0; i < population->count; i++)
        known += !isnan(population->members[i].gains[at]);
    return known;
}

int32_t population_begun(const struct population *population, int32_t at)
{
    int32_t begun = 0;
    for (int32_t i = 0; i < population->count; i++)
        begun += population->members[i].trainings[at] != NULL;
    return begun;
}

const struct member *population_best(const struct population *population, int32_t better)
{
    for (int32_t i = 0; i < population->count; i++) {
        const double gain = member_gain(&population->members[i]);
        int32_t above = 0;
        for (int32_t j = 0; j < population->count; j++) {
            const double other = member_gain(&population->members[j]);
            above += other > gain || (other == gain && j < i);
        }
        if (above == better && !isinf(gain))
            return &population->members[i];
    }
    return NULL;
}

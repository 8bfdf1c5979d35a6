#include "host/search/race.h"

#include "host/search/branches.h"
#include "host/search/evolution.h"
#include "host/search/rungs.h"

#include <math.h>
#include <stdio.h>

/* Shares of the stage, of a device: of the first fit, as far as the search's part has it left, and at least; and of one
 * of the three. So more than half of the stage is left for the final fit. */
static const double FIRST_SHARE = 0.2, LEAST_FIRST_SHARE = 0.1, RUNG_SHARE = 0.02;

/* With more trainings side by side all but one would have nothing to do during the first fit. */
enum { MOST_WORKERS = 2 };

/* The three, in their order; and which fresh weights each has to do with. */
enum { GOES_ON, SHRUNK, FRESH, RUNGS };
enum { FIRST_WEIGHTS, OTHER_WEIGHTS };

bool race_has(const struct search_model *model)
{
    return (model->recipe.fresh >= 0 && !evolution_has(model)) ||
           (model->parent >= 0 && !branches_has(model));
}

void race_look(const struct search *search, struct race *race)
{
    *race = (struct race){0};
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (!race_has(model))
            continue;
        race->rungs += race->first != NULL;
        race->first = race->first == NULL ? model : race->first;
    }
}

bool race_begin(const struct search_setup *setup, const struct search_means *means, double epochs,
                struct proposal *proposal)
{
    const double rungs = RUNG_SHARE * ceil((double)RUNGS / means->workers);
    const double first = fmin(FIRST_SHARE, means->search - (1.0 - means->left) - rungs);
    if (!setup->job->race || means->models < INT32_MAX || means->workers > MOST_WORKERS ||
        first < LEAST_FIRST_SHARE || epochs * (1.0 - (first + rungs) / means->left) < RACE_LEAST_EPOCHS)
        return false;
    proposal_set_share(means, first, proposal);
    proposal->recipe.fresh = FIRST_WEIGHTS;
    proposal->prediction = prediction_none();
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "first fit of a race");
    proposal->operation_count = 1;
    return true;
}

/* ---- the three ---- */

static enum status propose_on(const struct search_model *first, int32_t rung, struct proposal *proposal,
                              struct error *err)
{
    enum status st = propose_further(first, proposal, err);
    proposal->recipe.hyperparameters = first->recipe.hyperparameters;
    if (rung == SHRUNK) {
        proposal->recipe.fresh = OTHER_WEIGHTS;
        proposal->recipe.shrink = RECIPE_SHRINK;
    }
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "race: %s",
             rung == SHRUNK ? "shrunk and perturbed" : "trained further");
    return st;
}

static enum status propose_fresh(const struct search_model *first, struct proposal *proposal,
                                 struct error *err)
{
    enum status st = propose_again(first, proposal, err);
    proposal->recipe.fresh = OTHER_WEIGHTS;
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "race: from fresh weights");
    return st;
}

enum status race_propose_rung(const struct search_request *request, const struct race *race,
                              struct proposal *proposal, struct error *err)
{
    if (race->rungs >= RUNGS || !search_ended_well(race->first))
        return ST_NONE;
    enum status st = race->rungs == FRESH ? propose_fresh(race->first, proposal, err)
                                          : propose_on(race->first, race->rungs, proposal, err);
    proposal_set_share(&request->means, RUNG_SHARE, proposal);
    if (race->rungs > 0)
        proposal->recipe.batches_of = race->first->id + 1; /* the first of the three */
    return st;
}

/* ---- the end ---- */

/* The law of the ladder through those that began with fresh weights: the first fit, and that of the three. */
struct law {
    int32_t count;
    struct ladder_run runs[2];
};

static enum status learn_law(const struct search *search, const struct search_request *request,
                             const struct race *race, struct law *law, struct error *err)
{
    enum status st = ST_OK;
    law->count = 0;
    for (int32_t i = 0; st == ST_OK && i < search_count(search) && law->count < 2; i++) {
        const struct search_model *model = search_at(search, i);
        if (race_has(model) && search_ended_well(model) && (model == race->first || model->parent < 0))
            st = rungs_run(search, request, model, &law->runs[law->count++], err);
    }
    return st;
}

/* The logarithm of a model's error when it has been trained for all that is left: what it is now, and what the law says
 * of so many epochs more. Those from the first fit have its epochs behind them. */
static enum status expect(const struct search_request *request, const struct law *law,
                          const struct race *race, const struct search_model *model, double *expected,
                          struct error *err)
{
    const struct search_means *means = &request->means;
    struct ladder_run wanted[2] = {law->runs[0], law->runs[0]};
    struct ladder_guess guesses[2];
    wanted[0].epochs = model->epochs + (model->parent < 0 ? 0.0 : race->first->epochs);
    wanted[1].epochs = wanted[0].epochs + rungs_final_epochs(request, model);
    const struct ladder_seen seen = {law->runs, law->count, ladder_balance(means->train_images),
                                     means->validation_images};
    enum status st = ladder_predict(&seen, wanted, 2, guesses, err);
    if (st == ST_OK)
        *expected = log(fmax(1.0 - model->score, 1e-9)) + guesses[1].mean - guesses[0].mean;
    return st;
}

static bool can_go_on(const struct search_model *model)
{
    return search_ended_well(model) && model->is_parent;
}

/* Of equal ones the earlier. The first fit itself goes on where none of the three went well. */
static enum status choose(const struct search *search, const struct search_request *request,
                          const struct race *race, const struct search_model **best, struct error *err)
{
    struct law law;
    double least = INFINITY, expected;
    enum status st = learn_law(search, request, race, &law, err);
    *best = can_go_on(race->first) ? race->first : NULL;
    for (int32_t i = 0; st == ST_OK && *best != NULL && i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (!race_has(model) || model == race->first || !can_go_on(model))
            continue;
        st = expect(request, &law, race, model, &expected, err);
        if (st == ST_OK && expected < least) {
            least = expected;
            *best = model;
        }
    }
    return st;
}

enum status race_propose_end(const struct search *search, const struct search_request *request,
                             const struct race *race, struct proposal *proposal, struct error *err)
{
    const struct search_model *best;
    enum status st = choose(search, request, race, &best, err);
    if (st != ST_OK || best == NULL)
        return st != ST_OK ? st : ST_NONE;
    st = propose_further(best, proposal, err);
    proposal->recipe.hyperparameters = best->recipe.hyperparameters;
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "%s of the race, %.3g epochs more",
             best == race->first               ? "the first fit"
             : !isnan(best->recipe.shrink)     ? "the shrunk one"
             : best->parent == race->first->id ? "the one trained further"
                                               : "the one from fresh weights",
             rungs_final_epochs(request, best));
    return st;
}

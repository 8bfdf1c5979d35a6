#include "tests/support/ladder.h"

#include <math.h>
#include <stdlib.h>

struct ladder {
    int32_t observed, best; /* of the starting networks, an id */
    double best_score;
};

static enum status ladder_create(const struct search_setup *setup, void **state, struct error *err)
{
    struct ladder *ladder = calloc(1, sizeof(*ladder));
    (void)setup;
    *state = ladder;
    if (ladder == NULL)
        return error_memory(err, "ladder", sizeof(*ladder));
    *ladder = (struct ladder){.best = -1, .best_score = -1.0};
    return ST_OK;
}

static enum status ladder_observe(const struct search *search, void *state, const struct search_model *model,
                                  struct error *err)
{
    struct ladder *ladder = state;
    (void)search, (void)err;
    ladder->observed++;
    if (model->start >= 0 && model->score > ladder->best_score) {
        ladder->best = model->id;
        ladder->best_score = model->score;
    }
    return ST_OK;
}

static bool ladder_keeps(const void *state, const struct search_model *model)
{
    (void)state;
    return model->id == LADDER_TRUNK || model->id == LADDER_HELD || model->id == LADDER_BRANCH;
}

static enum status from_the_trunk(const struct search *search, const struct search_request *request,
                                  struct random_sequence *random, struct proposal *proposal,
                                  struct error *err)
{
    const struct search_model *trunk = search_find(search, LADDER_TRUNK);
    struct hyperparameters *hyperparameters = &proposal->recipe.hyperparameters;
    enum status st = request->id == LADDER_CHILD || request->id == LADDER_FRESH
                         ? propose_child(search, trunk, &request->limits, random, proposal, err)
                         : propose_further(trunk, proposal, err);
    if (st != ST_OK)
        return st;
    if (request->id == LADDER_TWIN || request->id == LADDER_FROZEN || request->id == LADDER_CHILD)
        proposal->recipe.batches_of = LADDER_CONTROL;
    if (request->id == LADDER_FROZEN)
        hyperparameters->learning_rate = 1e-6;
    if (request->id == LADDER_CHILD) {
        hyperparameters->learning_rate = 0.03;
        hyperparameters->momentum = 0.8;
        hyperparameters->weight_decay = 0.001;
        hyperparameters->label_smoothing = 0.05;
    }
    if (request->id == LADDER_FRESH) {
        proposal_make_fresh(proposal);
        proposal->recipe.budget = 0.5;
    }
    return ST_OK;
}

/* On from where a model's learning rate had held. */
static enum status go_on(const struct search *search, int32_t id, double hold, struct proposal *proposal,
                         struct error *err)
{
    enum status st = propose_further(search_find(search, id), proposal, err);
    proposal->recipe.goes_on = true;
    proposal->recipe.batches_of = LADDER_HELD;
    proposal->recipe.hyperparameters.warmup = 0.0;
    proposal->recipe.hyperparameters.hold = hold;
    return st;
}

static enum status branch(const struct search *search, const struct search_request *request,
                          struct random_sequence *random, struct proposal *proposal, struct error *err)
{
    enum status st = request->id == LADDER_GROWN ? propose_child(search, search_find(search, LADDER_HELD),
                                                                 &request->limits, random, proposal, err)
                                                 : ST_OK;
    struct proposal further;
    if (st == ST_OK)
        st = go_on(search, LADDER_HELD, 0.75, &further, err);
    if (st != ST_OK)
        return st;
    if (request->id == LADDER_GROWN) {
        proposal->recipe = further.recipe;
        proposal_free(&further);
    } else {
        *proposal = further;
    }
    proposal->recipe.budget = 0.4;
    if (request->id != LADDER_BRANCH)
        proposal->recipe.compared_with = LADDER_BRANCH;
    if (request->id == LADDER_SLOWER)
        proposal->recipe.hyperparameters.learning_rate = 0.01;
    return ST_OK;
}

static enum status hold(const struct search *search, struct proposal *proposal, struct error *err)
{
    enum status st = propose_further(search_find(search, LADDER_TRUNK), proposal, err);
    proposal->recipe.budget = 0.5;
    proposal->recipe.hyperparameters.warmup = 0.25;
    proposal->recipe.hyperparameters.hold = 0.75;
    return st;
}

static enum status ladder_end(const struct search *search, void *state, const struct search_request *request,
                              struct proposal *proposal, struct error *err)
{
    (void)state, (void)request;
    return go_on(search, LADDER_BRANCH, 0.0, proposal, err);
}

static enum status ladder_propose(const struct search *search, void *state,
                                  const struct search_request *request, struct random_sequence *random,
                                  struct proposal *proposal, struct error *err)
{
    const struct ladder *ladder = state;
    enum status st = propose_first(search, request, random, proposal, err);
    if (st == ST_OK)
        proposal->recipe.budget = 0.25;
    if (st != ST_NONE)
        return st;
    if (request->id == LADDER_TRUNK && ladder->observed == LADDER_STARTS) {
        st = propose_further(search_find(search, ladder->best), proposal, err);
        proposal->recipe.budget = 0.5;
        proposal->recipe.hyperparameters.learning_rate = 0.05;
        return st;
    }
    if (request->id > LADDER_TRUNK && request->id <= LADDER_FRESH && ladder->observed > LADDER_TRUNK)
        return from_the_trunk(search, request, random, proposal, err);
    if (request->id == LADDER_HELD && ladder->observed > LADDER_TRUNK)
        return hold(search, proposal, err);
    if (request->id == LADDER_BRANCH && ladder->observed > LADDER_HELD)
        return branch(search, request, random, proposal, err);
    if (request->id > LADDER_BRANCH && request->id < LADDER_COUNT && ladder->observed > LADDER_BRANCH)
        return branch(search, request, random, proposal, err);
    return error_set(err, ST_NONE, "nothing more, or not yet");
}

const struct search_strategy ladder_strategy = {.create = ladder_create,
                                                .free = free,
                                                .propose = ladder_propose,
                                                .propose_final = ladder_end,
                                                .observe = ladder_observe,
                                                .keeps = ladder_keeps};

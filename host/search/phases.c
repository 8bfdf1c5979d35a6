/* Phases by what the budget pays for. First a ladder of short trainings, which finds out how large a network of which
 * family this budget can train (rungs.h); then one training of that from fresh weights over all the time that is left.
 * So every second is in the final network's training or has bought the choice of it. With search.branches that training
 * begins as a trunk, on which changes are tried (branches.h), and the final fit goes on from there. */
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/search/branches.h"
#include "host/search/evolution.h"
#include "host/search/race.h"
#include "host/search/rungs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the trunk and its branches ---- */

/* The sibling of the last round that is accepted; NULL: none is. */
static enum status find_winner(const struct search *search, const struct search_request *request,
                               const struct branches *branches, const struct search_model **winner,
                               struct error *err)
{
    double most = 0.0;
    *winner = NULL;
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        double growth = 0.0;
        if (!branches_is_sibling(branches, model) ||
            !(model->gain > fmax(most, BRANCHES_ERRORS * model->gain_deviation)))
            continue;
        enum status st =
            branches_predict_growth(search, request, branches, branches->control, model, &growth, err);
        if (st != ST_OK)
            return st;
        if (model->gain / branches->control->loss + growth <= 0.0)
            continue;
        *winner = model;
        most = model->gain;
    }
    return ST_OK;
}

/* What the final fit, or another round, would go on from. */
static enum status find_trunk(const struct search *search, const struct search_request *request,
                              const struct branches *branches, const struct search_model **trunk,
                              struct error *err)
{
    *trunk = branches->trunk;
    if (branches->control == NULL || isnan(branches->control->score)) /* that failed */
        return ST_OK;
    enum status st = find_winner(search, request, branches, trunk, err);
    if (*trunk == NULL)
        *trunk = branches->control;
    return st;
}

static enum status propose_next_round(const struct search *search, const struct search_request *request,
                                      const struct branches *branches, const struct branches_plan *plan,
                                      struct proposal *proposal, struct error *err)
{
    const struct search_model *trunk;
    enum status st = find_trunk(search, request, branches, &trunk, err);
    if (st != ST_OK)
        return st;
    const int32_t refused = trunk == branches->control ? branches->refused + 1 : 0;
    if (branches->siblings == 0 || branches->rounds >= plan->rounds || refused >= BRANCHES_REFUSED)
        return ST_NONE;
    return branches_propose_control(branches, trunk, plan, &request->means, proposal, err);
}

/* The trunk as it stands, what is planned of its branches, and what is thought of changes before. */
struct trunk {
    struct branches branches;
    struct branches_plan plan;
    const struct gain_prior *prior;
};

static enum status propose_branch(const struct search *search, const struct search_request *request,
                                  const struct trunk *trunk, struct random_sequence *random,
                                  struct proposal *proposal, struct error *err)
{
    const struct branches *branches = &trunk->branches;
    const struct branches_plan *plan = &trunk->plan;
    if (!search_ended_well(branches->root))
        return ST_NONE;
    if (branches->control == NULL && plan->rounds > 0)
        return branches_propose_control(branches, branches->root, plan, &request->means, proposal, err);
    if (branches->control == NULL || !search_ended_well(branches->control))
        return ST_NONE;
    enum status st =
        branches->siblings < plan->siblings
            ? branches_propose_sibling(search, branches, request, trunk->prior, random, proposal, err)
            : ST_NONE;
    if (st != ST_NONE || branches->waits)
        return st;
    return propose_next_round(search, request, branches, plan, proposal, err);
}

/* ---- the race ---- */

/* Of the final fit, if it began now with that network: by how fast it was where it was trained before. */
static double final_epochs(const struct search *search, const struct search_request *request,
                           const struct graph *graph)
{
    const uint64_t fingerprint = graph_fingerprint(graph);
    for (int32_t i = 0; i < search_count(search); i++)
        if (search_at(search, i)->fingerprint == fingerprint && !search_at(search, i)->is_pending)
            return rungs_final_epochs(request, search_at(search, i));
    return ladder_epochs(&request->means, cost_seconds(graph, &request->limits.rates), request->means.left);
}

/* What the final fit would be, or the first fit of a race; ST_NONE where there is no race. */
static enum status propose_first_fit(const struct search *search, const struct search_request *request,
                                     const struct ladder_plan *plan, struct proposal *proposal,
                                     struct error *err)
{
    enum status st = rungs_choose(search, request, plan, proposal, err);
    if (st == ST_OK && !race_begin(search_setup(search), &request->means,
                                   final_epochs(search, request, &proposal->graph), proposal)) {
        proposal_free(proposal);
        st = ST_NONE;
    }
    return st == ST_DIVERGED ? ST_NONE : st; /* the final fit says so */
}

/* ---- evolution ---- */

/* Its control is what the final fit would be; ST_NONE where there is none. */
static enum status propose_evolution(const struct search *search, const struct search_request *request,
                                     const struct ladder_plan *plan, const struct gain_prior *prior,
                                     struct random_sequence *random, struct proposal *proposal,
                                     struct error *err)
{
    const struct search_model *control = evolution_control(search);
    struct proposal chosen = {0};
    enum status st = ST_OK;
    if (!evolution_is_for(plan))
        return ST_NONE;
    if (control == NULL)
        st = rungs_choose(search, request, plan, &chosen, err);
    if (st != ST_OK)
        return st == ST_DIVERGED ? ST_NONE : st; /* the final fit says so */
    const double cost =
        cost_seconds(control != NULL ? &control->graph : &chosen.graph, &request->limits.rates);
    const struct evolution_task task = {
        .plan = evolution_plan_make(search_setup(search), &request->means, plan, cost),
        .prior = prior,
        .chosen = control == NULL ? &chosen : NULL};
    st = evolution_propose(search, request, &task, random, proposal, err);
    proposal_free(&chosen);
    return st;
}

/* ---- what comes next ---- */

/* What is kept beside the search's models. */
struct phases {
    struct gain_prior prior;
    int32_t first; /* the models from this id on are those that the trunk may go on from */
};

/* The ladder, then the trunk and its branches, an evolution, or a race. */
static enum status propose_phase(const struct search *search, const struct phases *phases,
                                 const struct search_request *request, const struct ladder_plan *plan,
                                 struct random_sequence *random, struct proposal *proposal, struct error *err)
{
    struct trunk trunk = {.plan = branches_plan_make(search_setup(search), &request->means, plan->epochs),
                          .prior = &phases->prior};
    struct race race;
    branches_look(search, &trunk.branches);
    race_look(search, &race);
    if (trunk.branches.root != NULL)
        return propose_branch(search, request, &trunk, random, proposal, err);
    if (race.first != NULL)
        return race_propose_rung(request, &race, proposal, err);
    if (evolution_control(search) != NULL)
        return propose_evolution(search, request, plan, &phases->prior, random, proposal, err);
    enum status st = rungs_propose(search, request, plan, proposal, err);
    if (st != ST_NONE || rungs_wait(search))
        return st;
    if (trunk.plan.rounds == 0) {
        st = propose_evolution(search, request, plan, &phases->prior, random, proposal, err);
        return st == ST_NONE ? propose_first_fit(search, request, plan, proposal, err) : st;
    }
    st = rungs_choose(search, request, plan, proposal, err);
    if (st == ST_OK)
        branches_make_root(&trunk.plan, &request->means, proposal);
    return st == ST_DIVERGED ? ST_NONE : st; /* the final fit says so */
}

static enum status propose_phases(const struct search *search, void *state,
                                  const struct search_request *request, struct random_sequence *random,
                                  struct proposal *proposal, struct error *err)
{
    struct ladder_plan plan;
    enum status st = ladder_plan_make(search_setup(search), request, &plan, err);
    if (st == ST_OK)
        st = propose_phase(search, state, request, &plan, random, proposal, err);
    return st == ST_NONE ? error_set(err, ST_NONE, "there is nothing more to try, or not yet") : st;
}

/* ---- the final fit ---- */

/* The trunk, from where its learning rate held: now it falls. */
static enum status propose_trunk(const struct search *search, const struct search_request *request,
                                 const struct branches *branches, struct proposal *proposal,
                                 struct error *err)
{
    const struct search_model *trunk;
    enum status st = find_trunk(search, request, branches, &trunk, err);
    if (st == ST_OK)
        st = branches_propose_end(branches, trunk, proposal, err);
    if (st == ST_OK)
        snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH,
                 "trunk, %d rounds of branches, %d accepted", (int)branches->rounds,
                 (int)(branches->accepted + branches_is_sibling(branches, trunk)));
    return st;
}

static enum status propose_the_end(const struct search *search, void *state,
                                   const struct search_request *request, struct proposal *proposal,
                                   struct error *err)
{
    struct ladder_plan plan;
    struct branches branches;
    struct race race;
    (void)state;
    branches_look(search, &branches);
    if (branches.root != NULL && search_ended_well(branches.root))
        return propose_trunk(search, request, &branches, proposal, err);
    race_look(search, &race);
    enum status st = race.first != NULL ? race_propose_end(search, request, &race, proposal, err)
                     : evolution_control(search) != NULL
                         ? evolution_propose_end(search, request, proposal, err)
                         : ST_NONE;
    if (st != ST_NONE)
        return st;
    st = ladder_plan_make(search_setup(search), request, &plan, err);
    if (st == ST_NONE)
        st = search_check_limits(search_setup(search), &request->limits, err);
    if (st == ST_OK && plan.count == 0)
        return error_set(err, ST_RANGE, "no starting network is within the limits");
    return st == ST_OK ? rungs_choose(search, request, &plan, proposal, err) : st;
}

/* ---- whose weights are kept ---- */

static enum status create_phases(const struct search_setup *setup, void **state, struct error *err)
{
    const char *prior = setup->job->prior;
    struct phases *phases = calloc(1, sizeof(*phases));
    *state = phases;
    if (phases == NULL)
        return error_memory(err, "phases", sizeof(*phases));
    phases->prior = gain_prior_weak();
    if (prior == NULL || prior[0] == '\0')
        return ST_OK;
    enum status st = gain_prior_read(prior, &phases->prior, err);
    if (st != ST_OK)
        error_prefix(err, "search.prior");
    return st;
}

/* Who begins a round has decided what it goes on from. */
static enum status observe_phases(const struct search *search, void *state, const struct search_model *model,
                                  struct error *err)
{
    struct phases *phases = state;
    (void)search, (void)err;
    if (branches_has(model) && model->parent >= 0 && model->recipe.compared_with < 0)
        phases->first = model->parent;
    return ST_OK;
}

static bool keeps_phases(const void *state, const struct search_model *model)
{
    const struct phases *phases = state;
    return (branches_has(model) && model->id >= phases->first) || race_has(model);
}

const struct search_strategy search_phases = {.goes_by_means = true,
                                              .create = create_phases,
                                              .free = free,
                                              .propose = propose_phases,
                                              .propose_final = propose_the_end,
                                              .observe = observe_phases,
                                              .keeps = keeps_phases};

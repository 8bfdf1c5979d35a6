/* Asynchronous successive halving (Li, Jamieson, Rostamizadeh et al. 2020, "A system for massively parallel
 * hyperparameter tuning", ASHA): many short trainings, on rungs. What is trained on the lowest one is a draw: one of
 * search.starts, one of search.widths and hyperparameters of the job's lists and ranges (hyperparameters_draw), after
 * each start as the job says. Of those on a rung the best in search.eta are trained further, on the next one, to
 * search.eta times what they have had, as soon as that can be said; while it can't there is another draw. So nobody
 * waits for anybody.
 *
 * On the highest of search.rungs a training has had as much as a starting network gets of other strategies. Who goes on
 * has the weights that it had, and a new schedule. */
#include "host/net/serialise.h"
#include "host/search/strategy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Of each rung so many may still go on, however many come. */
enum { KEPT = 32, MOST_RUNGS = 8 };

/* Ids whose weights are kept for that. */
struct asha {
    int32_t rungs, count, kept[MOST_RUNGS * KEPT];
};

static int32_t rung_of(const struct search *search, const struct search_model *model)
{
    int32_t rung = 0;
    for (; model->parent >= 0; rung++)
        model = search_find(search, model->parent);
    return rung;
}

static bool has_gone_on(const struct search *search, const struct search_model *model)
{
    for (int32_t i = 0; i < search_count(search); i++)
        if (search_at(search, i)->parent == model->id)
            return true;
    return false;
}

/* How many have ended on a rung, one way or the other. */
static int32_t count_ended(const struct search *search, int32_t rung)
{
    int32_t count = 0;
    for (int32_t i = 0; i < search_count(search); i++)
        count += !search_at(search, i)->is_pending && rung_of(search, search_at(search, i)) == rung;
    return count;
}

/* How many of a model's rung are before it; of equal ones the earlier is. */
static int32_t count_better(const struct search *search, const struct search_model *model, int32_t rung)
{
    int32_t better = 0;
    bool earlier = true;
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *other = search_at(search, i);
        earlier = earlier && other != model;
        if (other != model && search_ended_well(other) && rung_of(search, other) == rung)
            better += search_is_better(other, model) || (earlier && !search_is_better(model, other));
    }
    return better;
}

/* ---- whose weights are kept ---- */

static enum status create_asha(const struct search_setup *setup, void **state, struct error *err)
{
    struct asha *asha = calloc(1, sizeof(*asha));
    *state = asha;
    if (asha == NULL)
        return error_memory(err, "strategy", sizeof(*asha));
    asha->rungs = setup->job->rungs;
    return ST_OK;
}

static enum status observe_asha(const struct search *search, void *state, const struct search_model *newest,
                                struct error *err)
{
    struct asha *asha = state;
    (void)newest, (void)err;
    asha->count = 0;
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        const int32_t rung = rung_of(search, model);
        if (rung < asha->rungs - 1 && search_ended_well(model) && !has_gone_on(search, model) &&
            count_better(search, model, rung) < KEPT)
            asha->kept[asha->count++] = model->id;
    }
    return ST_OK;
}

static bool keeps_asha(const void *state, const struct search_model *model)
{
    const struct asha *asha = state;
    for (int32_t i = 0; i < asha->count; i++)
        if (asha->kept[i] == model->id)
            return true;
    return false;
}

/* ---- proposals ---- */

/* Sets that the training brings what the model has had up to the rung's. */
static void set_rung(const struct search *search, const struct search_means *means, int32_t rung,
                     struct proposal *proposal)
{
    const double eta = search_setup(search)->job->eta, top = search_setup(search)->job->rungs - 1;
    const double had = rung > 0 ? pow(eta, rung - 1.0 - top) : 0.0;
    proposal_set_share(means, means->candidate * (pow(eta, rung - top) - had), proposal);
}

/* Of the best in eta of a rung one that has not gone on; NULL: there is none. */
static const struct search_model *find_for_rung_above(const struct search *search,
                                                      const struct search_limits *limits, int32_t rung)
{
    const int32_t most = count_ended(search, rung) / search_setup(search)->job->eta;
    for (int32_t i = 0; most > 0 && i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (model->is_parent && rung_of(search, model) == rung && !has_gone_on(search, model) &&
            search_admits(limits, &model->graph) && count_better(search, model, rung) < most)
            return model;
    }
    return NULL;
}

static enum status propose_promotion(const struct search *search, const struct search_request *request,
                                     struct proposal *proposal, struct error *err)
{
    for (int32_t rung = search_setup(search)->job->rungs - 2; rung >= 0; rung--) {
        const struct search_model *model = find_for_rung_above(search, &request->limits, rung);
        if (model == NULL)
            continue;
        enum status st = propose_further(model, proposal, err);
        proposal->recipe.hyperparameters = model->recipe.hyperparameters;
        set_rung(search, &request->means, rung + 1, proposal);
        snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "train further on rung %d", (int)rung + 1);
        return st;
    }
    return ST_NONE;
}

static bool is_known(const struct search *search, const struct proposal *proposal)
{
    const uint64_t fingerprint = graph_fingerprint(&proposal->graph);
    for (int32_t i = 0; i < search_count(search); i++)
        if (search_is_of(search, search_at(search, i), fingerprint, &proposal->recipe.hyperparameters))
            return true;
    return false;
}

static enum status propose_draw(const struct search *search, const struct search_limits *limits,
                                struct random_sequence *random, struct proposal *proposal, struct error *err)
{
    const struct search_setup *setup = search_setup(search);
    const struct job_search *job = setup->job;
    for (int draw = 0; draw < PROPOSE_DRAWS; draw++) {
        const int32_t start = (int32_t)random_next_below(random, (uint32_t)job->starts.count);
        const int32_t width = (int32_t)random_next_below(random, (uint32_t)job->widths.count);
        enum status st =
            propose_start_of_width(search, start, (int32_t)job->widths.items[width], proposal, err);
        proposal->recipe.hyperparameters = hyperparameters_draw(&setup->hyperparameters, random);
        if (st == ST_OK && search_admits(limits, &proposal->graph) && !is_known(search, proposal))
            return ST_OK;
        proposal_free(proposal);
        if (st != ST_OK)
            return st;
    }
    return propose_nothing(PROPOSE_DRAWS, err);
}

static enum status propose_asha(const struct search *search, void *state,
                                const struct search_request *request, struct random_sequence *random,
                                struct proposal *proposal, struct error *err)
{
    struct search_request first = *request;
    (void)state;
    first.fill = false; /* a device that waits gets a draw */
    enum status st = propose_first(search, &first, random, proposal, err);
    if (st == ST_NONE)
        st = propose_promotion(search, request, proposal, err);
    if (st != ST_NONE && proposal->parent >= 0)
        return st;
    if (st == ST_NONE)
        st = propose_draw(search, &request->limits, random, proposal, err);
    if (st == ST_OK)
        set_rung(search, &request->means, 0, proposal);
    return st;
}

const struct search_strategy search_asha = {.create = create_asha,
                                            .free = free,
                                            .propose = propose_asha,
                                            .observe = observe_asha,
                                            .keeps = keeps_asha};

/* The strategies without a surrogate, and without a state: what a clever one has to beat. */
#include "host/net/cost.h"
#include "host/search/ladder_plan.h"
#include "host/search/strategy.h"

static enum status propose_random(const struct search *search, void *state,
                                  const struct search_request *request, struct random_sequence *random,
                                  struct proposal *proposal, struct error *err)
{
    (void)state;
    enum status st = propose_first(search, request, random, proposal, err);
    if (st != ST_NONE)
        return st;
    (void)propose_by_chance(search,
                            random); /* all is; the others' chance draws the same children behind it */
    return propose_child_of_any(search, search_is_parent, &request->limits, random, proposal, err);
}

static enum status propose_greedy(const struct search *search, void *state,
                                  const struct search_request *request, struct random_sequence *random,
                                  struct proposal *proposal, struct error *err)
{
    (void)state;
    enum status st = propose_first(search, request, random, proposal, err);
    if (st != ST_NONE)
        return st;
    if (propose_by_chance(search, random))
        return propose_child_of_any(search, search_is_parent, &request->limits, random, proposal, err);
    const struct search_model *best = search_best(search, &request->limits);
    for (int draw = 0; best != NULL && draw < PROPOSE_DRAWS; draw++) {
        st = propose_child(search, best, &request->limits, random, proposal, err);
        if (st != ST_NONE)
            return st;
    }
    return propose_nothing(PROPOSE_DRAWS, err);
}

static enum status propose_the_start(const struct search *search, void *state,
                                     const struct search_request *request, struct proposal *proposal,
                                     struct error *err)
{
    const struct search_limits *limits = &request->limits;
    const int32_t starts = search_setup(search)->job->starts.count;
    enum status st = ST_NONE;
    (void)state;
    for (int32_t start = 0; st == ST_NONE && start < starts; start++)
        st = propose_start(search, limits, start, proposal, err);
    if (st == ST_NONE)
        return error_set(err, ST_RANGE, "no starting network is within the job's limits");
    if (st == ST_OK)
        propose_augment(search,
                        ladder_epochs(&request->means, cost_seconds(&proposal->graph, &limits->rates), 1.0),
                        proposal);
    return st;
}

const struct search_strategy search_random = {.varies = true, .propose = propose_random};
const struct search_strategy search_greedy = {.varies = true, .propose = propose_greedy};
const struct search_strategy search_none = {.goes_by_means = true, .propose_final = propose_the_start};

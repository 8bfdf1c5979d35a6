/* nasrun with a search that changes nothing, for the bench: as greedy, but each child is its parent, trained further.
 * Whatever the job's strategy is, it gets this one. It is linked with nasrun's main() and --wrap=search_new. */
#include "host/search/strategy.h"

static enum status propose_the_same(const struct search *search, void *state,
                                    const struct search_request *request, struct random_sequence *random,
                                    struct proposal *proposal, struct error *err)
{
    (void)state;
    enum status st = propose_first(search, request, random, proposal, err);
    if (st != ST_NONE)
        return st;
    const struct search_model *parent = propose_by_chance(search, random)
                                            ? search_draw_model(search, search_is_parent, random)
                                            : search_best(search, &request->limits);
    return parent != NULL ? propose_further(parent, proposal, err) : propose_nothing(1, err);
}

static const struct search_strategy placebo = {.propose = propose_the_same};

enum status __wrap_search_new(const struct search_setup *setup, struct search **search, struct error *err);

enum status __wrap_search_new(const struct search_setup *setup, struct search **search, struct error *err)
{
    return search_new_with(&placebo, setup, search, err);
}

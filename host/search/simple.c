/* The two strategies without a surrogate: what a clever one has to beat. */
#include "host/search/search_internal.h"

/* Draws per proposal before giving up: most failures are networks above the limits or known already. */
enum { DRAWS = 200 };

static enum status no_more(struct error *err)
{
    return error_set(err, ST_NONE, "no new network was found within the limits in %d draws", DRAWS);
}

enum status search_draw(const struct search *search, search_draw_model *from,
                        const struct search_limits *limits, struct random_sequence *random,
                        struct proposal *proposal, struct error *err)
{
    for (int32_t draw = 0; draw < DRAWS; draw++) {
        const struct search_model *parent = from(search, random);
        if (parent == NULL)
            break;
        enum status st = search_mutate(search, parent, limits, random, proposal, err);
        if (st != ST_NONE)
            return st;
    }
    return no_more(err);
}

static enum status propose_random(struct search *search, const struct search_limits *limits,
                                  struct random_sequence *random, struct proposal *proposal,
                                  struct error *err)
{
    return search_draw(search, search_random_parent, limits, random, proposal, err);
}

static enum status propose_greedy(struct search *search, const struct search_limits *limits,
                                  struct random_sequence *random, struct proposal *proposal,
                                  struct error *err)
{
    const struct search_model *best = search_best(search, limits);
    for (int32_t draw = 0; best != NULL && draw < DRAWS; draw++) {
        enum status st = search_mutate(search, best, limits, random, proposal, err);
        if (st != ST_NONE)
            return st;
    }
    return no_more(err);
}

const struct search_strategy search_random = {propose_random};
const struct search_strategy search_greedy = {propose_greedy};

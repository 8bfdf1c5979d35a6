/* Regularised evolution (Real, Aggarwal, Huang, Le 2019, "Regularized evolution for image classifier architecture
 * search"), the strategy "evolution": the population are the newest search.population networks that could be trained,
 * so that the oldest dies whenever one more is there, however good it is. A parent is the best of search.tournament
 * that are drawn of them. In the paper children are trained from fresh weights; here they go on from their parent's.
 *
 * The paper begins with random networks, here they are changes of the starting networks, until the population is full.
 *
 * What phases does with a long budget (evolution.h) is another thing, that has parents of the same kind. */
#include "host/search/strategy.h"

#include <stdlib.h>

struct ageing {
    int32_t most;   /* search.population */
    int32_t count;  /* of the population */
    int32_t oldest; /* the id of its oldest: all behind it that could be trained are in it */
};

static enum status create_ageing(const struct search_setup *setup, void **state, struct error *err)
{
    struct ageing *ageing = calloc(1, sizeof(*ageing));
    *state = ageing;
    if (ageing == NULL)
        return error_memory(err, "strategy", sizeof(*ageing));
    ageing->most = setup->job->population;
    return ST_OK;
}

/* Who was born first dies first, whatever the order of the results. */
static enum status observe_ageing(const struct search *search, void *state, const struct search_model *model,
                                  struct error *err)
{
    struct ageing *ageing = state;
    (void)model, (void)err;
    ageing->count = 0;
    for (int32_t i = search_count(search) - 1; i >= 0 && ageing->count < ageing->most; i--) {
        if (!search_ended_well(search_at(search, i)))
            continue;
        ageing->count++;
        ageing->oldest = search_at(search, i)->id;
    }
    return ST_OK;
}

static bool keeps_ageing(const void *state, const struct search_model *model)
{
    const struct ageing *ageing = state;
    return model->id >= ageing->oldest;
}

/* One drawn evenly of the population, which has some. */
static const struct search_model *draw_member(const struct search *search, const struct ageing *ageing,
                                              struct random_sequence *random)
{
    int32_t chosen = (int32_t)random_next_below(random, (uint32_t)ageing->count);
    for (int32_t i = search_count(search) - 1;; i--)
        if (search_ended_well(search_at(search, i)) && chosen-- == 0)
            return search_at(search, i);
}

static const struct search_model *draw_parent(const struct search *search, const struct ageing *ageing,
                                              struct random_sequence *random)
{
    const struct search_model *best = NULL;
    for (int32_t i = 0; i < search_setup(search)->job->tournament; i++) {
        const struct search_model *drawn = draw_member(search, ageing, random);
        if (best == NULL || search_is_better(drawn, best))
            best = drawn;
    }
    return best;
}

static bool is_first(const struct search_model *model)
{
    return model->is_parent && model->parent < 0;
}

static int32_t count_pending(const struct search *search)
{
    int32_t count = 0;
    for (int32_t i = 0; i < search_count(search); i++)
        count += search_at(search, i)->is_pending;
    return count;
}

static enum status propose_ageing(const struct search *search, void *state,
                                  const struct search_request *request, struct random_sequence *random,
                                  struct proposal *proposal, struct error *err)
{
    const struct ageing *ageing = state;
    enum status st = propose_first(search, request, random, proposal, err);
    if (st != ST_NONE)
        return st;
    if (ageing->count + count_pending(search) < ageing->most)
        st = propose_child_of_any(search, is_first, &request->limits, random, proposal, err);
    for (int draw = 0; st == ST_NONE && ageing->count > 0 && draw < PROPOSE_DRAWS; draw++)
        st = propose_child(search, draw_parent(search, ageing, random), &request->limits, random, proposal,
                           err);
    return st == ST_NONE ? propose_nothing(PROPOSE_DRAWS, err) : st;
}

const struct search_strategy search_evolution = {.varies = true,
                                                 .create = create_ageing,
                                                 .free = free,
                                                 .propose = propose_ageing,
                                                 .observe = observe_ageing,
                                                 .keeps = keeps_ageing};

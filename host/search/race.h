/* The race: a budget of hours on a small data set must not become one endless training. The chosen network is fitted
 * once, for a part of the stage; then three go on, for a short training each: that model as it is, with the learning
 * rate back at its peak; the same with shrunk weights and some fresh ones; and the network from other fresh weights.
 * Whichever of these is expected to be the best at the end is trained with all that is left, as the final fit. The
 * first fit stays a model of the run: where nothing after it has a better validation, it is what is tested.
 *
 *     first fit ──┬── goes on        ──┐
 *                 ├── shrunk         ──┼── the best of them: final fit
 *       fresh ────┴── another one    ──┘
 *
 * Its models are known by their recipes: they begin with other fresh weights than those of the seed, or from a parent,
 * which nothing else of `phases` does without a hold. */
#ifndef NASRUN_SEARCH_RACE_H
#define NASRUN_SEARCH_RACE_H

#include "host/search/ladder_plan.h"
#include "host/search/strategy.h"

/* Epochs of the chosen network that have to be left behind the first fit. Fewer are not too many for one training. */
#define RACE_LEAST_EPOCHS 100.0

/* Where a race stands. */
struct race {
    const struct search_model *first; /* NULL: not begun */
    int32_t rungs;                    /* of the three, that have begun */
};
void race_look(const struct search *search, struct race *race);
bool race_has(const struct search_model *model);

/* Makes a first fit of the final fit that is proposed, of a network that would get so many epochs of all that is left;
 * false, and nothing is changed, where no race pays. */
bool race_begin(const struct search_setup *setup, const struct search_means *means, double epochs,
                struct proposal *proposal);

/* The next of the three; ST_NONE when all have begun. */
enum status race_propose_rung(const struct search_request *request, const struct race *race,
                              struct proposal *proposal, struct error *err);

/* The final fit. ST_NONE when neither the first fit nor any of the three went well. */
enum status race_propose_end(const struct search *search, const struct search_request *request,
                             const struct race *race, struct proposal *proposal, struct error *err);

#endif

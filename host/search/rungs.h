/* The ladder's rungs: short trainings of starting networks from fresh weights, by its plan (ladder_plan.h), and the
 * choice of one of them for the time that is left (ladder_predict.h). All is a function of what was trained. */
#ifndef NASRUN_SEARCH_RUNGS_H
#define NASRUN_SEARCH_RUNGS_H

#include "host/search/ladder_plan.h"
#include "host/search/ladder_predict.h"
#include "host/search/strategy.h"

/* The next training; ST_NONE when there is nothing more, or not before something ends. */
enum status rungs_propose(const struct search *search, const struct search_request *request,
                          const struct ladder_plan *plan, struct proposal *proposal, struct error *err);

/* Whether one of them is in training. */
bool rungs_wait(const struct search *search);

/* The network that is expected to be the best at the end, from fresh weights; without any training the plan's first.
 * ST_DIVERGED when all of them have failed. */
enum status rungs_choose(const struct search *search, const struct search_request *request,
                         const struct ladder_plan *plan, struct proposal *proposal, struct error *err);

/* A model of a starting network's family as the ladder's law sees it. */
enum status rungs_run(const struct search *search, const struct search_request *request,
                      const struct search_model *model, struct ladder_run *run, struct error *err);

/* Epochs of the final fit, if it began now with that model's network: by how fast it was, or by the cost model. */
double rungs_final_epochs(const struct search_request *request, const struct search_model *model);

#endif

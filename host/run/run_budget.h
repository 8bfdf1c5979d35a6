/* The run as its budget sees it: the only bridge to host/search/budget.h. For the main thread, or with the run's
 * lock. */
#ifndef NASRUN_RUN_RUN_BUDGET_H
#define NASRUN_RUN_RUN_BUDGET_H

#include "host/run/candidate.h"
#include "host/search/budget.h"

/* Makes run->starts, once data are read: what starting networks cost is asked for again and again, and a lack of memory
 * then would leave one out. */
enum status run_starts_open(struct run *run, struct error *err);
void run_starts_close(struct run *run);

/* Where the run stands in its stage, now. */
struct budget_state run_budget(const struct run *run);

/* What the strategy is asked next, when the run stands there; nobody waits for it (`fill`). */
struct search_request run_request(const struct run *run, const struct budget_state *budget);

/* Whether the budget has nothing to do with time: the same job then gives the same bytes on every such machine. */
bool run_repeats(const struct run *run);

/* Limits of a candidate's training, or of a final fit: steps, when it is proposed, UINT32_MAX: none; seconds, when it
 * begins and after `trained` of them, INFINITY: none. */
uint32_t run_steps_limit(const struct run *run, const struct candidate *candidate);
double run_seconds_limit(const struct run *run, const struct candidate *candidate, double trained);

/* By how much a training of so many steps moves the model's clock (budget.clock): it counts seconds of the whole run,
 * in which all workers train. And so many evaluations of an image by a network, in a test. */
double run_model_seconds(const struct run *run, const struct candidate *candidate, uint32_t steps);
double run_model_test_seconds(const struct run *run, const struct graph *graph, double evaluations);

/* Seconds left in the stage; NAN when the budget is not in seconds. */
double run_seconds_left(const struct run *run);

#endif

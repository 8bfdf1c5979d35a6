/* Budgets: how a stage's budget is divided between the search, the final fit and what follows it.
 *
 * A stage's budget is a total since the run began, so a stage has what lies between the stage before and it.
 * Of that, search.final_share is kept for the final fit; with seconds also a reserve for test, report and
 * plots. A candidate gets a slot of the search's part; networks that inherit nothing get two. Slots of seconds are
 * each device's own; steps and models are counted over all devices.
 *
 * With a budget in steps or models everything follows from what was proposed and observed before, never from the clock.
 */
#ifndef NASRUN_RUN_BUDGET_H
#define NASRUN_RUN_BUDGET_H

#include "host/run/run.h"

/* Slots that a stage's search is divided into: in seconds, for each device. On a fast device, or with a large budget, there are
 * as many as leave each candidate BUDGET_EPOCHS of the best network's epochs, but not more than BUDGET_MOST_SLOTS on all
 * devices together: the surrogate's work grows with their square. */
enum { BUDGET_LEAST_SLOTS = 10, BUDGET_MOST_SLOTS = 200 };
#define BUDGET_EPOCHS 12.0

/* The final fit must be able to see the training part at least this often, or the network is too costly. */
#define BUDGET_FINAL_EPOCHS 8.0

/* With budgets in steps or models no clock decides: networks may cost this many times the dearest start. */
#define BUDGET_GROWTH 4.0

/* "seconds", "steps" or "models", and the stage's total of it. */
const char *budget_kind(const struct job_budget *budget);
double budget_total(const struct job_budget *budget, int32_t stage);
int32_t budget_stages(const struct job_budget *budget);

bool budget_in_seconds(const struct run *run);

/* How much longer a candidate's training takes beside the others on its device than alone, as measured; 1 with one. */
double budget_slowdown(const struct run *run);

/* Whether another candidate may be trained in this stage. */
bool budget_search_goes_on(const struct run *run);

/* Slots of the stage's search, on all devices together, as things stand; with a budget in models as many as that. */
double budget_slots(const struct run *run);

/* Whether what idle devices do costs nothing: with a budget in seconds, while the search goes on. */
bool budget_fills_devices(const struct run *run);

/* Slots that a candidate gets, when its proposal asks for so many times the usual: networks that inherit nothing get two. */
double budget_share(bool inherits, double times);

/* Limits of a candidate's training, which gets `share` slots, or, with `final`, of the final fit. Steps are known when
 * it is proposed, UINT32_MAX: no limit; seconds when it begins, INFINITY: none. `spent`: seconds that this training took
 * before it was interrupted. */
uint32_t budget_steps(const struct run *run, double share, bool final);
double budget_seconds(const struct run *run, double share, bool final, double spent);

/* What a network may cost so that the final fit can train it. */
struct search_limits budget_limits(const struct run *run);

/* Seconds left in the stage; NAN when the budget is not in seconds. */
double budget_seconds_left(const struct run *run);

#endif

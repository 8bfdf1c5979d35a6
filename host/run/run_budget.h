/* The run as its budget sees it: the only bridge to host/search/budget.h. For the main thread, or with the run's
 * lock. */
#ifndef NASRUN_RUN_RUN_BUDGET_H
#define NASRUN_RUN_RUN_BUDGET_H

#include "host/run/run.h"
#include "host/search/budget.h"

/* Where the run stands in its stage, now. */
struct budget_state run_budget(const struct run *run);

/* Seconds left in the stage; NAN when the budget is not in seconds. */
double run_seconds_left(const struct run *run);

#endif

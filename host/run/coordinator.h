/* The coordinator: the search of a stage. It decides what is tried next, and learns from what comes back.
 *
 * Candidates are proposed in the order of their ids and observed in that order, whatever the order in which they end:
 * with a window of W, candidate i is proposed when exactly those up to i - W have been observed (or fewer, while none
 * of them has succeeded). So with a budget in steps or models the same job gives the same search for any timing of its
 * workers, and a resumed run walks through what it has done before by the same rules. With a budget in seconds of the
 * clock as many may be under way as the window has room for, ended ones that wait for an older one not counted.
 */
#ifndef NASRUN_RUN_COORDINATOR_H
#define NASRUN_RUN_COORDINATOR_H

#include "host/run/candidate.h"

/* Candidates that may be under way: one for each device, and search.ahead. */
int32_t coordinator_window(const struct run *run);

/* Trains candidates until the stage's share of the search is used up, or the strategy proposes nothing any more. What
 * the journal tells of this stage comes before anything new, and when it tells of a final fit there is nothing new. */
enum status coordinator_search(struct run *run, struct error *err);

/* Adds a candidate's result to what the run knows: counts it, tells the strategy, notes it when it is the best. */
enum status coordinator_observe(struct run *run, struct candidate *candidate, struct error *err);

#endif

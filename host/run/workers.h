/* Workers: one thread a device, or several (sharing.h), each of which takes candidates from a queue and trains them,
 * one after the other.
 *
 *     workers_open -> workers_give ... workers_wait ... -> workers_close
 *
 * All functions are the main thread's. A candidate that was given away is its worker's until it is `ended`.
 */
#ifndef NASRUN_RUN_WORKERS_H
#define NASRUN_RUN_WORKERS_H

#include "host/run/candidate.h"

struct workers;

enum status workers_open(struct run *run, struct workers **workers, struct error *err);

/* Puts the candidate at the end of the queue. When all workers are busy it is prepared for the one that is likely to
 * take it, if the run looks ahead. At most run->window candidates are given and not ended. */
void workers_give(struct workers *workers, struct candidate *candidate);

/* Waits until one of the candidates, which were given away, has ended. Otherwise the error that ends the run, its
 * candidate's or another's: ST_INTERRUPTED when a signal has come; all trainings have then saved themselves. */
enum status workers_wait(struct workers *workers, const struct candidate *const *candidates, int32_t count,
                         struct error *err);

/* Lets trainings that are under way save themselves and end, if there are any, and the threads with them. NULL is
 * allowed. */
void workers_close(struct workers *workers);

#endif

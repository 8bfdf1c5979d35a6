/* Resuming: what the journal tells is gone through again.
 *
 * Stages that are over are observed at once. The candidates of the stage that is not are kept (run->past) for the
 * coordinator, which asks for each by its id instead of proposing it: some have ended, some go on from their
 * checkpoint. Those that had begun but left no checkpoint are forgotten: their lines are taken out of the journal,
 * and the coordinator proposes them again, by the same rules with the same result.
 */
#ifndef NASRUN_RUN_RESUME_H
#define NASRUN_RUN_RESUME_H

#include "host/run/candidate.h"

/* Brings `run` (data, search and devices open) to where its journal stands, and opens the journal for writing.
 * Without a journal it opens a new one and writes the run event. Refuses a journal of a format that it can't go on
 * from and other data (ST_FORMAT); another version of nasrun may go on, which the journal then says. run->history
 * tells how the engine's predecessor ended: a candidate that was in training when it was killed twice is journalled
 * as failed; one with which that happened once trains with nothing beside it. */
enum status resume_run(struct run *run, struct error *err);

/* Before the devices are open: those of a run that is gone on with take what they were in when it began. A run that an
 * older version began on a CPU was in float32. */
enum status resume_precision(struct run *run, struct error *err);

/* Takes out of a closed journal what was told from that candidate's beginning on, to be done again: its model is lost,
 * and others may go on from it. */
enum status resume_forget_from(const char *folder, int32_t id, struct error *err);

/* The candidate of that id, NULL when the journal has none (any more); taken, it is the caller's. */
const struct candidate *resume_find(const struct run *run, int32_t id);
struct candidate *resume_take(struct run *run, int32_t id);
/* The stage's final fit, likewise. */
struct candidate *resume_take_final(struct run *run);
/* The tested stage's baseline, the caller's to free; NULL: it has not begun. */
struct candidate *resume_take_baseline(struct run *run);
/* Whether there is one of that id or a later one, final fits left out. */
bool resume_has_later(const struct run *run, int32_t id);
bool resume_has_final(const struct run *run);
/* Whether it was in training when the engine was killed. */
bool resume_is_suspect(const struct run *run, int32_t id);
/* Frees what nobody has taken. */
void resume_forget(struct run *run);

#endif

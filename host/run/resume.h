/* Resuming: the journal's events are observed again, what lies behind the last checkpoint is cut off. */
#ifndef NASRUN_RUN_RESUME_H
#define NASRUN_RUN_RESUME_H

#include "host/run/run.h"

/* Brings `run` (data, search and device open) to where its journal stands, and opens the journal for writing.
 * Without a journal it opens a new one and writes the run event. Refuses another version's journal and other
 * data (ST_FORMAT). `history` tells how the engine's predecessor ended: a candidate that killed the engine
 * twice is journalled as failed. */
enum status resume_run(struct run *run, struct engine_history *history, struct error *err);

#endif

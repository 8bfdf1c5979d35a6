/* The engine: the whole run in one process, from the job to the report. */
#ifndef NASRUN_RUN_ENGINE_H
#define NASRUN_RUN_ENGINE_H

#include "host/run/run.h"

/* Opens data and device, resumes or begins, works through the budget's stages, writes the reports.
 * ST_INTERRUPTED after a signal, when everything is saved. `verbosity`: see display.h. */
enum status engine_run(const struct job *job, const char *folder, int verbosity,
                       struct engine_history *history, struct error *err);

/* Says without training what the run would take: data, device, bytes, images a second, candidates, end.
 * Trains a few steps of each starting network to measure. */
enum status engine_dry_run(const struct job *job, FILE *out, struct error *err);

/* Data and device only, for both of the above; `history` is NULL where no supervisor watches. On any status run_close
 * is to be called. */
enum status run_open(struct run *run, const struct job *job, const char *folder, int verbosity,
                     struct engine_history *history, struct error *err);
void run_close(struct run *run);

#endif

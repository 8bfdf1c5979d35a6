/* A stage of the budget: the search, the final fit, the test, the report. */
#ifndef NASRUN_RUN_STAGE_H
#define NASRUN_RUN_STAGE_H

#include "host/run/run.h"

/* Works through stage run->stage, from where the journal says that it stands, and steps on to the next. */
enum status stage_run(struct run *run, struct error *err);

/* Whether final fits from fresh weights see smaller images at first, by what the job says and the images' size: those of
 * networks that can (progressive_fits). */
bool stage_progressive(const struct job *job, struct shape image);

#endif

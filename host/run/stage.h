/* A stage of the budget: the search, the final fit, the test, the report; and the baseline, where it is wanted. */
#ifndef NASRUN_RUN_STAGE_H
#define NASRUN_RUN_STAGE_H

#include "host/run/candidate.h"

/* Works through stage run->stage, from where the journal says that it stands, and steps on to the next. */
enum status stage_run(struct run *run, struct error *err);

/* Stage run->stage begins at that run time, as the journal tells or is to tell. */
void stage_begin(struct run *run, double time);

/* A final fit of what was proposed, whose graph changes owner, also on errors: the next candidate. `earlier`: the one
 * of the stage before. */
enum status stage_final(const struct run *run, struct proposal *proposal, const struct run_final *earlier,
                        struct candidate **made, struct error *err);

/* Journals that it begins and trains it, on all devices, from fresh weights perhaps with smaller images at first. Of
 * one that has ended, as the journal tells, only that is found out: its time is reckoned by it. */
enum status stage_train_final(struct run *run, const struct run_final *earlier, struct candidate *candidate,
                              struct error *err);

/* Whether final fits from fresh weights see smaller images at first, by what the job says and the images' size: those
 * of networks that can (progressive_fits). */
bool stage_progressive(const struct job *job, struct shape image);

#endif

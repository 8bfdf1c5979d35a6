/* Replaying: the journal's lines, one after the other, as what they once were. For resume.c alone. */
#ifndef NASRUN_RUN_REPLAY_H
#define NASRUN_RUN_REPLAY_H

#include "host/run/candidate.h"

/* Goes through all lines: stages that are over are observed; the candidates of the last one, if it is not, become run->past,
 * by id. *stage_budget is what that stage's total was when it was last journalled. Errors name file and line. */
enum status replay_lines(struct run *run, const struct journal_lines *lines, double *stage_budget,
                         struct error *err);

/* Whether a line stays when candidates of run->past that have neither ended nor are `restored` are to be forgotten, and of
 * the restored ones what came after their checkpoint, at candidate->steps. */
bool replay_keeps(const struct run *run, const struct journal_line *line);

/* As if it had failed after so many steps. */
void replay_mark_failed(struct candidate *candidate, uint32_t steps);

#endif

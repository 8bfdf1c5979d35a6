/* Replaying: the journal's lines, one after the other, as what they once were. For resume.c alone. */
#ifndef NASRUN_RUN_REPLAY_H
#define NASRUN_RUN_REPLAY_H

#include "host/journal/events.h"
#include "host/run/candidate.h"

struct replayed {
    double stage_budget; /* what the last stage's total was when it was last journalled */
    const char *version; /* who wrote the last lines, by which format; inside of the lines */
    int32_t format;
};

/* Goes through all lines: stages that are over are observed; the candidates of the last one, if it is not, become
 * run->past, by id. Refuses lines of a format that this version can't go on from, and other data. Errors name file,
 * line and event. */
enum status replay_lines(struct run *run, const struct journal_lines *lines, struct replayed *found,
                         struct error *err);

/* Whether an event stays when candidates of run->past that have neither ended nor are `restored` are to be forgotten,
 * and of the restored ones what came after their checkpoint, at candidate->steps. */
bool replay_keeps(const struct run *run, const struct event *event);

/* As if it had failed after so many steps. */
void replay_mark_failed(struct candidate *candidate, uint32_t steps);

#endif

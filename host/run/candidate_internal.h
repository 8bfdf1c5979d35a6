/* What candidate.c and candidate_begin.c share. */
#ifndef NASRUN_RUN_CANDIDATE_INTERNAL_H
#define NASRUN_RUN_CANDIDATE_INTERNAL_H

#include "host/run/candidate.h"

/* A training in hand. */
struct training {
    struct run *run;
    struct candidate *candidate;
    struct team team;
    struct trainer *trainer;
    struct memory_need need;
    bool reserved;
    double last_checkpoint, began, first_second;
    int32_t unrecorded[PROG_EVALUATE + 1]; /* failures told of, by purpose */
    uint32_t first_step, epochs;
};

/* From nothing to a trainer that is ready for its next step, in memory that is reserved for it. */
enum status candidate_begin(struct training *training, struct error *err);

#endif

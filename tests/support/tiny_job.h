/* A job that a whole run can do in a moment: 64 grey images of three classes, a small network, two candidates and a
 * final fit of a few steps on the CPU, counted so that no clock decides anything. Failures end the test.
 *
 *     tiny_job_open(&tiny, overrides) -> tiny.job, tiny.run (an empty folder) -> tiny_job_close(&tiny)
 */
#ifndef NASRUN_TESTS_SUPPORT_TINY_JOB_H
#define NASRUN_TESTS_SUPPORT_TINY_JOB_H

#include "host/journal/journal.h"
#include "host/run/run.h"
#include "spec/job.h"

enum {
    TINY_JOB_IMAGES = 64,
    TINY_JOB_TEST = 16,
    TINY_JOB_CLASSES = 3,
    TINY_JOB_MODELS = 2,
    TINY_JOB_BATCH = 8
};

struct tiny_job {
    char *folder, *run; /* run is in folder */
    struct job job;
    struct engine_history history; /* as a supervisor's first process finds it */
};

/* `overrides`: "KEY=VALUE", NULL at their end; NULL: none. */
void tiny_job_open(struct tiny_job *tiny, const char *const *overrides);
void tiny_job_close(struct tiny_job *tiny);
/* Reads the job anew, with others. */
void tiny_job_change(struct tiny_job *tiny, const char *const *overrides);

/* Runs it to its end, from wherever it stands. */
void tiny_job_run(struct tiny_job *tiny);
/* Opens its run with one worker and goes through what its journal has; run_close is the caller's. */
void tiny_job_open_run(struct tiny_job *tiny, struct run *run);

/* The run's journal; journal_lines_free is the caller's. */
void tiny_job_journal(const struct tiny_job *tiny, struct journal_lines *lines);
/* The last event of that name, of which there is one; and a number that it has. */
const cJSON *tiny_job_last(const struct journal_lines *lines, const char *event);
double tiny_job_number(const cJSON *json, const char *name);
/* How many of its lines tell that event. */
int tiny_job_events(const struct tiny_job *tiny, const char *event);
/* All of it without what the clock decides, a line an event; malloc'd. */
char *tiny_job_history(const struct tiny_job *tiny);
bool tiny_job_has(const struct tiny_job *tiny, const char *name); /* a file in the run's folder */

#endif

/* Runs of a small job on two CPU devices by strategies that nasrun does not have, and what their journals tell: for one
 * group of cmocka's, whose setup and teardown are here. Failures end the test. */
#ifndef NASRUN_TESTS_SUPPORT_STRATEGY_RUN_H
#define NASRUN_TESTS_SUPPORT_STRATEGY_RUN_H

#include "host/journal/journal.h"
#include "host/run/run.h"
#include "host/search/strategy.h"
#include "spec/job.h"

/* With a fifth of the images kept for validation an epoch has 16 steps. */
enum { STRATEGY_RUN_BATCH = 20, STRATEGY_RUN_BUDGET = 1000 };

extern struct job strategy_job; /* of the next run; tests change it */
extern struct run strategy_run; /* under way */

int strategy_run_setup(void **state);
int strategy_run_teardown(void **state);

/* What engine_run does in the folder at `path`, with another strategy, and with other operations of the devices unless
 * NULL. `work` is stage_run, or a part of it. */
enum status strategy_run_with(const struct search_strategy *strategy, const struct device_ops *ops,
                              const char *path, enum status (*work)(struct run *run, struct error *err),
                              struct error *err);

/* A folder for a run, malloc'd. */
char *strategy_run_path_of(const char *name);
/* The journal of the run at `path`; journal_lines_free is the caller's. */
void strategy_run_load(const char *path, struct journal_lines *lines);
/* The candidate's only line of that event. */
const cJSON *strategy_run_line_of(const struct journal_lines *lines, const char *event, int32_t id);
/* NAN: there is none. */
double strategy_run_number(const cJSON *json, const char *name);
void strategy_run_check(const cJSON *json, const char *name, double expected);

#endif

/* The baseline (baseline.start): what the search is measured by. Behind a stage's test a network is trained as
 * search.strategy = "none" would train it, for as long as the stage's budget says, and tested on the same images: the
 * first of search.starts, one that the job names, or a file's. So a stage takes twice its budget, and its model and
 * report are there after the first half.
 *
 * A later stage's baseline goes on from the earlier one, as without a search; one that has been trained on the
 * validation images is left alone, and the next begins from fresh weights, or the file's, with all of the budget. */
#ifndef NASRUN_RUN_BASELINE_H
#define NASRUN_RUN_BASELINE_H

#include "host/run/candidate.h"
#include "host/search/budget.h"

/* Of a run with open start files and limits, where the job wants one: run->baseline.search. ST_RANGE where the network
 * is above the limits in all widths. */
enum status baseline_open(struct run *run, struct error *err);
/* The same look at limits that have become known since. */
enum status baseline_check(const struct run *run, struct error *err);

/* The run's budget as the baseline sees it: what lies between what it has had already and the stage's total. With a
 * budget in models it is one in steps, those that were taken until here. */
struct budget_state baseline_budget(const struct run *run);

/* Trains and tests it, after the stage's test, and journals what came of it. */
enum status baseline_run(struct run *run, struct error *err);

/* Its candidate has begun, at that run time; and what remains to be known of it when it was tested and journalled, or
 * had failed: what it had had. */
void baseline_begin(struct run *run, double time);
void baseline_end(struct run *run, const struct candidate *candidate, double spent, double time);

#endif

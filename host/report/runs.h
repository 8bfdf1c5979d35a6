/* Several runs together: what each of their tested stages reached, by job, budget and seed. */
#ifndef NASRUN_REPORT_RUNS_H
#define NASRUN_REPORT_RUNS_H

#include "host/report/canvas.h"
#include "host/report/history.h"

#include <stdio.h>

enum runs_unit { RUNS_SECONDS, RUNS_STEPS, RUNS_MODELS, RUNS_UNITS };

struct runs_result { /* one tested stage of one run */
    int32_t run, job;
    enum runs_unit unit;
    double budget;
    int64_t seed, stage;
    double accuracy, baseline; /* on the test images; NAN: without a baseline */
};

struct runs_mean { /* of the results of one job and budget */
    int32_t count;
    double mean, deviation; /* of a sample: NAN of a single one */
    double low, high;
};

struct runs_row { /* one job and budget */
    int32_t job;
    enum runs_unit unit;
    double budget;
    struct runs_mean search, baseline;
};

struct runs {
    int32_t count;
    char *const *folders; /* the caller's */
    struct history *histories;
    /* Two runs are of one job when all but seed, budget, baseline and where things lie is the same, and their data have
     * the same classes and as many test images: which ones these are may be the seed's doing. A job's name is what it
     * has of its own: search.strategy = "random"; "" of a single job. */
    int32_t job_count;
    char **jobs;
    struct runs_result *results; /* by job, unit, budget, seed, run, stage */
    int32_t result_count;
    struct runs_row *rows; /* by job, unit, budget */
    int32_t row_count;
    bool shared; /* some run has several stages, which share work */
};

/* ST_RANGE when none of them has a tested stage, or a test without a budget. */
enum status runs_load(char *const *folders, int32_t count, struct runs *runs, struct error *err);
/* The stages of one run that each have a budget, beside each other: without histories, of which the caller's has to
 * outlive it. */
enum status runs_of_one(const struct history *history, struct runs *runs, struct error *err);
void runs_free(struct runs *runs); /* a zeroed one is allowed */

/* What a budget counts, and how much of it; RUNS_UNITS and NAN where nothing is known of it. */
enum runs_unit runs_unit_of(const struct event_budget *amounts, double *budget);

/* "3600 s", "90 min", "2 h", "500 steps", "12 models" */
void runs_budget_text(enum runs_unit unit, double budget, char *text, size_t room);

/* The table of budgets and seeds, and McNemar's test of each two runs' last stages, which need predictions.csv. */
enum status runs_print(const struct runs *runs, FILE *out, struct error *err);

/* A row for each result, comma-separated, as plot_budgets draws them. */
void runs_print_csv(const struct runs *runs, FILE *out);

/* Accuracy against budget on a logarithmic axis: for each job the means, and the range over its seeds. ST_RANGE when
 * the budgets are of several units. */
enum status plot_budgets(struct picture *picture, const struct runs *runs, struct error *err);

#endif

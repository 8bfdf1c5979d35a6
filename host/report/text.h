/* The report of one stage as text and as JSON. Both are made from the history and, where the stage's predictions.csv is
 * there, the rankings that it gives, so the same files give the same bytes. */
#ifndef NASRUN_REPORT_TEXT_H
#define NASRUN_REPORT_TEXT_H

#include "host/report/history.h"
#include "host/report/metrics.h"
#include "host/report/scores.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* The table of scikit-learn's classification_report(..., digits=4), with several labels at the model's thresholds, an
 * empty line, "accuracy: 0.9312", an empty line, the scores (facts.h), an empty line, and the run's summary. rankings
 * NULL: not known. Write errors stick in the stream. */
void report_text(FILE *out, const struct history *history, const struct history_test *test,
                 const struct metrics *metrics, const struct rankings *rankings);

/* The same facts: {"stage", "accuracy", "loss", "budget_seconds", "elapsed_seconds", what cost.h adds, "models",
 * "winner", "parameters", "layers", "baseline", "branches", "classes": [{"name", "precision", "recall", "f1",
 * "support"}], "macro_average", "weighted_average", with several labels "micro_average" and "samples_average", and what
 * facts.h adds}. What is unknown is null. NULL when out of memory; the caller deletes it. */
cJSON *report_json(const struct history *history, const struct history_test *test,
                   const struct metrics *metrics, const struct rankings *rankings);

#endif

/* The budgets of a run beside each other: what each stage that was tested has reached. */
#ifndef NASRUN_REPORT_BUDGETS_H
#define NASRUN_REPORT_BUDGETS_H

#include "host/report/history.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

/* An empty line and the table, a row for each tested stage; nothing of a single one. What is unknown is "-". */
void budgets_print(FILE *out, const struct history *history);

/* "budgets": [{"stage", "budget", "unit", "accuracy", "accuracy_low", "accuracy_high", "accuracy_without_views",
 * "models", "parameters", "elapsed_seconds", "cost", "energy_joules", "baseline"}], of a single stage too; what is
 * unknown is null. False when out of memory. */
bool budgets_add(cJSON *json, const struct history *history);

/* Whether there are several, all of which count the same, so that they may be drawn. */
bool budgets_in_one_unit(const struct history *history);

#endif

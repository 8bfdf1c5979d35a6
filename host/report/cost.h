/* What a stage has cost: money, by report.cost_per_hour, beside what Google asks for a training, and energy. */
#ifndef NASRUN_REPORT_COST_H
#define NASRUN_REPORT_COST_H

#include "host/report/history.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

/* Until that test, of all stages, in its currency; NAN: unknown, as where no clock counts the run's time. */
double cost_of(const struct history *history, const struct history_test *test);

/* Lines of the cost and of the energy, as far as they are known; where the cost is asked for, also that they aren't. */
void cost_print(FILE *out, const struct history *history, const struct history_test *test);

/* "cost": {"total", "per_hour", "currency", "google_usd"}, "energy_joules", "energy_source"; null: unknown. False when
 * out of memory. */
bool cost_add(cJSON *json, const struct history *history, const struct history_test *test);

#endif

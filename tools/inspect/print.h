/* What nasinspect prints: a run's models, and one of them with its weights. */
#ifndef NASRUN_TOOLS_INSPECT_PRINT_H
#define NASRUN_TOOLS_INSPECT_PRINT_H

#include "host/base/error.h"

#include <cjson/cJSON.h>
#include <stdio.h>

enum print_format { PRINT_TEXT, PRINT_JSON, PRINT_CSV };

/* An array of models (host/report/inspect.h): a table, an array, or a row for each. */
enum status print_models(const cJSON *models, enum print_format format, FILE *out, struct error *err);

/* One with its weights (weights.h), an array or null: lines "key: value" and a table, an object, or a row for each
 * tensor. */
enum status print_model(const cJSON *model, const cJSON *weights, enum print_format format, FILE *out,
                        struct error *err);

#endif

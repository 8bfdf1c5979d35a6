/* Values of a JSON object that may be unknown: null then. Each is false when out of memory. */
#ifndef NASRUN_REPORT_JSON_H
#define NASRUN_REPORT_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

bool json_add_number(cJSON *json, const char *key, double value);   /* NAN: unknown */
bool json_add_count(cJSON *json, const char *key, int64_t value);   /* below 0: unknown */
bool json_add_text(cJSON *json, const char *key, const char *text); /* NULL: unknown */

#endif

#include "host/report/json.h"

#include <math.h>

bool json_add_number(cJSON *json, const char *key, double value)
{
    return cJSON_AddNumberToObject(json, key, value) != NULL; /* NAN is printed as null */
}

bool json_add_count(cJSON *json, const char *key, int64_t value)
{
    return json_add_number(json, key, value >= 0 ? (double)value : NAN);
}

bool json_add_text(cJSON *json, const char *key, const char *text)
{
    return (text != NULL ? cJSON_AddStringToObject(json, key, text) : cJSON_AddNullToObject(json, key)) !=
           NULL;
}

/* A value of a job file on its way into the job; between spec_read.c and spec_value.c. */
#ifndef NASRUN_SPEC_SPEC_VALUE_H
#define NASRUN_SPEC_SPEC_VALUE_H

#include "spec/schema.h"

#include <libconfig.h>

struct spec_assignment {
    const struct spec_key *key;
    const struct spec_location *location; /* for messages */
    const config_setting_t *value;
};

/* What a message shows as found. */
void spec_found_text(const config_setting_t *value, char text[SPEC_TEXT_MAX]);

/* As found in `value`, which is the assignment's or a part of it, in place of what spec_describe says. */
enum status spec_refuse_value(const struct spec_assignment *assignment, enum status status,
                              const config_setting_t *value, struct error *err);

bool spec_is_list(const config_setting_t *value);
bool spec_is_auto(const config_setting_t *value);

/* A number that a key of type WHOLE, AUTO_WHOLE or NUMBER may have. */
enum status spec_value_number(const struct spec_assignment *assignment, const config_setting_t *value,
                              double *number, struct error *err);

/* A list of values or a range between two bounds, of a key that may be searched. */
enum status spec_value_range(const struct spec_assignment *assignment, struct job_range *range,
                             struct error *err);

/* Checks type and range and sets the key's field; what it held is freed. ST_FORMAT or ST_RANGE with location, found and
 * expected. */
enum status spec_assign(const struct spec_assignment *assignment, struct job *job, struct error *err);

#endif

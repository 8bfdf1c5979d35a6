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

/* Checks type and range and sets the key's field; what it held is freed. ST_FORMAT or ST_RANGE with location, found and
 * expected. */
enum status spec_assign(const struct spec_assignment *assignment, struct job *job, struct error *err);

#endif

/* What is thought of changes before any was tried: for each number of a change (change.h) the mean and the deviation of
 * what a unit of it gains, as the logarithm of the error that it takes away. Without a file the means are 0 and the
 * deviations weak; a file has what earlier runs have shown:
 *
 *     nasrun search prior 1
 *     # comments
 *     operations 0.0213 0.0187
 *     ...
 *
 * The number is GAIN_PRIOR_VERSION: it counts up when the numbers of a change become others. A line for each of them,
 * in any order. */
#ifndef NASRUN_SEARCH_GAIN_PRIOR_H
#define NASRUN_SEARCH_GAIN_PRIOR_H

#include "host/search/change.h"

#include <stdio.h>

enum { GAIN_PRIOR_VERSION = 1 };

struct gain_prior {
    double mean[CHANGE_COUNT], deviation[CHANGE_COUNT];
    bool read; /* from a file */
};

struct gain_prior gain_prior_weak(void);

/* ST_IO when the file can't be read, ST_UNSUPPORTED for another version, ST_FORMAT for what is no prior; the message
 * names file, line, found and expected. */
enum status gain_prior_read(const char *path, struct gain_prior *prior, struct error *err);

void gain_prior_print(const struct gain_prior *prior, FILE *stream);

#endif

/* Time. Seconds as double; only differences of clock_seconds mean anything. */
#ifndef NASRUN_BASE_CLOCK_H
#define NASRUN_BASE_CLOCK_H

#include <stddef.h>

/* Monotonic seconds since some point in the past. */
double clock_seconds(void);

/* The date and time now, UTC, "2026-01-31T12:00:00Z", into text of at least 21 bytes. */
void clock_date(char *text, size_t size);

#endif

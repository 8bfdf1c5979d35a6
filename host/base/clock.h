/* Time. Seconds as double; only differences of clock_seconds mean anything. */
#ifndef NASRUN_BASE_CLOCK_H
#define NASRUN_BASE_CLOCK_H

#include <stddef.h>

/* Monotonic seconds since some point in the past. */
double clock_seconds(void);
/* Of the calling thread: what it has run, waiting left out. */
double clock_thread_seconds(void);

/* clock_seconds when this process was started, to a hundredth of a second: before its libraries were loaded.
 * Now, where the system does not tell. */
double clock_process_start(void);

/* The date and time now, UTC, "2026-01-31T12:00:00Z", into text of at least 21 bytes. */
void clock_date(char *text, size_t size);

#endif

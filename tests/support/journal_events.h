/* Journals for tests: any event, written by the product's own writer. */
#ifndef NASRUN_TESTS_SUPPORT_JOURNAL_EVENTS_H
#define NASRUN_TESTS_SUPPORT_JOURNAL_EVENTS_H

#include "host/journal/event_write.h"

#include <stddef.h>

/* An event with all that may be absent absent, and zeros elsewhere. */
struct event journal_events_blank(enum event_kind kind);

/* Writes the event of whichever kind, at its own time. */
enum status journal_events_append(struct journal *journal, const struct event *event, struct error *err);

/* A journal that ends with these events: made anew where there is none. Fails the running test on any error. */
void journal_events_write(const char *path, const struct event *events, size_t count);

#endif

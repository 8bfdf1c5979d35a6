/* Writing events: event_write_run(), event_write_candidate(), and so on, one for each row EVENT of events.def. */
#ifndef NASRUN_JOURNAL_EVENT_WRITE_H
#define NASRUN_JOURNAL_EVENT_WRITE_H

#include "host/base/error.h"
#include "host/journal/events.h"
#include "host/journal/journal.h"

/* Appends the event at `time` seconds of work on the run (journal_append). Fields that may be absent are left out
 * when they have the value that says so (events.h), all others have to be there. ST_RANGE for what a reader would
 * refuse: a NUMBER that is not finite, a whole number outside of its range. The journal is as it was after an error. */
#define EVENT(KIND, name, flush, since, when)                                                                \
    enum status event_write_##name(struct journal *journal, const struct event_##name *event, double time,   \
                                   struct error *err);
#include "host/journal/events.def"

#endif

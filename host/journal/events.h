/* Events: what a line of the journal says, as structures that are made from events.def. event_write.h writes them,
 * event_read.h reads them, EVENTS.md lists them.
 *
 * type            in C                    in the line                      when absent
 * INT32           int32_t                 whole number from 0              -1
 * INT32_OR_NONE   int32_t                 whole number from -1: none       -1
 * UINT32          uint32_t                whole number from 0              0
 * INT64           int64_t                 whole number, 0 to 2^53          -1
 * NUMBER          double                  finite number                    NAN
 * RESULT          double                  number; null: it is not finite   NAN, as for null
 * FLAG            bool                    true, false                      false
 * TEXT            const char *            string                           NULL
 * TEXTS           struct event_texts      array of strings                 none
 * SHAPE           struct event_shape      [channels, height, width]        -1 each
 * MATRIX          struct event_matrix     square array of whole numbers    no rows
 * TABLE           struct event_table      rows of as many whole numbers    no rows
 * NUMBERS         struct event_numbers    array of finite numbers          none
 * GRAPH           const cJSON *           object                           NULL
 *
 * What is pointed to belongs to who writes the event, or to the reader and its lines.
 *
 * The format. The run event says by which format the lines are written that follow it, a continued event by which
 * they are from there on. Events, parts and fields are only ever added, with the new format's number in `since`:
 * journals of older formats lack them, and older readers pass over them. EVENT_FORMAT is raised by one for the first
 * of them behind a release; tests/journal keeps a journal of each format. When what is there already gets another
 * meaning, or when a resumed run can't go on from what an older version wrote, EVENT_FORMAT_RESUMED becomes the new
 * format as well: runs that began with an older one are read, reported and plotted as before, but not gone on with.
 * Nothing is renamed or taken away; a field that is written no more stays, as SOMETIMES. */
#ifndef NASRUN_JOURNAL_EVENTS_H
#define NASRUN_JOURNAL_EVENTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    EVENT_FORMAT = 2, /* that this version writes, not released yet; journals before 2 do not say theirs */
    EVENT_FORMAT_RESUMED = 1, /* the oldest that it goes on with */
};

struct event_texts {
    const char *const *items;
    int32_t count;
};

struct event_shape {
    int32_t channels, height, width;
};

struct event_matrix {
    const int64_t *values; /* [rows * rows], row by row; each fits uint32_t */
    int32_t rows;
};

/* dataset.labels of the run event, where images have any number of labels. */
#define EVENT_LABELS_SEVERAL "several"

struct event_table {
    const int64_t *values; /* [rows * columns], likewise */
    int32_t rows, columns;
};

struct event_numbers {
    const double *items;
    int32_t count;
};

/* ---- made from events.def ---- */

#define EVENT_C_INT32         int32_t
#define EVENT_C_INT32_OR_NONE int32_t
#define EVENT_C_UINT32        uint32_t
#define EVENT_C_INT64         int64_t
#define EVENT_C_NUMBER        double
#define EVENT_C_RESULT        double
#define EVENT_C_FLAG          bool
#define EVENT_C_TEXT          const char *
#define EVENT_C_TEXTS         struct event_texts
#define EVENT_C_SHAPE         struct event_shape
#define EVENT_C_MATRIX        struct event_matrix
#define EVENT_C_TABLE         struct event_table
#define EVENT_C_NUMBERS       struct event_numbers
#define EVENT_C_GRAPH         const cJSON *

/* struct event_run, struct event_candidate, ...; struct event_dataset and the other parts */
#define EVENT_PART(part)                                                       struct event_##part {
#define EVENT(KIND, name, flush, since, when)                                  struct event_##name {
#define EVENT_FIELD(owner, field, type, presence, since, cause, unit, meaning) EVENT_C_##type field;
#define EVENT_INSIDE(owner, part, since, meaning)                              struct event_##part part;
#define EVENT_END(owner)                                                                                     \
    }                                                                                                        \
    ;
#include "host/journal/events.def"

enum event_kind {
#define EVENT(KIND, name, flush, since, when) EVENT_##KIND,
#include "host/journal/events.def"
    EVENT_KINDS
};

const char *event_name(enum event_kind kind); /* as the line has it */

/* An event that was read: event->epoch.loss where event->kind is EVENT_EPOCH. */
struct event {
    enum event_kind kind;
    double time; /* seconds of work on the run until it was written */
    union {
#define EVENT(KIND, name, flush, since, when) struct event_##name name;
#include "host/journal/events.def"
    };
};

#endif

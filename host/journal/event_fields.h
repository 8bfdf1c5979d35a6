/* The rows of events.def as tables, for journal.c, event_read.c, event_write.c and their tests. */
#ifndef NASRUN_JOURNAL_EVENT_FIELDS_H
#define NASRUN_JOURNAL_EVENT_FIELDS_H

#include "host/journal/events.h"

#include <stddef.h>

enum event_type {
    EVENT_TYPE_INT32,
    EVENT_TYPE_INT32_OR_NONE,
    EVENT_TYPE_UINT32,
    EVENT_TYPE_INT64,
    EVENT_TYPE_NUMBER,
    EVENT_TYPE_RESULT,
    EVENT_TYPE_FLAG,
    EVENT_TYPE_TEXT,
    EVENT_TYPE_TEXTS,
    EVENT_TYPE_SHAPE,
    EVENT_TYPE_MATRIX,
    EVENT_TYPE_TABLE,
    EVENT_TYPE_NUMBERS,
    EVENT_TYPE_GRAPH,
    EVENT_TYPE_PART,
};

struct event_fields {
    const struct event_field *items;
    int32_t count;
};

struct event_field {
    const char *name;
    enum event_type type;
    bool sometimes; /* it may be absent */
    int32_t since;
    size_t offset;            /* in its event's or part's structure */
    struct event_fields part; /* of EVENT_TYPE_PART */
};

struct event_row {
    const char *name;
    bool later; /* it is flushed with the next one */
    int32_t since;
    struct event_fields fields;
};

extern const struct event_row event_rows[EVENT_KINDS]; /* by enum event_kind */

/* The kind of that name; EVENT_KINDS: none. */
enum event_kind event_kind_of(const char *name);

/* Sets the field to what says that it is absent, in a structure that was all zeros. */
void event_field_absent(const struct event_field *field, void *structure);

/* The range of a type of whole numbers; false for the other types. */
bool event_type_range(enum event_type type, double *least, double *most);

#endif

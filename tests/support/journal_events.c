#include "tests/support/journal_events.h"

#include "host/journal/event_fields.h"

#include <setjmp.h>
#include <stdarg.h>

/* after what it needs */
#include <cmocka.h>

static void leave_out(struct event_fields fields, void *structure)
{
    for (int32_t i = 0; i < fields.count; i++) {
        const struct event_field *field = &fields.items[i];
        if (field->sometimes)
            event_field_absent(field, structure);
        leave_out(field->part, (char *)structure + field->offset); /* of a part, else of nothing */
    }
}

struct event journal_events_blank(enum event_kind kind)
{
    struct event event = {.kind = kind};
    leave_out(event_rows[kind].fields, &event.run); /* where all of the union begin */
    return event;
}

enum status journal_events_append(struct journal *journal, const struct event *event, struct error *err)
{
    switch (event->kind) {
#define EVENT(KIND, name, flush, since, when)                                                                \
    case EVENT_##KIND:                                                                                       \
        return event_write_##name(journal, &event->name, event->time, err);
#include "host/journal/events.def"
    case EVENT_KINDS:
        break;
    }
    return error_set(err, ST_RANGE, "found no event, expected one");
}

void journal_events_write(const char *path, const struct event *events, size_t count)
{
    struct error err;
    struct journal journal;
    if (journal_open(path, &journal, &err) != ST_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++) {
        if (journal_events_append(&journal, &events[i], &err) != ST_OK)
            fail_msg("event %zu: %s", i, err.message);
    }
    journal_close(&journal);
}

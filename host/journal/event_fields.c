#include "host/journal/event_fields.h"

#include <math.h>
#include <string.h>

enum { FLUSH_AT_ONCE, FLUSH_LATER };
enum { PRESENCE_ALWAYS, PRESENCE_SOMETIMES };

#define LIST_OF(name)                                                                                        \
    {                                                                                                        \
        fields_of_##name, (int32_t)(sizeof(fields_of_##name) / sizeof(fields_of_##name[0]))                  \
    }

#define EVENT_PART(name)                          static const struct event_field fields_of_##name[] = {
#define EVENT(KIND, name, flush, begins_at, when) static const struct event_field fields_of_##name[] = {
#define EVENT_FIELD(owner, field, kind, presence, begins_at, cause, unit, meaning)                           \
    {.name = #field,                                                                                         \
     .type = EVENT_TYPE_##kind,                                                                              \
     .sometimes = PRESENCE_##presence == PRESENCE_SOMETIMES,                                                 \
     .since = begins_at,                                                                                     \
     .offset = offsetof(struct event_##owner, field)},
#define EVENT_INSIDE(owner, name_of_part, begins_at, meaning)                                                \
    {.name = #name_of_part,                                                                                  \
     .type = EVENT_TYPE_PART,                                                                                \
     .since = begins_at,                                                                                     \
     .offset = offsetof(struct event_##owner, name_of_part),                                                 \
     .part = LIST_OF(name_of_part)},
#define EVENT_END(owner)                                                                                     \
    }                                                                                                        \
    ;
#include "host/journal/events.def"

const struct event_row event_rows[EVENT_KINDS] = {
#define EVENT(KIND, name_of_event, flush, begins_at, when)                                                   \
    [EVENT_##KIND] = {.name = #name_of_event,                                                                \
                      .later = FLUSH_##flush == FLUSH_LATER,                                                 \
                      .since = begins_at,                                                                    \
                      .fields = LIST_OF(name_of_event)},
#include "host/journal/events.def"
};

const char *event_name(enum event_kind kind)
{
    return event_rows[kind].name;
}

enum event_kind event_kind_of(const char *name)
{
    int kind = 0;
    while (kind < EVENT_KINDS && strcmp(event_rows[kind].name, name) != 0)
        kind++;
    return (enum event_kind)kind;
}

void event_field_absent(const struct event_field *field, void *structure)
{
    void *at = (char *)structure + field->offset;
    switch (field->type) {
    case EVENT_TYPE_INT32:
    case EVENT_TYPE_INT32_OR_NONE:
        *(int32_t *)at = -1;
        break;
    case EVENT_TYPE_INT64:
        *(int64_t *)at = -1;
        break;
    case EVENT_TYPE_NUMBER:
    case EVENT_TYPE_RESULT:
        *(double *)at = NAN;
        break;
    case EVENT_TYPE_SHAPE:
        *(struct event_shape *)at = (struct event_shape){-1, -1, -1};
        break;
    case EVENT_TYPE_PART:
        for (int32_t i = 0; i < field->part.count; i++)
            event_field_absent(&field->part.items[i], at);
        break;
    case EVENT_TYPE_UINT32:
    case EVENT_TYPE_FLAG:
    case EVENT_TYPE_TEXT:
    case EVENT_TYPE_TEXTS:
    case EVENT_TYPE_MATRIX:
    case EVENT_TYPE_TABLE:
    case EVENT_TYPE_NUMBERS:
    case EVENT_TYPE_GRAPH:
        break;
    }
}

bool event_type_range(enum event_type type, double *least, double *most)
{
    *least = type == EVENT_TYPE_INT32_OR_NONE ? -1.0 : 0.0;
    switch (type) {
    case EVENT_TYPE_INT32:
    case EVENT_TYPE_INT32_OR_NONE:
        *most = INT32_MAX;
        return true;
    case EVENT_TYPE_UINT32:
        *most = UINT32_MAX;
        return true;
    case EVENT_TYPE_INT64:
        *most = 9007199254740992.0; /* a JSON number is a double */
        return true;
    case EVENT_TYPE_NUMBER:
    case EVENT_TYPE_RESULT:
    case EVENT_TYPE_FLAG:
    case EVENT_TYPE_TEXT:
    case EVENT_TYPE_TEXTS:
    case EVENT_TYPE_SHAPE:
    case EVENT_TYPE_MATRIX:
    case EVENT_TYPE_TABLE:
    case EVENT_TYPE_NUMBERS:
    case EVENT_TYPE_GRAPH:
    case EVENT_TYPE_PART:
        break;
    }
    *most = 0.0;
    return false;
}

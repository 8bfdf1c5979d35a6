#include "host/journal/event_write.h"

#include "host/journal/event_fields.h"

#include <assert.h>
#include <math.h>

/* A field's address in the structure, as what its type is in C. */
#define AT(type, from, field) (*(type const *)((const char *)(from) + (field)->offset))

/* The value of a field of whole or other numbers. */
static double number_at(const void *from, const struct event_field *field)
{
    switch (field->type) {
    case EVENT_TYPE_UINT32:
        return AT(uint32_t, from, field);
    case EVENT_TYPE_INT64:
        return (double)AT(int64_t, from, field);
    case EVENT_TYPE_NUMBER:
    case EVENT_TYPE_RESULT:
        return AT(double, from, field);
    default:
        return AT(int32_t, from, field);
    }
}

static enum status add(cJSON *object, const struct event_field *field, cJSON *item, struct error *err)
{
    if (cJSON_AddItemToObject(object, field->name, item))
        return ST_OK;
    cJSON_Delete(item);
    return error_memory(err, "journal event", sizeof(*item));
}

static enum status add_number(cJSON *object, const struct event_field *field, double value, struct error *err)
{
    double least, most;
    if (event_type_range(field->type, &least, &most) && !(value >= least && value <= most))
        return error_set(err, ST_RANGE, "\"%s\" is %.17g, expected %.17g to %.17g", field->name, value, least,
                         most);
    if (field->type == EVENT_TYPE_NUMBER && !isfinite(value))
        return error_set(err, ST_RANGE, "\"%s\" is %g, expected a finite number", field->name, value);
    return add(object, field, cJSON_CreateNumber(value), err); /* cJSON writes null where it is not finite */
}

static enum status add_texts(cJSON *object, const struct event_field *field, const struct event_texts *texts,
                             struct error *err)
{
    cJSON *items =
        texts->count > 0 ? cJSON_CreateStringArray(texts->items, texts->count) : cJSON_CreateArray();
    return add(object, field, items, err);
}

static enum status add_shape(cJSON *object, const struct event_field *field, const struct event_shape *shape,
                             struct error *err)
{
    const int sizes[] = {shape->channels, shape->height, shape->width};
    return add(object, field, cJSON_CreateIntArray(sizes, 3), err);
}

static enum status add_table(cJSON *object, const struct event_field *field, const struct event_table *table,
                             struct error *err)
{
    cJSON *rows = cJSON_CreateArray();
    bool complete = rows != NULL;
    for (int32_t i = 0; complete && i < table->rows; i++) {
        cJSON *row = cJSON_CreateArray();
        complete = cJSON_AddItemToArray(rows, row);
        for (int32_t j = 0; complete && j < table->columns; j++)
            complete = cJSON_AddItemToArray(
                row,
                cJSON_CreateNumber((double)table->values[(size_t)i * (size_t)table->columns + (size_t)j]));
    }
    if (!complete) {
        cJSON_Delete(rows);
        rows = NULL;
    }
    return add(object, field, rows, err);
}

static enum status add_matrix(cJSON *object, const struct event_field *field,
                              const struct event_matrix *matrix, struct error *err)
{
    const struct event_table table = {matrix->values, matrix->rows, matrix->rows};
    return add_table(object, field, &table, err);
}

static enum status add_numbers(cJSON *object, const struct event_field *field,
                               const struct event_numbers *numbers, struct error *err)
{
    for (int32_t i = 0; i < numbers->count; i++)
        if (!isfinite(numbers->items[i]))
            return error_set(err, ST_RANGE, "\"%s\" has %g, expected finite numbers", field->name,
                             numbers->items[i]);
    return add(object, field, cJSON_CreateDoubleArray(numbers->items, numbers->count), err);
}

/* The graph stays its owner's. */
static enum status add_graph(cJSON *object, const struct event_field *field, const cJSON *graph,
                             struct error *err)
{
    return cJSON_AddItemReferenceToObject(object, field->name, (cJSON *)graph)
               ? ST_OK
               : error_memory(err, "journal event", sizeof(*graph));
}

/* Whether a field that may be absent has the value that says so. */
static bool is_absent(const void *from, const struct event_field *field)
{
    switch (field->type) {
    case EVENT_TYPE_NUMBER:
    case EVENT_TYPE_RESULT:
        return isnan(AT(double, from, field));
    case EVENT_TYPE_TEXT:
        return AT(const char *, from, field) == NULL;
    case EVENT_TYPE_MATRIX:
        return AT(struct event_matrix, from, field).rows == 0;
    case EVENT_TYPE_TABLE:
        return AT(struct event_table, from, field).rows == 0;
    case EVENT_TYPE_NUMBERS:
        return AT(struct event_numbers, from, field).count == 0;
    default:
        return number_at(from, field) < 0.0;
    }
}

static enum status add_fields(cJSON *object, struct event_fields fields, const void *from, struct error *err);

static enum status add_part(cJSON *object, const struct event_field *field, const void *from,
                            struct error *err)
{
    cJSON *part = cJSON_CreateObject();
    enum status st = part != NULL ? add_fields(part, field->part, from, err)
                                  : error_memory(err, "journal event", sizeof(*part));
    if (st == ST_OK)
        return add(object, field, part, err);
    cJSON_Delete(part);
    return st;
}

static enum status add_field(cJSON *object, const struct event_field *field, const void *from,
                             struct error *err)
{
    switch (field->type) {
    case EVENT_TYPE_INT32:
    case EVENT_TYPE_INT32_OR_NONE:
    case EVENT_TYPE_UINT32:
    case EVENT_TYPE_INT64:
    case EVENT_TYPE_NUMBER:
    case EVENT_TYPE_RESULT:
        return add_number(object, field, number_at(from, field), err);
    case EVENT_TYPE_FLAG:
        return add(object, field, cJSON_CreateBool(AT(bool, from, field)), err);
    case EVENT_TYPE_TEXT:
        assert(AT(const char *, from, field) != NULL);
        return add(object, field, cJSON_CreateString(AT(const char *, from, field)), err);
    case EVENT_TYPE_TEXTS:
        return add_texts(object, field, &AT(struct event_texts, from, field), err);
    case EVENT_TYPE_SHAPE:
        return add_shape(object, field, &AT(struct event_shape, from, field), err);
    case EVENT_TYPE_MATRIX:
        return add_matrix(object, field, &AT(struct event_matrix, from, field), err);
    case EVENT_TYPE_TABLE:
        return add_table(object, field, &AT(struct event_table, from, field), err);
    case EVENT_TYPE_NUMBERS:
        return add_numbers(object, field, &AT(struct event_numbers, from, field), err);
    case EVENT_TYPE_GRAPH:
        return add_graph(object, field, AT(const cJSON *, from, field), err);
    case EVENT_TYPE_PART:
        return add_part(object, field, (const char *)from + field->offset, err);
    }
    return ST_OK;
}

static enum status add_fields(cJSON *object, struct event_fields fields, const void *from, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < fields.count; i++) {
        if (!fields.items[i].sometimes || !is_absent(from, &fields.items[i]))
            st = add_field(object, &fields.items[i], from, err);
    }
    return st;
}

static enum status write_event(struct journal *journal, enum event_kind kind, const void *event, double time,
                               struct error *err)
{
    const struct event_row *row = &event_rows[kind];
    cJSON *object = cJSON_CreateObject();
    enum status st = ST_OK;
    if (cJSON_AddStringToObject(object, JOURNAL_EVENT, row->name) == NULL)
        st = error_memory(err, "journal event", sizeof(*object));
    if (st == ST_OK)
        st = add_fields(object, row->fields, event, err);
    if (st == ST_OK)
        return journal_append(journal, object, time, err);
    cJSON_Delete(object);
    return error_prefix(err, "%s: %s event", journal->path, row->name);
}

#define EVENT(KIND, name, flush, since, when)                                                                \
    enum status event_write_##name(struct journal *journal, const struct event_##name *event, double time,   \
                                   struct error *err)                                                        \
    {                                                                                                        \
        return write_event(journal, EVENT_##KIND, event, time, err);                                         \
    }
#include "host/journal/events.def"

#include "host/journal/event_read.h"

#include "host/journal/event_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A field's address in the structure, as what its type is in C. */
#define AT(type, to, field) (*(type *)((char *)(to) + (field)->offset))

enum { FOUND_LENGTH = 48 }; /* of a wrong value in a message, the most */

/* ---- messages ---- */

/* "dataset.train": the field with the part that it is in. */
struct location {
    const char *part; /* NULL: in none */
    const struct event_field *field;
};

static void shorten(char text[FOUND_LENGTH], const char *whole)
{
    if (snprintf(text, FOUND_LENGTH, "%s", whole) >= FOUND_LENGTH)
        memcpy(text + FOUND_LENGTH - 4, "...", 4);
}

static enum status refuse(struct location location, const cJSON *found, const char *expected,
                          struct error *err)
{
    char text[FOUND_LENGTH];
    char *printed = NULL;
    if (found == NULL)
        snprintf(text, sizeof(text), "missing");
    else if (cJSON_IsNumber(found)) /* cJSON prints null where it is not finite */
        snprintf(text, sizeof(text), "%.17g", found->valuedouble);
    else if ((printed = cJSON_PrintUnformatted(found)) != NULL)
        shorten(text, printed);
    else
        snprintf(text, sizeof(text), "of another type");
    cJSON_free(printed);
    return error_set(err, ST_FORMAT, "\"%s%s%s\" is %s, expected %s",
                     location.part != NULL ? location.part : "", location.part != NULL ? "." : "",
                     location.field->name, text, expected);
}

static enum status no_memory(struct location location, size_t bytes, struct error *err)
{
    return error_memory(err, location.field->name, bytes);
}

/* ---- one field ---- */

static bool is_whole(const cJSON *item, double least, double most)
{
    return cJSON_IsNumber(item) && item->valuedouble >= least && item->valuedouble <= most &&
           item->valuedouble == floor(item->valuedouble);
}

static void put_number(void *to, const struct event_field *field, double value)
{
    switch (field->type) {
    case EVENT_TYPE_UINT32:
        AT(uint32_t, to, field) = (uint32_t)value;
        break;
    case EVENT_TYPE_INT64:
        AT(int64_t, to, field) = (int64_t)value;
        break;
    case EVENT_TYPE_NUMBER:
    case EVENT_TYPE_RESULT:
        AT(double, to, field) = value;
        break;
    default:
        AT(int32_t, to, field) = (int32_t)value;
        break;
    }
}

static enum status read_number(struct location location, const cJSON *item, void *to, struct error *err)
{
    char expected[80];
    double least, most;
    if (event_type_range(location.field->type, &least, &most)) {
        snprintf(expected, sizeof(expected), "a whole number from %.17g to %.17g", least, most);
        if (!is_whole(item, least, most))
            return refuse(location, item, expected, err);
        put_number(to, location.field, item->valuedouble);
        return ST_OK;
    }
    if (location.field->type == EVENT_TYPE_RESULT && cJSON_IsNull(item)) {
        put_number(to, location.field, NAN);
        return ST_OK;
    }
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return refuse(location, item, "a finite number", err);
    put_number(to, location.field, item->valuedouble);
    return ST_OK;
}

static enum status read_texts(struct location location, const cJSON *item, struct event_texts *texts,
                              struct error *err)
{
    const cJSON *text;
    const int count = cJSON_GetArraySize(item);
    bool right = cJSON_IsArray(item);
    cJSON_ArrayForEach(text, item)
    {
        right = right && cJSON_IsString(text);
    }
    if (!right)
        return refuse(location, item, "an array of strings", err);
    const char **items = malloc(((size_t)count + 1) * sizeof(*items));
    if (items == NULL)
        return no_memory(location, (size_t)count * sizeof(*items), err);
    *texts = (struct event_texts){.items = items};
    cJSON_ArrayForEach(text, item)
    {
        items[texts->count++] = text->valuestring;
    }
    return ST_OK;
}

static enum status read_shape(struct location location, const cJSON *item, struct event_shape *shape,
                              struct error *err)
{
    int32_t *const sizes[] = {&shape->channels, &shape->height, &shape->width};
    const cJSON *size;
    int count = 0;
    cJSON_ArrayForEach(size, item)
    {
        if (count < 3 && is_whole(size, 0.0, INT32_MAX))
            *sizes[count++] = (int32_t)size->valuedouble;
        else
            count = 4;
    }
    return cJSON_IsArray(item) && count == 3 ? ST_OK
                                             : refuse(location, item, "[channels, height, width]", err);
}

/* Whether it is an array of arrays, each of so many items. */
static bool has_columns(const cJSON *item, int columns)
{
    const cJSON *row;
    bool has = cJSON_IsArray(item);
    cJSON_ArrayForEach(row, item)
    {
        has = has && cJSON_IsArray(row) && cJSON_GetArraySize(row) == columns;
    }
    return has;
}

/* Of an array that has so many columns. */
static enum status read_values(struct location location, const cJSON *item, struct event_table *table,
                               struct error *err)
{
    const size_t bytes = ((size_t)table->rows * (size_t)table->columns + 1) * sizeof(int64_t);
    const cJSON *row, *value;
    int64_t *values = malloc(bytes);
    if (values == NULL)
        return no_memory(location, bytes, err);
    table->values = values;
    cJSON_ArrayForEach(row, item)
    {
        cJSON_ArrayForEach(value, row)
        {
            if (!is_whole(value, 0.0, UINT32_MAX))
                return refuse(location, value, "rows of whole numbers from 0 to 4294967295", err);
            *values++ = (int64_t)value->valuedouble;
        }
    }
    return ST_OK;
}

static enum status read_matrix(struct location location, const cJSON *item, struct event_matrix *matrix,
                               struct error *err)
{
    const int rows = cJSON_GetArraySize(item);
    struct event_table table = {.rows = rows, .columns = rows};
    if (!has_columns(item, rows))
        return refuse(location, item, "as many columns as rows", err);
    enum status st = read_values(location, item, &table, err);
    *matrix = (struct event_matrix){.values = table.values, .rows = table.values != NULL ? rows : 0};
    return st;
}

static enum status read_table(struct location location, const cJSON *item, struct event_table *table,
                              struct error *err)
{
    const int columns = cJSON_GetArraySize(cJSON_GetArrayItem(item, 0));
    if (!has_columns(item, columns))
        return refuse(location, item, "rows of as many columns", err);
    *table = (struct event_table){.rows = cJSON_GetArraySize(item), .columns = columns};
    return read_values(location, item, table, err);
}

static enum status read_numbers(struct location location, const cJSON *item, struct event_numbers *numbers,
                                struct error *err)
{
    const cJSON *number;
    const int count = cJSON_GetArraySize(item);
    bool right = cJSON_IsArray(item);
    cJSON_ArrayForEach(number, item)
    {
        right = right && cJSON_IsNumber(number) && isfinite(number->valuedouble);
    }
    if (!right)
        return refuse(location, item, "an array of finite numbers", err);
    double *items = malloc(((size_t)count + 1) * sizeof(*items));
    if (items == NULL)
        return no_memory(location, (size_t)count * sizeof(*items), err);
    *numbers = (struct event_numbers){.items = items};
    cJSON_ArrayForEach(number, item)
    {
        items[numbers->count++] = number->valuedouble;
    }
    return ST_OK;
}

static enum status read_fields(const struct event_reader *reader, struct event_fields fields,
                               const char *part, const cJSON *object, void *to, struct error *err);

static enum status read_field(const struct event_reader *reader, struct location location, const cJSON *item,
                              void *to, struct error *err)
{
    const struct event_field *field = location.field;
    switch (field->type) {
    case EVENT_TYPE_INT32:
    case EVENT_TYPE_INT32_OR_NONE:
    case EVENT_TYPE_UINT32:
    case EVENT_TYPE_INT64:
    case EVENT_TYPE_NUMBER:
    case EVENT_TYPE_RESULT:
        return read_number(location, item, to, err);
    case EVENT_TYPE_FLAG:
        AT(bool, to, field) = cJSON_IsTrue(item);
        return cJSON_IsBool(item) ? ST_OK : refuse(location, item, "true or false", err);
    case EVENT_TYPE_TEXT:
        AT(const char *, to, field) = cJSON_GetStringValue(item);
        return cJSON_IsString(item) ? ST_OK : refuse(location, item, "a string", err);
    case EVENT_TYPE_TEXTS:
        return read_texts(location, item, &AT(struct event_texts, to, field), err);
    case EVENT_TYPE_SHAPE:
        return read_shape(location, item, &AT(struct event_shape, to, field), err);
    case EVENT_TYPE_MATRIX:
        return read_matrix(location, item, &AT(struct event_matrix, to, field), err);
    case EVENT_TYPE_TABLE:
        return read_table(location, item, &AT(struct event_table, to, field), err);
    case EVENT_TYPE_NUMBERS:
        return read_numbers(location, item, &AT(struct event_numbers, to, field), err);
    case EVENT_TYPE_GRAPH:
        AT(const cJSON *, to, field) = item;
        return cJSON_IsObject(item) ? ST_OK : refuse(location, item, "an object", err);
    case EVENT_TYPE_PART:
        if (!cJSON_IsObject(item))
            return refuse(location, item, "an object", err);
        return read_fields(reader, field->part, field->name, item, (char *)to + field->offset, err);
    }
    return ST_OK;
}

/* ---- all fields ---- */

static enum status read_fields(const struct event_reader *reader, struct event_fields fields,
                               const char *part, const cJSON *object, void *to, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < fields.count; i++) {
        const struct event_field *field = &fields.items[i];
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field->name);
        if (item == NULL && (field->sometimes || field->since > reader->format))
            event_field_absent(field, to);
        else
            st = read_field(reader, (struct location){part, field}, item, to, err);
    }
    return st;
}

/* ---- events: &event->run is where the structure of each of them begins ---- */

/* Frees the arrays, which are all that an event owns. */
static void release(struct event_fields fields, void *from)
{
    for (int32_t i = 0; i < fields.count; i++) {
        const struct event_field *field = &fields.items[i];
        if (field->type == EVENT_TYPE_TEXTS)
            free((void *)AT(struct event_texts, from, field).items);
        else if (field->type == EVENT_TYPE_MATRIX)
            free((void *)AT(struct event_matrix, from, field).values);
        else if (field->type == EVENT_TYPE_TABLE)
            free((void *)AT(struct event_table, from, field).values);
        else if (field->type == EVENT_TYPE_NUMBERS)
            free((void *)AT(struct event_numbers, from, field).items);
        else if (field->type == EVENT_TYPE_PART)
            release(field->part, (char *)from + field->offset);
    }
}

static void begin(struct event_reader *reader, enum event_kind kind, double time)
{
    event_reader_close(reader);
    memset(&reader->event, 0, sizeof(reader->event));
    reader->event.kind = kind;
    reader->event.time = time;
}

static enum status read_event(struct event_reader *reader, enum event_kind kind,
                              const struct journal_line *line, struct error *err)
{
    begin(reader, kind, line->time);
    return read_fields(reader, event_rows[kind].fields, NULL, line->json, &reader->event.run, err);
}

/* Takes over what the event says of the lines from here on; whether they are of a newer format than those before. */
static bool takes_format(struct event_reader *reader)
{
    const struct event *event = &reader->event;
    int32_t format = reader->format;
    if (event->kind == EVENT_RUN) {
        format = event->run.format;
        reader->version = event->run.version;
    } else if (event->kind == EVENT_CONTINUED) {
        format = event->continued.format;
        reader->version = event->continued.version;
    }
    if (format <= reader->format)
        return false;
    reader->format = format;
    return true;
}

struct event_reader event_reader_open(const char *path, const struct journal_lines *lines)
{
    return (struct event_reader){.path = path, .lines = lines, .format = 1, .event.kind = EVENT_KINDS};
}

enum status event_next(struct event_reader *reader, const struct event **event, struct error *err)
{
    enum event_kind kind = EVENT_KINDS;
    *event = NULL;
    while (kind == EVENT_KINDS && reader->count < reader->lines->count)
        kind = event_kind_of(reader->lines->lines[reader->count++].event);
    if (kind == EVENT_KINDS)
        return ST_OK;
    const struct journal_line *line = &reader->lines->lines[reader->count - 1];
    enum status st = read_event(reader, kind, line, err);
    if (st == ST_OK && takes_format(reader)) /* it may have fields that came with that one */
        st = read_event(reader, kind, line, err);
    if (st != ST_OK)
        return event_refuse(reader, err);
    *event = &reader->event;
    return ST_OK;
}

enum status event_refuse(const struct event_reader *reader, struct error *err)
{
    return error_prefix(err, "%s:%zu: %s event", reader->path, reader->count,
                        event_rows[reader->event.kind].name);
}

void event_reader_close(struct event_reader *reader)
{
    if (reader->event.kind != EVENT_KINDS)
        release(event_rows[reader->event.kind].fields, &reader->event.run);
    reader->event = (struct event){.kind = EVENT_KINDS};
}

int32_t event_candidate(const struct event *event)
{
    const struct event_fields fields = event_rows[event->kind].fields;
    for (int32_t i = 0; i < fields.count; i++) {
        if (strcmp(fields.items[i].name, "id") == 0)
            return *(const int32_t *)((const char *)&event->run + fields.items[i].offset);
    }
    return -1;
}

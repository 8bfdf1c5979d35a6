#include "host/base/csv.h"

#include "host/base/array.h"

#include <stdlib.h>
#include <string.h>

void csv_write(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

struct csv_rows csv_open(const char *path, char *text, size_t length)
{
    return (struct csv_rows){.path = path, .at = text, .end = text + length, .next_line = 1};
}

void csv_close(struct csv_rows *rows)
{
    free(rows->fields);
    *rows = (struct csv_rows){0};
}

static enum status wrong(const struct csv_rows *rows, const char *what, struct error *err)
{
    return error_set(err, ST_FORMAT, "%s:%lld: field %d: %s", rows->path, (long long)rows->line,
                     (int)rows->field_count, what);
}

/* The field that begins at rows->at, which a quote is at: without its quotes, at its own beginning. */
static enum status take_quoted(struct csv_rows *rows, struct error *err)
{
    char *to = rows->at, *from = rows->at + 1;
    for (;; from++) {
        if (from == rows->end)
            return wrong(rows, "found no quote at its end", err);
        if (*from == '\0')
            return wrong(rows, "found a zero byte, expected text", err);
        if (*from == '"' && from[1] != '"')
            break;
        from += *from == '"';
        rows->next_line += *from == '\n';
        *to++ = *from;
    }
    rows->at = from + 1;
    *from = '\0';
    *to = '\0';
    if (rows->at < rows->end && (*rows->at == '\0' || strchr(",\r\n", *rows->at) == NULL))
        return wrong(rows, "found text behind its quotes, expected a comma or the line's end", err);
    return ST_OK;
}

static enum status take_plain(struct csv_rows *rows, struct error *err)
{
    const size_t length = strcspn(rows->at, ",\"\r\n");
    rows->at += length;
    if (rows->at < rows->end && *rows->at == '\0')
        return wrong(rows, "found a zero byte, expected text", err);
    if (rows->at < rows->end && *rows->at == '"')
        return wrong(rows, "found a quote within it, expected it at its beginning", err);
    return ST_OK;
}

/* Whether the line goes on behind a field, which is ended there. */
static enum status end_field(struct csv_rows *rows, bool *last, struct error *err)
{
    *last = true;
    if (rows->at == rows->end)
        return ST_OK;
    const char ending = *rows->at;
    *rows->at++ = '\0';
    if (ending == '\r' && (rows->at == rows->end || *rows->at++ != '\n'))
        return wrong(rows, "found a carriage return, expected \\r\\n", err);
    *last = ending != ',';
    rows->next_line += *last;
    return ST_OK;
}

enum status csv_next(struct csv_rows *rows, bool *more, struct error *err)
{
    bool last = false;
    rows->line = rows->next_line;
    rows->field_count = 0;
    *more = rows->at < rows->end;
    while (*more && !last) {
        char **fields = array_with_room(rows->fields, rows->field_count, &rows->field_capacity,
                                        sizeof(*fields), rows->path, err);
        if (fields == NULL)
            return err->status;
        rows->fields = fields;
        fields[rows->field_count++] = rows->at;
        enum status st = *rows->at == '"' ? take_quoted(rows, err) : take_plain(rows, err);
        if (st == ST_OK)
            st = end_field(rows, &last, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

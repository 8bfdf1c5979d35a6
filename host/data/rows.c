/* Lists as text: rows of fields, as spreadsheets and other tools write them. Fields may be quoted as RFC 4180 says,
 * with blanks before the quote; the separator is a comma, a semicolon, a tab or a blank, whichever the first row has;
 * the text is UTF-8 or UTF-16, with a mark in front of it or without. */
#include "host/base/array.h"
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_BYTES_MAX = 1 << 30 }; /* a list of ten million images has less */

/* Writes the code point as UTF-8 and returns where the next one goes. */
static char *put_point(char *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xc0 | point >> 6);
        *to++ = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *to++ = (char)(0xe0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 0x3f));
        *to++ = (char)(0x80 | (point & 0x3f));
    } else {
        *to++ = (char)(0xf0 | point >> 18);
        *to++ = (char)(0x80 | (point >> 12 & 0x3f));
        *to++ = (char)(0x80 | (point >> 6 & 0x3f));
        *to++ = (char)(0x80 | (point & 0x3f));
    }
    return to;
}

/* UTF-16 in either byte order becomes UTF-8. What is no text (halves of a pair) becomes U+FFFD. */
static enum status from_utf16(struct data_rows *rows, size_t length, int high, struct error *err)
{
    const uint8_t *from = (const uint8_t *)rows->text;
    char *text = malloc(length / 2 * 3 + 1), *to = text;
    if (text == NULL)
        return error_memory(err, rows->path, length / 2 * 3);
    for (size_t i = 0; i + 1 < length; i += 2) {
        uint32_t point = (uint32_t)from[i + (size_t)high] << 8 | from[i + 1 - (size_t)high];
        if (point >= 0xd800 && point < 0xdc00 && i + 3 < length) {
            uint32_t low = (uint32_t)from[i + 2 + (size_t)high] << 8 | from[i + 3 - (size_t)high];
            if (low >= 0xdc00 && low < 0xe000) {
                point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
                i += 2;
            }
        }
        if (point >= 0xd800 && point < 0xe000)
            point = 0xfffd;
        if (point != 0xfeff || i > 0)
            to = put_point(to, point);
    }
    *to = '\0';
    free(rows->text);
    rows->text = text;
    rows->end = to;
    return ST_OK;
}

/* The separator that the first row of text has outside of quotes: a comma before a semicolon before a tab, and a blank
 * where there is none of them. */
static char find_separator(const char *at, const char *end)
{
    bool quoted = false, semicolon = false, tab = false, blank = false, text = false;
    for (; at < end && (quoted || !text || *at != '\n'); at++) {
        if (*at == '"')
            quoted = !quoted;
        if (!quoted && *at == ',')
            return ',';
        semicolon |= !quoted && *at == ';';
        tab |= !quoted && *at == '\t';
        blank |= !quoted && *at == ' ' && text;
        text |= *at != '\n' && *at != '\r' && *at != ' ';
    }
    return semicolon ? ';' : tab ? '\t' : blank ? ' ' : ',';
}

enum status data_rows_open(struct data_rows *rows, const char *path, struct error *err)
{
    size_t length = 0;
    *rows = (struct data_rows){.path = path, .next_line = 1};
    enum status st = file_read_limited(path, LIST_BYTES_MAX, &rows->text, &length, err);
    if (st != ST_OK)
        return st;
    const uint8_t *head = (const uint8_t *)rows->text;
    rows->end = rows->text + length;
    if (length >= 2 && ((head[0] == 0xff && head[1] == 0xfe) || (head[0] != 0 && head[1] == 0)))
        st = from_utf16(rows, length, 1, err);
    else if (length >= 2 && ((head[0] == 0xfe && head[1] == 0xff) || (head[0] == 0 && head[1] != 0)))
        st = from_utf16(rows, length, 0, err);
    if (st != ST_OK)
        return st;
    rows->at = rows->text;
    if (rows->end - rows->at >= 3 && memcmp(rows->at, "\xef\xbb\xbf", 3) == 0)
        rows->at += 3; /* the mark that some editors put in front of UTF-8 */
    if (memchr(rows->at, '\n', (size_t)(rows->end - rows->at)) == NULL) /* lines of old Macs */
        for (char *at = rows->at; at < rows->end; at++)
            if (*at == '\r')
                *at = '\n';
    rows->separator = find_separator(rows->at, rows->end);
    return ST_OK;
}

static enum status add_field(struct data_rows *rows, char *field, struct error *err)
{
    char **fields = array_with_room(rows->fields, rows->field_count, &rows->field_capacity, sizeof(*fields),
                                    "columns", err);
    if (fields == NULL)
        return ST_MEMORY;
    rows->fields = fields;
    rows->fields[rows->field_count++] = field;
    return ST_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static enum status refuse_zero(const struct data_rows *rows, struct error *err)
{
    return error_set(err, ST_FORMAT, "%s:%d: a zero byte, expected text", rows->path, rows->line);
}

/* Takes one field at rows->at apart, in place: quotes are removed. *last: the row ends behind it. */
static enum status read_field(struct data_rows *rows, bool *last, struct error *err)
{
    while (rows->at < rows->end && is_blank(*rows->at) && *rows->at != rows->separator)
        rows->at++;
    char *from = rows->at, *to = rows->at, *field = rows->at;
    bool quoted = from < rows->end && *from == '"';
    if (quoted) {
        for (from++;; from++) {
            if (from >= rows->end)
                return error_set(err, ST_FORMAT, "%s:%d: a quoted field without an end, expected \"",
                                 rows->path, rows->line);
            if (*from == '\0')
                return refuse_zero(rows, err);
            if (*from == '"' && (from + 1 >= rows->end || from[1] != '"'))
                break;
            if (*from == '"')
                from++;
            if (*from == '\n')
                rows->next_line++;
            *to++ = *from;
        }
        from++;
    }
    char *const closed = to; /* behind what stands between quotes, blanks too */
    while (from < rows->end && *from != rows->separator && *from != '\n') {
        if (*from == '\0')
            return refuse_zero(rows, err);
        *to++ = *from++;
    }
    *last = from >= rows->end || *from == '\n';
    if (*last)
        rows->next_line++;
    rows->at = from < rows->end ? from + 1 : from;
    while (to > (quoted ? closed : field) && is_blank(to[-1]))
        to--;
    *to = '\0'; /* there is a byte: the separator, or the NUL behind the text */
    return add_field(rows, field, err);
}

/* A row of blanks between its columns: what stands behind the last blank, and all before it, which may hold some. */
static enum status read_blank_row(struct data_rows *rows, struct error *err)
{
    char *from = rows->at, *end = memchr(from, '\n', (size_t)(rows->end - from));
    if (end == NULL)
        end = rows->end;
    if (memchr(from, '\0', (size_t)(end - from)) != NULL)
        return refuse_zero(rows, err);
    rows->at = end < rows->end ? end + 1 : end;
    rows->next_line++;
    while (from < end && is_blank(*from))
        from++;
    while (end > from && is_blank(end[-1]))
        end--;
    *end = '\0';
    char *second = end;
    while (second > from && !is_blank(second[-1]))
        second--;
    if (second == from)
        return add_field(rows, from, err);
    char *first_end = second;
    while (first_end > from && is_blank(first_end[-1]))
        first_end--;
    *first_end = '\0';
    enum status st = add_field(rows, from, err);
    return st == ST_OK ? add_field(rows, second, err) : st;
}

enum status data_rows_next(struct data_rows *rows, bool *more, struct error *err)
{
    do {
        bool last = false;
        rows->field_count = 0;
        rows->line = rows->next_line;
        *more = rows->at < rows->end;
        while (*more && !last) {
            enum status st =
                rows->separator == ' ' ? read_blank_row(rows, err) : read_field(rows, &last, err);
            if (st != ST_OK)
                return st;
            last |= rows->separator == ' ';
        }
    } while (*more && rows->field_count == 1 && rows->fields[0][0] == '\0');
    return ST_OK;
}

void data_rows_close(struct data_rows *rows)
{
    free(rows->text);
    free(rows->fields);
    *rows = (struct data_rows){0};
}

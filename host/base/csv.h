/* Comma-separated values by RFC 4180: lines end in \n when written, and in \n or \r\n when read; a field with a comma,
 * a quote or an end of line stands between quotes, in which a quote is doubled. */
#ifndef NASRUN_BASE_CSV_H
#define NASRUN_BASE_CSV_H

#include "host/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes a field, in quotes where it needs them; what stands between fields is the caller's. Errors stick in the
 * stream. */
void csv_write(FILE *out, const char *text);

/* Rows of a text that is read. */
struct csv_rows {
    const char *path; /* for messages */
    char *at, *end;   /* the next byte to read; behind the last, where a NUL is */
    int64_t line;     /* of the row just read, from 1 */
    int64_t next_line;
    char **fields; /* inside the text, which the reading changes */
    int32_t field_count, field_capacity;
};

/* text[length], with a NUL behind it, is the caller's, and changed. */
struct csv_rows csv_open(const char *path, char *text, size_t length);
/* The next row; *more is false behind the last. ST_FORMAT for a quote that does not end, or within or behind a field,
 * and for NULs: the message names path and line. */
enum status csv_next(struct csv_rows *rows, bool *more, struct error *err);
void csv_close(struct csv_rows *rows);

#endif

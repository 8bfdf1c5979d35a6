/* Reading a journal: its lines checked and parsed, what a crash has torn, what can be saved of a damaged one. */
#include "host/base/file.h"
#include "host/journal/event_fields.h"
#include "host/journal/journal.h"
#include "host/journal/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of bytes that are read to find out whose a file is: thousands of classes fit. */
enum { FIRST_LINE_MOST = 1 << 24 };

/* Checks and parses the line text[length], without its newline. The error has no location yet. */
static enum status parse_line(const char *text, size_t length, int64_t seq, struct journal_line *line,
                              struct error *err)
{
    char digits[CRC_DIGITS + 1], computed[CRC_DIGITS + 1];
    const char *tail = length >= CRC_LENGTH ? text + length - CRC_LENGTH : NULL;

    if (tail == NULL || memcmp(tail, CRC_HEAD, CRC_HEAD_LENGTH) != 0 ||
        memcmp(text + length - 2, CRC_FOOT, 2) != 0)
        return error_set(err, ST_FORMAT, "the line of %zu bytes has no checksum, expected it to end with %s",
                         length, CRC_HEAD "8 hex digits" CRC_FOOT);
    memcpy(digits, tail + CRC_HEAD_LENGTH, CRC_DIGITS);
    digits[CRC_DIGITS] = '\0';
    snprintf(computed, sizeof(computed), "%08x", file_checksum(text, length - CRC_LENGTH));
    if (memcmp(digits, computed, CRC_DIGITS) != 0)
        return error_set(err, ST_FORMAT, "the line's checksum is %s, expected \"%.8s\" as it says", computed,
                         digits);

    errno = 0;
    cJSON *json = cJSON_ParseWithLength(text, length);
    if (json == NULL && errno == ENOMEM)
        return error_memory(err, "a journal line", length);
    const cJSON *seq_item = cJSON_GetObjectItemCaseSensitive(json, "seq");
    const cJSON *time_item = cJSON_GetObjectItemCaseSensitive(json, "time");
    const cJSON *event_item = cJSON_GetObjectItemCaseSensitive(json, JOURNAL_EVENT);
    enum status st = ST_OK;
    if (!cJSON_IsObject(json))
        st = error_set(err, ST_FORMAT, "the line is no JSON object");
    else if (!cJSON_IsNumber(seq_item) || !cJSON_IsNumber(time_item) || !isfinite(time_item->valuedouble) ||
             !cJSON_IsString(event_item))
        st = error_set(err, ST_FORMAT, "expected the numbers \"seq\" and \"time\" and the string \"event\"");
    else if (seq_item->valuedouble != (double)seq)
        st = error_set(err, ST_FORMAT, "seq is %.17g, expected %lld", seq_item->valuedouble, (long long)seq);
    if (st != ST_OK) {
        cJSON_Delete(json);
        return st;
    }
    *line = (struct journal_line){
        .json = json, .event = event_item->valuestring, .seq = seq, .time = time_item->valuedouble};
    return ST_OK;
}

/* Whether the line text[length] is one of an event that is flushed later. */
static bool is_later(const char *text, size_t length)
{
    char mark[64];
    for (int kind = 0; kind < EVENT_KINDS; kind++) {
        int mark_length = snprintf(mark, sizeof(mark), "\"" JOURNAL_EVENT "\":\"%s\"", event_rows[kind].name);
        if (event_rows[kind].later && memmem(text, length, mark, (size_t)mark_length) != NULL)
            return true;
    }
    return false;
}

/* Whether a crash may have damaged what stands before text[length]: whole lines of events that were flushed one by
 * one say that it was on disk. */
static bool may_be_torn(const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t end = newline == NULL ? length : (size_t)(newline - text);
        bool has_sum = newline != NULL && end - at > CRC_LENGTH &&
                       memcmp(text + end - CRC_LENGTH, CRC_HEAD, CRC_HEAD_LENGTH) == 0;
        if (has_sum && !is_later(text + at, end - at))
            return false;
        at = end + 1;
    }
    return true;
}

/* Parses the whole journal text[length]. */
static enum status parse_journal(const char *path, const char *text, size_t length,
                                 struct journal_lines *lines, struct error *err)
{
    size_t capacity = 0, at = 0;

    while (at < length) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t end = newline == NULL ? length : (size_t)(newline - text) + 1;
        if (lines->count == capacity) {
            size_t larger = capacity == 0 ? 64 : 2 * capacity;
            struct journal_line *grown = realloc(lines->lines, larger * sizeof(*grown));
            if (grown == NULL)
                return error_memory(err, path, larger * sizeof(*grown));
            lines->lines = grown;
            capacity = larger;
        }
        struct journal_line *line = &lines->lines[lines->count];
        bool whole = newline != NULL;
        if (!whole)
            error_set(err, ST_FORMAT, "the line has no end");
        else if (parse_line(text + at, end - 1 - at, (int64_t)lines->count, line, err) != ST_OK)
            whole = false;
        if (!whole) {
            /* The first line came all at once: without it the file is nobody's journal. */
            if (err->status == ST_MEMORY || lines->count == 0 || !may_be_torn(text + end, length - end))
                return error_prefix(err, "%s:%zu", path, lines->count + 1);
            lines->torn = true;
            break;
        }
        line->end = end;
        lines->count++;
        at = end;
    }
    lines->torn_at = at;
    return ST_OK;
}

/* The first line with its newline, malloc'd; *length 0: the file is empty or missing. */
static enum status read_first_line(const char *path, char **text, size_t *length, struct error *err)
{
    enum status st = ST_OK;
    struct stat about;
    size_t capacity = 0;
    *text = NULL;
    *length = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    FILE *stream = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (stream == NULL && fd < 0 && errno == ENOENT)
        return ST_OK;
    if (stream == NULL && fd < 0 && errno == ELOOP)
        return error_set(err, ST_FORMAT, "it is a symbolic link");
    if (stream == NULL || fstat(fd, &about) != 0) {
        st = error_system(err, errno, "%s", path);
    } else if (!S_ISREG(about.st_mode)) {
        st = error_set(err, ST_FORMAT, "it is no plain file");
    } else if (about.st_size > 0) {
        capacity = about.st_size < FIRST_LINE_MOST ? (size_t)about.st_size : FIRST_LINE_MOST;
        *text = malloc(capacity + 1);
        if (*text == NULL)
            st = error_memory(err, path, capacity);
    }
    if (st == ST_OK && *text != NULL) {
        const size_t filled = fread(*text, 1, capacity, stream);
        const char *newline = memchr(*text, '\n', filled);
        if (ferror(stream))
            st = error_system(err, errno, "%s", path);
        *length = newline != NULL ? (size_t)(newline - *text) + 1 : filled;
    }
    if (stream != NULL)
        fclose(stream);
    else if (fd >= 0)
        close(fd);
    return st;
}

enum status journal_first(const char *path, struct journal_lines *lines, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    struct error why;
    *lines = (struct journal_lines){0};
    enum status st = read_first_line(path, &text, &length, &why);
    if (st == ST_OK && length > 0) {
        lines->lines = calloc(1, sizeof(*lines->lines));
        if (lines->lines == NULL)
            st = error_memory(&why, path, sizeof(*lines->lines));
        else if (text[length - 1] != '\n')
            st = error_set(&why, ST_FORMAT, "its first line has no end");
        else
            st = parse_line(text, length - 1, 0, lines->lines, &why);
        if (st == ST_OK) {
            lines->lines[0].end = length;
            lines->count = 1;
            if (strcmp(lines->lines[0].event, event_rows[EVENT_RUN].name) != 0)
                st = error_set(&why, ST_FORMAT, "its first event is %.40s, expected %s",
                               lines->lines[0].event, event_rows[EVENT_RUN].name);
        }
    }
    free(text);
    if (st == ST_OK)
        return ST_OK;
    journal_lines_free(lines);
    if (st != ST_FORMAT) {
        *err = why;
        return st;
    }
    return error_set(
        err, st,
        "%s: is no journal of nasrun (%s), and is left as it is; move it away, or choose another "
        "output.dir",
        path, why.message);
}

enum status journal_load(const char *path, struct journal_lines *lines, struct error *err)
{
    char *text = NULL;
    size_t length = 0;

    *lines = (struct journal_lines){0};
    enum status st = file_read(path, &text, &length, err);
    if (st == ST_OK)
        st = parse_journal(path, text, length, lines, err);
    if (st != ST_OK)
        journal_lines_free(lines);
    free(text);
    return st;
}

static size_t lines_in(const char *text, size_t length)
{
    size_t count = 0, at = 0;
    for (; at < length; count++) {
        const char *newline = memchr(text + at, '\n', length - at);
        at = newline == NULL ? length : (size_t)(newline - text) + 1;
    }
    return count;
}

enum status journal_salvage(const char *path, size_t *kept, size_t *dropped, struct error *err)
{
    struct journal_lines lines = {0};
    struct error bad;
    char *text = NULL, *copy = NULL;
    size_t length = 0;
    *kept = *dropped = 0;
    enum status st = file_read(path, &text, &length, err);
    if (st != ST_OK)
        return st;
    st = parse_journal(path, text, length, &lines, &bad);
    *kept = lines.count;
    if (st != ST_FORMAT || lines.count == 0) {
        *err = bad;
        goto out;
    }
    const size_t end = lines.lines[lines.count - 1].end;
    *dropped = lines_in(text + end, length - end);
    copy = malloc(strlen(path) + sizeof(JOURNAL_DAMAGED_NAME));
    if (copy == NULL) {
        st = error_memory(err, path, strlen(path));
        goto out;
    }
    sprintf(copy, "%s%s", path, &JOURNAL_DAMAGED_NAME[strlen(JOURNAL_NAME)]);
    st = file_write_atomic(copy, text, length, err);
    if (st == ST_OK)
        st = file_write_atomic(path, text, end, err);
out:
    journal_lines_free(&lines);
    free(copy);
    free(text);
    return st;
}

enum status journal_cut(const char *path, const struct journal_lines *lines, size_t count, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    const size_t end = lines->lines[count - 1].end;
    enum status st = file_read(path, &text, &length, err);
    if (st == ST_OK && length < end)
        st = error_set(err, ST_IO, "%s: has %zu bytes, expected %zu or more as read before", path, length,
                       end);
    if (st == ST_OK)
        st = file_write_atomic(path, text, end, err);
    free(text);
    return st;
}

void journal_lines_free(struct journal_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        cJSON_Delete(lines->lines[i].json);
    free(lines->lines);
    *lines = (struct journal_lines){0};
}

#include "host/journal/journal.h"

#include "host/base/file.h"
#include "host/journal/event_fields.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

/* Of bytes that are read to find out whose a file is: thousands of classes fit. */
enum { FIRST_LINE_MOST = 1 << 24 };

/* Every line ends with this; the eight digits stand between CRC_HEAD and CRC_FOOT. */
#define CRC_HEAD ",\"crc\":\""
#define CRC_FOOT "\"}"
enum { CRC_DIGITS = 8, CRC_HEAD_LENGTH = 8, CRC_LENGTH = CRC_HEAD_LENGTH + CRC_DIGITS + 2 };

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

/* ---- writing ---- */

/* Whether the open file is what stands under that name: journal_keep may have put another one there in between. */
static bool is_the_file(int fd, const char *path)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 && open_one.st_dev == named.st_dev &&
           open_one.st_ino == named.st_ino;
}

enum status journal_open(const char *path, struct journal *journal, struct error *err)
{
    struct journal_lines lines = {0};
    enum status st = ST_OK;

    *journal = (struct journal){.path = strdup(path), .fd = -1};
    if (journal->path == NULL)
        return error_memory(err, path, strlen(path));
    journal->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (journal->fd < 0) {
        st = error_system(err, errno, "%s", path);
        goto out;
    }
    if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            st = error_set(err, ST_BUSY, "%s: another nasrun is writing this run", path);
        else
            st = error_system(err, errno, "%s: cannot be locked", path);
        goto out;
    }
    if (!is_the_file(journal->fd, path)) {
        st = error_set(err, ST_BUSY, "%s: another nasrun is writing this run", path);
        goto out;
    }
    st = file_flush_folder(path, err);
    if (st != ST_OK)
        goto out;
    st = journal_load(path, &lines, err);
    if (st != ST_OK)
        goto out;
    journal->next_seq = (int64_t)lines.count;
    journal->length = lines.torn_at;
    if (lines.torn && (ftruncate(journal->fd, (off_t)lines.torn_at) != 0 || fsync(journal->fd) != 0))
        st = error_system(err, errno, "%s", path);
out:
    journal_lines_free(&lines);
    if (st != ST_OK)
        journal_close(journal);
    return st;
}

void journal_close(struct journal *journal)
{
    if (journal->path != NULL && journal->fd >= 0) {
        if (journal->behind)
            (void)fdatasync(journal->fd); /* a journal that is short of epochs is a good one, too */
        close(journal->fd);
    }
    free(journal->path);
    *journal = (struct journal){.fd = -1};
}

/* cJSON takes a number for printed well when what is read is within a bit of it; but a learning rate that a resumed run
 * reads has to be the one that was drawn. Makes each number its exact text, in what is in the item, too; false when out
 * of memory. What is not finite stays: cJSON writes null. */
static bool make_exact(cJSON *parent)
{
    enum { NUMBER_LENGTH = 32, TYPE_BITS = 0xff };
    for (cJSON *item = parent->child; item != NULL; item = item->next) {
        if (!make_exact(item))
            return false;
        if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
            continue;
        char *text = cJSON_malloc(NUMBER_LENGTH);
        if (text == NULL)
            return false;
        snprintf(text, NUMBER_LENGTH, "%.15g", item->valuedouble);
        if (strtod(text, NULL) != item->valuedouble)
            snprintf(text, NUMBER_LENGTH, "%.17g", item->valuedouble);
        item->valuestring = text;
        item->type = (item->type & ~TYPE_BITS) | cJSON_Raw;
    }
    return true;
}

/* The line as it stands in the file, newline included; malloc'd, NULL when out of memory. `fields` are of no use
 * behind it. */
static char *line_text(int64_t seq, double time, cJSON *fields, size_t *length)
{
    char *line = NULL, *head_text = NULL, *body_text = NULL;
    cJSON *head = cJSON_CreateObject();

    if (cJSON_AddNumberToObject(head, "seq", (double)seq) == NULL ||
        cJSON_AddNumberToObject(head, "time", time) == NULL || !make_exact(head) || !make_exact(fields))
        goto out;
    head_text = cJSON_PrintUnformatted(head);
    body_text = cJSON_PrintUnformatted(fields);
    if (head_text == NULL || body_text == NULL)
        goto out;
    /* {head} and {body} become {head,body, then the checksum closes the object */
    size_t head_length = strlen(head_text) - 1, body_length = strlen(body_text) - 2;
    size_t checked = head_length + 1 + body_length;
    line = malloc(checked + CRC_LENGTH + 2);
    if (line == NULL)
        goto out;
    memcpy(line, head_text, head_length);
    line[head_length] = ',';
    memcpy(line + head_length + 1, body_text + 1, body_length);
    snprintf(line + checked, CRC_LENGTH + 2, CRC_HEAD "%08x" CRC_FOOT "\n", file_checksum(line, checked));
    *length = checked + CRC_LENGTH + 1;
out:
    cJSON_free(head_text);
    cJSON_free(body_text);
    cJSON_Delete(head);
    return line;
}

/* Puts the file written aside in the journal's place. It is locked already, and stays so by the descriptor that is kept
 * of it: nobody may come between. */
static enum status swap_file(struct journal *journal, struct file_aside *aside, struct error *err)
{
    int fd = fcntl(fileno(aside->stream), F_DUPFD_CLOEXEC, 0);
    if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND) != 0) {
        error_system(err, errno, "%s", aside->aside);
        if (fd >= 0)
            close(fd);
        return err->status;
    }
    enum status st = file_aside_commit(aside, err);
    if (st != ST_OK) {
        close(fd);
        return st;
    }
    close(journal->fd);
    journal->fd = fd;
    return ST_OK;
}

/* The first line comes all at once, whatever happens: it says whose file this is. */
static enum status write_first(struct journal *journal, const char *line, size_t length, struct error *err)
{
    struct file_aside aside;
    enum status st = file_aside_open(&aside, journal->path, err);
    if (st != ST_OK)
        return st;
    fwrite(line, 1, length, aside.stream); /* a short write is found by the commit */
    st = swap_file(journal, &aside, err);
    file_aside_abandon(&aside);
    return st;
}

/* Any other line. On error nothing of it stays. */
static enum status write_line(struct journal *journal, const char *line, size_t length, bool later,
                              struct error *err)
{
    enum status st = ST_OK;
    ssize_t written;
    do
        written = write(journal->fd, line, length);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        st = error_system(err, errno, "%s", journal->path);
    else if ((size_t)written < length)
        st = error_set(err, ST_IO, "%s: only %zd of %zu bytes were written, is the disk full?", journal->path,
                       written, length);
    else if (!later && fdatasync(journal->fd) != 0)
        st = error_system(err, errno, "%s", journal->path);
    if (st != ST_OK && ftruncate(journal->fd, (off_t)journal->length) != 0)
        error_prefix(err, "a partial line could not be removed after");
    return st;
}

enum status journal_append(struct journal *journal, cJSON *fields, double time, struct error *err)
{
    const char *event = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fields, JOURNAL_EVENT));
    const enum event_kind kind = event != NULL ? event_kind_of(event) : EVENT_KINDS;
    const bool first = journal->length == 0;
    const bool later = !first && kind != EVENT_KINDS && event_rows[kind].later;
    size_t length = 0;

    char *line = event != NULL ? line_text(journal->next_seq, time, fields, &length) : NULL;
    cJSON_Delete(fields);
    if (line == NULL)
        return error_memory(err, "a journal line", ERROR_LENGTH);
    enum status st =
        first ? write_first(journal, line, length, err) : write_line(journal, line, length, later, err);
    if (st == ST_OK) {
        journal->length += length;
        journal->next_seq++;
        journal->behind = later;
    }
    free(line);
    return st;
}

enum status journal_flush(struct journal *journal, struct error *err)
{
    if (!journal->behind)
        return ST_OK;
    if (fdatasync(journal->fd) != 0)
        return error_system(err, errno, "%s", journal->path);
    journal->behind = false;
    return ST_OK;
}

/* A line as it was, with another number. */
static char *renumbered(const struct journal_line *line, int64_t seq, size_t *length)
{
    cJSON *fields = cJSON_Duplicate(line->json, true);
    cJSON_DeleteItemFromObjectCaseSensitive(fields, "seq");
    cJSON_DeleteItemFromObjectCaseSensitive(fields, "time");
    cJSON_DeleteItemFromObjectCaseSensitive(fields, "crc");
    char *text = fields != NULL ? line_text(seq, line->time, fields, length) : NULL;
    cJSON_Delete(fields);
    return text;
}

enum status journal_keep(struct journal *journal, const struct journal_lines *lines, const bool *keep,
                         struct error *err)
{
    struct file_aside aside = {0};
    int64_t seq = 0;
    size_t bytes = 0;
    enum status st = file_aside_open(&aside, journal->path, err);
    for (size_t i = 0; st == ST_OK && i < lines->count; i++) {
        size_t length = 0;
        if (!keep[i])
            continue;
        char *text = renumbered(&lines->lines[i], seq, &length);
        if (text == NULL)
            st = error_memory(err, "a journal line", ERROR_LENGTH);
        else
            fwrite(text, 1, length, aside.stream); /* a short write is found by the commit */
        free(text);
        bytes += length;
        seq++;
    }
    if (st == ST_OK)
        st = swap_file(journal, &aside, err);
    if (st == ST_OK) {
        journal->length = bytes;
        journal->next_seq = seq;
        journal->behind = false;
    }
    file_aside_abandon(&aside);
    return st;
}

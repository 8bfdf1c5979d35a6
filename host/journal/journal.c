/* Writing a journal: lines appended one by one, and the file put in order anew. */
#include "host/journal/journal.h"

#include "host/base/file.h"
#include "host/journal/event_fields.h"
#include "host/journal/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

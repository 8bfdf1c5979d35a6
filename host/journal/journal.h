/* The journal: what a run did, one event a line, append-only JSON lines, each with a checksum, each on disk before
 * the next is begun; only epochs (the events that events.def says LATER of), of which there may be many in a second,
 * are on disk when the next other event is, or journal_flush was called. Everything else in a run folder can be made
 * again from it and the checkpoints.
 *
 *     {"seq":12,"time":31.5,"event":"epoch",...,"crc":"0a1b2c3d"}
 *
 * `seq` counts lines from 0. `time` is in seconds since the run began, pauses left out; the caller says it. `crc` is
 * zlib's CRC-32, in hexadecimal, of the line's text up to and without `,"crc"`.
 *
 *     journal_load(path, &lines, &err)                  // what has happened; a torn end is left out
 *     journal_open(path, &journal, &err)                // locks; removes a torn end
 *     journal_keep(&journal, &lines, keep, &err)        // a resume forgets what is to be done again
 *     journal_append(&journal, fields, time, &err) ... journal_close(&journal)
 */
#ifndef NASRUN_JOURNAL_JOURNAL_H
#define NASRUN_JOURNAL_JOURNAL_H

#include "host/base/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_NAME  "journal.jsonl" /* of the file in the run folder */
#define JOURNAL_EVENT "event"         /* the field that names a line's event */

/* A journal open for writing. */
struct journal {
    char *path;
    int fd;           /* holds the lock; closed on exec */
    int64_t next_seq; /* of the next line */
    size_t length;    /* bytes of whole lines in the file */
    bool behind;      /* the last of them, epochs, may not be on disk yet */
};

/* Creates the file or continues it; a symbolic link is refused. Takes a lock that ends with the process, so that only
 * one nasrun writes: ST_BUSY when another holds it. A torn end is cut off; a bad line before it is ST_FORMAT, as in
 * journal_load. */
enum status journal_open(const char *path, struct journal *journal, struct error *err);
void journal_close(struct journal *journal); /* unlocks; a zeroed or closed journal is allowed */

/* Writes one line and flushes it to disk, and what is behind with it; an epoch's is only written. `fields` is an
 * object with a string "event" and without "seq", "time" and "crc"; it is taken over, deleted also on error. On error
 * the file holds only whole lines, as before. The first line is written aside and renamed: a file that has none is
 * empty. For event_write.c, which knows the fields. */
enum status journal_append(struct journal *journal, cJSON *fields, double time, struct error *err);

/* Flushes what is behind, if anything is: now and then, and before a file is written that goes on from there. */
enum status journal_flush(struct journal *journal, struct error *err);

struct journal_line {
    cJSON *json;       /* the whole line */
    const char *event; /* inside json */
    int64_t seq;
    double time; /* seconds */
    size_t end;  /* byte offset behind the line's newline */
};

/* A journal that was read. */
struct journal_lines {
    size_t count;
    struct journal_line *lines;
    bool torn;      /* the end was cut short or damaged by a crash, and is not in `lines` */
    size_t torn_at; /* the byte where it begins; the file's length when not torn */
};

/* Reads the first line alone, which says whose the file is: none when the file is missing or empty, as before a run's
 * first event. ST_FORMAT for everything that is no journal of nasrun, a link among it: such a file is nobody's to
 * change. */
enum status journal_first(const char *path, struct journal_lines *lines, struct error *err);

/* The name under which a damaged journal is kept. */
#define JOURNAL_DAMAGED_NAME JOURNAL_NAME ".damaged"

/* Keeps the good lines before the first bad one, where journal_load refuses the journal (ST_FORMAT): all of it is
 * copied to PATH.damaged, then cut. *kept: lines that stay, *dropped: those from the bad one on, 0 when there was
 * none. */
enum status journal_salvage(const char *path, size_t *kept, size_t *dropped, struct error *err);

/* Cuts the journal of which these are all lines behind the first `count` of them, 1 at least. Nobody may have it
 * open. */
enum status journal_cut(const char *path, const struct journal_lines *lines, size_t count, struct error *err);

/* Reads all lines. The end is torn from a bad line on when nothing but epochs stands behind it, which a crash may
 * have kept from the disk, and a good line before it. ST_FORMAT for any other bad line: the message names file:line,
 * what was found and what was expected. What the events say is not looked at: event_read.h. Takes no lock: a journal
 * may be read while it grows (its last line then may look torn). */
enum status journal_load(const char *path, struct journal_lines *lines, struct error *err);
void journal_lines_free(struct journal_lines *lines); /* a zeroed struct is allowed */

/* Drops the lines (all of the journal's, as loaded) whose keep[i] is false, and numbers the others anew: the file is
 * written aside and renamed, so that it holds at any instant either all or what is kept. The lock goes over. */
enum status journal_keep(struct journal *journal, const struct journal_lines *lines, const bool *keep,
                         struct error *err);

#endif

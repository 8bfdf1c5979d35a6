/* Reading events: the lines of a journal, one after the other, each checked against its rows of events.def.
 *
 *     struct event_reader reader = event_reader_open(path, &lines);
 *     const struct event *event;
 *     while ((st = event_next(&reader, &event, err)) == ST_OK && event != NULL)
 *         switch (event->kind) ...
 *     event_reader_close(&reader);
 */
#ifndef NASRUN_JOURNAL_EVENT_READ_H
#define NASRUN_JOURNAL_EVENT_READ_H

#include "host/base/error.h"
#include "host/journal/events.h"
#include "host/journal/journal.h"

struct event_reader {
    const char *path;                  /* for messages */
    const struct journal_lines *lines; /* both are the caller's and outlive the reader */
    size_t count;                      /* lines that were read; the event's is lines->lines[count - 1] */
    int32_t format;                    /* of the lines here */
    const char *version; /* of the nasrun that wrote them; inside of `lines`; NULL before the run event */
    struct event event;
};

struct event_reader event_reader_open(const char *path, const struct journal_lines *lines);

/* *event becomes the next event, NULL behind the last; it is the reader's, until the next call. Events and fields
 * that this version doesn't know are passed over, for they came with a later one. ST_FORMAT when a field is missing
 * or is not what its row says; the message names file:line, event, field, what was found and what was expected. */
enum status event_next(struct event_reader *reader, const struct event **event, struct error *err);

/* Puts file:line and event in front of the message about the event that was read last. Returns err->status. */
enum status event_refuse(const struct event_reader *reader, struct error *err);

void event_reader_close(struct event_reader *reader);

/* The candidate that an event is about; -1: none. */
int32_t event_candidate(const struct event *event);

#endif

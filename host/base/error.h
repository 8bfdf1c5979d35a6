/* Errors: one idiom for the whole program.
 *
 * A function that can fail returns `enum status` and takes `struct error *err` as its last argument. The
 * message is written once, where the fact is known, and says what was found and what was expected; callers
 * may put the location in front of it (error_prefix) but never reword it. `err` is never NULL.
 *
 * Who may use which, and who may go on after it:
 *   ST_NONE     is given by host/morph and host/search alone, and is the only one that a search goes on from in
 *               silence: try another, or end early. Whoever passes it on says so in its header.
 *   ST_RANGE    is for what came from outside of the function: it goes up to who gave the value, and ends a run.
 *   ST_MEMORY   goes up, too, unless less will do: a smaller batch, fewer kept weights, one candidate the less.
 *   ST_MEMORY, ST_UNSUPPORTED, ST_DIVERGED  of one candidate are recorded as its failure; the run goes on. But where the
 *               job is to give the same models on every day, ST_MEMORY, which depends on the day, ends the run.
 *   the others  end the run, or this process of it.
 * What only a mistake in this program can bring about inside of one room is an assert, not a status.
 */
#ifndef NASRUN_BASE_ERROR_H
#define NASRUN_BASE_ERROR_H

#include <stdarg.h>

enum status {
    ST_OK = 0,
    ST_NONE,        /* no error: a morph that does not fit this network, a search with nothing to propose */
    ST_RANGE,       /* a value outside what is allowed, as a user, a file or a caller gave it */
    ST_FORMAT,      /* a file whose content is not what its format demands */
    ST_IO,          /* the system refused to read or write */
    ST_MEMORY,      /* not enough memory, on the host or on a device */
    ST_DEVICE,      /* a device or its library failed */
    ST_UNSUPPORTED, /* well formed, but nothing here can do it, or larger than anything here can hold */
    ST_DIVERGED,    /* a training whose loss, or a child whose outputs, went where they may not */
    ST_INTERRUPTED, /* stopped by a signal, after saving */
    ST_BUSY,        /* another process holds it */
};

enum { ERROR_LENGTH = 1024 };

struct error {
    enum status status;
    char message[ERROR_LENGTH];
};

/* Fills err with the status and a printf-style message, without a newline; control characters in what it
 * quotes show as '?'. Returns the status, so that
 * `return error_set(err, ST_RANGE, ...)` reads as one thing. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "location: " in front of the message. Returns err->status. */
enum status error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like error_set, with ": " and the text of the system's errno `number` behind the message; ST_IO, or
 * ST_MEMORY for ENOMEM. */
enum status error_system(struct error *err, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "out of memory: NAME, N bytes". Returns ST_MEMORY. */
enum status error_memory(struct error *err, const char *name, unsigned long long bytes);

/* The status's name in lower case, as the journal writes it ("diverged"). */
const char *status_name(enum status status);

#endif

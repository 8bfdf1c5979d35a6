/* Errors: one idiom for the whole program.
 *
 * A function that can fail returns `enum status` and takes `struct error *err` as its last argument. The
 * message is written once, where the fact is known, and says what was found and what was expected; callers
 * may put the place in front of it (error_prefix) but never reword it. `err` is never NULL.
 */
#ifndef NASRUN_BASE_ERROR_H
#define NASRUN_BASE_ERROR_H

#include <stdarg.h>

enum status {
    ST_OK = 0,
    ST_RANGE,       /* a value outside what is allowed */
    ST_FORMAT,      /* a file whose content is not what its format demands */
    ST_IO,          /* the system refused to read or write */
    ST_MEMORY,      /* not enough memory, on the host or on a device */
    ST_DEVICE,      /* a device or its library failed */
    ST_UNSUPPORTED, /* well formed, but nothing here can do it */
    ST_DIVERGED,    /* a training whose loss is no longer finite */
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

/* Puts "place: " in front of the message. Returns err->status. */
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

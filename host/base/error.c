#include "host/base/error.h"

#include "host/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof(err->message), format, arguments);
    va_end(arguments);
    text_clean(err->message);
    err->status = status;
    return status;
}

enum status error_prefix(struct error *err, const char *format, ...)
{
    char rest[ERROR_LENGTH];
    va_list arguments;

    memcpy(rest, err->message, sizeof(rest));
    va_start(arguments, format);
    int length = vsnprintf(err->message, sizeof(err->message), format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof(err->message))
        snprintf(err->message + length, sizeof(err->message) - (size_t)length, ": %.*s",
                 (int)(sizeof(err->message) - (size_t)length - 3), rest);
    text_clean(err->message);
    return err->status;
}

enum status error_system(struct error *err, int number, const char *format, ...)
{
    char buffer[128];
    const char *reason = strerror_r(number, buffer, sizeof(buffer)); /* GNU's: returns the text */
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(err->message, sizeof(err->message), format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof(err->message))
        snprintf(err->message + length, sizeof(err->message) - (size_t)length, ": %s", reason);
    text_clean(err->message);
    err->status = number == ENOMEM ? ST_MEMORY : ST_IO;
    return err->status;
}

enum status error_memory(struct error *err, const char *name, unsigned long long bytes)
{
    return error_set(err, ST_MEMORY, "out of memory: %s, %llu bytes", name, bytes);
}

const char *status_name(enum status status)
{
    static const char *const names[] = {
        [ST_OK] = "ok",
        [ST_NONE] = "none",
        [ST_RANGE] = "range",
        [ST_FORMAT] = "format",
        [ST_IO] = "io",
        [ST_MEMORY] = "memory",
        [ST_DEVICE] = "device",
        [ST_DIVERGED] = "diverged",
        [ST_UNSUPPORTED] = "unsupported",
        [ST_INTERRUPTED] = "interrupted",
        [ST_BUSY] = "busy",
    };
    return names[status];
}

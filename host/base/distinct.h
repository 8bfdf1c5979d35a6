/* Distinct rows of bytes, numbered in the order in which they came. */
#ifndef NASRUN_BASE_DISTINCT_H
#define NASRUN_BASE_DISTINCT_H

#include "host/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Starts as {.width = bytes of a row}. The rows may be taken over, and set to NULL, before distinct_free. */
struct distinct {
    size_t width; /* bytes of a row, above 0 */
    int32_t count;
    uint8_t *rows; /* [count * width], no two equal */
    int32_t capacity;
    int32_t *slots; /* [slot_count], by hash: a row's number + 1; 0: empty */
    int32_t slot_count;
};

/* *number becomes that of the row, which is added when none is like it. ST_MEMORY only. */
enum status distinct_number(struct distinct *distinct, const uint8_t *row, int32_t *number,
                            struct error *err);
void distinct_free(struct distinct *distinct); /* what was not begun yet is allowed */

#endif

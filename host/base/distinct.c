#include "host/base/distinct.h"

#include "host/base/array.h"
#include "host/base/file.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64 };

static const uint8_t *row_at(const struct distinct *distinct, int32_t number)
{
    return distinct->rows + (size_t)number * distinct->width;
}

/* The slot that has the row, or the empty one where it belongs. */
static int32_t *slot_of(const struct distinct *distinct, const uint8_t *row)
{
    const uint64_t mask = (uint64_t)distinct->slot_count - 1; /* their number is a power of two */
    uint64_t at = file_hash(0, row, distinct->width) & mask;
    while (distinct->slots[at] != 0 &&
           memcmp(row_at(distinct, distinct->slots[at] - 1), row, distinct->width) != 0)
        at = (at + 1) & mask;
    return &distinct->slots[at];
}

/* At least half of the slots are empty. */
static enum status make_slots(struct distinct *distinct, struct error *err)
{
    if (distinct->slot_count > 2 * distinct->count)
        return ST_OK;
    const int32_t count = distinct->slot_count == 0 ? FIRST_SLOTS : 2 * distinct->slot_count;
    int32_t *slots = calloc((size_t)count, sizeof(*slots));
    if (slots == NULL)
        return error_memory(err, "distinct rows", (size_t)count * sizeof(*slots));
    free(distinct->slots);
    distinct->slots = slots;
    distinct->slot_count = count;
    for (int32_t i = 0; i < distinct->count; i++)
        *slot_of(distinct, row_at(distinct, i)) = i + 1;
    return ST_OK;
}

enum status distinct_number(struct distinct *distinct, const uint8_t *row, int32_t *number, struct error *err)
{
    enum status st = make_slots(distinct, err);
    if (st != ST_OK)
        return st;
    int32_t *slot = slot_of(distinct, row);
    if (*slot == 0) {
        uint8_t *rows = array_with_room(distinct->rows, distinct->count, &distinct->capacity, distinct->width,
                                        "distinct rows", err);
        if (rows == NULL)
            return err->status;
        distinct->rows = rows;
        memcpy(rows + (size_t)distinct->count * distinct->width, row, distinct->width);
        *slot = ++distinct->count;
    }
    *number = *slot - 1;
    return ST_OK;
}

void distinct_free(struct distinct *distinct)
{
    free(distinct->rows);
    free(distinct->slots);
    *distinct = (struct distinct){.width = distinct->width};
}

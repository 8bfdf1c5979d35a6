/* The memory plan: places for tensors in one arena, so that two tensors share bytes only when no operation
 * needs both. Greedy by size with the tightest gap (Pisarchyk, Lee, "Efficient memory management for deep
 * neural net inference", 2020): the largest tensor is placed first; each next one goes into the smallest gap
 * between the tensors that live at the same time, or behind them. */
#include "host/program/program.h"

#include <stdlib.h>

enum { PLAN_ALIGNMENT = 64 }; /* bytes: a cache line, and the widest vector register */

struct place {
    int32_t tensor;
    int32_t first, last; /* operations */
    size_t size, offset; /* multiples of PLAN_ALIGNMENT */
};

/* Larger first; of equals the one written earlier, then the smaller id, so that a plan is the same
 * everywhere. */
static int compare_places(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->tensor < b->tensor ? -1 : 1;
}

/* The offset for `wanted` among the placed ones, which stand in order of offset. */
static size_t tightest_gap(const struct place *wanted, const struct place *const *placed, int32_t count)
{
    size_t best = SIZE_MAX, best_gap = SIZE_MAX, end = 0; /* end: of all living tensors seen so far */
    for (int32_t i = 0; i < count; i++) {
        const struct place *other = placed[i];
        if (other->last < wanted->first || other->first > wanted->last)
            continue;
        if (other->offset > end) {
            size_t gap = other->offset - end;
            if (gap >= wanted->size && gap < best_gap) {
                best = end;
                best_gap = gap;
            }
        }
        if (other->offset + other->size > end)
            end = other->offset + other->size;
    }
    return best != SIZE_MAX ? best : end;
}

enum status prog_plan_arena(const struct program *program, const size_t *sizes, size_t *offsets,
                            size_t *arena_bytes, struct error *err)
{
    enum status st = ST_OK;
    size_t room = (size_t)program->tensor_count + 1; /* never 0 bytes */
    struct place *places = calloc(room, sizeof(*places));
    const struct place **placed = calloc(room, sizeof(*placed)); /* in order of offset */
    if (!places || !placed) {
        st = error_memory(err, "memory plan", room * (sizeof(*places) + sizeof(*placed)));
        goto out;
    }
    int32_t count = 0;
    for (int32_t t = 0; t < program->tensor_count; t++) {
        const struct prog_tensor *tensor = &program->tensors[t];
        offsets[t] = 0;
        if (sizes[t] == 0 || tensor->first < 0)
            continue;
        size_t size = (sizes[t] + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
        places[count++] = (struct place){t, tensor->first, tensor->last, size, 0};
    }
    qsort(places, (size_t)count, sizeof(*places), compare_places);
    *arena_bytes = 0;
    for (int32_t i = 0; i < count; i++) {
        struct place *place = &places[i];
        place->offset = tightest_gap(place, placed, i);
        offsets[place->tensor] = place->offset;
        if (place->offset + place->size > *arena_bytes)
            *arena_bytes = place->offset + place->size;
        int32_t at = i;
        for (; at > 0 && placed[at - 1]->offset > place->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = place;
    }
out:
    free(placed);
    free(places);
    return st;
}

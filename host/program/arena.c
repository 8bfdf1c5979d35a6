/* The arena: offsets for tensors in one block of memory, so that two tensors share bytes only when no operation
 * needs both. Greedy by size with the tightest gap (Pisarchyk, Lee, "Efficient memory management for deep
 * neural net inference", 2020): the largest tensor is placed first; each next one goes into the smallest gap
 * between the tensors that live at the same time, or behind them. */
#include "host/program/program.h"

#include <stdlib.h>

enum { ARENA_ALIGNMENT = 64 }; /* bytes: a cache line, and the widest vector register */

struct block {
    int32_t tensor;
    int32_t first, last; /* operations */
    size_t size, offset; /* multiples of ARENA_ALIGNMENT */
};

/* Larger first; of equals the one written earlier, then the smaller id, so that the offsets are the same
 * everywhere. */
static int compare_blocks(const void *left, const void *right)
{
    const struct block *a = left, *b = right;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->tensor < b->tensor ? -1 : 1;
}

/* The offset for `wanted` among the placed ones, which stand in order of offset. */
static size_t tightest_gap(const struct block *wanted, const struct block *const *placed, int32_t count)
{
    size_t best = SIZE_MAX, best_gap = SIZE_MAX, end = 0; /* end: of all living tensors seen so far */
    for (int32_t i = 0; i < count; i++) {
        const struct block *other = placed[i];
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

enum status prog_arena_offsets(const struct program *program, const size_t *sizes, size_t *offsets,
                               size_t *arena_bytes, struct error *err)
{
    enum status st = ST_OK;
    size_t room = (size_t)program->tensor_count + 1; /* never 0 bytes */
    struct block *blocks = calloc(room, sizeof(*blocks));
    const struct block **placed = calloc(room, sizeof(*placed)); /* in order of offset */
    if (!blocks || !placed) {
        st = error_memory(err, "arena", room * (sizeof(*blocks) + sizeof(*placed)));
        goto out;
    }
    int32_t count = 0;
    for (int32_t t = 0; t < program->tensor_count; t++) {
        const struct prog_tensor *tensor = &program->tensors[t];
        offsets[t] = 0;
        if (sizes[t] == 0 || tensor->first < 0)
            continue;
        size_t size = (sizes[t] + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
        blocks[count++] = (struct block){t, tensor->first, tensor->last, size, 0};
    }
    qsort(blocks, (size_t)count, sizeof(*blocks), compare_blocks);
    *arena_bytes = 0;
    for (int32_t i = 0; i < count; i++) {
        struct block *block = &blocks[i];
        block->offset = tightest_gap(block, placed, i);
        offsets[block->tensor] = block->offset;
        if (block->offset + block->size > *arena_bytes)
            *arena_bytes = block->offset + block->size;
        int32_t at = i;
        for (; at > 0 && placed[at - 1]->offset > block->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = block;
    }
out:
    free(placed);
    free(blocks);
    return st;
}

/* Damage for tests of readers: small changes of valid bytes, a function of the case's number alone. */
#ifndef NASRUN_TESTS_SUPPORT_FUZZ_MUTATE_H
#define NASRUN_TESTS_SUPPORT_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes with room for as many again and FUZZ_ROOM more, so that mutations can insert. */
enum { FUZZ_ROOM = 4096 };
struct fuzz_bytes {
    uint8_t *bytes;
    size_t length, capacity;
};

enum fuzz_kind { FUZZ_BINARY, FUZZ_TEXT };

/* A copy with its room; the bytes are the caller's to free. Fails the running test when out of memory. */
struct fuzz_bytes fuzz_copy(const void *bytes, size_t length);

/* `to` becomes `from` with one to three changes: bits flipped, bytes and whole numbers replaced by those at
 * the ends of their ranges, parts cut out, doubled or moved, the end cut off; in texts also digits and tokens
 * that mean something to some reader. `to` was made by fuzz_copy(from). `number` and `part` name the case. */
void fuzz_mutate(const struct fuzz_bytes *from, enum fuzz_kind kind, uint32_t part, uint32_t number,
                 struct fuzz_bytes *to);

/* Makes the check sums right again that would keep damage from getting any further: of a PNG's chunks as far
 * as their lengths make sense, of a journal's lines, of a checkpoint. */
void fuzz_repair_png(struct fuzz_bytes *file);
void fuzz_repair_journal(struct fuzz_bytes *file);
void fuzz_repair_checkpoint(struct fuzz_bytes *file);

#endif

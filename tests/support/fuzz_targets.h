/* Readers of files that anybody may have written, each with a valid file to begin with: what tests/fuzz damages. */
#ifndef NASRUN_TESTS_SUPPORT_FUZZ_TARGETS_H
#define NASRUN_TESTS_SUPPORT_FUZZ_TARGETS_H

#include "host/base/error.h"
#include "tests/support/fuzz_mutate.h"

/* Damage is passed over and refused by nobody; `read` makes files before it reads, which must not fail; much damage
 * makes another input that is as good. */
enum { FUZZ_FORGIVES = 1, FUZZ_PREPARES = 2, FUZZ_LENIENT = 4 };

struct fuzz_target {
    const char *name;
    const char *file; /* of the folder that `make` fills: the one to be damaged */
    enum fuzz_kind kind;
    void (*make)(const char *folder);
    enum status (*read)(const char *folder, const char *path,
                        struct error *err);  /* and frees what it has read */
    void (*repair)(struct fuzz_bytes *file); /* of every second case; may be NULL */
    unsigned about;                          /* of the bits above */
};

extern const struct fuzz_target fuzz_targets[];
extern const int fuzz_target_count;

/* What is wrong with how a reader ended, NULL when nothing is: an error has its status and one printable line. */
const char *fuzz_complaint(enum status st, const struct error *err);

#endif

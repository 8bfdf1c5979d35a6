/* For tests of job files: a folder with one job file, and jobs as text. Failures are cmocka's.
 *
 *     cmocka_run_group_tests(tests, spec_scratch_open, spec_scratch_close)   *state: the struct spec_scratch
 */
#ifndef NASRUN_TESTS_SUPPORT_SPEC_SCRATCH_H
#define NASRUN_TESTS_SUPPORT_SPEC_SCRATCH_H

#include "spec/spec.h"

enum { SPEC_SCRATCH_OVERRIDES = 4 };

struct spec_scratch {
    char folder[64], file[80]; /* the file is FOLDER/job.cfg */
};

int spec_scratch_open(void **state);
int spec_scratch_close(void **state);

void spec_scratch_write(const char *path, const char *text, size_t length);

/* Reads `text` as the job file with up to SPEC_SCRATCH_OVERRIDES overrides, the rest NULL; `overrides` may be
 * NULL. */
enum status spec_scratch_read(const struct spec_scratch *scratch, const char *text,
                              const char *const *overrides, struct job *job, struct error *err);

/* The same with one override or NULL; it must succeed. */
void spec_scratch_read_good(const struct spec_scratch *scratch, const char *text, const char *override,
                            struct job *job);

/* A key's value as a job file has it; the caller frees it. */
char *spec_scratch_print(const struct job *job, const char *name);

/* The key's value is printed as `expected`. */
void spec_scratch_check(const struct job *job, const char *name, const char *expected);

/* All keys have the same values. */
void spec_scratch_check_same(const struct job *a, const struct job *b);

/* The whole job as spec_write has it; the caller frees it. */
char *spec_scratch_write_job(const struct job *job);

#endif

/* The job-file format: reading, checking, printing. The schema table (schema.def) is the only list of keys. */
#ifndef NASRUN_SPEC_SPEC_H
#define NASRUN_SPEC_SPEC_H

#include "host/base/error.h"
#include "spec/job.h"

#include <stdio.h>

/* Reads the libconfig file, applies `overrides` ("budget.seconds=120", "search.starts=[\"lean\"]", "output.dir=runs/x";
 * a bare word is a string), fills defaults, checks types, ranges and that files exist. Errors name file:line (or the
 * override), key, found, expected and, for an unknown key, the nearest known one. Relative paths are kept as written.
 * On ST_OK the job is the caller's to free. */
enum status spec_read(const char *path, char *const *overrides, int override_count, struct job *job,
                      struct error *err);
/* The same of text[length], which messages call `name`. */
enum status spec_read_text(const char *name, const char *text, size_t length, char *const *overrides,
                           int override_count, struct job *job, struct error *err);
/* Of text that spec_write wrote, to be compared: paths may be missing by now, keys are not checked together. */
enum status spec_read_written(const char *name, const char *text, size_t length, struct job *job,
                              struct error *err);
void spec_free(struct job *job); /* a zeroed job is allowed */

/* Writes the job as a libconfig file with every key: reading it back gives the same job. */
enum status spec_write(const struct job *job, FILE *out, struct error *err);

/* The first line of what spec_write writes. */
extern const char spec_written_mark[];

/* The same without output.* and report.*: what a run does, wherever its folder is and whatever it costs. malloc'd, NULL
 * when out of memory. */
char *spec_run_text(const struct job *job);

/* A reference of every key: type, unit, range, default, meaning. Text for a terminal, or Markdown for
 * spec/REFERENCE.md. */
void spec_print_reference(FILE *out, bool markdown);

/* What the reference says before its keys; lines of text. */
extern const char spec_reference_introduction[];

/* Whether the first `length` bytes of `name` are a key: "budget.seconds". */
bool spec_is_key(const char *name, size_t length);

/* Whether two jobs describe the same run: everything but output.* and where the data lie (dataset.path, .images and
 * .cache), for their fingerprint says whether they are the same; budgets may grow at their end. err says which key
 * differs. */
enum status spec_same_run(const struct job *before, const struct job *now, struct error *err);

#endif

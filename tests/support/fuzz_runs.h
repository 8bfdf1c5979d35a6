/* Readers of what belongs to a run, and of folders and command lines, for the table in fuzz_targets.c: each a function
 * that writes a valid file, one that reads a damaged one, and where needed one that makes its checksums right. */
#ifndef NASRUN_TESTS_SUPPORT_FUZZ_RUNS_H
#define NASRUN_TESTS_SUPPORT_FUZZ_RUNS_H

#include "tests/support/fuzz_targets.h"

/* A run's journal, which a run that is gone on with goes through: data, search and candidates are made of it. */
void fuzz_make_resume(const char *folder);
enum status fuzz_read_resume(const char *folder, const char *path, struct error *err);

/* restarts.txt beside the journal of a run that was killed. */
void fuzz_make_restarts(const char *folder);
enum status fuzz_read_restarts(const char *folder, const char *path, struct error *err);

/* The cache of decoded images beside these. */
void fuzz_make_cache(const char *folder);
enum status fuzz_read_cache(const char *folder, const char *path, struct error *err);
void fuzz_repair_cache(struct fuzz_bytes *file);

/* A folder of images, told in lines: "d NAME" a folder, "i NAME" an image, "t NAME" a text, "l NAME TARGET" a link,
 * "p NAME" a pipe. Names that lead out of the folder are passed over. */
void fuzz_make_tree(const char *folder);
enum status fuzz_read_tree(const char *folder, const char *path, struct error *err);

/* nasrun's command line, a word a line. */
void fuzz_make_command(const char *folder);
enum status fuzz_read_command(const char *folder, const char *path, struct error *err);

#endif

/* Files: whole reads, and writes that a crash can't tear.
 *
 *     file_write_atomic("runs/a/report.txt", text, length, &err)   // aside, flushed, renamed, folder flushed
 */
#ifndef NASRUN_BASE_FILE_H
#define NASRUN_BASE_FILE_H

#include "host/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads a whole file. *data is malloc'd (the caller frees it), has one NUL behind the content, *length
 * excludes it. */
enum status file_read(const char *path, char **data, size_t *length, struct error *err);
/* The same for files of at most `most` bytes; ST_UNSUPPORTED for larger ones. */
enum status file_read_limited(const char *path, int64_t most, char **data, size_t *length, struct error *err);

/* Opens a regular file to be read. Never waits: a named pipe, a device, a folder is refused (ST_IO). */
enum status file_open(const char *path, FILE **stream, int64_t *bytes, struct error *err);

/* Writes `path` so that after a crash it holds either its old content or all of the new: PATH.tmp is written,
 * flushed to disk and renamed over it, then the folder is flushed. On error PATH.tmp is removed. Where a link or
 * something else that is no plain file of the user's has that name, or another process writes there, PATH.1.tmp to
 * PATH.9.tmp are tried: nothing is written through a link, and a link that is called `path` is replaced itself. */
enum status file_write_atomic(const char *path, const void *data, size_t length, struct error *err);

/* Writes what `from` holds in the same way. */
enum status file_copy(const char *from, const char *to, struct error *err);

/* A file being written aside, for what is too large to be held whole. */
struct file_aside {
    FILE *stream; /* write here; errors stick in the stream and are found by file_aside_commit */
    char *path, *aside;
};
enum status file_aside_open(struct file_aside *file, const char *path, struct error *err);
/* Whether `name` is that of a file aside, as a crash may have left it; its first `length` bytes are the path. */
bool file_is_aside_of(const char *name, size_t length);
/* Flushes and renames. Closes in any case. */
enum status file_aside_commit(struct file_aside *file, struct error *err);
/* Removes what was written. Does nothing after a commit or on a zeroed struct. */
void file_aside_abandon(struct file_aside *file);

/* Makes the folder and its parents. Existing ones are no error. */
enum status file_make_folder(const char *path, struct error *err);

/* Flushes the folder in which `path` stands: a new file and a rename are on disk only when their folder is. */
enum status file_flush_folder(const char *path, struct error *err);

bool file_exists(const char *path);

/* "folder/name", malloc'd; NULL when out of memory. */
char *file_join(const char *folder, const char *name);
/* "folder/name-NUMBERsuffix", or "folder/namesuffix" for a number below 0; likewise. */
char *file_join_number(const char *folder, const char *name, int64_t number, const char *suffix);

/* The same, from the folder in which the running program lies: what comes with it is found wherever it is unpacked.
 * NULL also where the system does not say (/proc is missing). */
char *file_beside_program(const char *name);

/* A file's name without folder and ending: where it begins in `path`. ".cfg" has no ending. */
const char *file_stem(const char *path, size_t *length);

/* CRC-32 (zlib's), for journal lines. */
uint32_t file_checksum(const void *data, size_t length);
/* Of what `checksum` is of with `data` behind it. */
uint32_t file_checksum_on(uint32_t checksum, const void *data, size_t length);

/* XXH3 of libxxhash, 64 bits, with `seed`: 0, or the hash of what comes before. For fingerprints and checksums of
 * files, not against malice. The same on every machine of the same byte order. */
uint64_t file_hash(uint64_t seed, const void *data, size_t length);

/* A hash as text: the mark and 16 hexadecimal digits. */
#define FILE_HASH_MARK "xxh3:"
enum { FILE_HASH_LENGTH = 24 };
void file_hash_text(uint64_t hash, char text[FILE_HASH_LENGTH]);

#endif

#include "host/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

/* What stands there instead of a file. */
static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

enum status file_open(const char *path, FILE **stream, int64_t *bytes, struct error *err)
{
    struct stat about;
    enum status st = ST_OK;
    *stream = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &about) != 0)
        st = error_system(err, errno, "%s", path);
    else if (!S_ISREG(about.st_mode))
        st = error_set(err, ST_IO, "%s: is %s, expected a regular file", path, kind_of(about.st_mode));
    if (st == ST_OK) {
        *bytes = about.st_size;
        *stream = fdopen(fd, "rb");
        if (*stream == NULL)
            st = error_system(err, errno, "%s", path);
    }
    if (st != ST_OK && fd >= 0)
        close(fd);
    return st;
}

enum status file_read(const char *path, char **data, size_t *length, struct error *err)
{
    return file_read_limited(path, INT64_MAX, data, length, err);
}

enum status file_read_limited(const char *path, int64_t most, char **data, size_t *length, struct error *err)
{
    char *buffer = NULL;
    size_t filled = 0, capacity = 1 << 16;
    int64_t bytes = 0;
    FILE *stream;

    *data = NULL;
    *length = 0;
    enum status st = file_open(path, &stream, &bytes, err);
    if (st != ST_OK)
        return st;
    if (bytes > most) {
        st = error_set(err, ST_UNSUPPORTED, "%s: %lld bytes, expected at most %lld", path, (long long)bytes,
                       (long long)most);
        goto out;
    }
    if (bytes > 0)
        capacity = (size_t)bytes + 1;
    for (;;) {
        char *larger = realloc(buffer, capacity + 1);
        if (larger == NULL) {
            st = error_memory(err, path, capacity);
            goto out;
        }
        buffer = larger;
        filled += fread(buffer + filled, 1, capacity - filled, stream);
        if (ferror(stream)) {
            st = error_system(err, errno, "%s", path);
            goto out;
        }
        if (feof(stream))
            break;
        capacity *= 2;
    }
    buffer[filled] = '\0';
    *data = buffer;
    *length = filled;
    buffer = NULL;
out:
    free(buffer);
    fclose(stream);
    return st;
}

enum status file_flush_folder(const char *path, struct error *err)
{
    enum status st = ST_OK;
    char *copy = strdup(path);
    if (copy == NULL)
        return error_memory(err, path, strlen(path));
    const char *folder = dirname(copy);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        st = error_system(err, errno, "%s", folder);
    if (fd >= 0)
        close(fd);
    free(copy);
    return st;
}

enum status file_aside_open(struct file_aside *file, const char *path, struct error *err)
{
    size_t size = strlen(path) + 5;
    *file = (struct file_aside){.path = strdup(path), .aside = malloc(size)};
    if (file->path == NULL || file->aside == NULL) {
        file_aside_abandon(file);
        return error_memory(err, path, size);
    }
    snprintf(file->aside, size, "%s.tmp", path);
    file->stream = fopen(file->aside, "wbe");
    if (file->stream == NULL) {
        error_system(err, errno, "%s", file->aside);
        file_aside_abandon(file);
        return err->status;
    }
    return ST_OK;
}

enum status file_aside_commit(struct file_aside *file, struct error *err)
{
    enum status st = ST_OK;
    if (fflush(file->stream) != 0 || ferror(file->stream) || fsync(fileno(file->stream)) != 0)
        st = error_system(err, errno, "%s", file->path);
    if (fclose(file->stream) != 0 && st == ST_OK)
        st = error_system(err, errno, "%s", file->path);
    file->stream = NULL;
    if (st == ST_OK && rename(file->aside, file->path) != 0)
        st = error_system(err, errno, "%s", file->path);
    if (st == ST_OK)
        st = file_flush_folder(file->path, err);
    else
        unlink(file->aside);
    free(file->path);
    free(file->aside);
    *file = (struct file_aside){0};
    return st;
}

void file_aside_abandon(struct file_aside *file)
{
    if (file->stream != NULL) {
        fclose(file->stream);
        unlink(file->aside);
    }
    free(file->path);
    free(file->aside);
    *file = (struct file_aside){0};
}

enum status file_write_atomic(const char *path, const void *data, size_t length, struct error *err)
{
    struct file_aside file;
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    fwrite(data, 1, length, file.stream); /* a short write is found by the commit */
    return file_aside_commit(&file, err);
}

enum status file_make_folder(const char *path, struct error *err)
{
    enum status st = ST_OK;
    struct stat about;
    char *copy = strdup(path);
    if (copy == NULL)
        return error_memory(err, path, strlen(path));
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            st = error_system(err, errno, "%s", copy);
            break;
        }
        *at = kept;
        if (kept == '\0')
            break;
    }
    if (st == ST_OK && (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)))
        st = error_set(err, ST_IO, "%s: is a file, expected a folder", path);
    free(copy);
    return st;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

char *file_join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *joined = malloc(size);
    if (joined != NULL)
        snprintf(joined, size, "%s/%s", folder, name);
    return joined;
}

char *file_beside_program(const char *name)
{
    char program[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length < 0)
        return NULL;
    program[length] = '\0';
    return file_join(dirname(program), name);
}

uint32_t file_checksum(const void *data, size_t length)
{
    return file_checksum_on(0, data, length);
}

uint32_t file_checksum_on(uint32_t checksum, const void *data, size_t length)
{
    return (uint32_t)crc32_z(checksum, data, length);
}

uint64_t file_hash(uint64_t seed, const void *data, size_t length)
{
    return XXH3_64bits_withSeed(data, length, seed);
}

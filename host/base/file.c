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

enum status file_read(const char *path, char **data, size_t *length, struct error *err)
{
    enum status st = ST_OK;
    char *buffer = NULL;
    size_t filled = 0, capacity = 1 << 16;
    struct stat about;

    *data = NULL;
    *length = 0;
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return error_system(err, errno, "%s", path);
    if (fstat(fileno(stream), &about) == 0 && S_ISDIR(about.st_mode)) {
        st = error_set(err, ST_IO, "%s: is a folder, expected a file", path);
        goto out;
    }
    if (about.st_size > 0)
        capacity = (size_t)about.st_size + 1;
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

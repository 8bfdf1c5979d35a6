#include "host/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

/* What stands there instead of a file. A socket can't be opened. */
static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a named pipe" : "a device";
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

/* A file that was being written aside has this name while nobody else writes one for the same path; a number stands in
 * it where that is taken. */
enum { ASIDE_NAMES = 10, ASIDE_SUFFIX = 8 };

static void aside_name(char *aside, size_t size, const char *path, int number)
{
    if (number == 0)
        snprintf(aside, size, "%s.tmp", path);
    else
        snprintf(aside, size, "%s.%d.tmp", path, number);
}

/* Whether the open file is a plain one of this user's, has no other name, and stands under that one. */
static bool is_own(int fd, const char *name)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && lstat(name, &named) == 0 && open_one.st_dev == named.st_dev &&
           open_one.st_ino == named.st_ino && S_ISREG(open_one.st_mode) && open_one.st_nlink == 1 &&
           open_one.st_uid == geteuid();
}

/* Opens a new file of that name, or takes over what a crash has left; -1 where something else has the name (errno
 * EEXIST) or the system refuses. The lock says that it is being written: it ends with the last descriptor. */
static int open_aside(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const bool is_new = fd >= 0;
    if (!is_new && errno != EEXIST)
        return -1;
    if (!is_new)
        fd = open(name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    /* A file system without locks: what is new is ours all the same. */
    if ((locked || (is_new && errno != EWOULDBLOCK)) && is_own(fd, name) && (is_new || ftruncate(fd, 0) == 0))
        return fd;
    if (fd >= 0)
        close(fd);
    errno = EEXIST;
    return -1;
}

enum status file_aside_open(struct file_aside *file, const char *path, struct error *err)
{
    size_t size = strlen(path) + ASIDE_SUFFIX;
    int fd = -1;
    *file = (struct file_aside){.path = strdup(path), .aside = malloc(size)};
    if (file->path == NULL || file->aside == NULL) {
        file_aside_abandon(file);
        return error_memory(err, path, size);
    }
    for (int number = 0; fd < 0 && number < ASIDE_NAMES; number++) {
        aside_name(file->aside, size, path, number);
        fd = open_aside(file->aside);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    file->stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (file->stream == NULL) {
        if (errno == EEXIST)
            error_set(err, ST_IO,
                      "%s.tmp: all names for a file aside are taken, up to %s; remove what stands there",
                      path, file->aside);
        else
            error_system(err, errno, "%s", file->aside);
        if (fd >= 0)
            close(fd);
        file_aside_abandon(file);
        return err->status;
    }
    return ST_OK;
}

bool file_is_aside_of(const char *name, size_t length)
{
    const char *suffix = name + length;
    if (suffix[0] == '.' && suffix[1] >= '1' && suffix[1] <= '9')
        suffix += 2;
    return strcmp(suffix, ".tmp") == 0;
}

/* The name goes before the lock does: whoever finds it then would take the file over. */
enum status file_aside_commit(struct file_aside *file, struct error *err)
{
    enum status st = ST_OK;
    if (fflush(file->stream) != 0 || ferror(file->stream) || fsync(fileno(file->stream)) != 0)
        st = error_system(err, errno, "%s", file->path);
    if (st == ST_OK && rename(file->aside, file->path) != 0)
        st = error_system(err, errno, "%s", file->path);
    if (st != ST_OK)
        unlink(file->aside);
    fclose(file->stream); /* all of it is on disk */
    file->stream = NULL;
    if (st == ST_OK)
        st = file_flush_folder(file->path, err);
    file_aside_abandon(file);
    return st;
}

void file_aside_abandon(struct file_aside *file)
{
    if (file->stream != NULL) {
        unlink(file->aside);
        fclose(file->stream);
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

enum status file_copy(const char *from, const char *to, struct error *err)
{
    char *data = NULL;
    size_t length = 0;
    enum status st = file_read(from, &data, &length, err);
    if (st == ST_OK)
        st = file_write_atomic(to, data, length, err);
    free(data);
    return st;
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
        if (mkdir(copy, 0777) == 0)
            st = file_flush_folder(copy, err); /* or all that is flushed in it may be lost with its name */
        else if (errno != EEXIST)
            st = error_system(err, errno, "%s", copy);
        if (st != ST_OK)
            break;
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

char *file_join_number(const char *folder, const char *name, int64_t number, const char *suffix)
{
    char *joined = NULL;
    const int length = number < 0
                           ? asprintf(&joined, "%s/%s%s", folder, name, suffix)
                           : asprintf(&joined, "%s/%s-%lld%s", folder, name, (long long)number, suffix);
    return length >= 0 ? joined : NULL;
}

const char *file_stem(const char *path, size_t *length)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    *length = dot != NULL && dot > name ? (size_t)(dot - name) : strlen(name);
    return name;
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

void file_hash_text(uint64_t hash, char text[FILE_HASH_LENGTH])
{
    snprintf(text, FILE_HASH_LENGTH, FILE_HASH_MARK "%016" PRIx64, hash);
}

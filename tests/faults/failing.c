#include "tests/faults/failing.h"

#include "tests/support/fuzz_targets.h"

#include <cairo/cairo.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <gif_lib.h>
#include <libconfig.h>
#include <oneapi/dnnl/dnnl.h>
#include <png.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>
#include <zlib.h>

/* jpeglib.h needs the headers above. */
#include <jerror.h>
#include <jpeglib.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { PLACES = 1 << 16, DEPTH_MOST = 8 };

static struct {
    pthread_mutex_t mutex;
    uintptr_t places[PLACES]; /* those that have failed, by their hash; 0: free */
    int depth;
    int32_t count;
    bool armed, failed;
    const char *call;
    void *trace[DEPTH_MOST];
} failing = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void failing_begin(int depth)
{
    void *first[2];
    backtrace(first, 2); /* which loads a library, once */
    failing.depth = depth < DEPTH_MOST ? depth : DEPTH_MOST;
    failing.count = 0;
}

void failing_arm(void)
{
    failing.failed = false;
    failing.call = NULL;
    failing.armed = true;
}

void failing_pause(void)
{
    failing.armed = false;
}

bool failing_more(void)
{
    return failing.failed;
}

const char *failing_where(void)
{
    static char text[64 + DEPTH_MOST * 20];
    snprintf(text, sizeof(text), "%s", failing.call != NULL ? failing.call : "nothing");
    for (int i = 0; failing.call != NULL && i < failing.depth; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), " %p", failing.trace[i]);
    return text;
}

void failing_check_end(const char *name, enum status st, const struct error *err)
{
    const char *complaint = fuzz_complaint(st, err);
    if (complaint != NULL)
        fail_msg("%s: %s (%s) when this failed: %s", name, complaint, err->message, failing_where());
    if (st != ST_OK && failing.call == NULL)
        fail_msg("%s: undisturbed, it ends with \"%s\"", name, err->message);
}

int32_t failing_count(void)
{
    return failing.count;
}

int32_t failing_play(const char *name, int depth, failing_scene *scene, void *context)
{
    struct error err = {0};
    if (scene(context, &err) != ST_OK)
        fail_msg("%s, undisturbed: %s", name, err.message);
    failing_begin(depth);
    do {
        err = (struct error){0};
        failing_arm();
        const enum status st = scene(context, &err);
        failing_pause();
        failing_check_end(name, st, &err);
    } while (failing_more());
    return failing_count();
}

/* True when the place has not failed yet; it has then. */
static bool take(const uintptr_t *trace, int depth)
{
    uintptr_t hash = 1;
    for (int i = 0; i < depth; i++)
        hash = (hash ^ trace[i]) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = hash >> 48;
    for (size_t tries = 0; tries < PLACES && failing.places[at] != 0; tries++, at = (at + 1) % PLACES)
        if (failing.places[at] == hash)
            return false;
    failing.places[at] = hash;
    return true;
}

/* `caller`: to where the call returns. */
static bool fails(const char *call, const void *caller, int number)
{
    bool now = false;
    if (!failing.armed)
        return false;
    pthread_mutex_lock(&failing.mutex);
    if (failing.armed && !failing.failed) {
        /* Functions of this file, perhaps of a sanitizer, the caller, and those that led to it. */
        void *trace[3 * DEPTH_MOST] = {NULL};
        int at = backtrace(trace, failing.depth + DEPTH_MOST);
        while (at > 0 && trace[at] != caller)
            at--;
        trace[at] = (void *)caller;
        now = take((const uintptr_t *)trace + at, failing.depth);
        if (now) {
            failing.failed = true;
            failing.call = call;
            failing.count++;
            memcpy(failing.trace, trace + at, (size_t)failing.depth * sizeof(*trace));
        }
    }
    pthread_mutex_unlock(&failing.mutex);
    if (now)
        errno = number;
    return now;
}

/* FAILING(type, name, its parameters, what they are called, error number, what it returns) */
#define FAILING(type, name, parameters, arguments, number, value)                                            \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return fails(#name, __builtin_return_address(0), number) ? value : __real_##name arguments;          \
    }

FAILING(void *, malloc, (size_t size), (size), ENOMEM, NULL)
FAILING(void *, calloc, (size_t count, size_t size), (count, size), ENOMEM, NULL)
FAILING(void *, realloc, (void *old, size_t size), (old, size), ENOMEM, NULL)
FAILING(void *, aligned_alloc, (size_t line, size_t size), (line, size), ENOMEM, NULL)
FAILING(char *, strdup, (const char *text), (text), ENOMEM, NULL)
FAILING(char *, strndup, (const char *text, size_t most), (text, most), ENOMEM, NULL)
FAILING(FILE *, open_memstream, (char **text, size_t *size), (text, size), ENOMEM, NULL)
FAILING(FILE *, fopen, (const char *path, const char *mode), (path, mode), EMFILE, NULL)
FAILING(FILE *, fdopen, (int fd, const char *mode), (fd, mode), ENOMEM, NULL)
FAILING(DIR *, opendir, (const char *path), (path), EMFILE, NULL)
FAILING(DIR *, fdopendir, (int fd), (fd), ENOMEM, NULL)
FAILING(struct dirent *, readdir, (DIR * folder), (folder), EIO, NULL)
FAILING(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size), EIO, -1)
FAILING(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size), ENOSPC, -1)
FAILING(size_t, fwrite, (const void *from, size_t size, size_t count, FILE *file), (from, size, count, file),
        ENOSPC, 0)
FAILING(size_t, fread, (void *to, size_t size, size_t count, FILE *file), (to, size, count, file), EIO, 0)
FAILING(int, ferror, (FILE * file), (file), EIO, 1)
FAILING(int, fseek, (FILE * file, long at, int from), (file, at, from), EIO, -1)
FAILING(int, fsync, (int fd), (fd), EIO, -1)
FAILING(int, fdatasync, (int fd), (fd), EIO, -1)
FAILING(int, ftruncate, (int fd, off_t size), (fd, size), EIO, -1)
FAILING(int, fstat, (int fd, struct stat *about), (fd, about), EIO, -1)
FAILING(int, stat, (const char *path, struct stat *about), (path, about), EIO, -1)
FAILING(int, lstat, (const char *path, struct stat *about), (path, about), EIO, -1)
FAILING(int, flock, (int fd, int how), (fd, how), ENOLCK, -1)
FAILING(int, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC, -1)
FAILING(int, rename, (const char *from, const char *to), (from, to), EIO, -1)
FAILING(int, unlink, (const char *path), (path), EIO, -1)
FAILING(int, unlinkat, (int folder, const char *name, int flags), (folder, name, flags), EIO, -1)
FAILING(int, pthread_create,
        (pthread_t * thread, const pthread_attr_t *how, void *(*work)(void *), void *context),
        (thread, how, work, context), EAGAIN, EAGAIN)

/* Of libraries, whose own allocations are not met: what they say when they have no memory, or can't go on. */
FAILING(png_infop, png_create_info_struct, (png_const_structrp png), (png), ENOMEM, NULL)
FAILING(cJSON *, cJSON_Parse, (const char *text), (text), ENOMEM, NULL)
FAILING(cJSON *, cJSON_ParseWithLength, (const char *text, size_t length), (text, length), ENOMEM, NULL)
FAILING(int, config_read_string, (config_t * config, const char *text), (config, text), ENOMEM, CONFIG_FALSE)
FAILING(int, config_setting_set_string, (config_setting_t * setting, const char *text), (setting, text),
        ENOMEM, CONFIG_FALSE)
FAILING(cairo_status_t, cairo_status, (cairo_t * cairo), (cairo), ENOMEM, CAIRO_STATUS_NO_MEMORY)
FAILING(cairo_status_t, cairo_surface_write_to_png_stream,
        (cairo_surface_t * surface, cairo_write_func_t to, void *context), (surface, to, context), ENOMEM,
        CAIRO_STATUS_NO_MEMORY)
FAILING(dnnl_status_t, dnnl_primitive_execute,
        (const_dnnl_primitive_t primitive, dnnl_stream_t stream, int count, const dnnl_exec_arg_t *arguments),
        (primitive, stream, count, arguments), EIO, dnnl_runtime_error)

FAILING(utf8proc_ssize_t, utf8proc_map,
        (const utf8proc_uint8_t *text, utf8proc_ssize_t length, utf8proc_uint8_t **made,
         utf8proc_option_t options),
        (text, length, made, options), ENOMEM, UTF8PROC_ERROR_NOMEM)

GifFileType *__real_DGifOpen(void *context, InputFunc from, int *number);
GifFileType *__wrap_DGifOpen(void *context, InputFunc from, int *number);
GifFileType *__wrap_DGifOpen(void *context, InputFunc from, int *number)
{
    if (!fails("DGifOpen", __builtin_return_address(0), ENOMEM))
        return __real_DGifOpen(context, from, number);
    *number = D_GIF_ERR_NOT_ENOUGH_MEM;
    return NULL;
}

int __real_jpeg_read_header(j_decompress_ptr jpeg, boolean image);
int __wrap_jpeg_read_header(j_decompress_ptr jpeg, boolean image);
int __wrap_jpeg_read_header(j_decompress_ptr jpeg, boolean image)
{
    if (fails("jpeg_read_header", __builtin_return_address(0), ENOMEM)) {
        jpeg->err->msg_code = JERR_OUT_OF_MEMORY;
        jpeg->err->error_exit((j_common_ptr)jpeg); /* does not return */
    }
    return __real_jpeg_read_header(jpeg, image);
}

const char *__real_gzerror(gzFile file, int *number);
const char *__wrap_gzerror(gzFile file, int *number);
const char *__wrap_gzerror(gzFile file, int *number)
{
    const char *text = __real_gzerror(file, number);
    if (fails("gzerror", __builtin_return_address(0), ENOMEM))
        *number = Z_MEM_ERROR;
    return text;
}

int __real_gzread(gzFile file, voidp to, unsigned length);
int __wrap_gzread(gzFile file, voidp to, unsigned length);
int __wrap_gzread(gzFile file, voidp to, unsigned length)
{
    return fails("gzread", __builtin_return_address(0), EIO) ? -1 : __real_gzread(file, to, length);
}

/* Those with something at their end, where there is one. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const int mode = (flags & O_CREAT) != 0 ? va_arg(more, int) : 0;
    va_end(more);
    return fails("open", __builtin_return_address(0), EMFILE) ? -1 : __real_open(path, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list more;
    va_start(more, command);
    const int value = va_arg(more, int);
    va_end(more);
    return fails("fcntl", __builtin_return_address(0), EMFILE) ? -1 : __real_fcntl(fd, command, value);
}

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const int mode = (flags & O_CREAT) != 0 ? va_arg(more, int) : 0;
    va_end(more);
    return fails("openat", __builtin_return_address(0), EMFILE) ? -1
                                                                : __real_openat(folder, path, flags, mode);
}

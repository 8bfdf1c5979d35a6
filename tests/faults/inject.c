/* A library for LD_PRELOAD that makes a chosen call of the C library fail, for tests/faults/faults.py. Environment:
 *
 * FAULT        CLASS:N:ERRNO[:MODE]: the Nth call of that class, counted over all processes of the run, fails with that
 *              errno. MODE: once, the default; on, that call and all of its class after it; short, a write writes the
 *              half; kill, the whole process group is killed there. CLASS@SITE counts the calls of that site
 *              alone; CLASS@SITE+M looks at the site from WINDOW calls of the class before its Mth on, which is faster.
 * FAULT_SHARED a file of struct shared, which all processes count in; it tells whether the fault was met.
 * FAULT_SITES  a file that gets a line for every call: its class and its site, a hash of the calls that led to it:
 *              the six innermost, or only three where these are in libraries, whose insides are deep.
 *
 * Streams that write to the terminal are left alone: what is said there is what the test reads. Of the C library's own
 * calls only those are met that go through the dynamic linker: writes of streams are failed as fwrite and fflush. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In the order in which faults.py names them. */
enum class {
    WRITE,
    FSYNC,
    RENAME,
    OPEN,
    MKDIR,
    MMAP,
    THREAD,
    FORK,
    READ,
    FLOCK,
    TRUNCATE,
    UNLINK,
    STAT,
    MALLOC,
    CLASSES
};
static const char *const names[CLASSES] = {"write",    "fsync",  "rename", "open",  "mkdir",
                                           "mmap",     "thread", "fork",   "read",  "flock",
                                           "truncate", "unlink", "stat",   "malloc"};
enum { FRAMES = 6, FOREIGN_FRAMES = 3, OWN_FRAMES = 2, MODULES = 128, WINDOW = 2000 };

struct shared {
    atomic_long calls[CLASSES];
    atomic_long here; /* calls of the site where one shall fail */
    atomic_long met;
};

static struct {
    bool ready;
    enum class class;
    long at;
    int error;
    bool on, half, deadly;
    uint64_t site;
    long from; /* the call of the class from which on sites are looked at */
    int sites; /* the file's descriptor; -1: none */
} fault = {.class = CLASSES, .sites = -1};
static struct shared own, *shared = &own;
static __thread int inside;

/* ---- sites ---- */

struct module {
    uintptr_t begin, end;
};
static struct module modules[MODULES];
static int module_count;

static int note_module(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    uintptr_t begin = UINTPTR_MAX, end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        begin = from < begin ? from : begin;
        end = from + info->dlpi_phdr[i].p_memsz > end ? from + info->dlpi_phdr[i].p_memsz : end;
    }
    if (module_count < MODULES)
        modules[module_count++] = (struct module){begin, end};
    return 0;
}

/* The same in every process, wherever the loader has put things. */
static uint64_t site_here(void)
{
    void *frames[FRAMES + OWN_FRAMES];
    uint64_t hash = 1469598103934665603u;
    const int count = backtrace(frames, FRAMES + OWN_FRAMES);
    for (int i = OWN_FRAMES, foreign = 0; i < count && foreign < FOREIGN_FRAMES; i++) {
        const uintptr_t frame = (uintptr_t)frames[i];
        int m = 0; /* the program is the first of the modules */
        while (m < module_count && (frame < modules[m].begin || frame >= modules[m].end))
            m++;
        hash =
            (hash ^ (m < module_count ? (uint64_t)m << 48 | (frame - modules[m].begin) : 0)) * 1099511628211u;
        foreign += m != 0;
    }
    return hash;
}

/* ---- which call ---- */

__attribute__((constructor)) static void begin(void)
{
    char class[64] = "", mode[16] = "";
    const char *text = getenv("FAULT"), *file = getenv("FAULT_SHARED"), *sites = getenv("FAULT_SITES");
    inside++;
    dl_iterate_phdr(note_module, NULL);
    if (text != NULL && sscanf(text, "%63[^:]:%ld:%d:%15s", class, &fault.at, &fault.error, mode) >= 3) {
        char *place = strchr(class, '@');
        if (place != NULL) {
            char *end;
            fault.site = strtoull(place + 1, &end, 16);
            fault.from = (*end == '+' ? atol(end + 1) : 0) - WINDOW;
            *place = '\0';
        }
        for (int k = 0; k < CLASSES; k++)
            if (strcmp(class, names[k]) == 0)
                fault.class = (enum class)k;
        fault.on = strcmp(mode, "on") == 0;
        fault.half = strcmp(mode, "short") == 0;
        fault.deadly = strcmp(mode, "kill") == 0;
    }
    if (sites != NULL)
        fault.sites = (int)syscall(SYS_open, sites, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const int fd = file != NULL ? (int)syscall(SYS_open, file, O_RDWR | O_CREAT, 0666) : -1;
    if (fd >= 0 && syscall(SYS_ftruncate, fd, sizeof(*shared)) == 0) {
        const long at = syscall(SYS_mmap, NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
        if (at != -1)
            shared = (struct shared *)at;
        syscall(SYS_close, fd);
    }
    if (fault.sites >= 0 || fault.site != 0)
        site_here(); /* its first call loads a library */
    inside--;
    fault.ready = true;
}

static uint64_t site_told(enum class class)
{
    char line[48];
    inside++;
    const uint64_t site = site_here();
    if (fault.sites >= 0)
        syscall(SYS_write, fault.sites, line,
                (size_t)snprintf(line, sizeof(line), "%s %016llx\n", names[class], (unsigned long long)site));
    inside--;
    return site;
}

/* Whether that call of the class is the one that shall fail, or one behind it where all do. */
static bool is_chosen(enum class class, long call)
{
    const bool met = atomic_load(&shared->met) != 0;
    if (class != fault.class)
        return false;
    if (met)
        return fault.on;
    if (fault.site == 0)
        return call == fault.at;
    return call >= fault.from && site_told(class) == fault.site &&
           atomic_fetch_add(&shared->here, 1) + 1 == fault.at;
}

static bool hit(enum class class)
{
    if (!fault.ready || inside > 0)
        return false;
    const long call = atomic_fetch_add(&shared->calls[class], 1) + 1;
    if (fault.sites >= 0)
        site_told(class);
    if (!is_chosen(class, call))
        return false;
    atomic_store(&shared->met, 1);
    if (fault.deadly)
        kill(0, SIGKILL);
    errno = fault.error;
    return true;
}

/* ---- the calls ---- */

#define REAL(name)                                                                                           \
    __extension__({                                                                                          \
        static __typeof__(&name) real;                                                                       \
        if (real == NULL) {                                                                                  \
            inside++;                                                                                        \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                                       \
            inside--;                                                                                        \
        }                                                                                                    \
        real;                                                                                                \
    })

static bool is_said(FILE *stream)
{
    return stream == NULL || stream == stdout || stream == stderr;
}

/* A stream's error sticks to it, as after a failed write. */
static void spoil(FILE *stream)
{
    stream->_flags |= 0x20; /* glibc's _IO_ERR_SEEN */
    errno = fault.error;
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (fd > 2 && hit(WRITE))
        return fault.half && length > 1 ? REAL(write)(fd, data, length / 2) : -1;
    return REAL(write)(fd, data, length);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream)
{
    if (!is_said(stream) && hit(WRITE)) {
        spoil(stream);
        return 0;
    }
    return REAL(fwrite)(data, size, count, stream);
}

int fflush(FILE *stream)
{
    if (!is_said(stream) && hit(WRITE)) {
        spoil(stream);
        return EOF;
    }
    return REAL(fflush)(stream);
}

size_t fread(void *data, size_t size, size_t count, FILE *stream)
{
    if (hit(READ)) {
        spoil(stream);
        return 0;
    }
    return REAL(fread)(data, size, count, stream);
}

ssize_t read(int fd, void *data, size_t length)
{
    return hit(READ) ? -1 : REAL(read)(fd, data, length);
}

char *fgets(char *line, int size, FILE *stream)
{
    if (hit(READ)) {
        spoil(stream);
        return NULL;
    }
    return REAL(fgets)(line, size, stream);
}

/* errno is what readdir's caller has to look at. */
struct dirent *readdir(DIR *folder)
{
    return hit(READ) ? NULL : REAL(readdir)(folder);
}

#define FAILS(class, type, failed, name, parameters, arguments)                                              \
    type name parameters                                                                                     \
    {                                                                                                        \
        return hit(class) ? (failed) : REAL(name) arguments;                                                 \
    }

FAILS(FSYNC, int, -1, fsync, (int fd), (fd))
FAILS(FSYNC, int, -1, fdatasync, (int fd), (fd))
FAILS(RENAME, int, -1, rename, (const char *from, const char *to), (from, to))
FAILS(RENAME, int, -1, renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
      (a, from, b, to, flags))
FAILS(RENAME, int, -1, link, (const char *from, const char *to), (from, to))
FAILS(MKDIR, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
FAILS(MKDIR, int, -1, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode))
FAILS(FLOCK, int, -1, flock, (int fd, int operation), (fd, operation))
FAILS(TRUNCATE, int, -1, ftruncate, (int fd, off_t length), (fd, length))
FAILS(UNLINK, int, -1, unlink, (const char *path), (path))
FAILS(UNLINK, int, -1, unlinkat, (int at, const char *path, int flags), (at, path, flags))
FAILS(STAT, int, -1, stat, (const char *path, struct stat *about), (path, about))
FAILS(STAT, int, -1, lstat, (const char *path, struct stat *about), (path, about))
FAILS(STAT, int, -1, fstat, (int fd, struct stat *about), (fd, about))
FAILS(STAT, int, -1, fstatat, (int at, const char *path, struct stat *about, int flags),
      (at, path, about, flags))
FAILS(OPEN, FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
FAILS(OPEN, FILE *, NULL, fdopen, (int fd, const char *mode), (fd, mode))
FAILS(OPEN, DIR *, NULL, opendir, (const char *path), (path))
FAILS(OPEN, DIR *, NULL, fdopendir, (int fd), (fd))
FAILS(FORK, pid_t, -1, fork, (void), ())
FAILS(MMAP, void *, MAP_FAILED, mmap,
      (void *at, size_t length, int protection, int flags, int fd, off_t offset),
      (at, length, protection, flags, fd, offset))

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    return hit(OPEN) ? -1 : REAL(open)(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    return hit(OPEN) ? -1 : REAL(openat)(at, path, flags, mode);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                   void *context)
{
    return hit(THREAD) ? fault.error : REAL(pthread_create)(thread, attributes, function, context);
}

/* ---- allocations: dlsym makes some, so that the C library's own names are taken ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *data, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    return hit(MALLOC) ? NULL : __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    return hit(MALLOC) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *data, size_t size)
{
    return hit(MALLOC) ? NULL : __libc_realloc(data, size);
}
void *aligned_alloc(size_t alignment, size_t size)
{
    return hit(MALLOC) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **data, size_t alignment, size_t size)
{
    void *made = hit(MALLOC) ? NULL : __libc_memalign(alignment, size);
    if (made == NULL)
        return ENOMEM;
    *data = made;
    return 0;
}

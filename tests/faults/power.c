/* A library for LD_PRELOAD that notes what is on the disk for good, for tests/faults/power.py. Environment:
 *
 * POWER_STORE   a folder that gets, at each fsync and fdatasync that went well, what was flushed: of a file its
 *               content, of a folder a line for each entry, its inode and its name. Each is named by its inode; what
 *               was there of it is replaced. Nothing is flushed before it is asked for: POSIX promises no more.
 *
 * Inodes must not be used again while the program runs: tmpfs counts them up. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    abort();
}

static void note_folder(int at, FILE *to)
{
    const int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL)
        fail("power.c: a folder");
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        fprintf(to, "%llu %s\n", (unsigned long long)entry->d_ino, entry->d_name);
    closedir(folder);
}

/* By a descriptor of its own: the program's may not be for reading, and has a place in the file. */
static void note_file(int fd, FILE *to)
{
    char path[64], part[4096];
    size_t length;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FILE *from = fopen(path, "re");
    if (from == NULL)
        fail("power.c: a file");
    while ((length = fread(part, 1, sizeof(part), from)) > 0)
        fwrite(part, 1, length, to);
    fclose(from);
}

static void note(int fd)
{
    const char *store = getenv("POWER_STORE");
    const int before = errno;
    struct stat about;
    char path[4096], aside[4200];
    if (store == NULL || fstat(fd, &about) != 0 || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode)))
        return;
    snprintf(path, sizeof(path), "%s/%llu", store, (unsigned long long)about.st_ino);
    snprintf(aside, sizeof(aside), "%s.%d.new", path, (int)gettid());
    FILE *to = fopen(aside, "we");
    if (to == NULL)
        fail(aside);
    if (S_ISDIR(about.st_mode))
        note_folder(fd, to);
    else
        note_file(fd, to);
    if (fclose(to) != 0 || rename(aside, path) != 0)
        fail(path);
    errno = before;
}

#define FLUSH(name)                                                                                          \
    int name(int fd)                                                                                         \
    {                                                                                                        \
        static int (*real)(int fd);                                                                          \
        if (real == NULL)                                                                                    \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                                       \
        const int status = real(fd);                                                                         \
        if (status == 0)                                                                                     \
            note(fd);                                                                                        \
        return status;                                                                                       \
    }

FLUSH(fsync)
FLUSH(fdatasync)

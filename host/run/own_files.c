#include "host/run/own_files.h"

#include "host/base/file.h"
#include "host/journal/journal.h"
#include "host/model/model_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* '#' stands for a number. */
static const char CHECKPOINT[] = "checkpoint-#.bin";
static const char *const top[] = {CHECKPOINT,           JOURNAL_NAME,
                                  JOURNAL_DAMAGED_NAME, "job.cfg",
                                  "restarts.txt",       MODEL_FILE_NAME,
                                  "report.txt",         "report.json",
                                  "report-#.txt",       "report-#.json",
                                  "predictions.csv",    "predictions-#.csv",
                                  "splits.csv",         NULL};
static const char *const models[] = {"#.safetensors", "#.losses", NULL};
#define PLOT(name) name ".png", name ".svg", name ".pdf", name ".csv"
static const char *const plots[] = {PLOT("learning"),  PLOT("progress"),    PLOT("family"),
                                    PLOT("network"),   PLOT("confusion"),   PLOT("confusion-#"),
                                    PLOT("shares"),    PLOT("shares-#"),    PLOT("labels"),
                                    PLOT("labels-#"),  PLOT("reliability"), PLOT("reliability-#"),
                                    PLOT("precision"), PLOT("precision-#"), PLOT("errors-#"),
                                    PLOT("budgets"),   PLOT("policy"),      NULL};
#undef PLOT

static const struct {
    const char *folder;
    const char *const *names;
} places[OWN_PLACES] = {
    [OWN_TOP] = {".", top}, [OWN_MODELS] = {"models", models}, [OWN_PLOTS] = {"plots", plots}};

/* Digits of the whole number from 0 that the text begins with, as printf writes it; 0: none. */
static size_t digits_of(const char *text)
{
    const size_t count = strspn(text, "0123456789");
    return count > 1 && text[0] == '0' ? 0 : count;
}

/* Bytes of `name` that are as the pattern says; 0: it does not begin so. *number becomes where its number is. */
static size_t match(const char *pattern, const char *name, const char **number)
{
    const char *at = name;
    for (; *pattern != '\0'; pattern++) {
        const size_t digits = *pattern == '#' ? digits_of(at) : 0;
        if (digits > 0)
            *number = at;
        else if (*pattern != *at)
            return 0;
        at += digits > 0 ? digits : 1;
    }
    return (size_t)(at - name);
}

static bool is_named(const char *pattern, const char *name, const char **number)
{
    const size_t length = match(pattern, name, number);
    return length > 0 && (name[length] == '\0' || file_is_aside_of(name, length));
}

bool own_name(enum own_place place, const char *name)
{
    const char *number;
    for (const char *const *pattern = places[place].names; *pattern != NULL; pattern++) {
        if (is_named(*pattern, name, &number))
            return true;
    }
    return false;
}

int32_t own_checkpoint(const char *name)
{
    const char *number = NULL;
    if (!is_named(CHECKPOINT, name, &number))
        return -1;
    errno = 0;
    const long id = strtol(number, NULL, 10);
    return errno == 0 && id <= INT32_MAX ? (int32_t)id : -1;
}

/* Opens the place; NULL with ST_OK where it is not there. */
static enum status open_place(int folder, const char *path, enum own_place place, DIR **list,
                              struct error *err)
{
    *list = NULL;
    int fd = openat(folder, places[place].folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ST_OK;
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return error_set(
            err, ST_RANGE,
            "%s/%s: is a symbolic link or a file, expected a folder; nothing is written or removed "
            "through links: remove it, or choose another output.dir",
            path, places[place].folder);
    *list = fd >= 0 ? fdopendir(fd) : NULL;
    if (*list != NULL)
        return ST_OK;
    error_system(err, errno, "%s/%s", path, places[place].folder);
    if (fd >= 0)
        close(fd);
    return err->status;
}

enum status own_check_folders(int folder, const char *path, struct error *err)
{
    enum status st = ST_OK;
    for (enum own_place place = OWN_MODELS; st == ST_OK && place < OWN_PLACES; place++) {
        DIR *list;
        st = open_place(folder, path, place, &list, err);
        if (list != NULL)
            closedir(list);
    }
    return st;
}

/* What may be there before a run's first event: an empty journal, its job. */
static bool is_first(const char *name)
{
    static const char *const names[] = {JOURNAL_NAME, "job.cfg"};
    return strncmp(name, names[0], strlen(names[0])) == 0 || strncmp(name, names[1], strlen(names[1])) == 0;
}

enum status own_check_empty(int folder, const char *path, struct error *err)
{
    enum status st = ST_OK;
    for (enum own_place place = OWN_TOP; st == ST_OK && place < OWN_PLACES; place++) {
        DIR *list;
        st = open_place(folder, path, place, &list, err);
        for (struct dirent *entry; st == ST_OK && list != NULL && (entry = readdir(list)) != NULL;) {
            if (own_name(place, entry->d_name) && !is_first(entry->d_name))
                st = error_set(
                    err, ST_RANGE,
                    "%s: holds %s%s%s and no journal, so that nobody knows whose it is; move it away, or "
                    "choose another output.dir",
                    path, place == OWN_TOP ? "" : places[place].folder, place == OWN_TOP ? "" : "/",
                    entry->d_name);
        }
        if (list != NULL)
            closedir(list);
    }
    return st;
}

static enum status remove_at(int folder, const char *path, const char *name, struct error *err)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return ST_OK;
    return error_system(err, errno, "%s/%s", path, name);
}

enum status own_remove(int folder, const char *path, struct error *err)
{
    enum status st = own_check_folders(folder, path, err); /* all or nothing */
    for (enum own_place place = OWN_TOP; st == ST_OK && place < OWN_PLACES; place++) {
        DIR *list;
        st = open_place(folder, path, place, &list, err);
        for (struct dirent *entry; st == ST_OK && list != NULL && (entry = readdir(list)) != NULL;) {
            if (own_name(place, entry->d_name) && strcmp(entry->d_name, JOURNAL_NAME) != 0)
                st = remove_at(dirfd(list), path, entry->d_name, err);
        }
        if (list != NULL)
            closedir(list);
    }
    if (st == ST_OK)
        st = remove_at(folder, path, JOURNAL_NAME, err);
    return st;
}

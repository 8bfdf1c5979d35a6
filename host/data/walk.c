#include "host/data/walk.h"

#include "host/base/array.h"
#include "host/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* How far below a folder runs of nasrun are looked for: runs/NAME. */
enum { OWN_DEPTH = 2 };

void walk_free(struct walk_folder *all)
{
    for (int32_t i = 0; i < all->count; i++)
        free(all->entries[i].name);
    free(all->entries);
    *all = (struct walk_folder){0};
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct walk_entry *)a)->name, ((const struct walk_entry *)b)->name);
}

static enum status add_entry(struct walk_folder *all, const char *name, const struct stat *about,
                             struct error *err)
{
    struct walk_entry *entries =
        array_with_room(all->entries, all->count, &all->capacity, sizeof(*entries), "a folder's names", err);
    if (entries == NULL)
        return ST_MEMORY;
    all->entries = entries;
    char *copy = strdup(name);
    if (copy == NULL)
        return error_memory(err, "a folder's names", strlen(name) + 1);
    all->entries[all->count++] = (struct walk_entry){
        .name = copy,
        .kind = S_ISDIR(about->st_mode)   ? WALK_FOLDER
                : S_ISREG(about->st_mode) ? WALK_FILE
                                          : WALK_OTHER,
        .size = about->st_size,
        .modified = (int64_t)about->st_mtim.tv_sec * 1000000000 + about->st_mtim.tv_nsec,
    };
    return ST_OK;
}

/* Folders and files that systems put beside people's. */
static bool is_systems(const char *name, bool folder)
{
    static const char *const folders[] = {"@eaDir",
                                          "__MACOSX",
                                          "#recycle",
                                          "@Recycle",
                                          "$RECYCLE.BIN",
                                          "lost+found",
                                          "System Volume Information",
                                          "__pycache__",
                                          "@__thumb"};
    static const char *const files[] = {"Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"};
    for (size_t i = 0; folder && i < sizeof(folders) / sizeof(folders[0]); i++)
        if (strcasecmp(name, folders[i]) == 0)
            return true;
    for (size_t i = 0; !folder && i < sizeof(files) / sizeof(files[0]); i++)
        if (strcasecmp(name, files[i]) == 0)
            return true;
    return false;
}

/* What an entry is, links followed; looked up only where the folder itself does not say. */
static enum walk_kind kind_of(DIR *folder, const struct dirent *entry)
{
    struct stat about;
    if (entry->d_type == DT_REG)
        return WALK_FILE;
    if (entry->d_type == DT_DIR)
        return WALK_FOLDER;
    if (fstatat(dirfd(folder), entry->d_name, &about, 0) != 0)
        return WALK_OTHER;
    return S_ISREG(about.st_mode) ? WALK_FILE : S_ISDIR(about.st_mode) ? WALK_FOLDER : WALK_OTHER;
}

/* A run folder of nasrun, its cache, or a folder of nothing but run folders. Those have no images beside what betrays
 * them. */
static bool is_own(const char *path, int depth)
{
    bool own = false, other = false, image = false;
    int32_t folders = 0, runs = 0;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (const struct dirent *entry = readdir(folder); entry != NULL && !own && !image;
         entry = readdir(folder)) {
        const char *name = entry->d_name;
        if (name[0] == '.')
            continue;
        switch (kind_of(folder, entry)) {
        case WALK_FILE:
            own = strcmp(name, "job.cfg") == 0 || strcmp(name, "journal.jsonl") == 0 ||
                  fnmatch("*.nasdata", name, 0) == 0;
            image = data_is_image_name(name, &other);
            break;
        case WALK_FOLDER: {
            char *inner = depth > 1 ? file_join(path, name) : NULL;
            folders++;
            runs += inner != NULL && is_own(inner, depth - 1);
            free(inner);
            break;
        }
        case WALK_OTHER:
            break;
        }
    }
    closedir(folder);
    return own || (!image && folders > 0 && runs == folders);
}

bool walk_is_image(const char *path, const struct walk_entry *entry, bool *other)
{
    if (data_is_image_name(entry->name, other))
        return true;
    return !*other && strrchr(entry->name, '.') == NULL && entry->kind == WALK_FILE && image_is_one(path);
}

enum status walk_glance(const char *path, const struct walk_folder *beside, struct walk_glance *glance,
                        struct error *err)
{
    *glance = (struct walk_glance){0};
    DIR *folder = opendir(path);
    if (folder == NULL)
        return data_file_error(err, errno, path);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        const char *name = entry->d_name;
        bool other = false;
        const enum walk_kind kind = kind_of(folder, entry);
        if (name[0] == '.' || is_systems(name, kind == WALK_FOLDER))
            continue;
        glance->images += kind == WALK_FILE && (data_is_image_name(name, &other) || other);
        if (kind != WALK_FOLDER)
            continue;
        if (glance->folders < 2)
            snprintf(glance->first[glance->folders], sizeof(glance->first[0]), "%.60s", name);
        glance->folders++;
        for (int32_t k = 0; beside != NULL && k < beside->count; k++)
            glance->twins +=
                beside->entries[k].kind == WALK_FOLDER && strcmp(beside->entries[k].name, name) == 0;
    }
    closedir(folder);
    return ST_OK;
}

/* Whether the folder is one of those on the way to it. */
static bool leads_back(const struct walk_above *here)
{
    for (const struct walk_above *above = here->up; above != NULL; above = above->up)
        if (above->device == here->device && above->file == here->file)
            return true;
    return false;
}

static enum status take_entry(struct data_list *list, DIR *folder, const char *path, const char *name,
                              struct walk_folder *all, struct error *err)
{
    struct stat about;
    if (fstatat(dirfd(folder), name, &about, 0) != 0) {
        const int number = errno;
        if (list->unlabelled)
            return add_entry(all, name, &(struct stat){0}, err);
        char *inner = file_join(path, name);
        if (inner == NULL)
            return data_no_path(path, name, err);
        data_file_error(err, number, inner);
        free(inner);
        return data_list_problem(list, err);
    }
    bool passed = is_systems(name, S_ISDIR(about.st_mode));
    if (!passed && S_ISDIR(about.st_mode)) {
        char *inner = file_join(path, name);
        if (inner == NULL)
            return data_no_path(path, name, err);
        passed = is_own(inner, OWN_DEPTH);
        free(inner);
    }
    return passed ? data_list_pass(list, name, err) : add_entry(all, name, &about, err);
}

enum status walk_read(struct data_list *list, const char *path, struct walk_above *here,
                      struct walk_folder *all, struct error *err)
{
    enum status st = ST_OK;
    struct stat about;
    *all = (struct walk_folder){0};
    if (data_list_goes_on(list, err) != ST_OK)
        return err->status;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return data_file_error(err, errno, path);
    if (fstat(dirfd(folder), &about) != 0) {
        st = error_system(err, errno, "%s", path);
        goto out;
    }
    here->device = about.st_dev;
    here->file = about.st_ino;
    if (leads_back(here)) {
        st = error_set(err, ST_FORMAT, "%s: a symbolic link that leads back to a folder above it", path);
        goto out;
    }
    for (errno = 0;;) {
        const struct dirent *entry = readdir(folder);
        if (entry == NULL)
            break;
        if (entry->d_name[0] != '.')
            st = take_entry(list, folder, path, entry->d_name, all, err);
        if (st != ST_OK)
            goto out;
        errno = 0;
    }
    if (errno != 0)
        st = error_system(err, errno, "%s", path);
    else if (all->count > 0)
        qsort(all->entries, (size_t)all->count, sizeof(*all->entries), compare_entries);
out:
    closedir(folder);
    if (st != ST_OK)
        walk_free(all);
    return st;
}

/* Class folders: ROOT/class/..., or with given splits ROOT/train/class/..., ROOT/val/class/...,
 * ROOT/test/class/... Inside a class folder images may lie in further folders. Hidden files and files that
 * are no images are passed over. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Links may lead a folder back into itself. */
enum { FOLDER_DEPTH_MAX = 8 };

struct entry {
    char *name;
    bool folder;
    int64_t size, modified;
};

struct entries {
    struct entry *entries;
    int32_t count, capacity;
};

static void entries_free(struct entries *all)
{
    for (int32_t i = 0; i < all->count; i++)
        free(all->entries[i].name);
    free(all->entries);
    *all = (struct entries){0};
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static enum status entries_add(struct entries *all, const char *name, const struct stat *about,
                               struct error *err)
{
    if (all->count == all->capacity) {
        int32_t capacity = all->capacity > 0 ? 2 * all->capacity : 64;
        struct entry *larger = realloc(all->entries, (size_t)capacity * sizeof(*larger));
        if (larger == NULL)
            return error_memory(err, "a folder's names", (unsigned long long)capacity * sizeof(*larger));
        all->entries = larger;
        all->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return error_memory(err, "a folder's names", strlen(name) + 1);
    all->entries[all->count++] = (struct entry){
        .name = copy,
        .folder = S_ISDIR(about->st_mode),
        .size = about->st_size,
        .modified = (int64_t)about->st_mtim.tv_sec * 1000000000 + about->st_mtim.tv_nsec,
    };
    return ST_OK;
}

/* What is visible in the folder, sorted by name, so that the order never depends on the file system. */
static enum status entries_read(const char *path, struct entries *all, struct error *err)
{
    enum status st = ST_OK;
    struct stat about;
    *all = (struct entries){0};
    DIR *folder = opendir(path);
    if (folder == NULL)
        return error_system(err, errno, "%s", path);
    for (const struct dirent *entry = readdir(folder); entry != NULL && st == ST_OK;
         entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        if (fstatat(dirfd(folder), entry->d_name, &about, 0) != 0)
            st = error_system(err, errno, "%s/%s", path, entry->d_name);
        else
            st = entries_add(all, entry->d_name, &about, err);
    }
    closedir(folder);
    if (st != ST_OK)
        entries_free(all);
    else if (all->count > 0)
        qsort(all->entries, (size_t)all->count, sizeof(*all->entries), compare_entries);
    return st;
}

/* All images below a class folder. */
static enum status add_images(struct data_list *list, const char *path, int32_t label, int split, int depth,
                              struct error *err)
{
    struct entries all;
    if (depth > FOLDER_DEPTH_MAX)
        return error_set(err, ST_FORMAT, "%s: more than %d folders deep below its class folder", path,
                         FOLDER_DEPTH_MAX);
    enum status st = entries_read(path, &all, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < all.count && st == ST_OK; i++) {
        const struct entry *entry = &all.entries[i];
        bool other = false;
        if (!entry->folder && !data_is_image_name(entry->name, &other)) {
            if (other) {
                error_set(err, ST_UNSUPPORTED, "%s/%s: an image of another kind, expected PNG or JPEG", path,
                          entry->name);
                st = data_list_problem(list, err);
            }
            continue;
        }
        char *inner = file_join(path, entry->name);
        if (inner == NULL) {
            st = error_memory(err, entry->name, strlen(path) + strlen(entry->name) + 2);
        } else if (entry->folder) {
            st = add_images(list, inner, label, split, depth + 1, err);
            free(inner);
        } else {
            struct data_item item = {.path = inner,
                                     .size = entry->size,
                                     .modified = entry->modified,
                                     .label = label,
                                     .split = (uint8_t)split};
            st = data_list_add(list, &item, err);
        }
    }
    entries_free(&all);
    return st;
}

/* A class folder must hold something: an empty one is a class that got lost. Files that were left out count.
 */
static enum status add_class(struct data_list *list, const char *path, const char *name, int split,
                             struct error *err)
{
    int32_t label = 0, before = list->count + list->skipped;
    enum status st = data_list_class(list, name, &label, err);
    if (st == ST_OK)
        st = add_images(list, path, label, split, 0, err);
    if (st == ST_OK && list->count + list->skipped == before)
        st =
            error_set(err, ST_FORMAT, "%s: no images in this class folder, expected PNG or JPEG files", path);
    return st;
}

/* The class folders of one split. An image beside them has no label. */
static enum status add_classes(struct data_list *list, const char *path, const struct entries *all, int split,
                               struct error *err)
{
    enum status st = ST_OK;
    int32_t classes = 0;
    for (int32_t i = 0; i < all->count && st == ST_OK; i++) {
        const struct entry *entry = &all->entries[i];
        bool other = false;
        if (entry->folder) {
            char *inner = file_join(path, entry->name);
            st = inner != NULL ? add_class(list, inner, entry->name, split, err)
                               : error_memory(err, entry->name, strlen(path) + strlen(entry->name) + 2);
            free(inner);
            classes++;
        } else if (data_is_image_name(entry->name, &other) || other) {
            error_set(err, ST_FORMAT, "%s/%s: image without a label, expected it inside a class folder", path,
                      entry->name);
            st = data_list_problem(list, err);
        }
    }
    if (st == ST_OK && classes == 0)
        st = error_set(err, ST_FORMAT, "%s: no class folders found, expected a folder for each class", path);
    return st;
}

/* A split's folder is read like a root of its own. */
static enum status add_split(struct data_list *list, const char *root, const char *name, int split,
                             struct error *err)
{
    struct entries all = {0};
    char *path = file_join(root, name);
    if (path == NULL)
        return error_memory(err, name, strlen(root) + strlen(name) + 2);
    enum status st = entries_read(path, &all, err);
    if (st == ST_OK)
        st = add_classes(list, path, &all, split, err);
    entries_free(&all);
    free(path);
    return st;
}

enum status data_list_folder(const struct job_dataset *job, struct data_list *list, struct error *err)
{
    struct entries all;
    bool has_training = false;
    const char *taken[SPLIT_COUNT] = {0};

    enum status st = entries_read(job->path, &all, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < all.count; i++)
        if (all.entries[i].folder && data_split_of_word(all.entries[i].name) == SPLIT_TRAIN)
            has_training = true;
    if (!has_training) {
        st = add_classes(list, job->path, &all, SPLIT_TRAIN, err);
        goto out;
    }
    for (int32_t i = 0; i < all.count && st == ST_OK; i++) {
        const char *name = all.entries[i].name;
        if (!all.entries[i].folder)
            continue;
        int split = data_split_of_word(name);
        if (split < 0)
            st = error_set(err, ST_FORMAT,
                           "%s/%s: a folder beside the split folders, expected train, val and test",
                           job->path, name);
        else if (taken[split] != NULL)
            st =
                error_set(err, ST_FORMAT, "%s: folders %s and %s are of the same split, expected one of them",
                          job->path, taken[split], name);
        else
            st = add_split(list, job->path, name, split, err);
        if (split >= 0)
            taken[split] = name;
    }
out:
    entries_free(&all);
    return st;
}

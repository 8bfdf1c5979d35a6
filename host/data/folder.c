/* Class folders: ROOT/class/..., or with given splits ROOT/train/class/..., ROOT/val/class/...,
 * ROOT/test/class/... Inside a class folder images may lie in further folders. Hidden files, files that are no images,
 * and what systems, cameras' boxes and nasrun itself put beside images are passed over; walk.c reads the folders. */
#include "host/base/file.h"
#include "host/data/walk.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Further folders than that below a class folder are a mistake. */
enum { FOLDER_DEPTH_MAX = 8 };

/* One file of a class folder. */
static enum status add_file(struct data_list *list, const char *folder, const struct walk_entry *entry,
                            int32_t label, int split, struct error *err)
{
    bool other = false;
    char *path = file_join(folder, entry->name);
    if (path == NULL)
        return data_no_path(folder, entry->name, err);
    const char *end = strrchr(entry->name, '.');
    const bool image = walk_is_image(path, entry, &other);
    if (image && entry->kind == WALK_FILE) {
        struct data_item item = {.path = path,
                                 .size = entry->size,
                                 .modified = entry->modified,
                                 .label = label,
                                 .split = (uint8_t)split};
        return data_list_add(list, &item, err);
    }
    enum status st;
    if (image || other) {
        error_set(err, ST_UNSUPPORTED,
                  other ? WALK_OTHER_IMAGE
                        : "%s: no regular file, expected PNG, JPEG, WebP, GIF, TIFF or BMP",
                  path);
        st = data_list_problem(list, err);
    } else {
        st = data_list_pass(list, end != NULL ? end : "without an ending", err);
    }
    free(path);
    return st;
}

/* All images below a class folder. */
static enum status add_images(struct data_list *list, const char *path, const struct walk_above *above,
                              int32_t label, int split, int depth, struct error *err)
{
    struct walk_folder all;
    struct walk_above here = {.up = above};
    if (depth > FOLDER_DEPTH_MAX) {
        error_set(err, ST_FORMAT, "%s: more than %d folders deep below its class folder", path,
                  FOLDER_DEPTH_MAX);
        return data_list_problem(list, err);
    }
    enum status st = walk_read(list, path, &here, &all, err);
    if (st != ST_OK)
        return data_list_problem(list, err);
    for (int32_t i = 0; i < all.count && st == ST_OK; i++) {
        const struct walk_entry *entry = &all.entries[i];
        if (entry->kind != WALK_FOLDER) {
            st = add_file(list, path, entry, label, split, err);
            continue;
        }
        char *inner = file_join(path, entry->name);
        st = inner != NULL ? add_images(list, inner, &here, label, split, depth + 1, err)
                           : data_no_path(path, entry->name, err);
        free(inner);
    }
    walk_free(&all);
    return st;
}

/* A class folder must hold something: an empty one is a class that got lost. Files that were left out count. Under
 * "skip" classes without images are left out later. */
static enum status add_class(struct data_list *list, const char *path, const char *name,
                             const struct walk_above *above, int split, struct error *err)
{
    int32_t label = 0, before = list->count + list->skipped;
    enum status st = data_list_class(list, name, &label, err);
    if (st == ST_OK)
        st = add_images(list, path, above, label, split, 0, err);
    if (st == ST_OK && !list->skip && list->count + list->skipped == before)
        st = error_set(err, ST_FORMAT,
                       "%s: no images in this class folder, expected PNG, JPEG, WebP, GIF, TIFF or BMP files",
                       path);
    return st;
}

/* One class folder, unless it is no class: the whole set once more. */
static enum status add_class_folder(struct data_list *list, const char *root, const struct walk_folder *all,
                                    const char *name, const struct walk_above *above, int split,
                                    struct error *err)
{
    struct walk_glance glance;
    char *path = file_join(root, name);
    if (path == NULL)
        return data_no_path(root, name, err);
    enum status st = walk_glance(path, all, &glance, err);
    if (st != ST_OK) {
        st = data_list_problem(list, err);
    } else if (glance.twins >= 2) {
        error_set(err, ST_FORMAT,
                  "%s: holds %d folders that are called like class folders beside it, expected images; an "
                  "archive that "
                  "was unpacked into itself is to be removed",
                  path, glance.twins);
        st = data_list_problem(list, err);
    } else {
        st = add_class(list, path, name, above, split, err);
    }
    free(path);
    return st;
}

/* The class folders of one split. An image beside them has no label. */
static enum status add_classes(struct data_list *list, const char *path, const struct walk_folder *all,
                               const struct walk_above *above, int split, struct error *err)
{
    enum status st = ST_OK;
    int32_t classes = 0;
    for (int32_t i = 0; i < all->count && st == ST_OK; i++) {
        const struct walk_entry *entry = &all->entries[i];
        bool other = false;
        if (entry->kind == WALK_FOLDER) {
            st = add_class_folder(list, path, all, entry->name, above, split, err);
            classes++;
        } else if (data_is_image_name(entry->name, &other) || other) {
            error_set(err, ST_FORMAT, "%s/%s: image without a label, expected it inside a class folder", path,
                      entry->name);
            st = data_list_problem(list, err);
        } else {
            st = data_list_pass(
                list, strrchr(entry->name, '.') != NULL ? strrchr(entry->name, '.') : "without an ending",
                err);
        }
    }
    if (st == ST_OK && classes == 0)
        st = error_set(err, ST_FORMAT, "%s: no class folders found, expected a folder for each class", path);
    return st;
}

static int32_t count_folders(const struct walk_folder *all, const char **first)
{
    int32_t count = 0;
    for (int32_t i = 0; i < all->count; i++)
        if (all->entries[i].kind == WALK_FOLDER && count++ == 0)
            *first = all->entries[i].name;
    return count;
}

/* A split's folder is read like a root of its own: one with images and no folders has no labels, and one that holds a
 * single folder of the same split is an archive's outer one. */
static enum status add_split(struct data_list *list, const char *path, const struct walk_above *above,
                             int split, struct error *err)
{
    struct walk_folder all;
    struct walk_above here = {.up = above};
    const char *only = NULL;
    bool other = false;
    int32_t images = 0;
    enum status st = walk_read(list, path, &here, &all, err);
    if (st != ST_OK)
        return st;
    const int32_t folders = count_folders(&all, &only);
    for (int32_t i = 0; i < all.count; i++)
        images +=
            all.entries[i].kind == WALK_FILE && (data_is_image_name(all.entries[i].name, &other) || other);
    if (folders == 0 && images > 0 && split != SPLIT_TRAIN) {
        error_set(
            err, ST_FORMAT,
            "%s: %d images without class folders, which tell no labels, expected a folder for each class; "
            "this folder can't be used and is to be moved away",
            path, images);
        st = data_list_problem(list, err);
    } else if (folders == 1 && images == 0 && data_split_of_word(only) == split) {
        char *inner = file_join(path, only);
        st = inner != NULL ? add_split(list, inner, &here, split, err) : data_no_path(path, only, err);
        free(inner);
    } else {
        st = add_classes(list, path, &all, &here, split, err);
    }
    walk_free(&all);
    return st;
}

static enum status add_splits(struct data_list *list, const char *root, const struct walk_folder *all,
                              const struct walk_above *above, struct error *err)
{
    enum status st = ST_OK;
    const char *taken[SPLIT_COUNT] = {0};
    for (int32_t i = 0; i < all->count && st == ST_OK; i++) {
        const char *name = all->entries[i].name;
        if (all->entries[i].kind != WALK_FOLDER)
            continue;
        int split = data_split_of_word(name);
        char *path = file_join(root, name);
        if (path == NULL) {
            st = data_no_path(root, name, err);
        } else if (split < 0) {
            error_set(err, ST_FORMAT, "%s: a folder beside the split folders, expected train, val and test",
                      path);
            st = data_list_problem(list, err);
        } else if (taken[split] != NULL) {
            st =
                error_set(err, ST_FORMAT, "%s: folders %s and %s are of the same split, expected one of them",
                          root, taken[split], name);
        } else {
            st = add_split(list, path, above, split, err);
        }
        free(path);
        if (split >= 0)
            taken[split] = name;
    }
    return st;
}

/* A folder without splits, or with some but not that for training; or all lies one level deeper. */
static enum status add_root(struct data_list *list, const char *root, const struct walk_folder *all,
                            const struct walk_above *above, struct error *err)
{
    const char *only = NULL;
    struct walk_glance glance;
    for (int32_t i = 0; i < all->count; i++) {
        const char *name = all->entries[i].name;
        const int split = all->entries[i].kind == WALK_FOLDER ? data_split_of_word(name) : -1;
        if (split == SPLIT_TEST || (split == SPLIT_VALIDATION && strncasecmp(name, "val", 3) == 0))
            return error_set(
                err, ST_FORMAT,
                "%s: a folder %s and none for training, expected train beside it (or, for classes of such "
                "names, a list)",
                root, name);
    }
    if (count_folders(all, &only) == 1) {
        char *path = file_join(root, only);
        if (path == NULL)
            return data_no_path(root, only, err);
        enum status st = walk_glance(path, NULL, &glance, err);
        if (st == ST_OK && glance.images == 0 && glance.folders >= 2)
            st = error_set(err, ST_FORMAT,
                           "%s: one folder only, which holds %d folders (%s, %s%s), expected class folders; "
                           "dataset.path is probably %s",
                           root, glance.folders, glance.first[0], glance.first[1],
                           glance.folders > 2 ? ", ..." : "", path);
        free(path);
        if (st != ST_OK)
            return st;
    }
    return add_classes(list, root, all, above, SPLIT_TRAIN, err);
}

enum status data_list_folder(const struct job_dataset *job, struct data_list *list, struct error *err)
{
    struct walk_folder all;
    struct walk_above here = {0};
    bool has_training = false;
    enum status st = walk_read(list, job->path, &here, &all, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < all.count; i++)
        if (all.entries[i].kind == WALK_FOLDER && data_split_of_word(all.entries[i].name) == SPLIT_TRAIN)
            has_training = true;
    st = has_training ? add_splits(list, job->path, &all, &here, err)
                      : add_root(list, job->path, &all, &here, err);
    walk_free(&all);
    return st;
}

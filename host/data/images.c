/* A folder's images, one after the other, without labels. */
#include "host/data/images.h"

#include "host/base/file.h"
#include "host/data/walk.h"

#include <stdlib.h>
#include <string.h>

/* A folder that is being walked through, and in `up` the one that it lies in. */
struct walk_level {
    struct walk_level *up;
    struct walk_above here;
    struct walk_folder all;
    int32_t next; /* of its entries */
    char *path;
};

struct image_walk {
    struct data_list list; /* for what the reading of folders counts */
    struct walk_level *level;
    char *path; /* that was given out last */
};

/* The walk goes on in the folder, whose name belongs to it afterwards, also on error. */
static enum status enter(struct image_walk *walk, char *path, struct error *err)
{
    struct walk_level *level = calloc(1, sizeof(*level));
    if (path == NULL || level == NULL) {
        free(path);
        free(level);
        return error_memory(err, "a folder's names", sizeof(*level));
    }
    *level = (struct walk_level){.up = walk->level, .path = path};
    level->here.up = walk->level != NULL ? &walk->level->here : NULL;
    enum status st = walk_read(&walk->list, path, &level->here, &level->all, err);
    if (st == ST_OK) {
        walk->level = level;
        return ST_OK;
    }
    free(path);
    free(level);
    return st;
}

static void leave(struct image_walk *walk)
{
    struct walk_level *level = walk->level;
    walk->level = level->up;
    walk_free(&level->all);
    free(level->path);
    free(level);
}

/* Nobody is asked, and nobody is told. */
static const struct data_way WAY = {0};

enum status image_walk_open(const char *folder, struct image_walk **walk, struct error *err)
{
    struct image_walk *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, folder, sizeof(*made));
    made->list = (struct data_list){.source = folder, .skip = true, .unlabelled = true, .way = &WAY};
    enum status st = enter(made, strdup(folder), err);
    if (st == ST_OK)
        *walk = made;
    else
        image_walk_close(made);
    return st;
}

enum status image_walk_next(struct image_walk *walk, const char **path, struct error *err)
{
    *path = NULL;
    while (walk->level != NULL) {
        struct walk_level *level = walk->level;
        if (level->next == level->all.count) {
            leave(walk);
            continue;
        }
        const struct walk_entry *entry = &level->all.entries[level->next++];
        bool other = false;
        char *inner = file_join(level->path, entry->name);
        if (inner == NULL)
            return data_no_path(level->path, entry->name, err);
        if (entry->kind == WALK_FOLDER) {
            enum status st = enter(walk, inner, err);
            if (st != ST_OK)
                return st;
            continue;
        }
        free(walk->path);
        walk->path = inner;
        if (walk_is_image(inner, entry, &other)) {
            *path = inner;
            return ST_OK;
        }
        if (other)
            return error_set(err, ST_UNSUPPORTED, WALK_OTHER_IMAGE, inner);
    }
    return ST_OK;
}

void image_walk_close(struct image_walk *walk)
{
    if (walk == NULL)
        return;
    while (walk->level != NULL)
        leave(walk);
    data_list_free(&walk->list);
    free(walk->path);
    free(walk);
}

/* What is in a folder, for the readers of this room: sorted by name, without what is no data. */
#ifndef NASRUN_DATA_WALK_H
#define NASRUN_DATA_WALK_H

#include "host/data/data_internal.h"

#include <sys/types.h>

enum walk_kind { WALK_FILE, WALK_FOLDER, WALK_OTHER /* named pipes, devices */ };

struct walk_entry {
    char *name;
    enum walk_kind kind;
    int64_t size, modified; /* bytes; nanoseconds since 1970 */
};

struct walk_folder {
    struct walk_entry *entries;
    int32_t count, capacity;
};

/* The folders on the way to one: links may lead back to one of them. */
struct walk_above {
    const struct walk_above *up; /* NULL: the root */
    dev_t device;
    ino_t file;
};

/* Reads the folder; here->up is set by the caller, the rest here. Hidden names are left out in silence; folders and
 * files of systems and of nasrun (thumbnails, bins, run folders, caches) are counted by data_list_pass; links to
 * nothing go through data_list_problem, or are WALK_OTHER in an unlabelled list. ST_FORMAT: not there, may not be
 * read, or one of those above it. */
enum status walk_read(struct data_list *list, const char *path, struct walk_above *here,
                      struct walk_folder *all, struct error *err);
void walk_free(struct walk_folder *all);

/* Whether an entry that is no folder is an image, by its name or, where that has no ending, by the first bytes of the
 * file `path`, which is it. *other: an image of a kind that can't be read. */
bool walk_is_image(const char *path, const struct walk_entry *entry, bool *other);
/* The message about those, of their path. */
#define WALK_OTHER_IMAGE "%s: an image of another kind, expected PNG, JPEG, WebP, GIF, TIFF or BMP"

/* The same in numbers, without looking at each file. */
struct walk_glance {
    int32_t folders, images;
    int32_t twins;     /* folders that are called like one of `beside`, which may be NULL */
    char first[2][64]; /* names of folders */
};
enum status walk_glance(const char *path, const struct walk_folder *beside, struct walk_glance *glance,
                        struct error *err);

#endif

/* Where the images come from: paths of files and folders, a list of them, or a data set. One after the other, so that a
 * million of them take no more memory than one. */
#ifndef NASRUN_TOOLS_PREDICT_SOURCE_H
#define NASRUN_TOOLS_PREDICT_SOURCE_H

#include "host/data/images.h"
#include "host/model/model_file.h"
#include "tools/predict/options.h"

#include <limits.h>

struct source {
    char **paths; /* the command line's */
    int32_t path_count;
    const char *list_name;
    FILE *list; /* NULL: there is none */
    bool null;
    int64_t line;            /* of the list, from 1 */
    char entry[PATH_MAX];    /* of the list */
    struct image_walk *walk; /* through a folder; NULL: not in one */
    char *folder;            /* that one's name */
    bool found;              /* an image in it */
    struct dataset data;
    enum data_split split;
    int32_t next; /* of the split's images; of the paths */
};

enum source_kind { SOURCE_END, SOURCE_IMAGE, SOURCE_FAILED };

struct source_item {
    enum source_kind kind;
    const char *name; /* of the image, as long as nothing else is asked for */
    int32_t image;    /* of the data; -1: `name` is a file */
};

/* `about` and `image` are the model's, which data must fit. Closed also on error. */
enum status source_open(struct source *source, const struct predict_options *options,
                        const struct model *model, struct error *err);
/* An image that cannot be had is SOURCE_FAILED, with why in err; behind it others may come. */
enum status source_next(struct source *source, struct source_item *item, struct error *err);
void source_close(struct source *source);

#endif

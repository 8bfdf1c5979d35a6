#include "tools/predict/source.h"

#include "host/base/file.h"
#include "tools/common/job_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- a data set ---- */

static enum status check_data(const struct dataset *data, const char *path, const struct model *model,
                              struct error *err)
{
    const struct shape image = model->graph.layers[0].shape;
    if (data->channels == image.c && data->height == image.h && data->width == image.w &&
        data->classes == model->about.classes)
        return ST_OK;
    return error_set(
        err, ST_FORMAT,
        "%s: its images have %d x %d x %d values and %d classes, expected %d x %d x %d and %d for this model",
        path, (int)data->channels, (int)data->height, (int)data->width, (int)data->classes, (int)image.c,
        (int)image.h, (int)image.w, (int)model->about.classes);
}

static enum status open_data(struct source *source, const struct predict_options *options,
                             const struct model *model, struct error *err)
{
    const struct data_way way = {.threads = options->threads, .log = stderr};
    source->split = options->split;
    enum status st = job_data_load(options->data, &way, &source->data, err);
    return st == ST_OK ? check_data(&source->data, options->data, model, err) : st;
}

/* ---- a list ---- */

enum status source_open(struct source *source, const struct predict_options *options,
                        const struct model *model, struct error *err)
{
    *source = (struct source){.paths = options->paths,
                              .path_count = options->path_count,
                              .list_name = options->list,
                              .null = options->null};
    if (options->data != NULL)
        return open_data(source, options, model, err);
    if (options->list == NULL)
        return ST_OK;
    source->list = strcmp(options->list, "-") == 0 ? stdin : fopen(options->list, "rbe");
    return source->list != NULL ? ST_OK : error_system(err, errno, "--list: %s", options->list);
}

/* The next entry's bytes up to its end, which is not among them; *length is larger than what the buffer holds for an
 * entry that is too long. False when there is none left. */
static bool read_entry(struct source *source, size_t *length)
{
    const int end = source->null ? '\0' : '\n';
    size_t used = 0;
    int byte;
    while ((byte = getc_unlocked(source->list)) != EOF && byte != end) {
        if (used < sizeof(source->entry) - 1)
            source->entry[used] = (char)byte;
        used++;
    }
    source->entry[used < sizeof(source->entry) ? used : sizeof(source->entry) - 1] = '\0';
    source->line++;
    *length = used;
    return byte != EOF || used > 0;
}

/* The next entry that is not empty, its path in *path; NULL at the end. ST_FORMAT for one that is no path. */
static enum status next_entry(struct source *source, const char **path, struct error *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* as some programs of Windows begin a text */
    size_t length;
    *path = NULL;
    while (read_entry(source, &length)) {
        char *text = source->entry;
        if (length >= sizeof(source->entry))
            return error_set(err, ST_FORMAT, "%s:%lld: a path of %zu bytes, expected at most %zu",
                             source->list_name, (long long)source->line, length, sizeof(source->entry) - 1);
        if (strlen(text) != length)
            return error_set(err, ST_FORMAT,
                             "%s:%lld: a zero byte in a line, expected --null when paths end with one",
                             source->list_name, (long long)source->line);
        if (!source->null && length > 0 && text[length - 1] == '\r')
            text[--length] = '\0';
        if (!source->null && source->line == 1 && strncmp(text, mark, strlen(mark)) == 0)
            text += strlen(mark);
        if (*text != '\0') {
            *path = text;
            return ST_OK;
        }
    }
    return ST_OK;
}

/* ---- one after the other ---- */

static enum status next_of_data(struct source *source, struct source_item *item)
{
    if (source->next < source->data.sample_count[source->split]) {
        item->kind = SOURCE_IMAGE;
        item->image = source->data.samples[source->split][source->next++];
        item->name = data_image_name(&source->data, item->image, source->entry, sizeof(source->entry));
    }
    return ST_OK;
}

static enum status failed(struct source_item *item, const struct error *err)
{
    item->kind = SOURCE_FAILED;
    return err->status == ST_MEMORY ? ST_MEMORY : ST_OK;
}

static void leave_folder(struct source *source)
{
    image_walk_close(source->walk);
    free(source->folder);
    source->walk = NULL;
    source->folder = NULL;
}

static enum status enter_folder(struct source *source, const char *path, struct error *err)
{
    source->folder = strdup(path);
    source->found = false;
    if (source->folder == NULL)
        return error_memory(err, path, strlen(path));
    enum status st = image_walk_open(path, &source->walk, err);
    if (st != ST_OK)
        leave_folder(source);
    return st;
}

/* The next image of the folder; a folder without any is a failure. Where nothing is left item->kind stays. */
static enum status next_of_folder(struct source *source, struct source_item *item, struct error *err)
{
    const char *path;
    const bool empty = !source->found;
    enum status st = image_walk_next(source->walk, &path, err);
    source->found = true; /* also what is told of */
    if (st != ST_OK)
        return failed(item, err);
    if (path != NULL) {
        item->kind = SOURCE_IMAGE;
        item->name = path;
        return ST_OK;
    }
    if (empty) {
        error_set(err, ST_FORMAT, "%s: no images in this folder", source->folder);
        item->kind = SOURCE_FAILED;
    }
    leave_folder(source);
    return ST_OK;
}

/* The next path of command line or list. */
static enum status next_path(struct source *source, const char **path, struct error *err)
{
    *path = NULL;
    if (source->list != NULL)
        return next_entry(source, path, err);
    if (source->next < source->path_count)
        *path = source->paths[source->next++];
    return ST_OK;
}

enum status source_next(struct source *source, struct source_item *item, struct error *err)
{
    struct stat about;
    *item = (struct source_item){.kind = SOURCE_END, .image = -1};
    if (source->data.count > 0)
        return next_of_data(source, item);
    while (item->kind == SOURCE_END) {
        const char *path;
        enum status st;
        if (source->walk != NULL) {
            st = next_of_folder(source, item, err);
            if (st != ST_OK || item->kind != SOURCE_END)
                return st;
            continue;
        }
        if (next_path(source, &path, err) != ST_OK)
            return failed(item, err);
        if (path == NULL)
            break;
        if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
            if (enter_folder(source, path, err) != ST_OK)
                return failed(item, err);
            continue;
        }
        item->kind = SOURCE_IMAGE;
        item->name = path;
    }
    if (source->list != NULL && ferror(source->list))
        return error_system(err, errno, "--list: %s", source->list_name);
    return ST_OK;
}

void source_close(struct source *source)
{
    leave_folder(source);
    if (source->list != NULL && source->list != stdin)
        fclose(source->list);
    data_free(&source->data);
}

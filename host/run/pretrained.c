#include "host/run/pretrained.h"

#include "host/base/file.h"
#include "host/net/cost.h"
#include "host/net/resized.h"
#include "host/run/start_files.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char WORD[] = "pretrained";
static const char HOW[] = "samples/pretrained/convert.sh gets one";

enum { MOST_FILES = 256 };

/* ---- the folder ---- */

enum status pretrained_folder(char **folder, struct error *err)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    const bool has_data =
        data != NULL && data[0] == '/'; /* the XDG specification: others are to be ignored */
    *folder = NULL;
    if (!has_data && (home == NULL || home[0] == '\0'))
        return error_set(err, ST_RANGE, "found neither XDG_DATA_HOME nor HOME, expected one of them");
    *folder =
        file_join(has_data ? data : home, has_data ? "nasrun/pretrained" : ".local/share/nasrun/pretrained");
    return *folder != NULL ? ST_OK : error_memory(err, "path", 0);
}

static int is_network(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && job_start_is_file(entry->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Paths of the networks there, by name; each malloc'd. A folder that isn't there has none. */
static enum status find_files(const char *folder, char *paths[MOST_FILES], int *count, struct error *err)
{
    struct dirent **entries = NULL;
    const int found = scandir(folder, &entries, is_network, by_name);
    enum status st = ST_OK;
    *count = 0;
    if (found < 0)
        return errno == ENOENT ? ST_OK : error_system(err, errno, "%s", folder);
    for (int i = 0; i < found; i++) {
        if (st == ST_OK && *count < MOST_FILES) {
            paths[*count] = file_join(folder, entries[i]->d_name);
            st = paths[*count] != NULL ? ST_OK : error_memory(err, "path", 0);
            *count += st == ST_OK;
        }
        free(entries[i]);
    }
    free(entries);
    return st;
}

/* ---- --pretrained ---- */

static void print_file(const char *path, FILE *out)
{
    struct model model;
    struct onnx_origin origin;
    struct error err;
    if (start_file_read(path, &model, &origin, &err) != ST_OK) {
        fprintf(out, "%s\n", err.message);
    } else {
        const struct shape *image = &model.graph.layers[0].shape;
        fprintf(out, "%s: %s, license %s, %d classes, images of %d x %d x %d, %lld weights\n", path,
                origin.name[0] != '\0' ? origin.name : "of no name",
                origin.license[0] != '\0' ? origin.license : "unknown", (int)model.about.classes,
                (int)image->c, (int)image->h, (int)image->w, (long long)model.table.total);
    }
    model_free(&model);
}

enum status pretrained_list(FILE *out, struct error *err)
{
    char *folder, *paths[MOST_FILES];
    int count = 0;
    enum status st = pretrained_folder(&folder, err);
    if (st == ST_OK)
        st = find_files(folder, paths, &count, err);
    for (int i = 0; st == ST_OK && i < count; i++)
        print_file(paths[i], out);
    if (st == ST_OK && count == 0)
        fprintf(out, "%s: no networks; %s\n", folder, HOW);
    for (int i = 0; i < count; i++)
        free(paths[i]);
    free(folder);
    return st;
}

/* ---- the job ---- */

/* The first of them in place of the word. */
static enum status name_file(char **start, struct error *err)
{
    char *folder, *paths[MOST_FILES];
    int count = 0;
    enum status st = pretrained_folder(&folder, err);
    if (st == ST_OK)
        st = find_files(folder, paths, &count, err);
    if (st == ST_OK && count == 0)
        st = error_set(err, ST_RANGE, "found no network (.onnx, .safetensors) in %s, expected one: %s",
                       folder, HOW);
    if (st == ST_OK) {
        free(*start);
        *start = strdup(paths[0]);
        st = *start != NULL ? ST_OK : error_memory(err, "path", 0);
    }
    for (int i = 0; i < count; i++)
        free(paths[i]);
    free(folder);
    return st;
}

/* So that the longer side is at most `most`, if the network takes such images. */
static enum status cap_sides(const struct graph *graph, int32_t most, int32_t *height, int32_t *width,
                             struct error *err)
{
    const int32_t longer = *height > *width ? *height : *width;
    const double scale = fmin(1.0, (double)most / longer);
    const int32_t to_height = (int32_t)fmax(1.0, round(scale * *height)),
                  to_width = (int32_t)fmax(1.0, round(scale * *width));
    struct graph resized;
    enum status st = graph_resized(graph, to_height, to_width, &resized, err);
    if (st == ST_NONE)
        return ST_OK;
    if (st != ST_OK)
        return st;
    graph_free(&resized);
    *height = to_height;
    *width = to_width;
    return ST_OK;
}

static enum status take_image(const char *path, struct job_dataset *dataset, struct error *err)
{
    struct model model;
    struct onnx_origin origin;
    enum status st = start_file_read(path, &model, &origin, err);
    if (st != ST_OK)
        goto out;
    const struct shape *image = &model.graph.layers[0].shape;
    int32_t height = image->h, width = image->w;
    if (dataset->channels == JOB_CHANNELS_AUTO && image->c == 3)
        dataset->channels = JOB_CHANNELS_RGB;
    if (dataset->channels == JOB_CHANNELS_AUTO && image->c == 1)
        dataset->channels = JOB_CHANNELS_GREY;
    if (dataset->resize.count == 0)
        st = cap_sides(&model.graph, dataset->max_side, &height, &width, err);
    if (st == ST_OK && dataset->resize.count == 0)
        dataset->resize = (struct job_numbers){.count = 2, .items = {height, width}};
out:
    model_free(&model);
    return st;
}

enum status pretrained_complete(struct job *job, struct error *err)
{
    struct job_strings *starts = &job->search.starts;
    enum status st = ST_OK;
    const char *first = NULL;
    for (int32_t i = 0; st == ST_OK && i < starts->count; i++) {
        if (strcmp(starts->items[i], WORD) == 0)
            st = name_file(&starts->items[i], err);
        if (st == ST_OK && first == NULL && job_start_is_file(starts->items[i]))
            first = starts->items[i];
    }
    if (st == ST_OK && first != NULL)
        st = take_image(first, &job->dataset, err);
    return st == ST_OK ? ST_OK : error_prefix(err, "search.starts");
}

#include "host/run/start_files.h"

#include "host/base/file.h"
#include "host/net/resized.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* No network has more than 2^31 values of 4 bytes. */
static const int64_t MOST_BYTES = INT64_C(1) << 34;

/* By which means and deviations of two files may differ and still be the same. */
static const double ROUNDING = 1e-5;

/* ---- reading ---- */

static enum status read_onnx(const char *path, struct model *model, struct onnx_origin *origin,
                             struct error *err)
{
    char *bytes = NULL;
    size_t length;
    enum status st = file_read_limited(path, MOST_BYTES, &bytes, &length, err);
    if (st != ST_OK)
        return st;
    st = onnx_read((const unsigned char *)bytes, length, model, NULL, err);
    if (st != ST_OK)
        error_prefix(err, "%s", path);
    else
        onnx_read_origin((const unsigned char *)bytes, length, origin);
    model_hash_text(bytes, length, model->hash);
    free(bytes);
    return st;
}

enum status start_file_read(const char *path, struct model *model, struct onnx_origin *origin,
                            struct error *err)
{
    *model = (struct model){0};
    *origin = (struct onnx_origin){0};
    return job_start_is_onnx(path) ? read_onnx(path, model, origin, err) : model_load(path, model, err);
}

/* ---- what it has to be like ---- */

/* Turned into one for the data's images, where it takes those of any size. */
static enum status fit_image(const char *path, const struct dataset *data, struct graph *graph,
                             struct error *err)
{
    const struct shape image = graph->layers[0].shape, *found = &image;
    struct graph resized;
    struct error misfit;
    enum status st = ST_NONE;
    if (found->c == data->channels && found->h == data->height && found->w == data->width)
        return ST_OK;
    if (found->c == data->channels)
        st = graph_resized(graph, data->height, data->width, &resized, &misfit);
    if (st == ST_OK) {
        graph_free(graph);
        *graph = resized;
        return ST_OK;
    }
    if (st != ST_NONE) {
        *err = misfit;
        return st;
    }
    return error_set(
        err, ST_RANGE,
        "%s: found a network for images of %d x %d x %d (channels, height, width), expected %d x %d x "
        "%d, which the data have (dataset.channels, dataset.resize)",
        path, (int)found->c, (int)found->h, (int)found->w, (int)data->channels, (int)data->height,
        (int)data->width);
}

/* An ONNX file that does nothing to its images does not say how they are to be normalised. */
static bool says_normalisation(const char *path, const struct model_about *about, int32_t channels)
{
    bool says = !job_start_is_onnx(path);
    for (int32_t c = 0; c < channels; c++)
        says = says || about->mean[c] != 0.0f || about->deviation[c] != 1.0f;
    return says;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= ROUNDING * (1.0 + fabs(b));
}

static enum status take_normalisation(const char *path, const struct model_about *about, int32_t channels,
                                      struct start_files *files, struct error *err)
{
    if (!says_normalisation(path, about, channels))
        return ST_OK;
    for (int32_t c = 0; files->normalise && c < channels; c++)
        if (!is_near((double)about->mean[c], (double)files->mean[c]) ||
            !is_near((double)about->deviation[c], (double)files->deviation[c]))
            return error_set(
                err, ST_RANGE,
                "%s: found mean %g and deviation %g of channel %d, expected %g and %g as in the file "
                "before it: a run normalises its images in one way",
                path, (double)about->mean[c], (double)about->deviation[c], (int)c, (double)files->mean[c],
                (double)files->deviation[c]);
    if (!files->normalise) {
        memcpy(files->mean, about->mean, sizeof(files->mean));
        memcpy(files->deviation, about->deviation, sizeof(files->deviation));
    }
    files->normalise = true;
    return ST_OK;
}

static bool has_same_classes(const struct model_about *about, const struct dataset *data)
{
    bool same = about->classes == data->classes;
    for (int32_t k = 0; same && k < data->classes; k++)
        same = strcmp(about->class_names[k], data->class_names[k]) == 0;
    return same;
}

/* The last layer with a new id, of which the file has no weights. */
static enum status replace_head(struct graph *graph, int32_t classes, struct error *err)
{
    struct layer *head = &graph->layers[graph->count - 1];
    if (graph->next_id > GRAPH_MAX_ID)
        return error_set(err, ST_UNSUPPORTED, "found layers numbered up to %u, expected room for another",
                         (unsigned)graph->next_id - 1);
    head->id = graph->next_id++;
    head->out_channels = classes;
    return graph_infer(graph, err);
}

/* Layers that were trained learn slower than the new one, the first ones slowest: `first` times as fast. */
static void pace(struct graph *graph, double first)
{
    int32_t count = 0, index = 0;
    for (int32_t i = 0; i < graph->count; i++)
        count += layer_traits(graph->layers[i].kind)->weights != LAYER_WEIGHTS_NONE;
    for (int32_t i = 0; i < graph->count && count > 1; i++) {
        struct layer *layer = &graph->layers[i];
        if (layer_traits(layer->kind)->weights != LAYER_WEIGHTS_NONE)
            layer->pace = (float)pow(first, 1.0 - (double)index++ / (count - 1));
    }
}

static enum status take(const char *path, struct model *model, const struct dataset *data, double depth_rate,
                        struct start_file *file, struct graph *graph, struct error *err)
{
    file->path = path;
    memcpy(file->hash, model->hash, sizeof(file->hash));
    file->keeps_head = has_same_classes(&model->about, data);
    enum status st = file->keeps_head ? ST_OK : replace_head(&model->graph, data->classes, err);
    if (st != ST_OK)
        return error_prefix(err, "%s", path);
    if (!file->keeps_head)
        pace(&model->graph, depth_rate);
    file->table = model->table; /* these change owner */
    file->values = model->values;
    *graph = model->graph;
    model->table = (struct weight_table){0};
    model->values = NULL;
    model->graph = (struct graph){0};
    return ST_OK;
}

const char *start_files_key(const struct job *job, int32_t start)
{
    return start < job->search.starts.count ? "search.starts" : "baseline.start";
}

const char *start_files_name(const struct job *job, int32_t start)
{
    return start < job->search.starts.count ? job->search.starts.items[start] : job_baseline_start(job);
}

static enum status open_file(const struct job *job, const struct dataset *data, int32_t index,
                             struct start_files *files, struct error *err)
{
    const char *path = start_files_name(job, index);
    struct model model;
    enum status st = start_file_read(path, &model, &files->items[index].origin, err);
    if (st == ST_OK)
        st = fit_image(path, data, &model.graph, err);
    if (st == ST_OK)
        st = take_normalisation(path, &model.about, data->channels, files, err);
    if (st == ST_OK)
        st =
            take(path, &model, data, job->train.depth_rate, &files->items[index], &files->graphs[index], err);
    model_free(&model);
    return st;
}

enum status start_files_open(const struct job *job, const struct dataset *data, struct start_files *files,
                             struct error *err)
{
    const int32_t searched = job->search.starts.count;
    const int32_t count = searched + (job_baseline_start(job) != NULL);
    enum status st = ST_OK;
    bool has_any = false;
    *files = (struct start_files){0};
    for (int32_t i = 0; i < count; i++) {
        const bool is_file = job_start_is_file(start_files_name(job, i));
        has_any = has_any || is_file;
        files->searched = files->searched || (is_file && i < searched);
    }
    if (!has_any)
        return ST_OK;
    files->items = calloc((size_t)count, sizeof(*files->items));
    files->graphs = calloc((size_t)count, sizeof(*files->graphs));
    if (files->items == NULL || files->graphs == NULL)
        return error_memory(err, "starting networks", (size_t)count * sizeof(*files->items));
    files->count = count;
    for (int32_t i = 0; st == ST_OK && i < count; i++)
        if (job_start_is_file(start_files_name(job, i))) {
            st = open_file(job, data, i, files, err);
            if (st != ST_OK)
                error_prefix(err, "%s", start_files_key(job, i));
        }
    return st;
}

void start_files_close(struct start_files *files)
{
    for (int32_t i = 0; i < files->count; i++) {
        weight_table_free(&files->items[i].table);
        free(files->items[i].values);
        graph_free(&files->graphs[i]);
    }
    free(files->items);
    free(files->graphs);
    *files = (struct start_files){0};
}

void start_files_fill(const struct start_files *files, int32_t start, const struct weight_table *table,
                      float *values)
{
    if (start < 0 || start >= files->count)
        return;
    const struct start_file *file = &files->items[start];
    for (int32_t t = 0; t < table->count; t++) {
        const struct weight_tensor *tensor = &table->tensors[t];
        const int32_t source = weight_find(&file->table, tensor->layer_id, tensor->role);
        if (source >= 0 && memcmp(file->table.tensors[source].dims, tensor->dims, sizeof(tensor->dims)) == 0)
            memcpy(values + tensor->offset, file->values + file->table.tensors[source].offset,
                   tensor->count * sizeof(*values));
    }
}

#include "host/run/store.h"

#include "host/base/file.h"
#include "host/model/model_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *run_path(const struct run *run, const char *name)
{
    return file_join(run->folder, name);
}

/* models/ID.WORD */
static char *path_in_models(const struct run *run, int32_t id, const char *word)
{
    char name[64];
    snprintf(name, sizeof(name), "models/%d.%s", (int)id, word);
    return file_join(run->folder, name);
}

char *run_model_path(const struct run *run, int32_t id)
{
    return path_in_models(run, id, "safetensors");
}

char *run_state_path(const struct run *run, int32_t id)
{
    return path_in_models(run, id, "state");
}

char *run_losses_path(const struct run *run, int32_t id)
{
    return path_in_models(run, id, "losses");
}

char *run_checkpoint_path(const struct run *run, int32_t id)
{
    char name[64];
    snprintf(name, sizeof(name), "checkpoint-%d.bin", (int)id);
    return file_join(run->folder, name);
}

enum status store_make_folder(const struct run *run, struct error *err)
{
    char *folder = run_path(run, "models");
    enum status st = folder != NULL ? file_make_folder(folder, err) : error_memory(err, "path", 0);
    free(folder);
    return st;
}

enum status store_save(struct run *run, int32_t id, const struct graph *graph, const float *values,
                       double validation_accuracy, struct error *err)
{
    struct model_about about = {.class_names = run->data.class_names,
                                .classes = run->data.classes,
                                .id = id,
                                .views = trainer_views_of(&run->job->evaluate, &run->job->train),
                                .validation_accuracy = validation_accuracy};
    char *path = run_model_path(run, id);
    memcpy(about.mean, run->data.mean, sizeof(about.mean));
    memcpy(about.deviation, run->data.deviation, sizeof(about.deviation));
    snprintf(about.fit, sizeof(about.fit), "%s", job_fit_text(run->job->dataset.fit));
    enum status st = path != NULL ? store_make_folder(run, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = model_save(path, graph, values, &about, err);
    free(path);
    return st;
}

enum status store_load(const struct run *run, int32_t id, struct graph *graph, float **values,
                       struct error *err)
{
    struct model model = {0};
    char *path = run_model_path(run, id);
    enum status st = path != NULL ? model_load(path, &model, err) : error_memory(err, "path", 0);
    if (st == ST_OK) { /* the two that are wanted change owner */
        *graph = model.graph;
        *values = model.values;
        model.graph = (struct graph){0};
        model.values = NULL;
    }
    model_free(&model);
    free(path);
    return st;
}

/* ---- losses ---- */

static size_t losses_bytes(const struct run *run)
{
    return (size_t)run->data.sample_count[SPLIT_VALIDATION] * sizeof(float);
}

enum status store_save_losses(const struct run *run, int32_t id, const float *losses, struct error *err)
{
    char *path = run_losses_path(run, id);
    enum status st = path != NULL ? store_make_folder(run, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = file_write_atomic(path, (const char *)losses, losses_bytes(run), err);
    free(path);
    return st;
}

/* Mean of a less b, and its standard error. */
static void compare(const float *a, const float *b, int32_t count, double *gain, double *deviation)
{
    double mean = 0.0, squares = 0.0;
    for (int32_t i = 0; i < count; i++)
        mean += ((double)a[i] - (double)b[i]) / count;
    for (int32_t i = 0; i < count; i++) {
        const double rest = (double)a[i] - (double)b[i] - mean;
        squares += rest * rest;
    }
    *gain = count > 1 ? mean : NAN;
    *deviation = count > 1 ? sqrt(squares / (count - 1.0) / count) : NAN;
}

enum status store_compare(const struct run *run, int32_t with, const float *losses, double *gain,
                          double *deviation, struct error *err)
{
    char *path = run_losses_path(run, with), *data = NULL;
    size_t length = 0;
    enum status st = path != NULL ? file_read(path, &data, &length, err) : error_memory(err, "path", 0);
    if (st == ST_OK && length != losses_bytes(run))
        st = error_set(err, ST_FORMAT, "%s: found %zu bytes, expected %zu", path, length, losses_bytes(run));
    if (st == ST_OK)
        compare((const float *)(const void *)data, losses, run->data.sample_count[SPLIT_VALIDATION], gain,
                deviation);
    free(data);
    free(path);
    return st;
}

/* ---- the best ---- */

/* What a final fit gains behind its last validation, at least, when it goes on with the validation images: that figure
 * is of the middle of its schedule, where the learning rate is still high, the others' of the ends of theirs. */
static const double JOINED_GAIN = 0.05;

void store_note_best(struct run *run, const struct candidate *candidate)
{
    const double accuracy = candidate->validation.accuracy, loss = candidate->validation.loss;
    const double comparable = accuracy + (candidate->joined > 0 ? JOINED_GAIN : 0.0);
    if (!(comparable > run->best_accuracy || (comparable == run->best_accuracy && loss < run->best_loss)))
        return;
    run->best_id = candidate->id;
    run->best_accuracy = accuracy;
    run->best_loss = loss;
}

enum status store_publish_best(struct run *run, struct error *err)
{
    if (run->best_id < 0 || run->best_id == run->published_id)
        return ST_OK;
    char *from = run_model_path(run, run->best_id), *to = run_path(run, MODEL_FILE_NAME), *data = NULL;
    size_t length;
    enum status st =
        from != NULL && to != NULL ? file_read(from, &data, &length, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = file_write_atomic(to, data, length, err);
    if (st == ST_OK)
        run->published_id = run->best_id;
    free(data);
    free(from);
    free(to);
    return st;
}

static bool is_needed(const struct run *run, const struct search_model *model,
                      struct candidate *const *coming, int32_t count)
{
    bool needed = model->is_parent || model->id == run->best_id;
    for (int32_t i = 0; i < count; i++)
        needed = needed || coming[i]->id == model->id || coming[i]->parent == model->id;
    return needed;
}

void store_prune(const struct run *run, struct candidate *const *coming, int32_t count)
{
    for (int32_t i = 0; i < search_count(run->search); i++) {
        const struct search_model *model = search_at(run->search, i);
        if (is_needed(run, model, coming, count))
            continue;
        weight_cache_drop(run->weights, model->id);
        char *paths[] = {run_model_path(run, model->id), run_state_path(run, model->id),
                         run_losses_path(run, model->id)};
        for (size_t k = 0; k < sizeof(paths) / sizeof(paths[0]); k++) {
            if (paths[k] != NULL)
                unlink(paths[k]); /* a file that is gone already is what is wanted */
            free(paths[k]);
        }
    }
}

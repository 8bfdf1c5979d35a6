#include "host/run/store.h"

#include "host/base/file.h"
#include "host/model/model_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *run_path(const struct run *run, const char *name)
{
    return file_join(run->folder, name);
}

char *run_model_path(const struct run *run, int32_t id)
{
    char name[64];
    snprintf(name, sizeof(name), "models/%d.safetensors", id);
    return file_join(run->folder, name);
}

char *run_checkpoint_path(const struct run *run, int32_t id)
{
    char name[64];
    snprintf(name, sizeof(name), "checkpoint-%d.bin", (int)id);
    return file_join(run->folder, name);
}

enum status store_save(struct run *run, int32_t id, const struct graph *graph, const float *values,
                       double validation_accuracy, struct error *err)
{
    struct model_about about = {.class_names = run->data.class_names,
                                .classes = run->data.classes,
                                .id = id,
                                .views = trainer_views_of(&run->job->evaluate, &run->job->train),
                                .validation_accuracy = validation_accuracy};
    char *folder = run_path(run, "models"), *path = run_model_path(run, id);
    memcpy(about.mean, run->data.mean, sizeof(about.mean));
    memcpy(about.deviation, run->data.deviation, sizeof(about.deviation));
    snprintf(about.fit, sizeof(about.fit), "%s", job_fit_text(run->job->dataset.fit));
    enum status st =
        folder != NULL && path != NULL ? file_make_folder(folder, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = model_save(path, graph, values, &about, err);
    free(folder);
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
        char *path = run_model_path(run, model->id);
        if (path != NULL)
            unlink(path); /* a file that is gone already is what is wanted */
        free(path);
    }
}

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
    return file_join_number(run->folder, "checkpoint", id, ".bin");
}

/* ---- hashes ---- */

enum status store_note_hash(struct run *run, int32_t id, enum run_file file, const char *hash,
                            struct error *err)
{
    if (id >= run->hash_count) {
        const int32_t count = 2 * id + 16;
        struct run_hash *larger = realloc(run->hashes, (size_t)count * sizeof(*larger));
        if (larger == NULL)
            return error_memory(err, "hashes of models", (size_t)count * sizeof(*larger));
        memset(larger + run->hash_count, 0, (size_t)(count - run->hash_count) * sizeof(*larger));
        run->hashes = larger;
        run->hash_count = count;
    }
    snprintf(run->hashes[id].text[file], sizeof(run->hashes[id].text[file]), "%s", hash);
    return ST_OK;
}

const char *store_hash(const struct run *run, int32_t id, enum run_file file)
{
    return id < run->hash_count && run->hashes[id].text[file][0] != '\0' ? run->hashes[id].text[file] : NULL;
}

static enum status note_written(struct run *run, int32_t id, enum run_file file, const char *hash,
                                struct error *err)
{
    run_lock(run);
    const enum status st = store_note_hash(run, id, file, hash, err);
    run_unlock(run);
    return st;
}

/* Whether the file is the one that was written: `found` is its hash. */
static enum status check_hash(struct run *run, int32_t id, enum run_file file, const char *path,
                              const char *found, struct error *err)
{
    run_lock(run);
    const char *expected = store_hash(run, id, file);
    enum status st = expected == NULL || strcmp(expected, found) == 0
                         ? ST_OK
                         : error_set(err, ST_FORMAT, "%s: its hash is %s, expected %s as it was written",
                                     path, found, expected);
    run_unlock(run);
    return st;
}

/* A model that is needed can't be read. Where its file is gone or damaged that can be mended. */
static enum status note_lost(struct run *run, int32_t id, const char *path, struct error *err)
{
    if (path == NULL || (err->status != ST_FORMAT && file_exists(path)))
        return err->status;
    run_lock(run);
    run->lost_id = run->lost_id < 0 || id < run->lost_id ? id : run->lost_id;
    run_unlock(run);
    return error_prefix(err, "a model's file is lost, --salvage trains it again");
}

/* ---- files ---- */

enum status store_make_folder(const struct run *run, struct error *err)
{
    char *folder = run_path(run, "models");
    enum status st = folder != NULL ? file_make_folder(folder, err) : error_memory(err, "path", 0);
    free(folder);
    return st;
}

/* Of images with several labels, until the stage's test finds others: [classes], malloc'd; *thresholds is NULL where
 * they have one class. */
static enum status even_thresholds(const struct dataset *data, double **thresholds, struct error *err)
{
    *thresholds = NULL;
    if (data->label_sets == NULL)
        return ST_OK;
    *thresholds = malloc((size_t)data->classes * sizeof(**thresholds));
    if (*thresholds == NULL)
        return error_memory(err, "thresholds", (size_t)data->classes * sizeof(**thresholds));
    for (int32_t k = 0; k < data->classes; k++)
        (*thresholds)[k] = (double)LABELS_THRESHOLD;
    return ST_OK;
}

enum status store_save(struct run *run, int32_t id, const struct graph *graph, const float *values,
                       double validation_accuracy, struct error *err)
{
    struct model_about about = {.class_names = run->data.class_names,
                                .classes = run->data.classes,
                                .id = id,
                                .views = trainer_views_of(&run->job->evaluate, &run->job->train),
                                .temperature = 1.0f, /* which the stage's test finds (testing.h) */
                                .plain_temperature = 1.0f,
                                .validation_accuracy = validation_accuracy};
    char *path = run_model_path(run, id), hash[MODEL_HASH_LENGTH];
    memcpy(about.mean, run->data.mean, sizeof(about.mean));
    memcpy(about.deviation, run->data.deviation, sizeof(about.deviation));
    snprintf(about.fit, sizeof(about.fit), "%s", job_fit_text(run->job->dataset.fit));
    enum status st = path != NULL ? store_make_folder(run, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = even_thresholds(&run->data, &about.label_thresholds, err);
    if (st == ST_OK)
        st = model_save(path, graph, values, &about, err);
    if (st == ST_OK)
        st = model_hash(path, hash, err);
    if (st == ST_OK)
        st = note_written(run, id, RUN_MODEL, hash, err);
    free(about.label_thresholds);
    free(path);
    return st;
}

enum status store_load(struct run *run, int32_t id, struct graph *graph, float **values, struct error *err)
{
    struct model model = {0};
    char *path = run_model_path(run, id);
    enum status st = path != NULL ? model_load(path, &model, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = check_hash(run, id, RUN_MODEL, path, model.hash, err);
    if (st != ST_OK)
        note_lost(run, id, path, err);
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

enum status store_save_losses(struct run *run, int32_t id, const float *losses, struct error *err)
{
    char *path = run_losses_path(run, id), hash[MODEL_HASH_LENGTH];
    enum status st = path != NULL ? store_make_folder(run, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = file_write_atomic(path, (const char *)losses, losses_bytes(run), err);
    model_hash_text((const char *)losses, losses_bytes(run), hash);
    if (st == ST_OK)
        st = note_written(run, id, RUN_LOSSES, hash, err);
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

enum status store_compare(struct run *run, int32_t with, const float *losses, double *gain, double *deviation,
                          struct error *err)
{
    char *path = run_losses_path(run, with), *data = NULL, hash[MODEL_HASH_LENGTH];
    size_t length = 0;
    enum status st = path != NULL ? file_read(path, &data, &length, err) : error_memory(err, "path", 0);
    if (st == ST_OK && length != losses_bytes(run))
        st = error_set(err, ST_FORMAT, "%s: found %zu bytes, expected %zu", path, length, losses_bytes(run));
    if (st == ST_OK) {
        model_hash_text(data, length, hash);
        st = check_hash(run, with, RUN_LOSSES, path, hash, err);
    }
    if (st == ST_OK)
        compare((const float *)(const void *)data, losses, run->data.sample_count[SPLIT_VALIDATION], gain,
                deviation);
    free(data);
    if (st != ST_OK)
        note_lost(run, with, path, err);
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
    run->best_joined = candidate->joined > 0;
    run->best_accuracy = accuracy;
    run->best_loss = loss;
}

/* Through model_load, so that no damaged file takes the place of a good one; with its temperatures where they are
 * known. */
static enum status publish(struct run *run, const char *from, const char *to, struct error *err)
{
    struct model model = {0};
    enum status st = model_load(from, &model, err);
    if (st == ST_OK)
        st = check_hash(run, run->best_id, RUN_MODEL, from, model.hash, err);
    model_free(&model);
    if (st != ST_OK)
        return note_lost(run, run->best_id, from, err);
    struct run_calibration *calibration = &run->calibration;
    if (calibration->id == run->best_id)
        st = model_calibrate(from, to, calibration->temperature, calibration->plain_temperature,
                             calibration->label_thresholds, calibration->hash, err);
    else
        st = file_copy(from, to, err);
    if (st == ST_OK)
        run->published_id = run->best_id;
    return st;
}

enum status store_note_calibration(struct run *run, const struct run_calibration *found,
                                   const double *label_thresholds, struct error *err)
{
    const size_t bytes = (size_t)run->data.classes * sizeof(*label_thresholds);
    double *copy = label_thresholds != NULL ? malloc(bytes) : NULL;
    if (label_thresholds != NULL && copy == NULL)
        return error_memory(err, "thresholds", bytes);
    if (copy != NULL)
        memcpy(copy, label_thresholds, bytes);
    free(run->calibration.label_thresholds);
    run->calibration = *found;
    run->calibration.label_thresholds = copy;
    return ST_OK;
}

enum status store_calibrate(struct run *run, float temperature, float plain_temperature,
                            const double *label_thresholds, struct error *err)
{
    const struct run_calibration found = {
        .id = run->best_id, .temperature = temperature, .plain_temperature = plain_temperature};
    enum status st = store_note_calibration(run, &found, label_thresholds, err);
    run->published_id = -1;
    return st == ST_OK ? store_publish_best(run, err) : st;
}

enum status store_publish_best(struct run *run, struct error *err)
{
    if (run->best_id < 0 || run->best_id == run->published_id)
        return ST_OK;
    char *from = run_model_path(run, run->best_id), *to = run_path(run, MODEL_FILE_NAME);
    enum status st = from != NULL && to != NULL ? publish(run, from, to, err) : error_memory(err, "path", 0);
    free(from);
    free(to);
    return st;
}

enum status store_check_published(struct run *run, struct error *err)
{
    char *from = run_model_path(run, run->best_id), *to = run_path(run, MODEL_FILE_NAME);
    char found[MODEL_HASH_LENGTH] = "", expected[MODEL_HASH_LENGTH] = "";
    struct error ignored;
    enum status st = from != NULL && to != NULL ? ST_OK : error_memory(err, "path", 0);
    if (st != ST_OK || run->best_id < 0)
        goto out;
    const bool calibrated = run->calibration.id == run->best_id && run->calibration.hash[0] != '\0';
    const char *written = calibrated ? run->calibration.hash : store_hash(run, run->best_id, RUN_MODEL);
    if (written != NULL)
        snprintf(expected, sizeof(expected), "%s", written);
    else if (model_hash(from, expected, &ignored) != ST_OK && file_exists(to))
        goto out; /* of an older version, and nothing is left to compare it with */
    if (model_hash(to, found, &ignored) == ST_OK && strcmp(found, expected) == 0)
        goto out;
    st = publish(run, from, to, err);
    if (st == ST_OK)
        display_say(&run->display, -1, "        %s was gone or damaged: copied again from %s", to, from);
out:
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

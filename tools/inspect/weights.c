#include "tools/inspect/weights.h"

#include "host/base/file.h"
#include "host/model/model_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double norm_of(const float *values, size_t count)
{
    double squares = 0.0;
    for (size_t i = 0; i < count; i++)
        squares += (double)values[i] * (double)values[i];
    return sqrt(squares);
}

static bool add_tensor(cJSON *array, const struct model *model, const struct weight_tensor *tensor)
{
    char name[64];
    const int dims = tensor->role == WEIGHT_KERNEL ? 4 : 1;
    cJSON *json = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(array, json)) {
        cJSON_Delete(json);
        return false;
    }
    snprintf(name, sizeof(name), "layers.%u.%s", (unsigned)tensor->layer_id, weight_role_name(tensor->role));
    cJSON *shape = NULL;
    return cJSON_AddStringToObject(json, "name", name) != NULL &&
           cJSON_AddStringToObject(json, "layer", layer_kind_name(model->graph.layers[tensor->layer].kind)) !=
               NULL &&
           (shape = cJSON_CreateIntArray(tensor->dims, dims)) != NULL &&
           cJSON_AddItemToObject(json, "shape", shape) &&
           cJSON_AddNumberToObject(json, "values", (double)tensor->count) != NULL &&
           cJSON_AddBoolToObject(json, "trained", tensor->trained) != NULL &&
           cJSON_AddNumberToObject(json, "norm", norm_of(model->values + tensor->offset, tensor->count)) !=
               NULL;
}

static enum status list_tensors(const struct model *model, cJSON **weights, struct error *err)
{
    *weights = cJSON_CreateArray();
    for (int32_t i = 0; *weights != NULL && i < model->table.count; i++)
        if (!add_tensor(*weights, model, &model->table.tensors[i])) {
            cJSON_Delete(*weights);
            *weights = NULL;
        }
    return *weights != NULL ? ST_OK : error_memory(err, "weights", 0);
}

/* *found: it is there, and that model's. */
static enum status load(const char *path, int64_t id, struct model *model, bool *found, struct error *err)
{
    *found = false;
    if (path == NULL)
        return error_memory(err, "path", 0);
    if (!file_exists(path))
        return ST_OK;
    enum status st = model_load(path, model, err);
    *found = st == ST_OK && model->about.id == id;
    return st;
}

static enum status list_thresholds(const struct model_about *about, cJSON **thresholds, struct error *err)
{
    if (about->label_thresholds == NULL)
        return ST_OK;
    *thresholds = cJSON_CreateObject();
    for (int32_t k = 0; *thresholds != NULL && k < about->classes; k++)
        if (cJSON_AddNumberToObject(*thresholds, about->class_names[k], about->label_thresholds[k]) == NULL) {
            cJSON_Delete(*thresholds);
            *thresholds = NULL;
        }
    return *thresholds != NULL ? ST_OK : error_memory(err, "thresholds", 0);
}

/* Of the published model, if that is the one; else of its own file. */
static enum status find_thresholds(const char *best, const struct model *own, int64_t id, cJSON **thresholds,
                                   struct error *err)
{
    struct model published = {0};
    bool found = false;
    if (own->about.label_thresholds == NULL)
        return ST_OK;
    enum status st = load(best, id, &published, &found, err);
    if (st == ST_OK)
        st = list_thresholds(found ? &published.about : &own->about, thresholds, err);
    model_free(&published);
    return st;
}

enum status weights_json(const char *run_folder, int64_t id, const char *hash, cJSON **weights,
                         cJSON **thresholds, struct error *err)
{
    char name[64];
    struct model model = {0};
    bool found = false;
    snprintf(name, sizeof(name), "models/%lld.safetensors", (long long)id);
    char *own = file_join(run_folder, name), *best = file_join(run_folder, MODEL_FILE_NAME);
    *weights = *thresholds = NULL;
    enum status st = load(own, id, &model, &found, err);
    if (st == ST_OK && found && hash != NULL && strcmp(hash, model.hash) != 0)
        st = error_set(err, ST_FORMAT, "%s: its hash is %s, expected %s as the journal says", own, model.hash,
                       hash);
    if (st == ST_OK && !found) {
        model_free(&model);
        model = (struct model){0};
        st = load(best, id, &model, &found, err);
    }
    if (st == ST_OK && found)
        st = list_tensors(&model, weights, err);
    else if (st == ST_OK && (*weights = cJSON_CreateNull()) == NULL)
        st = error_memory(err, "weights", 0);
    if (st == ST_OK && found)
        st = find_thresholds(best, &model, id, thresholds, err);
    model_free(&model);
    free(own);
    free(best);
    return st;
}

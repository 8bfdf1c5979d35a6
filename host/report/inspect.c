#include "host/report/inspect.h"

#include "host/report/history.h"
#include "host/report/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* False when out of memory, as the one below. */
static bool add_hyperparameters(cJSON *json, const struct history_hyperparameters *hyperparameters)
{
    cJSON *object = cJSON_AddObjectToObject(json, "hyperparameters");
    bool added = object != NULL;
#define ADD(name, usual_scale)                                                                               \
    if (added && !isnan(hyperparameters->name))                                                              \
        added = json_add_number(object, #name, hyperparameters->name);
    JOB_SEARCHED(ADD)
#undef ADD
    return added;
}

static bool fill(cJSON *json, const struct history_model *model)
{
    return json_add_number(json, "id", (double)model->id) && json_add_count(json, "parent", model->parent) &&
           json_add_number(json, "stage", model->stage) &&
           json_add_text(json, "kind",
                         model->baseline ? "baseline"
                         : model->final  ? "final fit"
                                         : "candidate") &&
           json_add_text(json, "state",
                         model->finished ? "trained"
                         : model->failed ? "failed"
                                         : "unfinished") &&
           json_add_text(json, "operations", model->made_by) &&
           add_hyperparameters(json, &model->hyperparameters) &&
           json_add_number(json, "accuracy", model->validation_accuracy) &&
           json_add_number(json, "loss", model->validation_loss) &&
           json_add_count(json, "parameters", model->parameters) &&
           json_add_number(json, "flops", model->flops) && json_add_count(json, "layers", model->layers) &&
           json_add_count(json, "steps", model->steps) && json_add_count(json, "epochs", model->epochs) &&
           json_add_text(json, "hash", model->hash);
}

enum status inspect_run(const char *run_folder, cJSON **models, struct error *err)
{
    struct history history;
    *models = NULL;
    enum status st = history_load(run_folder, &history, err);
    if (st != ST_OK)
        return st;
    cJSON *array = cJSON_CreateArray();
    for (int32_t i = 0; array != NULL && st == ST_OK && i < history.model_count; i++) {
        cJSON *json = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(array, json) || !fill(json, &history.models[i]))
            st = error_memory(err, "models", (size_t)history.model_count);
    }
    if (array == NULL)
        st = error_memory(err, "models", 0);
    history_free(&history);
    if (st == ST_OK)
        *models = array;
    else
        cJSON_Delete(array);
    return st;
}

enum status inspect_can_repeat(const char *run_folder, int64_t id, char **hash, struct error *err)
{
    struct history history;
    *hash = NULL;
    enum status st = history_load(run_folder, &history, err);
    if (st != ST_OK)
        return st;
    const struct history_model *model = history_find(&history, id);
    if (model == NULL)
        st = error_set(err, ST_RANGE, "%s: model %lld is not in the journal", run_folder, (long long)id);
    else if (!model->finished)
        st = error_set(err, ST_RANGE, "model %lld %s: there is nothing to compare with", (long long)id,
                       model->failed ? "has failed" : "was not trained to its end");
    else if (model->hash == NULL)
        st = error_set(err, ST_UNSUPPORTED,
                       "model %lld was trained by an older nasrun, whose journal has no hash of it",
                       (long long)id);
    else if (!isnan(history.amounts.seconds) && !history.model_clock)
        st = error_set(err, ST_UNSUPPORTED,
                       "a clock decided how long model %lld was trained (budget.seconds): only runs with "
                       "budget.steps, budget.models or budget.clock = \"model\" can be trained again to the "
                       "same bytes",
                       (long long)id);
    else if ((*hash = strdup(model->hash)) == NULL)
        st = error_memory(err, "a hash", strlen(model->hash));
    history_free(&history);
    return st;
}

char *inspect_hash(const char *run_folder, int64_t id)
{
    struct history history;
    struct error ignored;
    char *hash = NULL;
    if (history_load(run_folder, &history, &ignored) != ST_OK)
        return NULL;
    const struct history_model *model = history_find(&history, id);
    if (model != NULL && model->hash != NULL)
        hash = strdup(model->hash);
    history_free(&history);
    return hash;
}

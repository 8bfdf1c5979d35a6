#include "host/run/record.h"

#include "host/base/version.h"
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/search/budget.h"
#include "host/search/gaussian.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* cJSON's functions pass a NULL object on, so a failed allocation anywhere is found by journal_append. */
static cJSON *event_new(const char *name)
{
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", name);
    return event;
}

static void add_numbers(cJSON *object, const char *name, const double *values, int count)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateDoubleArray(values, count));
}

static void add_strings(cJSON *object, const char *name, const char *const *values, int count)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateStringArray(values, count));
}

static enum status append(struct run *run, cJSON *event, struct error *err)
{
    if (event == NULL)
        return error_memory(err, "journal event", 0);
    return journal_append(&run->journal, event, run_time(run), err);
}

static cJSON *dataset_json(const struct dataset *data)
{
    char fingerprint[24];
    const double image[3] = {data->channels, data->height, data->width};
    cJSON *json = cJSON_CreateObject();
    snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64, data->fingerprint);
    cJSON_AddStringToObject(json, "fingerprint", fingerprint);
    add_strings(json, "class_names", (const char *const *)data->class_names, data->classes);
    cJSON_AddNumberToObject(json, "train", data->sample_count[SPLIT_TRAIN]);
    cJSON_AddNumberToObject(json, "validation", data->sample_count[SPLIT_VALIDATION]);
    cJSON_AddNumberToObject(json, "test", data->sample_count[SPLIT_TEST]);
    add_numbers(json, "image", image, 3);
    cJSON_AddNumberToObject(json, "skipped", data->skipped);
    cJSON_AddStringToObject(json, "policy", data->policy);
    return json;
}

enum status record_run(struct run *run, struct error *err)
{
    cJSON *devices = cJSON_CreateArray();
    cJSON *event = event_new("run"), *libraries = cJSON_CreateObject();

    cJSON_AddStringToObject(event, "version", NASRUN_VERSION);
    cJSON_AddNumberToObject(event, "seed", (double)run->job->seed);
    cJSON_AddItemToObject(event, "dataset", dataset_json(&run->data));
    for (int32_t k = 0; k < run->devices.count; k++)
        cJSON_AddItemToArray(devices, cJSON_CreateString(run->devices.items[k].name));
    cJSON_AddItemToObject(event, "devices", devices);
    if (run->device_info.library[0] != '\0')
        cJSON_AddStringToObject(libraries, run->device_info.library, run->device_info.versions);
    cJSON_AddStringToObject(libraries, "blas", gaussian_blas());
    cJSON_AddStringToObject(libraries, "cjson", cJSON_Version());
    cJSON_AddItemToObject(event, "libraries", libraries);
    return append(run, event, err);
}

enum status record_sharing(struct run *run, struct error *err)
{
    cJSON *event = event_new("workers"), *names = cJSON_CreateArray();
    cJSON_AddNumberToObject(event, "per_device", run->sharing.workers);
    cJSON_AddNumberToObject(event, "alone", run->sharing.alone);
    cJSON_AddNumberToObject(event, "together", run->sharing.together);
    for (int32_t k = 0; k < run->devices.workers; k++)
        cJSON_AddItemToArray(names, cJSON_CreateString(run->devices.items[k].name));
    cJSON_AddItemToObject(event, "devices", names);
    return append(run, event, err);
}

enum status record_stage(struct run *run, struct error *err)
{
    cJSON *event = event_new("stage"), *budget = cJSON_CreateObject();
    cJSON_AddNumberToObject(event, "stage", run->stage);
    cJSON_AddNumberToObject(budget, budget_kind(&run->job->budget),
                            budget_total(&run->job->budget, run->stage));
    cJSON_AddItemToObject(event, "budget", budget);
    return append(run, event, err);
}

enum status record_candidate(struct run *run, const struct candidate *candidate, struct error *err)
{
    const char *operations[SEARCH_MAX_MORPHS];
    struct cost cost = cost_of_graph(&candidate->graph);
    cJSON *event = event_new("candidate");
    for (int32_t i = 0; i < candidate->operation_count; i++)
        operations[i] = candidate->operations[i];
    cJSON_AddNumberToObject(event, "id", candidate->id);
    cJSON_AddNumberToObject(event, "parent", candidate->parent);
    cJSON_AddNumberToObject(event, "stage", run->stage);
    add_strings(event, "operations", operations, candidate->operation_count);
    if (candidate->start >= 0)
        cJSON_AddStringToObject(event, "start", run->job->search.starts.items[candidate->start]);
    cJSON_AddBoolToObject(event, "final", candidate->final);
    if (!isnan(candidate->guess))
        cJSON_AddNumberToObject(event, "expected", candidate->guess);
    if (!candidate->final)
        cJSON_AddNumberToObject(event, "observed", candidate->observed);
    cJSON_AddItemToObject(event, "graph", graph_to_json(&candidate->graph));
    cJSON_AddNumberToObject(event, "parameters", (double)cost.parameters);
    cJSON_AddNumberToObject(event, "train_flops", cost.train_flops);
    return append(run, event, err);
}

enum status record_left_out(struct run *run, const char *start, struct error *err)
{
    cJSON *event = event_new("left_out");
    cJSON_AddStringToObject(event, "start", start);
    return append(run, event, err);
}

enum status record_morph(struct run *run, int32_t id, const char *operation, double difference,
                         struct error *err)
{
    cJSON *event = event_new("morph");
    cJSON_AddNumberToObject(event, "id", id);
    cJSON_AddStringToObject(event, "operation", operation);
    cJSON_AddNumberToObject(event, "difference", difference);
    return append(run, event, err);
}

enum status record_plan(struct run *run, int32_t id, int32_t batch, const struct memory_need *need,
                        struct error *err)
{
    cJSON *event = event_new("plan");
    cJSON_AddNumberToObject(event, "id", id);
    cJSON_AddNumberToObject(event, "batch", batch);
    cJSON_AddNumberToObject(event, "device_bytes", (double)need->training);
    cJSON_AddNumberToObject(event, "process_bytes", (double)need->added);
    return append(run, event, err);
}

enum status record_epoch(struct run *run, int32_t id, const struct trainer_epoch *epoch, struct error *err)
{
    cJSON *event = event_new(JOURNAL_EPOCH);
    cJSON_AddNumberToObject(event, "id", id);
    cJSON_AddNumberToObject(event, "epoch", epoch->epoch);
    cJSON_AddNumberToObject(event, "step", epoch->step);
    cJSON_AddNumberToObject(event, "loss", epoch->train.loss);
    cJSON_AddNumberToObject(event, "accuracy", epoch->train.accuracy);
    cJSON_AddNumberToObject(event, "validation_loss", epoch->validation.loss);
    cJSON_AddNumberToObject(event, "validation_accuracy", epoch->validation.accuracy);
    cJSON_AddNumberToObject(event, "learning_rate", epoch->learning_rate);
    cJSON_AddNumberToObject(event, "seconds", epoch->seconds);
    cJSON_AddNumberToObject(event, "images_per_second", epoch->images_per_second);
    return append(run, event, err);
}

enum status record_unrecorded(struct run *run, int32_t id, const char *program,
                              const struct device_report *report, struct error *err)
{
    cJSON *event = event_new("unrecorded");
    cJSON_AddNumberToObject(event, "id", id);
    cJSON_AddStringToObject(event, "program", program);
    cJSON_AddNumberToObject(event, "failures", report->failures);
    cJSON_AddStringToObject(event, "reason", report->reason);
    return append(run, event, err);
}

enum status record_model(struct run *run, const struct record_model *model, struct error *err)
{
    cJSON *event = event_new("model");
    cJSON_AddNumberToObject(event, "id", model->id);
    cJSON_AddNumberToObject(event, "parent", model->parent);
    cJSON_AddBoolToObject(event, "final", model->final);
    cJSON_AddNumberToObject(event, "validation_loss", model->validation.loss);
    cJSON_AddNumberToObject(event, "validation_accuracy", model->validation.accuracy);
    cJSON_AddNumberToObject(event, "parameters", (double)model->parameters);
    cJSON_AddNumberToObject(event, "epochs", model->epochs);
    cJSON_AddNumberToObject(event, "steps", model->steps);
    cJSON_AddNumberToObject(event, "seconds", model->seconds);
    return append(run, event, err);
}

enum status record_failed(struct run *run, int32_t id, int32_t parent, bool final, uint32_t steps,
                          const struct error *cause, struct error *err)
{
    cJSON *event = event_new("failed");
    cJSON_AddNumberToObject(event, "id", id);
    cJSON_AddNumberToObject(event, "parent", parent);
    cJSON_AddBoolToObject(event, "final", final);
    cJSON_AddNumberToObject(event, "steps", steps);
    cJSON_AddStringToObject(event, "reason", status_name(cause->status));
    cJSON_AddStringToObject(event, "message", cause->message);
    return append(run, event, err);
}

enum status record_test(struct run *run, int32_t id, const struct trainer_result *result,
                        const int64_t *confusion, struct error *err)
{
    const int32_t classes = run->data.classes;
    double *row = calloc((size_t)classes, sizeof(*row));
    if (row == NULL)
        return error_memory(err, "confusion matrix", (size_t)classes * sizeof(*row));
    cJSON *event = event_new("test"), *rows = cJSON_CreateArray();
    cJSON_AddNumberToObject(event, "stage", run->stage);
    cJSON_AddNumberToObject(event, "id", id);
    cJSON_AddNumberToObject(event, "accuracy", result->accuracy);
    cJSON_AddNumberToObject(event, "loss", result->loss);
    for (int32_t i = 0; i < classes; i++) {
        for (int32_t j = 0; j < classes; j++)
            row[j] = (double)confusion[i * classes + j];
        cJSON_AddItemToArray(rows, cJSON_CreateDoubleArray(row, classes));
    }
    cJSON_AddItemToObject(event, "confusion", rows);
    free(row);
    bool seconds = run->job->budget.seconds.count > 0;
    if (seconds)
        cJSON_AddNumberToObject(event, "budget_seconds", budget_total(&run->job->budget, run->stage));
    cJSON_AddNumberToObject(event, "elapsed_seconds", run_time(run));
    cJSON_AddNumberToObject(event, "models", run->models);
    return append(run, event, err);
}

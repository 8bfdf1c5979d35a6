#include "host/report/facts.h"

#include "host/base/text.h"
#include "host/report/json.h"
#include "spec/spec.h"

#include <math.h>
#include <string.h>

/* Fewer images, or sizes further apart, are told. */
enum { FEW_IMAGES = 10, IMBALANCE = 10, FEW_VALIDATION = 100, NAME_BYTES = 256 };

/* With several labels: of the images the share whose labels are given exactly. */
static double exact_match(const struct metrics *metrics)
{
    return metrics->samples > 0 ? (double)metrics->exact / (double)metrics->samples : 0.0;
}

/* ---- text ---- */

/* Of several labels. */
static void print_labels(FILE *out, const struct history_test *test, const struct metrics *metrics)
{
    const struct label_metrics *at_half = &metrics->labels_at_half;
    double least = test->thresholds[0], most = test->thresholds[0];
    for (int32_t k = 1; k < metrics->classes; k++) {
        least = fmin(least, test->thresholds[k]);
        most = fmax(most, test->thresholds[k]);
    }
    fprintf(out, "exact match: %.4f (%.4f at 0.5, which is the accuracy)\n", exact_match(metrics),
            metrics->accuracy);
    fprintf(out, "Hamming loss: %.4f (%.4f at 0.5)\n", metrics->labels.hamming, at_half->hamming);
    fprintf(out, "F1: %.4f micro, %.4f macro (%.4f and %.4f at 0.5)\n", metrics->labels.micro_f1,
            metrics->labels.macro_f1, at_half->micro_f1, at_half->macro_f1);
    fprintf(out, "thresholds of labels: %.4f to %.4f, by %d validation images\n", least, most,
            test->calibrated_by);
}

void facts_print_scores(FILE *out, const struct history *history, const struct history_test *test,
                        const struct metrics *metrics, const struct rankings *rankings)
{
    double low, high;
    scores_interval(metrics->correct, metrics->samples, &low, &high);
    fprintf(out, "accuracy interval: %.4f to %.4f (95 %%)\n", low, high);
    if (history->several)
        print_labels(out, test, metrics);
    if (!isnan(test->top5))
        fprintf(out, "top-5 accuracy: %.4f\n", test->top5);
    if (!isnan(test->temperature)) {
        fprintf(out, "log loss: %.4f (%.4f before calibration)\n", test->calibrated_loss, test->loss);
        fprintf(out, "calibration error: %.4f (%.4f before calibration)\n", test->calibrated_error,
                test->calibration_error);
        fprintf(out, "temperature: %.4f, by %d validation images\n", test->temperature, test->calibrated_by);
    }
    if (rankings != NULL) {
        fprintf(out, "ROC AUC: %.4f macro, %.4f weighted\n", rankings->macro.roc_auc,
                rankings->weighted.roc_auc);
        fprintf(out, "average precision: %.4f macro, %.4f weighted\n", rankings->macro.average_precision,
                rankings->weighted.average_precision);
    }
    fputc('\n', out);
}

void facts_print_start_files(FILE *out, const struct history *history)
{
    for (int32_t i = 0; i < history->start_file_count; i++) {
        const struct history_start_file *file = &history->start_files[i];
        char path[NAME_BYTES], name[NAME_BYTES], license[NAME_BYTES];
        fprintf(out, "network from a file: %s (%s), its last layer %s\n",
                text_shown(file->path, path, sizeof(path)), file->hash,
                file->keeps_head ? "kept" : "replaced by one of these classes");
        if (file->name != NULL || file->license != NULL)
            fprintf(out, "    its weights: %s, license %s\n",
                    file->name != NULL ? text_shown(file->name, name, sizeof(name)) : "of no name",
                    file->license != NULL ? text_shown(file->license, license, sizeof(license)) : "unknown");
    }
}

void facts_print_warnings(FILE *out, const struct history *history, const struct history_test *test)
{
    int32_t rough = 0;
    const struct history_data *data = &history->data;
    char least[NAME_BYTES], most[NAME_BYTES];
    if (data->few > 0)
        fprintf(out, "warning: fewer than %d images in %d of %d classes\n", FEW_IMAGES, data->few,
                history->classes);
    if (data->least_class != NULL && data->most_class != NULL && data->least >= 0 &&
        data->most > (int64_t)IMBALANCE * data->least)
        fprintf(out,
                "warning: class \"%s\" has %d images, \"%s\" %d: see the averages and each class's recall "
                "rather than the accuracy\n",
                text_shown(data->most_class, most, sizeof(most)), data->most,
                text_shown(data->least_class, least, sizeof(least)), data->least);
    if (data->validation < FEW_VALIDATION)
        fprintf(out, "warning: %d validation images: what is chosen and calibrated by them is rough\n",
                data->validation);
    for (int32_t k = 0; history->several && k < history->classes; k++)
        rough += test->threshold_images[k] < FEW_IMAGES;
    if (rough > 0)
        fprintf(
            out,
            "warning: %d of %d thresholds of labels were found by fewer than %d images that have the label\n",
            rough, history->classes, FEW_IMAGES);
}

/* ---- JSON ---- */

static bool add_calibration(cJSON *json, const struct history_test *test)
{
    if (isnan(test->temperature))
        return cJSON_AddNullToObject(json, "calibration") != NULL;
    cJSON *object = cJSON_AddObjectToObject(json, "calibration");
    return object != NULL && json_add_number(object, "temperature", test->temperature) &&
           json_add_number(object, "temperature_without_views", test->plain_temperature) &&
           json_add_count(object, "images", test->calibrated_by) &&
           json_add_number(object, "loss", test->calibrated_loss) &&
           json_add_number(object, "loss_before", test->loss) &&
           json_add_number(object, "error", test->calibrated_error) &&
           json_add_number(object, "error_before", test->calibration_error);
}

static bool add_counts(cJSON *json, const char *key, int32_t row_count, int32_t columns,
                       const int64_t *counts)
{
    cJSON *rows = cJSON_AddArrayToObject(json, key);
    bool added = rows != NULL;
    for (int32_t k = 0; added && k < row_count; k++) {
        cJSON *row = cJSON_CreateArray();
        if (!cJSON_AddItemToArray(rows, row)) {
            cJSON_Delete(row);
            return false;
        }
        for (int32_t other = 0; added && other < columns; other++) {
            cJSON *count = cJSON_CreateNumber((double)*counts++);
            added = cJSON_AddItemToArray(row, count);
            if (!added)
                cJSON_Delete(count);
        }
    }
    return added;
}

static bool add_labels(cJSON *json, const struct history_test *test, const struct metrics *metrics)
{
    const struct label_metrics *at_half = &metrics->labels_at_half;
    return json_add_number(json, "exact_match", exact_match(metrics)) &&
           json_add_number(json, "hamming_loss", metrics->labels.hamming) &&
           json_add_number(json, "hamming_loss_at_half", at_half->hamming) &&
           json_add_number(json, "micro_f1_at_half", at_half->micro_f1) &&
           json_add_number(json, "macro_f1_at_half", at_half->macro_f1) &&
           add_counts(json, "label_counts", metrics->classes, LABELS_COUNTS, test->labels.counts) &&
           add_counts(json, "label_counts_at_half", metrics->classes, LABELS_COUNTS, test->counts_at_half);
}

bool facts_add_scores(cJSON *json, const struct history *history, const struct history_test *test,
                      const struct metrics *metrics)
{
    double low, high;
    scores_interval(metrics->correct, metrics->samples, &low, &high);
    return json_add_number(json, "accuracy_low", low) && json_add_number(json, "accuracy_high", high) &&
           json_add_number(json, "top5_accuracy", test->top5) && add_calibration(json, test) &&
           (history->several
                ? add_labels(json, test, metrics)
                : add_counts(json, "confusion", history->classes, history->classes, test->counts));
}

bool facts_add_threshold(cJSON *json, const struct history_test *test, int32_t class)
{
    return json_add_number(json, "threshold", test->thresholds[class]) &&
           json_add_count(json, "threshold_images", test->threshold_images[class]);
}

bool facts_add_ranking(cJSON *json, const struct ranking *ranking)
{
    return json_add_number(json, "roc_auc", ranking != NULL ? ranking->roc_auc : NAN) &&
           json_add_number(json, "average_precision", ranking != NULL ? ranking->average_precision : NAN);
}

static bool add_dataset(cJSON *json, const struct history *history)
{
    const struct history_data *data = &history->data;
    cJSON *object = cJSON_AddObjectToObject(json, "dataset");
    cJSON *image = cJSON_CreateIntArray(data->image, 3);
    if (!cJSON_AddItemToObject(object, "image", image)) {
        cJSON_Delete(image);
        return false;
    }
    return json_add_text(object, "fingerprint", history->fingerprint) &&
           json_add_count(object, "train", data->train) &&
           json_add_count(object, "validation", data->validation) &&
           json_add_count(object, "test", data->test) &&
           json_add_count(object, "classes_of_few_images", data->few) &&
           json_add_count(object, "smallest_class", data->least) &&
           json_add_count(object, "largest_class", data->most);
}

static bool add_start_files(cJSON *json, const struct history *history)
{
    cJSON *files = cJSON_AddArrayToObject(json, "start_files");
    bool added = files != NULL;
    for (int32_t i = 0; added && i < history->start_file_count; i++) {
        const struct history_start_file *file = &history->start_files[i];
        cJSON *object = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(files, object)) {
            cJSON_Delete(object);
            return false;
        }
        added = json_add_text(object, "file", file->path) && json_add_text(object, "hash", file->hash) &&
                cJSON_AddBoolToObject(object, "keeps_head", file->keeps_head) != NULL &&
                (file->name == NULL || json_add_text(object, "name", file->name)) &&
                (file->license == NULL || json_add_text(object, "license", file->license));
    }
    return added;
}

static bool add_budget(cJSON *json, const struct event_budget *budget)
{
    cJSON *object = cJSON_AddObjectToObject(json, "budget");
    return object != NULL && json_add_number(object, "seconds", budget->seconds) &&
           json_add_number(object, "steps", budget->steps) &&
           json_add_number(object, "models", budget->models);
}

bool facts_add_run(cJSON *json, const struct history *history, const struct history_test *test)
{
    const struct history_model *winner = history_find(history, test->id);
    cJSON *devices = cJSON_CreateStringArray((const char *const *)history->devices, history->device_count);
    if (!cJSON_AddItemToObject(json, "devices", devices)) {
        cJSON_Delete(devices);
        return false;
    }
    return json_add_text(json, "version", history->version) && json_add_count(json, "seed", history->seed) &&
           add_dataset(json, history) && json_add_text(json, "precision", history->precision) &&
           add_start_files(json, history) && add_budget(json, &test->amounts) &&
           json_add_count(json, "batch", winner != NULL ? winner->batch : -1) &&
           json_add_text(json, "date", test->date) && json_add_text(json, "host", test->host) &&
           json_add_text(json, "job", history->job);
}

/* The job's value; of a batch that is "auto" the one that it was trained with. */
static double of_job(const char *name, double value, const struct history_model *winner)
{
    const bool open = strcmp(name, "batch") == 0 && !(value > 0.0);
    return !open ? value : winner->batch > 0 ? winner->batch : NAN;
}

bool facts_add_hyperparameters(cJSON *json, const struct history *history, const struct history_model *winner)
{
    cJSON *object = cJSON_AddObjectToObject(json, "hyperparameters");
    struct job job = {0};
    struct error ignored; /* a job of another version: what is in it then is not known */
    const bool known = history->job != NULL &&
                       spec_read_written("job", history->job, strlen(history->job), &job, &ignored) == ST_OK;
    bool added = object != NULL;
#define ADD(name, usual_scale)                                                                               \
    if (added && winner != NULL && !isnan(winner->hyperparameters.name))                                     \
        added = json_add_number(object, #name, winner->hyperparameters.name);                                \
    else if (added && winner != NULL && known)                                                               \
        added = json_add_number(object, #name, of_job(#name, (double)job.train.name, winner));
    JOB_SEARCHED(ADD)
#undef ADD
    spec_free(&job);
    return added;
}

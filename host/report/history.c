#include "host/report/history.h"

#include "host/base/file.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 10000 };

/* ---- fields of events ---- */

static double number_in(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* A whole number, `absent` where there is none that a double holds exactly. */
static int64_t whole_in(const cJSON *json, const char *key, int64_t absent)
{
    double value = number_in(json, key);
    return fabs(value) <= 9007199254740992.0 && value == floor(value) ? (int64_t)value : absent;
}

static enum status needed_whole(const cJSON *json, const char *key, int64_t *value, struct error *err)
{
    *value = whole_in(json, key, INT64_MIN);
    if (*value == INT64_MIN)
        return error_set(err, ST_FORMAT, "\"%s\" is no whole number", key);
    return ST_OK;
}

/* ---- growing arrays ---- */

/* The array with room for one more element, which is zeroed; NULL, and the array as it was, when out of
 * memory. */
static void *with_room(void *array, int32_t count, int32_t *capacity, size_t size, struct error *err)
{
    if (count == *capacity) {
        int32_t larger = *capacity == 0 ? 16 : 2 * *capacity;
        void *grown = realloc(array, (size_t)larger * size);
        if (grown == NULL) {
            error_memory(err, "the history of a run", (size_t)larger * size);
            return NULL;
        }
        array = grown;
        *capacity = larger;
    }
    memset((char *)array + (size_t)count * size, 0, size);
    return array;
}

const struct history_model *history_find(const struct history *history, int64_t id)
{
    for (int32_t i = history->model_count - 1; i >= 0; i--)
        if (history->models[i].id == id)
            return &history->models[i];
    return NULL;
}

/* The model that an event speaks of. */
static enum status model_of(struct history *history, const cJSON *json, struct history_model **model,
                            struct error *err)
{
    int64_t id;
    enum status st = needed_whole(json, "id", &id, err);
    if (st != ST_OK)
        return st;
    *model = (struct history_model *)history_find(history, id);
    if (*model == NULL)
        return error_set(err, ST_FORMAT, "id %lld has no candidate event before it", (long long)id);
    return ST_OK;
}

/* ---- events ---- */

static enum status read_run(struct history *history, const cJSON *json, struct error *err)
{
    const cJSON *dataset = cJSON_GetObjectItemCaseSensitive(json, "dataset");
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(dataset, "class_names");
    const cJSON *name;
    int classes = cJSON_GetArraySize(names);

    if (history->class_names != NULL)
        return error_set(err, ST_FORMAT, "a second run event, expected one");
    if (!cJSON_IsArray(names) || classes < 1 || classes > MAX_CLASSES)
        return error_set(err, ST_FORMAT, "dataset.class_names has %d names, expected 1 to %d", classes,
                         MAX_CLASSES);
    history->class_names = calloc((size_t)classes, sizeof(*history->class_names));
    if (history->class_names == NULL)
        return error_memory(err, "class names", (size_t)classes * sizeof(*history->class_names));
    cJSON_ArrayForEach(name, names)
    {
        if (!cJSON_IsString(name))
            return error_set(err, ST_FORMAT, "dataset.class_names[%d] is no string", history->classes);
        char *copy = strdup(name->valuestring);
        if (copy == NULL)
            return error_memory(err, "a class name", strlen(name->valuestring) + 1);
        history->class_names[history->classes++] = copy;
    }
    return ST_OK;
}

static enum status read_stage(struct history *history, const cJSON *json, struct error *err)
{
    const cJSON *budget = cJSON_GetObjectItemCaseSensitive(json, "budget");
    const cJSON *amount;
    char text[160] = "";

    cJSON_ArrayForEach(amount, budget)
    {
        size_t used = strlen(text);
        if (!cJSON_IsNumber(amount))
            continue;
        const char *unit = strcmp(amount->string, "seconds") == 0 ? "s" : amount->string;
        snprintf(text + used, sizeof(text) - used, "%s%.10g %.20s", used > 0 ? ", " : "", amount->valuedouble,
                 unit);
    }
    free(history->budget);
    history->budget = strdup(text);
    return history->budget == NULL ? error_memory(err, "a budget", sizeof(text)) : ST_OK;
}

static enum status read_candidate(struct history *history, const cJSON *json, struct error *err)
{
    int64_t id;
    enum status st = needed_whole(json, "id", &id, err);
    if (st != ST_OK)
        return st;
    if (history_find(history, id) != NULL)
        return error_set(err, ST_FORMAT, "a second candidate with id %lld", (long long)id);
    struct history_model *models =
        with_room(history->models, history->model_count, &history->model_capacity, sizeof(*models), err);
    if (models == NULL)
        return err->status;
    history->models = models;
    struct history_model *model = &models[history->model_count++];
    const cJSON *graph = cJSON_GetObjectItemCaseSensitive(json, "graph");
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(graph, "layers");
    model->id = id;
    model->parameters = whole_in(json, "parameters", -1);
    model->layers = cJSON_IsArray(layers) ? cJSON_GetArraySize(layers) : -1;
    model->final = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "final"));
    model->time = model->validation_accuracy = NAN;
    return ST_OK;
}

static enum status read_epoch(struct history *history, const cJSON *json, double time, struct error *err)
{
    struct history_model *model;
    int64_t epoch;
    enum status st = model_of(history, json, &model, err);
    if (st == ST_OK)
        st = needed_whole(json, "epoch", &epoch, err);
    if (st != ST_OK)
        return st;
    /* a candidate that was started anew trains its epochs again: the later ones count */
    while (model->point_count > 0 && model->points[model->point_count - 1].epoch >= epoch)
        model->point_count--;
    struct history_point *points =
        with_room(model->points, model->point_count, &model->point_capacity, sizeof(*points), err);
    if (points == NULL)
        return err->status;
    model->points = points;
    struct history_point *point = &points[model->point_count++];
    *point = (struct history_point){.epoch = epoch,
                                    .time = time,
                                    .loss = number_in(json, "loss"),
                                    .accuracy = number_in(json, "accuracy"),
                                    .validation_loss = number_in(json, "validation_loss"),
                                    .validation_accuracy = number_in(json, "validation_accuracy")};
    return ST_OK;
}

static enum status read_model(struct history *history, const cJSON *json, double time, struct error *err)
{
    struct history_model *model;
    enum status st = model_of(history, json, &model, err);
    if (st != ST_OK)
        return st;
    model->finished = true;
    model->time = time;
    model->validation_accuracy = number_in(json, "validation_accuracy");
    return ST_OK;
}

static enum status read_failed(struct history *history, const cJSON *json, struct error *err)
{
    struct history_model *model;
    enum status st = model_of(history, json, &model, err);
    if (st != ST_OK)
        return st;
    history->failed += !model->failed;
    model->failed = true;
    return ST_OK;
}

static enum status read_counts(const cJSON *confusion, int32_t classes, int64_t *counts, struct error *err)
{
    const cJSON *row, *count;
    int32_t r = 0;

    if (cJSON_GetArraySize(confusion) != classes)
        return error_set(err, ST_FORMAT, "\"confusion\" has %d rows, expected %d",
                         cJSON_GetArraySize(confusion), classes);
    cJSON_ArrayForEach(row, confusion)
    {
        if (!cJSON_IsArray(row) || cJSON_GetArraySize(row) != classes)
            return error_set(err, ST_FORMAT, "\"confusion\" row %d has %d columns, expected %d", r,
                             cJSON_GetArraySize(row), classes);
        cJSON_ArrayForEach(count, row)
        {
            double value = cJSON_IsNumber(count) ? count->valuedouble : NAN;
            if (!(value >= 0 && value <= 1e12 && value == floor(value)))
                return error_set(err, ST_FORMAT, "\"confusion\" row %d holds %g, expected counts", r, value);
            *counts++ = (int64_t)value;
        }
        r++;
    }
    return ST_OK;
}

static enum status read_test(struct history *history, const cJSON *json, struct error *err)
{
    size_t n = (size_t)history->classes;
    struct history_test *tests =
        with_room(history->tests, history->test_count, &history->test_capacity, sizeof(*tests), err);
    if (tests == NULL)
        return err->status;
    history->tests = tests;
    struct history_test *test = &tests[history->test_count++];
    test->budget = strdup(history->budget == NULL ? "" : history->budget);
    test->counts = calloc(n * n + 1, sizeof(*test->counts));
    if (test->counts == NULL || test->budget == NULL)
        return error_memory(err, "confusion counts", n * n * sizeof(*test->counts));
    enum status st = needed_whole(json, "stage", &test->stage, err);
    if (st == ST_OK)
        st = needed_whole(json, "id", &test->id, err);
    if (st != ST_OK)
        return st;
    test->accuracy = number_in(json, "accuracy");
    test->loss = number_in(json, "loss");
    test->budget_seconds = number_in(json, "budget_seconds");
    test->elapsed_seconds = number_in(json, "elapsed_seconds");
    test->models = whole_in(json, "models", history->model_count);
    test->failed = history->failed;
    if (n == 0)
        return error_set(err, ST_FORMAT, "a test event before the run event");
    return read_counts(cJSON_GetObjectItemCaseSensitive(json, "confusion"), history->classes, test->counts,
                       err);
}

static enum status read_event(struct history *history, const struct journal_line *line, struct error *err)
{
    if (strcmp(line->event, "run") == 0)
        return read_run(history, line->json, err);
    if (strcmp(line->event, "stage") == 0)
        return read_stage(history, line->json, err);
    if (strcmp(line->event, "candidate") == 0)
        return read_candidate(history, line->json, err);
    if (strcmp(line->event, "epoch") == 0)
        return read_epoch(history, line->json, line->time, err);
    if (strcmp(line->event, "model") == 0)
        return read_model(history, line->json, line->time, err);
    if (strcmp(line->event, "failed") == 0)
        return read_failed(history, line->json, err);
    if (strcmp(line->event, "test") == 0)
        return read_test(history, line->json, err);
    return ST_OK; /* the others say nothing that a report needs */
}

enum status history_load(const char *run_folder, struct history *history, struct error *err)
{
    struct journal_lines lines = {0};
    enum status st = ST_OK;

    *history = (struct history){0};
    char *path = file_join(run_folder, JOURNAL_NAME);
    if (path == NULL)
        return error_memory(err, run_folder, strlen(run_folder));
    st = journal_load(path, &lines, err);
    for (size_t i = 0; st == ST_OK && i < lines.count; i++) {
        st = read_event(history, &lines.lines[i], err);
        if (st != ST_OK)
            error_prefix(err, "%s:%zu: %.20s event", path, i + 1, lines.lines[i].event);
    }
    if (st == ST_OK && history->classes == 0)
        st = error_set(err, ST_FORMAT, "%s: no run event in %zu lines, expected one", path, lines.count);
    if (st != ST_OK)
        history_free(history);
    journal_lines_free(&lines);
    free(path);
    return st;
}

void history_free(struct history *history)
{
    for (int32_t i = 0; i < history->classes; i++)
        free(history->class_names[i]);
    for (int32_t i = 0; i < history->model_count; i++)
        free(history->models[i].points);
    for (int32_t i = 0; i < history->test_count; i++) {
        free(history->tests[i].counts);
        free(history->tests[i].budget);
    }
    free(history->class_names);
    free(history->models);
    free(history->tests);
    free(history->budget);
    *history = (struct history){0};
}

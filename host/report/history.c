#include "host/report/history_internal.h"

#include "host/base/array.h"
#include "host/base/file.h"
#include "host/journal/event_read.h"
#include "host/net/serialise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 10000 };

static const char WHAT[] = "the history of a run"; /* for messages */

const struct history_model *history_find(const struct history *history, int64_t id)
{
    for (int32_t i = history->model_count - 1; i >= 0; i--)
        if (history->models[i].id == id)
            return &history->models[i];
    return NULL;
}

const struct history_model *history_best(const struct history *history)
{
    const struct history_model *best = NULL;
    if (history->test_count > 0)
        best = history_find(history, history->tests[history->test_count - 1].id);
    if (best != NULL)
        return best;
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        if (!model->baseline && isfinite(model->validation_accuracy) &&
            (best == NULL || model->validation_accuracy > best->validation_accuracy))
            best = model;
    }
    return best;
}

/* The model that an event speaks of. */
static enum status model_of(struct history *history, int32_t id, struct history_model **model,
                            struct error *err)
{
    *model = (struct history_model *)history_find(history, id);
    if (*model == NULL)
        return error_set(err, ST_FORMAT, "id %d has no candidate event before it", (int)id);
    return ST_OK;
}

/* ---- events ---- */

/* *count grows with each text that is copied. */
static enum status copy_texts(const struct event_texts *texts, char ***copies, int32_t *count,
                              struct error *err)
{
    enum status st = ST_OK;
    *copies = calloc((size_t)texts->count + 1, sizeof(**copies));
    if (*copies == NULL)
        return error_memory(err, "texts", (size_t)texts->count * sizeof(**copies));
    for (; st == ST_OK && *count < texts->count; ++*count)
        st = history_copy_text(texts->items[*count], &(*copies)[*count], err);
    return st;
}

/* Of the run and its data. */
static enum status read_about(struct history *history, const struct event_run *event, struct error *err)
{
    const struct event_dataset *read = &event->dataset;
    struct history_data *data = &history->data;
    *data = (struct history_data){.train = read->train,
                                  .validation = read->validation,
                                  .test = read->test,
                                  .image = {read->image.channels, read->image.height, read->image.width},
                                  .few = read->few,
                                  .least = read->least,
                                  .most = read->most};
    const struct {
        const char *text;
        char **copy;
    } texts[] = {{read->fingerprint, &history->fingerprint},
                 {read->least_class, &data->least_class},
                 {read->most_class, &data->most_class},
                 {event->version, &history->version},
                 {event->job, &history->job},
                 {event->precision, &history->precision}};
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < sizeof(texts) / sizeof(texts[0]); i++)
        st = history_copy_text(texts[i].text, texts[i].copy, err);
    return st;
}

static enum status read_run(struct history *history, const struct event_run *event, struct error *err)
{
    const struct event_texts *names = &event->dataset.class_names;
    if (history->class_names != NULL)
        return error_set(err, ST_FORMAT, "a second run event, expected one");
    if (names->count < 1 || names->count > MAX_CLASSES)
        return error_set(err, ST_FORMAT, "%d class names, expected 1 to %d", (int)names->count, MAX_CLASSES);
    enum status st = copy_texts(names, &history->class_names, &history->classes, err);
    if (st == ST_OK)
        st = copy_texts(&event->devices, &history->devices, &history->device_count, err);
    history->several =
        event->dataset.labels != NULL && strcmp(event->dataset.labels, EVENT_LABELS_SEVERAL) == 0;
    history->skipped = event->dataset.skipped;
    history->seed = event->seed;
    history->model_clock = event->job != NULL && strstr(event->job, "clock = \"model\"") != NULL;
    return st == ST_OK ? read_about(history, event, err) : st;
}

static enum status read_start_file(struct history *history, const struct event_start_file *event,
                                   struct error *err)
{
    const size_t bytes = ((size_t)history->start_file_count + 1) * sizeof(*history->start_files);
    struct history_start_file *larger = realloc(history->start_files, bytes);
    if (larger == NULL)
        return error_memory(err, WHAT, bytes);
    history->start_files = larger;
    struct history_start_file *file = &larger[history->start_file_count++];
    *file = (struct history_start_file){.keeps_head = event->keeps_head};
    enum status st = history_copy_text(event->file, &file->path, err);
    if (st == ST_OK)
        st = history_copy_text(event->hash, &file->hash, err);
    if (st == ST_OK && event->name != NULL)
        st = history_copy_text(event->name, &file->name, err);
    if (st == ST_OK && event->license != NULL)
        st = history_copy_text(event->license, &file->license, err);
    return st;
}

static enum status read_stage(struct history *history, const struct event_stage *event, struct error *err)
{
    const struct {
        double amount;
        const char *unit;
    } amounts[] = {
        {event->budget.seconds, " s"}, {event->budget.steps, " steps"}, {event->budget.models, " models"}};
    char text[160] = "";

    for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        size_t used = strlen(text);
        if (!isnan(amounts[i].amount))
            snprintf(text + used, sizeof(text) - used, "%s%.10g%s", used > 0 ? ", " : "", amounts[i].amount,
                     amounts[i].unit);
    }
    free(history->budget);
    history->budget = strdup(text);
    history->amounts = event->budget;
    return history->budget == NULL ? error_memory(err, "a budget", sizeof(text)) : ST_OK;
}

/* "widen 3, deepen 4"; malloc'd, NULL when out of memory. */
static char *join(const struct event_texts *texts)
{
    size_t length = 1, used = 0;
    for (int32_t i = 0; i < texts->count; i++)
        length += strlen(texts->items[i]) + 2;
    char *made = malloc(length);
    if (made == NULL)
        return NULL;
    made[0] = '\0';
    for (int32_t i = 0; i < texts->count; i++)
        used += (size_t)snprintf(made + used, length - used, "%s%s", i > 0 ? ", " : "", texts->items[i]);
    return made;
}

static enum status read_candidate(struct history *history, const struct event_candidate *event,
                                  struct error *err)
{
    if (history_find(history, event->id) != NULL)
        return error_set(err, ST_FORMAT, "a second candidate with id %d", (int)event->id);
    struct history_model *models = array_with_room(history->models, history->model_count,
                                                   &history->model_capacity, sizeof(*models), WHAT, err);
    if (models == NULL)
        return err->status;
    history->models = models;
    struct history_model *model = &models[history->model_count++];
    *model = (struct history_model){.id = event->id,
                                    .batch = -1,
                                    .parameters = event->parameters,
                                    .flops = event->flops,
                                    .layers = graph_json_layers(event->graph),
                                    .final = event->final && event->baseline_of < 0,
                                    .baseline = event->baseline_of >= 0,
                                    .parent = event->parent,
                                    .compared_with = event->compared_with,
                                    .gain = NAN,
                                    .gain_deviation = NAN,
                                    .informed = event->prior >= 0,
                                    .time = NAN,
                                    .validation_accuracy = NAN,
                                    .validation_loss = NAN,
                                    .steps = -1,
                                    .epochs = -1,
                                    .stage = event->stage};
#define GIVEN(name, usual_scale) model->hyperparameters.name = event->name;
    JOB_SEARCHED(GIVEN)
#undef GIVEN
    history->informed += model->informed;
    model->made_by = join(&event->operations);
    return model->made_by != NULL ? history_copy_text(event->start, &model->start, err)
                                  : error_memory(err, "what made a model", 0);
}

static enum status read_morph(struct history *history, const struct event_morph *event, struct error *err)
{
    struct history_model *model;
    enum status st = model_of(history, event->id, &model, err);
    if (st == ST_OK)
        model->morphs++;
    return st;
}

static enum status read_epoch(struct history *history, const struct event *read, struct error *err)
{
    const struct event_epoch *event = &read->epoch;
    struct history_model *model;
    enum status st = model_of(history, event->id, &model, err);
    if (st != ST_OK)
        return st;
    /* a candidate that was started anew trains its epochs again: the later ones count */
    while (model->point_count > 0 && model->points[model->point_count - 1].epoch >= event->epoch)
        model->point_count--;
    struct history_point *points = array_with_room(model->points, model->point_count, &model->point_capacity,
                                                   sizeof(*points), WHAT, err);
    if (points == NULL)
        return err->status;
    model->points = points;
    points[model->point_count++] = (struct history_point){.epoch = event->epoch,
                                                          .time = read->time,
                                                          .loss = event->loss,
                                                          .accuracy = event->accuracy,
                                                          .validation_loss = event->validation_loss,
                                                          .validation_accuracy = event->validation_accuracy};
    return ST_OK;
}

static enum status read_model(struct history *history, const struct event *read, struct error *err)
{
    struct history_model *model;
    enum status st = model_of(history, read->model.id, &model, err);
    if (st != ST_OK)
        return st;
    model->finished = true;
    model->time = read->time;
    model->validation_accuracy = read->model.validation_accuracy;
    model->validation_loss = read->model.validation_loss;
    model->steps = read->model.steps;
    model->epochs = read->model.epochs;
    model->gain = read->model.gain;
    model->gain_deviation = read->model.gain_deviation;
    if (read->model.hash == NULL)
        return ST_OK;
    free(model->hash);
    model->hash = strdup(read->model.hash);
    return model->hash != NULL ? ST_OK : error_memory(err, "a model's hash", strlen(read->model.hash) + 1);
}

static enum status read_failed(struct history *history, const struct event_failed *event, struct error *err)
{
    struct history_model *model;
    enum status st = model_of(history, event->id, &model, err);
    if (st != ST_OK)
        return st;
    history->failed += !model->failed;
    model->failed = true;
    return ST_OK;
}

static enum status read_plan(struct history *history, const struct event_plan *event, struct error *err)
{
    struct history_model *model;
    enum status st = model_of(history, event->id, &model, err);
    if (st != ST_OK)
        return st;
    model->batch = event->batch;
    history->smaller += event->wanted > event->batch && !model->smaller;
    model->smaller = model->smaller || event->wanted > event->batch;
    return ST_OK;
}

/* ---- all events ---- */

static enum status read_event(struct history *history, const struct event *event, struct error *err)
{
    switch (event->kind) {
    case EVENT_RUN:
        return read_run(history, &event->run, err);
    case EVENT_START_FILE:
        return read_start_file(history, &event->start_file, err);
    case EVENT_STAGE:
        return read_stage(history, &event->stage, err);
    case EVENT_CANDIDATE:
        return read_candidate(history, &event->candidate, err);
    case EVENT_EPOCH:
        return read_epoch(history, event, err);
    case EVENT_PLAN:
        return read_plan(history, &event->plan, err);
    case EVENT_MODEL:
        return read_model(history, event, err);
    case EVENT_FAILED:
        return read_failed(history, &event->failed, err);
    case EVENT_TEST:
        return history_read_test(history, &event->test, err);
    case EVENT_BASELINE:
        return history_read_baseline(history, &event->baseline, err);
    case EVENT_MORPH:
        return read_morph(history, &event->morph, err);
    case EVENT_CONTINUED:
    case EVENT_WORKERS:
    case EVENT_CALIBRATION:
    case EVENT_LATENCY:
    case EVENT_LEFT_OUT:
    case EVENT_UNRECORDED:
    case EVENT_KINDS:
        break; /* these say nothing that a report needs */
    }
    return ST_OK;
}

static enum status read_events(const char *path, const struct journal_lines *lines, struct history *history,
                               struct error *err)
{
    struct event_reader reader = event_reader_open(path, lines);
    const struct event *event;
    enum status st;
    while ((st = event_next(&reader, &event, err)) == ST_OK && event != NULL) {
        st = read_event(history, event, err);
        if (st != ST_OK) {
            event_refuse(&reader, err);
            break;
        }
    }
    event_reader_close(&reader);
    return st;
}

enum status history_graph(const struct history *history, int64_t id, struct graph *graph, struct error *err)
{
    struct journal_lines lines = {0};
    const struct event *event;
    *graph = (struct graph){0};
    enum status st = journal_load(history->path, &lines, err);
    if (st != ST_OK)
        return st;
    struct event_reader reader = event_reader_open(history->path, &lines);
    bool found = false;
    while (!found && (st = event_next(&reader, &event, err)) == ST_OK && event != NULL) {
        found = event->kind == EVENT_CANDIDATE && event->candidate.id == id;
        if (found)
            st = graph_from_json(graph, event->candidate.graph, err);
    }
    if (st == ST_OK && !found)
        st = error_set(err, ST_RANGE, "%s: no model %lld", history->path, (long long)id);
    event_reader_close(&reader);
    journal_lines_free(&lines);
    return st;
}

enum status history_load(const char *run_folder, struct history *history, struct error *err)
{
    struct journal_lines lines = {0};

    *history = (struct history){0};
    char *path = file_join(run_folder, JOURNAL_NAME);
    if (path == NULL)
        return error_memory(err, run_folder, strlen(run_folder));
    enum status st = journal_load(path, &lines, err);
    if (st == ST_OK)
        st = read_events(path, &lines, history, err);
    if (st == ST_OK && history->classes == 0)
        st = error_set(err, ST_FORMAT, "%s: no run event in %zu lines, expected one", path, lines.count);
    history->path = path;
    if (st == ST_OK)
        st = history_copy_text(run_folder, &history->folder, err);
    if (st != ST_OK)
        history_free(history);
    journal_lines_free(&lines);
    return st;
}

void history_free(struct history *history)
{
    for (int32_t i = 0; i < history->classes; i++)
        free(history->class_names[i]);
    for (int32_t i = 0; i < history->model_count; i++) {
        free(history->models[i].points);
        free(history->models[i].hash);
        free(history->models[i].made_by);
        free(history->models[i].start);
    }
    for (int32_t i = 0; i < history->test_count; i++)
        history_free_test(&history->tests[i]);
    for (int32_t i = 0; i < history->start_file_count; i++) {
        free(history->start_files[i].path);
        free(history->start_files[i].hash);
        free(history->start_files[i].name);
        free(history->start_files[i].license);
    }
    free(history->start_files);
    for (int32_t i = 0; i < history->device_count; i++)
        free(history->devices[i]);
    free(history->devices);
    free(history->data.least_class);
    free(history->data.most_class);
    free(history->fingerprint);
    free(history->version);
    free(history->precision);
    free(history->class_names);
    free(history->models);
    free(history->tests);
    free(history->budget);
    free(history->folder);
    free(history->path);
    free(history->job);
    *history = (struct history){0};
}

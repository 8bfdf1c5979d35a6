#include "host/report/history.h"

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

static enum status read_run(struct history *history, const struct event_run *event, struct error *err)
{
    const struct event_texts *names = &event->dataset.class_names;
    if (history->class_names != NULL)
        return error_set(err, ST_FORMAT, "a second run event, expected one");
    if (names->count < 1 || names->count > MAX_CLASSES)
        return error_set(err, ST_FORMAT, "%d class names, expected 1 to %d", (int)names->count, MAX_CLASSES);
    history->class_names = calloc((size_t)names->count, sizeof(*history->class_names));
    if (history->class_names == NULL)
        return error_memory(err, "class names", (size_t)names->count * sizeof(*history->class_names));
    for (int32_t i = 0; i < names->count; i++) {
        history->class_names[i] = strdup(names->items[i]);
        if (history->class_names[i] == NULL)
            return error_memory(err, "a class name", strlen(names->items[i]) + 1);
        history->classes++;
    }
    history->skipped = event->dataset.skipped;
    return ST_OK;
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
    return history->budget == NULL ? error_memory(err, "a budget", sizeof(text)) : ST_OK;
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
                                    .parameters = event->parameters,
                                    .layers = graph_json_layers(event->graph),
                                    .final = event->final,
                                    .informed = event->prior >= 0,
                                    .time = NAN,
                                    .validation_accuracy = NAN};
#define GIVEN(name, usual_scale) model->hyperparameters.name = event->name;
    JOB_SEARCHED(GIVEN)
#undef GIVEN
    history->informed += model->informed;
    return ST_OK;
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
    history->smaller += event->wanted > event->batch && !model->smaller;
    model->smaller = model->smaller || event->wanted > event->batch;
    return ST_OK;
}

static enum status read_test(struct history *history, const struct event_test *event, struct error *err)
{
    const size_t bytes = (size_t)history->classes * (size_t)history->classes * sizeof(int64_t);
    if (history->classes == 0)
        return error_set(err, ST_FORMAT, "a test event before the run event");
    if (event->confusion.rows != history->classes)
        return error_set(err, ST_FORMAT, "\"confusion\" has %d rows, expected %d", (int)event->confusion.rows,
                         (int)history->classes);
    struct history_test *tests = array_with_room(history->tests, history->test_count, &history->test_capacity,
                                                 sizeof(*tests), WHAT, err);
    if (tests == NULL)
        return err->status;
    history->tests = tests;
    struct history_test *test = &tests[history->test_count++];
    *test = (struct history_test){.stage = event->stage,
                                  .id = event->id,
                                  .accuracy = event->accuracy,
                                  .loss = event->loss,
                                  .views = event->views,
                                  .plain_accuracy = event->plain_accuracy,
                                  .budget_seconds = event->budget_seconds,
                                  .elapsed_seconds = event->elapsed_seconds,
                                  .models = event->models,
                                  .failed = history->failed,
                                  .smaller = history->smaller,
                                  .informed = history->informed,
                                  .budget = strdup(history->budget == NULL ? "" : history->budget),
                                  .counts = malloc(bytes)};
    if (test->counts == NULL || test->budget == NULL)
        return error_memory(err, "confusion counts", bytes);
    memcpy(test->counts, event->confusion.values, bytes);
    return ST_OK;
}

static enum status read_event(struct history *history, const struct event *event, struct error *err)
{
    switch (event->kind) {
    case EVENT_RUN:
        return read_run(history, &event->run, err);
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
        return read_test(history, &event->test, err);
    case EVENT_CONTINUED:
    case EVENT_WORKERS:
    case EVENT_CALIBRATION:
    case EVENT_LEFT_OUT:
    case EVENT_MORPH:
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
    for (int32_t i = 0; i < history->model_count; i++) {
        free(history->models[i].points);
        free(history->models[i].hash);
    }
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

#include "host/report/report.h"

#include "host/base/file.h"
#include "host/report/budgets.h"
#include "host/report/plots.h"
#include "host/report/predictions.h"
#include "host/report/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a stage's report is made of. */
struct stage {
    const struct history *history;
    const struct history_test *test;
    struct metrics metrics;
    struct predictions predictions;
    struct rankings rankings;
    bool ranked; /* predictions.csv, by which they were made, is the stage's own */
};

/* The stage's predictions; without rows where they are gone, or are another's. */
static enum status read_predictions(const char *run_folder, const struct history_test *test,
                                    struct predictions *predictions, struct error *err)
{
    const int64_t stages[] = {test->stage, -1};
    for (int i = 0; i < 2 && test->predictions != NULL; i++) {
        struct error unread;
        char *path = predictions_path(run_folder, stages[i]);
        if (path == NULL)
            return error_memory(err, run_folder, strlen(run_folder));
        const enum status st = file_exists(path) ? predictions_read(path, predictions, &unread) : ST_RANGE;
        free(path);
        if (st == ST_MEMORY) {
            *err = unread;
            return st;
        }
        if (st == ST_OK && strcmp(predictions->hash, test->predictions) == 0)
            return ST_OK;
        if (st == ST_OK)
            predictions_free(predictions);
    }
    return ST_OK;
}

/* Of the test images, which come first. */
static enum status rank_stage(struct stage *stage, struct error *err)
{
    const struct predictions *predictions = &stage->predictions;
    const int32_t count = predictions_tests(predictions);
    if (predictions->classes != stage->history->classes ||
        (predictions->label_sets != NULL) != stage->history->several)
        return ST_OK;
    int32_t *labels = malloc(((size_t)count + 1) * sizeof(*labels));
    if (labels == NULL)
        return error_memory(err, "labels", (size_t)count * sizeof(*labels));
    for (int32_t i = 0; i < count; i++)
        labels[i] = predictions->rows[i].truth;
    const struct answered answered = {predictions->probabilities, count, predictions->classes, labels,
                                      predictions->label_sets};
    enum status st = rankings_make(&stage->rankings, &answered, err);
    stage->ranked = st == ST_OK;
    free(labels);
    return st;
}

static enum status measure(struct stage *stage, struct error *err)
{
    const struct history_test *test = stage->test;
    const int32_t classes = stage->history->classes;
    return stage->history->several
               ? metrics_from_labels(&stage->metrics, classes, &test->labels, test->counts_at_half,
                                     llround(test->accuracy * (double)test->images), err)
               : metrics_from_confusion(&stage->metrics, classes, test->counts, err);
}

static enum status open_stage(struct stage *stage, const char *run_folder, const struct history *history,
                              const struct history_test *test, struct error *err)
{
    *stage = (struct stage){.history = history, .test = test};
    enum status st = measure(stage, err);
    if (st == ST_OK)
        st = read_predictions(run_folder, test, &stage->predictions, err);
    if (st == ST_OK)
        st = rank_stage(stage, err);
    return st;
}

static void close_stage(struct stage *stage)
{
    metrics_free(&stage->metrics);
    predictions_free(&stage->predictions);
    rankings_free(&stage->rankings);
}

static const struct rankings *rankings_of(const struct stage *stage)
{
    return stage->ranked ? &stage->rankings : NULL;
}

/* `last`: of the last stage, beside which all budgets are told. */
static void print_stage(FILE *out, const struct stage *stage, bool last)
{
    report_text(out, stage->history, stage->test, &stage->metrics, rankings_of(stage));
    if (last)
        budgets_print(out, stage->history);
}

static enum status write_text(const char *path, const struct stage *stage, bool last, struct error *err)
{
    struct file_aside file;
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    print_stage(file.stream, stage, last);
    return file_aside_commit(&file, err);
}

static enum status write_json(const char *path, const struct stage *stage, bool last, struct error *err)
{
    struct file_aside file;
    enum status st = ST_OK;
    cJSON *json = report_json(stage->history, stage->test, &stage->metrics, rankings_of(stage));
    const bool told = json != NULL && (!last || budgets_add(json, stage->history));
    char *text = told ? cJSON_Print(json) : NULL;

    if (text == NULL) {
        st = error_memory(err, path, sizeof(*stage->test));
        goto out;
    }
    st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        goto out;
    fprintf(file.stream, "%s\n", text);
    st = file_aside_commit(&file, err);
out:
    cJSON_free(text);
    cJSON_Delete(json);
    return st;
}

/* What to make of a run; without `plots` no plots. */
struct wanted {
    bool report;
    struct plot_request *plots;
};

/* The files of a tested stage, with its number in their names unless that is -1. */
static enum status write_stage(const char *run_folder, const struct stage *stage, int64_t number,
                               struct wanted wanted, struct error *err)
{
    char *text_path = file_join_number(run_folder, "report", number, ".txt");
    char *json_path = file_join_number(run_folder, "report", number, ".json");
    enum status st = ST_OK;

    if (text_path == NULL || json_path == NULL) {
        st = error_memory(err, run_folder, strlen(run_folder));
        goto out;
    }
    if (wanted.report)
        st = write_text(text_path, stage, number < 0, err);
    if (st == ST_OK && wanted.report)
        st = write_json(json_path, stage, number < 0, err);
    const struct plots_stage plots = {.history = stage->history,
                                      .test = stage->test,
                                      .metrics = &stage->metrics,
                                      .predictions = stage->ranked ? &stage->predictions : NULL,
                                      .rankings = &stage->rankings};
    if (st == ST_OK && wanted.plots != NULL)
        st = plots_write_stage(wanted.plots, &plots, number, err);
out:
    free(text_path);
    free(json_path);
    return st;
}

/* Of one of several stages with its number, of the last without. */
static enum status write_test(const char *run_folder, const struct history *history, int32_t index,
                              struct wanted wanted, struct error *err)
{
    struct stage stage;
    enum status st = open_stage(&stage, run_folder, history, &history->tests[index], err);
    if (st == ST_OK && history->test_count > 1)
        st = write_stage(run_folder, &stage, stage.test->stage, wanted, err);
    if (st == ST_OK && index == history->test_count - 1)
        st = write_stage(run_folder, &stage, -1, wanted, err);
    close_stage(&stage);
    return st;
}

static enum status no_report(const char *run_folder, struct error *err)
{
    return error_set(err, ST_RANGE, "%s: no stage of this run has been tested yet, so there is no report",
                     run_folder);
}

static enum status write_files(const char *run_folder, struct wanted wanted, struct error *err)
{
    struct history history;
    enum status st = history_load(run_folder, &history, err);
    if (st != ST_OK)
        return st;
    if (wanted.plots != NULL)
        st = file_make_folder(wanted.plots->folder, err);
    for (int32_t i = 0; st == ST_OK && i < history.test_count; i++)
        st = write_test(run_folder, &history, i, wanted, err);
    if (st == ST_OK && wanted.plots != NULL)
        st = plots_write_run(wanted.plots, &history, err);
    if (st == ST_OK && wanted.report && history.test_count == 0)
        st = no_report(run_folder, err);
    history_free(&history);
    return st;
}

/* Plots without a folder go to plots/ of the run folder. */
static enum status write_there(const char *run_folder, struct wanted wanted, struct error *err)
{
    char *plot_folder = file_join(run_folder, "plots");
    if (plot_folder == NULL)
        return error_memory(err, run_folder, strlen(run_folder));
    const bool there = wanted.plots != NULL && wanted.plots->folder == NULL;
    if (there)
        wanted.plots->folder = plot_folder;
    enum status st = write_files(run_folder, wanted, err);
    if (there)
        wanted.plots->folder = NULL;
    free(plot_folder);
    return st;
}

enum status report_write_all(const char *run_folder, bool plots, struct error *err)
{
    struct plot_request pictures = {0};
    return write_there(run_folder, (struct wanted){.report = true, .plots = plots ? &pictures : NULL}, err);
}

enum status report_print(const char *run_folder, FILE *out, struct error *err)
{
    struct history history;
    struct stage stage = {0};
    enum status st = history_load(run_folder, &history, err);
    if (st != ST_OK)
        return st;
    const struct history_test *last = history.test_count > 0 ? &history.tests[history.test_count - 1] : NULL;
    st = last != NULL ? open_stage(&stage, run_folder, &history, last, err) : no_report(run_folder, err);
    if (st == ST_OK)
        print_stage(out, &stage, true);
    close_stage(&stage);
    history_free(&history);
    return st;
}

enum status report_write_plots(const char *run_folder, struct plot_request *request, struct error *err)
{
    return write_there(run_folder, (struct wanted){.plots = request}, err);
}

bool report_knows_model(const char *run_folder, int64_t id, const char *hash, char **expected)
{
    struct history history;
    struct error ignored;
    *expected = NULL;
    if (history_load(run_folder, &history, &ignored) != ST_OK)
        return true;
    const struct history_model *model = history_find(&history, id);
    const char *published = model != NULL ? model->hash : NULL;
    bool known = published == NULL || strcmp(published, hash) == 0;
    for (int32_t i = 0; i < history.test_count; i++) {
        const struct history_test *test = &history.tests[i];
        if (test->id != id || test->published == NULL)
            continue;
        published = test->published;
        known = known || strcmp(published, hash) == 0;
    }
    if (!known)
        *expected = strdup(published);
    history_free(&history);
    return known;
}

bool report_knows_predictions(const char *run_folder, int64_t id, const char *hash)
{
    struct history history;
    struct error ignored;
    bool known = false;
    if (history_load(run_folder, &history, &ignored) != ST_OK)
        return true;
    for (int32_t i = 0; i < history.test_count; i++) {
        const struct history_test *test = &history.tests[i];
        known =
            known || (test->id == id && test->predictions != NULL && strcmp(test->predictions, hash) == 0);
    }
    history_free(&history);
    return known;
}

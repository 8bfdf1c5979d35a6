#include "host/report/report.h"

#include "host/base/file.h"
#include "host/report/plots.h"
#include "host/report/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "folder/prefix[-stage]suffix", malloc'd; NULL when out of memory. stage < 0: without it. */
static char *stage_path(const char *folder, const char *prefix, int64_t stage, const char *suffix)
{
    char name[64];
    if (stage < 0)
        snprintf(name, sizeof(name), "%s%s", prefix, suffix);
    else
        snprintf(name, sizeof(name), "%s-%lld%s", prefix, (long long)stage, suffix);
    return file_join(folder, name);
}

static enum status write_text(const char *path, const struct history *history,
                              const struct history_test *test, const struct metrics *metrics,
                              struct error *err)
{
    struct file_aside file;
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    report_text(file.stream, history, test, metrics);
    return file_aside_commit(&file, err);
}

static enum status write_json(const char *path, const struct history *history,
                              const struct history_test *test, const struct metrics *metrics,
                              struct error *err)
{
    struct file_aside file;
    enum status st = ST_OK;
    cJSON *json = report_json(history, test, metrics);
    char *text = cJSON_Print(json); /* NULL of NULL */

    if (text == NULL) {
        st = error_memory(err, path, sizeof(*test));
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

/* The files of one tested stage, with its number in their names unless stage < 0. */
static enum status write_stage(const char *run_folder, const struct history *history,
                               const struct history_test *test, int64_t stage, struct wanted wanted,
                               struct error *err)
{
    struct metrics metrics = {0};
    char *text_path = stage_path(run_folder, "report", stage, ".txt");
    char *json_path = stage_path(run_folder, "report", stage, ".json");
    enum status st = ST_OK;

    if (text_path == NULL || json_path == NULL) {
        st = error_memory(err, run_folder, strlen(run_folder));
        goto out;
    }
    st = metrics_from_confusion(&metrics, history->classes, test->counts, err);
    if (st == ST_OK && wanted.report)
        st = write_text(text_path, history, test, &metrics, err);
    if (st == ST_OK && wanted.report)
        st = write_json(json_path, history, test, &metrics, err);
    if (st == ST_OK && wanted.plots != NULL)
        st = plots_write_stage(wanted.plots, history, test, &metrics, stage, err);
out:
    metrics_free(&metrics);
    free(text_path);
    free(json_path);
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
    for (int32_t i = 0; st == ST_OK && history.test_count > 1 && i < history.test_count; i++)
        st = write_stage(run_folder, &history, &history.tests[i], history.tests[i].stage, wanted, err);
    if (st == ST_OK && history.test_count > 0)
        st = write_stage(run_folder, &history, &history.tests[history.test_count - 1], -1, wanted, err);
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
    struct metrics metrics = {0};
    enum status st = history_load(run_folder, &history, err);
    if (st != ST_OK)
        return st;
    const struct history_test *last = history.test_count > 0 ? &history.tests[history.test_count - 1] : NULL;
    st = last != NULL ? metrics_from_confusion(&metrics, history.classes, last->counts, err)
                      : no_report(run_folder, err);
    if (st == ST_OK)
        report_text(out, &history, last, &metrics);
    metrics_free(&metrics);
    history_free(&history);
    return st;
}

enum status report_write_plots(const char *run_folder, struct plot_request *request, struct error *err)
{
    return write_there(run_folder, (struct wanted){.plots = request}, err);
}

char *report_model_hash(const char *run_folder, int64_t id)
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

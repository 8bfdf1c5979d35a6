#include "tests/support/strategy_run.h"

#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/run/coordinator.h"
#include "host/run/engine.h"
#include "host/run/resume.h"
#include "host/run/sharing.h"
#include "spec/spec.h"
#include "tests/support/data_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TRAIN = 400, TEST = 100, SIDE = 12 };

struct job strategy_job;
struct run strategy_run;
static char *folder; /* of data, job file and runs */

/* The images' brightness tells their class. */
static void write_labels(const char *name, int32_t count)
{
    uint8_t labels[TRAIN];
    for (int32_t i = 0; i < count; i++)
        labels[i] = (uint8_t)(i * 7 % 251 / 63);
    data_files_idx_labels(folder, name, labels, count, false);
}

int strategy_run_setup(void **state)
{
    char text[1024], path[256];
    struct error err;
    (void)state;
    folder = data_files_folder();
    data_files_idx_images(folder, "train-images-idx3-ubyte", TRAIN, SIDE, SIDE, false);
    data_files_idx_images(folder, "t10k-images-idx3-ubyte", TEST, SIDE, SIDE, false);
    write_labels("train-labels-idx1-ubyte", TRAIN);
    write_labels("t10k-labels-idx1-ubyte", TEST);
    snprintf(text, sizeof(text),
             "dataset = { format = \"idx\"; path = \"%s\"; validation = 0.2; };\n"
             "search = { starts = [\"lean\", \"resnet\", \"cnn\"]; morphs = [\"deepen\", \"add_skip\"]; "
             "width = 8;\n"
             "  max_parameters = 40000; };\n"
             "train = { batch = %d; flip = false; translate = 0; averaging = \"ema\"; average = 0.9; };\n"
             "budget = { steps = %d; };\n"
             "output = { plots = false; checkpoint_seconds = 0.01; };\n"
             "devices = [\"cpu:0\", \"cpu:1\"]; threads = 1;\n",
             folder, STRATEGY_RUN_BATCH, STRATEGY_RUN_BUDGET);
    data_files_write_text(folder, "job.cfg", text);
    snprintf(path, sizeof(path), "%s/job.cfg", folder);
    if (spec_read(path, NULL, 0, &strategy_job, &err) != ST_OK)
        fail_msg("%s", err.message);
    return 0;
}

int strategy_run_teardown(void **state)
{
    (void)state;
    spec_free(&strategy_job);
    data_files_remove(folder);
    return 0;
}

enum status strategy_run_with(const struct search_strategy *strategy, const struct device_ops *ops,
                              const char *path, enum status (*work)(struct run *run, struct error *err),
                              struct error *err)
{
    struct engine_history history = {.started = clock_seconds()};
    struct run *run = &strategy_run;
    assert_int_equal(file_make_folder(path, err), ST_OK);
    enum status st = run_open(run, &strategy_job, path, -1, &history, err);
    const struct search_setup setup = {.job = &strategy_job.search,
                                       .seed = strategy_job.seed,
                                       .image = run_image(run),
                                       .classes = run->data.classes};
    run->ops = ops != NULL ? ops : run->ops;
    search_free(run->search);
    run->search = NULL;
    if (st == ST_OK)
        st = search_new_with(strategy, &setup, &run->search, err);
    if (st == ST_OK)
        st = resume_run(run, err);
    if (st == ST_OK)
        st = sharing_open(run, err);
    run->window = coordinator_window(run);
    if (st == ST_OK)
        st = work(run, err);
    run_close(run);
    return st;
}

char *strategy_run_path_of(const char *name)
{
    char *path = malloc(256);
    snprintf(path, 256, "%s/%s", folder, name);
    return path;
}

void strategy_run_load(const char *path, struct journal_lines *lines)
{
    char name[300];
    struct error err;
    snprintf(name, sizeof(name), "%s/" JOURNAL_NAME, path);
    if (journal_load(name, lines, &err) != ST_OK)
        fail_msg("%s", err.message);
}

const cJSON *strategy_run_line_of(const struct journal_lines *lines, const char *event, int32_t id)
{
    const cJSON *found = NULL;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, event) != 0 || cJSON_GetObjectItem(json, "id")->valueint != id)
            continue;
        assert_null(found);
        found = json;
    }
    if (found == NULL)
        fail_msg("candidate %d has no %s", (int)id, event);
    return found;
}

double strategy_run_number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(json, name);
    return item != NULL ? item->valuedouble : NAN;
}

void strategy_run_check(const cJSON *json, const char *name, double expected)
{
    const double found = strategy_run_number(json, name);
    if (isnan(expected) ? !isnan(found) : !(found == expected))
        fail_msg("candidate %g: found %s %g, expected %g", strategy_run_number(json, "id"), name, found,
                 expected);
}

#include "tests/support/tiny_job.h"

#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/run/engine.h"
#include "host/run/resume.h"
#include "spec/spec.h"
#include "tests/support/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 8, MOST_OVERRIDES = 8 };

/* What the clock decides: of events what their table says. */
#define NAME_CLOCK(field) #field,
#define NAME_JOB(field)
#define EVENT_FIELD(owner, field, type, presence, since, cause, unit, meaning) NAME_##cause(field)
static const char *const clocked[] = {
#include "host/journal/events.def"
    "time", "crc"};

static void write_data(const char *folder)
{
    uint8_t labels[TINY_JOB_IMAGES];
    for (int i = 0; i < TINY_JOB_IMAGES; i++)
        labels[i] = (uint8_t)(i % TINY_JOB_CLASSES);
    data_files_idx_images(folder, "train-images-idx3-ubyte", TINY_JOB_IMAGES, SIDE, SIDE, false);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, TINY_JOB_IMAGES, false);
    data_files_idx_images(folder, "t10k-images-idx3-ubyte", TINY_JOB_TEST, SIDE, SIDE, false);
    data_files_idx_labels(folder, "t10k-labels-idx1-ubyte", labels, TINY_JOB_TEST, false);
}

void tiny_job_change(struct tiny_job *tiny, const char *const *overrides)
{
    char text[1024], *path = file_join(tiny->folder, "job.cfg"), *list[MOST_OVERRIDES];
    struct error err;
    int count = 0;
    for (; overrides != NULL && overrides[count] != NULL; count++)
        list[count] = (char *)overrides[count];
    snprintf(text, sizeof(text),
             "dataset = { format = \"idx\"; path = \"%s\"; validation = 0.25; };\n"
             "search = { starts = [\"lean\"]; width = 8; epochs = 1.0; strategy = \"random\"; };\n"
             "train = { batch = %d; final_epochs = 1.5; learning_rate = 0.02; };\n"
             "budget = { models = %d; };\n"
             "output = { dir = \"%s\"; plots = false; };\n"
             "devices = \"cpu\"; threads = 1; seed = 5;\n",
             tiny->folder, TINY_JOB_BATCH, TINY_JOB_MODELS, tiny->run);
    data_files_write_text(tiny->folder, "job.cfg", text);
    spec_free(&tiny->job);
    if (spec_read(path, list, count, &tiny->job, &err) != ST_OK)
        fail_msg("%s", err.message);
    free(path);
}

void tiny_job_open(struct tiny_job *tiny, const char *const *overrides)
{
    struct error err;
    *tiny = (struct tiny_job){.folder = data_files_folder(), .history = {.started = clock_seconds()}};
    for (int k = 0; k < DEVICES_MOST; k++)
        tiny->history.training[k] = -1;
    tiny->run = file_join(tiny->folder, "run");
    assert_non_null(tiny->run);
    assert_int_equal(file_make_folder(tiny->run, &err), ST_OK);
    write_data(tiny->folder);
    tiny_job_change(tiny, overrides);
}

void tiny_job_close(struct tiny_job *tiny)
{
    spec_free(&tiny->job);
    data_files_remove(tiny->folder);
    free(tiny->run);
}

void tiny_job_run(struct tiny_job *tiny)
{
    struct error err;
    if (engine_run(&tiny->job, tiny->run, -1, &tiny->history, &err) != ST_OK)
        fail_msg("%s", err.message);
}

void tiny_job_open_run(struct tiny_job *tiny, struct run *run)
{
    struct error err;
    if (run_open(run, &tiny->job, tiny->run, -1, &tiny->history, &err) != ST_OK)
        fail_msg("%s", err.message);
    if (resume_run(run, &err) != ST_OK)
        fail_msg("%s", err.message);
    run->sharing.workers = run->window = 1;
}

void tiny_job_journal(const struct tiny_job *tiny, struct journal_lines *lines)
{
    struct error err;
    char *path = file_join(tiny->run, JOURNAL_NAME);
    if (journal_load(path, lines, &err) != ST_OK)
        fail_msg("%s", err.message);
    free(path);
}

const cJSON *tiny_job_last(const struct journal_lines *lines, const char *event)
{
    const cJSON *found = NULL;
    for (size_t i = 0; i < lines->count; i++)
        if (strcmp(lines->lines[i].event, event) == 0)
            found = lines->lines[i].json;
    assert_non_null(found);
    return found;
}

double tiny_job_number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

int tiny_job_events(const struct tiny_job *tiny, const char *event)
{
    struct journal_lines lines;
    int count = 0;
    tiny_job_journal(tiny, &lines);
    for (size_t i = 0; i < lines.count; i++)
        count += strcmp(lines.lines[i].event, event) == 0;
    journal_lines_free(&lines);
    return count;
}

char *tiny_job_history(const struct tiny_job *tiny)
{
    struct journal_lines lines;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    tiny_job_journal(tiny, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        for (size_t k = 0; k < sizeof(clocked) / sizeof(clocked[0]); k++)
            cJSON_DeleteItemFromObjectCaseSensitive(lines.lines[i].json, clocked[k]);
        char *line = cJSON_PrintUnformatted(lines.lines[i].json);
        assert_non_null(line);
        fprintf(out, "%s\n", line);
        free(line);
    }
    journal_lines_free(&lines);
    assert_int_equal(fclose(out), 0);
    return text;
}

bool tiny_job_has(const struct tiny_job *tiny, const char *name)
{
    char *path = file_join(tiny->run, name);
    const bool there = file_exists(path);
    free(path);
    return there;
}

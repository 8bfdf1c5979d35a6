/* The run folder: where it is, whose it is, what a fresh start removes and what it does not. */
#include "host/run/folder.h"

#include "host/base/file.h"
#include "host/journal/journal.h"
#include "tests/support/data_files.h"
#include "tests/support/spec_scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *folder, *run; /* of each test; the run's folder is in it */

static int open_folder(void **state)
{
    (void)state;
    folder = data_files_folder();
    run = file_join(folder, "runs/a");
    return run == NULL;
}

static int close_folder(void **state)
{
    (void)state;
    data_files_remove(folder);
    free(run);
    return 0;
}

static bool is_there(const char *name)
{
    char *path = file_join(run, name);
    const bool there = file_exists(path);
    free(path);
    return there;
}

static void make_job(const char *name, const char *more)
{
    char text[512];
    snprintf(text, sizeof(text),
             "dataset = { path = \"%s\"; };\noutput = { dir = \"%s\"; };\nbudget = { models = 1; };\n%s",
             folder, run, more);
    data_files_write_text(folder, name, text);
}

static enum status read_job(const char *name, const char *override, struct job *job, char **found,
                            struct error *err)
{
    char *path = file_join(folder, name), *overrides[] = {(char *) override};
    const struct options options = {
        .job = path, .overrides = overrides, .override_count = override != NULL ? 1 : 0};
    const enum status st = folder_read_job(&options, job, found, err);
    free(path);
    return st;
}

/* Reads the job and prepares its folder. */
static enum status prepare(const char *name, const char *override, bool fresh, struct error *err)
{
    struct job job = {0};
    char *found = NULL;
    *err = (struct error){0};
    enum status st = read_job(name, override, &job, &found, err);
    if (st == ST_OK)
        st = folder_prepare(found, &job, fresh, err);
    spec_free(&job);
    free(found);
    return st;
}

/* A journal with one line, as a run leaves it. */
static void begin_journal(struct journal *journal)
{
    struct error err;
    char *path = file_join(run, JOURNAL_NAME);
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "event", "run");
    assert_int_equal(journal_open(path, journal, &err), ST_OK);
    assert_int_equal(journal_append(journal, fields, 0.0, &err), ST_OK);
    free(path);
}

static void test_job_names_its_folder(void **state)
{
    struct job job = {0};
    struct error err;
    char *found = NULL;
    (void)state;
    make_job("a.cfg", "");
    assert_int_equal(read_job("a.cfg", NULL, &job, &found, &err), ST_OK);
    assert_string_equal(found, run);
    assert_string_equal(job.dataset.path, folder);
    spec_free(&job);
    free(found);

    /* The command line's word counts. */
    job = (struct job){0};
    assert_int_equal(read_job("a.cfg", "output.dir=elsewhere", &job, &found, &err), ST_OK);
    assert_string_equal(found, "elsewhere");
    spec_free(&job);
    free(found);

    job = (struct job){0};
    assert_int_equal(read_job("b.cfg", NULL, &job, &found, &err), ST_IO);
    assert_non_null(strstr(err.message, "b.cfg"));
    spec_free(&job);
    free(found);
}

/* The folder's own job with all that it was told, and that folder, wherever it lies now. */
static void test_resumed(void **state)
{
    struct job job = {0};
    struct error err;
    char *found = NULL, *moved = file_join(folder, "moved"), *overrides[] = {"train.batch=16"};
    const struct options options = {.resume = moved, .overrides = overrides, .override_count = 1};
    (void)state;
    make_job("a.cfg", "seed = 11;\n");
    assert_int_equal(prepare("a.cfg", "train.warmup=0.25", false, &err), ST_OK);
    assert_true(is_there("job.cfg"));
    assert_int_equal(rename(run, moved), 0);
    assert_int_equal(folder_read_job(&options, &job, &found, &err), ST_OK);
    assert_string_equal(found, moved);
    assert_int_equal(job.seed, 11);
    assert_true(job.train.warmup > 0.249 && job.train.warmup < 0.251);
    assert_int_equal(job.train.batch, 16);
    spec_free(&job);
    free(found);
    free(moved);
}

static void test_same_job_again(void **state)
{
    struct error err;
    struct journal journal;
    (void)state;
    make_job("a.cfg", "");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
    /* Without a journal nothing has begun: another job may have the folder. */
    assert_int_equal(prepare("a.cfg", "seed=2", false, &err), ST_OK);
    begin_journal(&journal);
    journal_close(&journal);
    assert_int_equal(prepare("a.cfg", "seed=2", false, &err), ST_OK);
    assert_int_equal(prepare("a.cfg", "seed=3", false, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "holds the run of another job"));
    assert_non_null(strstr(err.message, "seed"));
    /* Refused, nothing was changed. */
    assert_int_equal(prepare("a.cfg", "seed=2", false, &err), ST_OK);
    assert_true(is_there(JOURNAL_NAME));
}

static void test_in_use(void **state)
{
    struct error err;
    struct journal journal;
    (void)state;
    make_job("a.cfg", "");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
    begin_journal(&journal);
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_BUSY);
    assert_int_equal(prepare("a.cfg", "seed=3", false, &err), ST_BUSY);
    assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_BUSY);
    assert_true(is_there(JOURNAL_NAME));
    journal_close(&journal);
    assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_OK);
    assert_false(is_there(JOURNAL_NAME));
}

static void test_fresh(void **state)
{
    static const char *const removed[] = {JOURNAL_NAME,           "restarts.txt",      "model.safetensors",
                                          "report.txt",           "report.json",       "checkpoint-3.bin",
                                          "models/1.safetensors", "plots/progress.png"};
    static const char *const kept[] = {"notes.txt", "report-0.txt.mine", ".hidden", "mine/checkpoint-1.bin"};
    struct error err;
    struct journal journal;
    (void)state;
    make_job("a.cfg", "");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
    begin_journal(&journal);
    journal_close(&journal);
    for (size_t i = 1; i < sizeof(removed) / sizeof(removed[0]); i++)
        data_files_write_text(run, removed[i], "x");
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        data_files_write_text(run, kept[i], "x");
    /* A broken journal is no reason against starting over, and another job none either. */
    data_files_write_text(run, JOURNAL_NAME, "{\"seq\":0}\nno journal at all\n{}\n");
    assert_int_equal(prepare("a.cfg", "seed=5", true, &err), ST_OK);
    for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++)
        if (is_there(removed[i]))
            fail_msg("%s is there", removed[i]);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (!is_there(kept[i]))
            fail_msg("%s is not there any more", kept[i]);
    assert_true(is_there("job.cfg"));
}

/* Where a file is in the way. */
static void test_no_folder(void **state)
{
    struct error err;
    (void)state;
    make_job("a.cfg", "");
    data_files_write_text(folder, "runs", "a file");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_IO);
    assert_non_null(strstr(err.message, "runs"));
}

static void test_report(void **state)
{
    char *text = NULL, expected[512];
    size_t length;
    (void)state;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    folder_show_report(run, out); /* there is none */
    assert_int_equal(fflush(out), 0);
    assert_int_equal(length, 0);
    data_files_write_text(run, "report.txt", "all is well\n");
    folder_show_report(run, out);
    assert_int_equal(fclose(out), 0);
    snprintf(expected, sizeof(expected),
             "\nall is well\n\nreport: %s/report.txt   plots: %s/plots/   model: %s/model.safetensors\n", run,
             run, run);
    assert_string_equal(text, expected);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_job_names_its_folder, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_resumed, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_same_job_again, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_in_use, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_fresh, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_no_folder, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_report, open_folder, close_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What rooms do under calls of the C library that fail, one in each round, at each place: data in formats that no other
 * of these tests reads, jobs, journals, models, dry runs, libraries that are looked for, the run's folder, reports and
 * plots. They end with one line and the status of that line, or as if nothing had been. */
#include "host/base/file.h"
#include "host/base/library.h"
#include "host/journal/journal.h"
#include "host/onnx/onnx_write.h"
#include "host/report/report.h"
#include "host/run/engine.h"
#include "host/run/folder.h"
#include "spec/spec.h"
#include "tests/faults/failing.h"
#include "tests/support/data_files.h"
#include "tests/support/random_graph.h"
#include "tests/support/tiny_job.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

/* ---- data ---- */

static enum status load(void *context, struct error *err)
{
    const struct job_dataset *job = context;
    struct dataset set;
    enum status st = data_load(job, 1, &(struct data_way){.threads = 1}, &set, err);
    data_free(&set);
    return st;
}

/* CIFAR-100, whose classes have names in a file. */
static void test_named_classes(void **state)
{
    char names[100 * 4 + 1] = "";
    (void)state;
    for (int i = 0; i < 100; i++)
        snprintf(names + 4 * i, sizeof(names) - 4 * (size_t)i, "c%02d\n", i);
    char *folder = data_files_folder();
    data_files_cifar(folder, "train.bin", 100, 200, true);
    data_files_cifar(folder, "test.bin", 100, 100, false);
    data_files_write_text(folder, "fine_label_names.txt", names);
    struct job_dataset job = data_files_job(folder);
    job.format = JOB_FORMAT_CIFAR100;
    job.validation = 0.25;
    assert_true(failing_play("CIFAR-100", 2, load, &job) > 3);
    data_files_remove(folder);
}

/* A list in UTF-16, as spreadsheets write it. */
static void test_list(void **state)
{
    static const char text[] = "path,label\na.png,cat\na.png,cat\nb.png,dog\nb.png,dog\n";
    char wide[2 * sizeof(text)] = "\xff\xfe", path[4096];
    (void)state;
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        wide[2 + 2 * i] = text[i];
        wide[3 + 2 * i] = '\0';
    }
    char *folder = data_files_folder();
    data_files_png_plain(folder, "a.png", 4, 4, 10, 20, 30);
    data_files_png_plain(folder, "b.png", 4, 4, 90, 20, 30);
    data_files_write(folder, "list.csv", wide, 2 * sizeof(text), false);
    snprintf(path, sizeof(path), "%s/list.csv", folder);
    struct job_dataset job = data_files_job(path);
    job.validation = 0.5;
    assert_true(failing_play("a list", 3, load, &job) > 0);
    data_files_remove(folder);
}

static enum status load_fresh(void *context, struct error *err)
{
    static int number;
    static char cache[4096];
    struct job_dataset job = *(const struct job_dataset *)context;
    snprintf(cache, sizeof(cache), "%s-%d", job.cache, number++);
    job.cache = cache;
    return load(&job, err);
}

/* Images that were decoded are kept, then found: each by itself. */
static void test_cache(void **state)
{
    char name[64];
    (void)state;
    char *folder = data_files_folder(), *images = file_join(folder, "images");
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "images/%s/%d.png", i % 2 ? "cat" : "dog", i);
        data_files_png_plain(folder, name, 4, 4, (uint8_t)(20 * i), 7, 9);
    }
    struct job_dataset job = data_files_job(images);
    job.cache = file_join(folder, "cache");
    job.validation = 0.25;
    assert_true(failing_play("a cache that is not there", 3, load_fresh, &job) > 0);
    assert_true(failing_play("a cache that is there", 2, load, &job) > 0);
    free(job.cache);
    free(images);
    data_files_remove(folder);
}

/* ---- jobs, journals, models ---- */

/* Reads with overrides, writes, reads what was written, compares. */
static enum status read_job(void *context, struct error *err)
{
    static char *overrides[] = {"budget.seconds=[1,2]", "search.starts=[\"lean\",\"cnn\"]",
                                "output.dir=else"};
    const char *path = context;
    struct job job = {0}, again = {0};
    char *text = NULL;
    size_t length = 0;
    enum status st = spec_read(path, overrides, 3, &job, err);
    FILE *out = st == ST_OK ? open_memstream(&text, &length) : NULL;
    if (st == ST_OK && out == NULL)
        st = error_memory(err, "a job", 0);
    if (st == ST_OK)
        st = spec_write(&job, out, err);
    if (out != NULL && fclose(out) != 0 && st == ST_OK)
        st = error_memory(err, "a job", 0);
    if (st == ST_OK)
        st = spec_read_written("written", text, length, &again, err);
    if (st == ST_OK)
        st = spec_same_run(&job, &again, err);
    free(text);
    spec_free(&again);
    spec_free(&job);
    return st;
}

static void test_job(void **state)
{
    (void)state;
    struct tiny_job tiny;
    tiny_job_open(&tiny, NULL);
    char *path = file_join(tiny.folder, "job.cfg");
    assert_true(failing_play("a job", 2, read_job, path) > 5);
    free(path);
    tiny_job_close(&tiny);
}

/* A journal is written, closed, gone on with, and all but one of its lines are dropped. */
static enum status write_journal(void *context, struct error *err)
{
    const char *path = context;
    struct journal journal = {.fd = -1};
    struct journal_lines lines = {0};
    static const char *const events[3] = {"run", "morph", "epoch"}; /* the last is flushed later */
    static const bool keep[3] = {true, false, true};
    char text[300];
    snprintf(text, sizeof(text), "%s.damaged", path);
    remove(path);
    remove(text);
    enum status st = journal_open(path, &journal, err);
    for (int i = 0; i < 3 && st == ST_OK; i++) {
        cJSON *fields = cJSON_CreateObject();
        assert_non_null(fields);
        assert_non_null(cJSON_AddStringToObject(fields, "event", events[i]));
        st = journal_append(&journal, fields, 1.0, err);
    }
    if (st == ST_OK)
        st = journal_flush(&journal, err);
    if (st == ST_OK)
        st = journal_load(path, &lines, err);
    if (st == ST_OK)
        st = journal_keep(&journal, &lines, keep, err);
    journal_close(&journal);
    journal_lines_free(&lines);
    FILE *torn = st == ST_OK ? fopen(path, "ab") : NULL;
    if (torn != NULL) { /* what a crash leaves is cut off */
        fputs("{\"seq\":", torn);
        fclose(torn);
        st = journal_open(path, &journal, err);
        journal_close(&journal);
    }
    return st;
}

static void test_journal(void **state)
{
    (void)state;
    char *folder = data_files_folder(), *path = file_join(folder, JOURNAL_NAME);
    assert_true(failing_play("a journal", 2, write_journal, path) > 5);
    free(path);
    data_files_remove(folder);
}

/* A model with its file's path. */
struct kept_model {
    struct model model;
    char *path;
};

static enum status keep_model(void *context, struct error *err)
{
    const struct kept_model *kept = context;
    struct model again = {0};
    unsigned char *bytes = NULL;
    size_t length;
    char hash[MODEL_HASH_LENGTH];
    enum status st = model_save(kept->path, &kept->model.graph, kept->model.values, &kept->model.about, err);
    if (st == ST_OK)
        st = model_calibrate(kept->path, kept->path, 2.0f, 2.0f, kept->model.about.label_thresholds, hash,
                             err);
    if (st == ST_OK)
        st = model_load(kept->path, &again, err);
    if (st == ST_OK)
        st = onnx_write(&again, NULL, NULL, &bytes, &length, err);
    free(bytes);
    model_free(&again);
    return st;
}

static void test_model(void **state)
{
    char *names[16];
    double thresholds[16] = {0.1, 0.2};
    struct error err;
    (void)state;
    char *folder = data_files_folder();
    struct kept_model kept = {.path = file_join(folder, "model")};
    struct model *model = &kept.model;
    assert_int_equal(random_graph_make(&model->graph, 5, &err), ST_OK);
    assert_int_equal(weight_table_new(&model->table, &model->graph, &err), ST_OK);
    model->values = calloc(model->table.total, sizeof(float));
    assert_non_null(model->values);
    model->about = (struct model_about){.class_names = names,
                                        .classes = model->graph.layers[model->graph.count - 1].shape.c,
                                        .deviation = {1.0f, 1.0f, 1.0f, 1.0f},
                                        .fit = "pad",
                                        .views = 1,
                                        .temperature = 1.0f,
                                        .plain_temperature = 1.0f,
                                        .label_thresholds = thresholds,
                                        .validation_accuracy = 0.5};
    assert_in_range(model->about.classes, 1, 16);
    for (int32_t i = 0; i < model->about.classes; i++)
        names[i] = (char *)"class";
    assert_true(failing_play("a model", 2, keep_model, &kept) > 5);
    free(model->values);
    weight_table_free(&model->table);
    graph_free(&model->graph);
    free(kept.path);
    data_files_remove(folder);
}

/* ---- before a run ---- */

static enum status find_library(void *context, struct error *err)
{
    void *library;
    enum status st = library_load(context, &library, err);
    if (st == ST_OK)
        dlclose(library);
    return st;
}

static void test_library(void **state)
{
    char name[] = "libz.so.1";
    (void)state;
    assert_true(failing_play("a library", 2, find_library, name) > 1);
}

static enum status run_dry(void *context, struct error *err)
{
    const struct tiny_job *tiny = context;
    static char text[1 << 16];
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    enum status st = engine_dry_run(&tiny->job, out, err);
    fclose(out);
    return st;
}

static void test_dry_run(void **state)
{
    static const char *const two[] = {"devices=[\"cpu:0\",\"cpu:1\"]", NULL};
    struct tiny_job tiny;
    (void)state;
    tiny_job_open(&tiny, two);
    assert_true(failing_play("a dry run", 1, run_dry, &tiny) > 0);
    tiny_job_close(&tiny);
}

/* The folder of a run, that is there and not. */
static void test_folder(void **state)
{
    struct tiny_job tiny;
    (void)state;
    failing_begin(2);
    for (int there = 0; there < 2; there++) {
        tiny_job_open(&tiny, NULL);
        if (there)
            tiny_job_run(&tiny);
        do {
            struct error err = {0}, note;
            int lock;
            if (!there && file_exists(tiny.run)) {
                data_files_remove(tiny.run);
                tiny.run = file_join(tiny.folder, "run");
            }
            failing_arm();
            const enum status st = folder_prepare(tiny.run, &tiny.job, FOLDER_GO_ON, &lock, &note, &err);
            failing_pause();
            failing_check_end("folder", st, &err);
            if (st == ST_OK)
                close(lock);
        } while (failing_more());
        tiny_job_close(&tiny);
    }
    assert_true(failing_count() > 20);
}

/* Report and plots are whole, or as they were, or not there. */
static void test_report(void **state)
{
    struct tiny_job tiny;
    (void)state;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    failing_begin(2);
    do {
        struct error err = {0};
        failing_arm();
        const enum status st = report_write_all(tiny.run, true, &err);
        failing_pause();
        failing_check_end("report", st, &err);
    } while (failing_more());
    assert_true(failing_count() > 20);
    tiny_job_close(&tiny);
}

/* One that is begun anew, and one whose journal is damaged in its middle. */
static void test_other_ways(void **state)
{
    static const enum folder_start ways[] = {FOLDER_FRESH, FOLDER_SALVAGE};
    struct tiny_job tiny;
    struct error err;
    char *whole;
    size_t length;
    (void)state;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    char *path = file_join(tiny.run, JOURNAL_NAME);
    assert_int_equal(file_read(path, &whole, &length, &err), ST_OK);
    failing_begin(2);
    for (int i = 0; i < 2; i++) {
        do {
            struct error note;
            int lock;
            const char digit = whole[length / 2];
            err = (struct error){0};
            whole[length / 2] = (char)(i == 0 ? digit : '?');
            data_files_write(tiny.run, JOURNAL_NAME, whole, length, false);
            data_files_write_text(tiny.run, "report.txt", "a report");
            whole[length / 2] = digit;
            failing_arm();
            const enum status st = folder_prepare(tiny.run, &tiny.job, ways[i], &lock, &note, &err);
            failing_pause();
            failing_check_end("folder", st, &err);
            if (st == ST_OK)
                close(lock);
        } while (failing_more());
    }
    assert_true(failing_count() > 5);
    free(whole);
    free(path);
    tiny_job_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_classes), cmocka_unit_test(test_list),    cmocka_unit_test(test_cache),
        cmocka_unit_test(test_job),           cmocka_unit_test(test_journal), cmocka_unit_test(test_model),
        cmocka_unit_test(test_dry_run),       cmocka_unit_test(test_library), cmocka_unit_test(test_folder),
        cmocka_unit_test(test_other_ways),    cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

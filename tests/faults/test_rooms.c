/* What rooms do under calls of the C library that fail, one in each round, at each place: data in formats that no other
 * of these tests reads, jobs, journals, models, trainings on two devices, inheritance, the cache of weights, dry runs,
 * libraries that are looked for, the run's folder, reports and plots. They end with one line and the status of that
 * line, or as if nothing had been. */
#include "host/base/file.h"
#include "host/base/library.h"
#include "host/journal/journal.h"
#include "host/machine/weight_cache.h"
#include "host/onnx/onnx_write.h"
#include "host/report/report.h"
#include "host/run/engine.h"
#include "host/run/folder.h"
#include "host/train/calibration.h"
#include "host/train/inherit.h"
#include "spec/spec.h"
#include "tests/faults/failing.h"
#include "tests/support/data_files.h"
#include "tests/support/random_graph.h"
#include "tests/support/tiny_job.h"
#include "tests/support/tiny_task.h"

#include <dlfcn.h>
#include <math.h>
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

/* A scene: `run` is done once for each place, `context` is what it works with. */
typedef enum status scene(void *context, struct error *err);

static int32_t play(const char *name, int depth, scene *run, void *context)
{
    struct error err = {0};
    if (run(context, &err) != ST_OK)
        fail_msg("%s, undisturbed: %s", name, err.message);
    failing_begin(depth);
    do {
        err = (struct error){0};
        failing_arm();
        const enum status st = run(context, &err);
        failing_pause();
        failing_check_end(name, st, &err);
    } while (failing_more());
    return failing_count();
}

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
    assert_true(play("CIFAR-100", 2, load, &job) > 3);
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
    assert_true(play("a list", 3, load, &job) > 0);
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
    assert_true(play("a cache that is not there", 3, load_fresh, &job) > 0);
    assert_true(play("a cache that is there", 2, load, &job) > 0);
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
    assert_true(play("a job", 2, read_job, path) > 5);
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
    assert_true(play("a journal", 2, write_journal, path) > 5);
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
    enum status st = model_save(kept->path, &kept->model.graph, kept->model.values, &kept->model.about, err);
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
                                        .validation_accuracy = 0.5};
    assert_in_range(model->about.classes, 1, 16);
    for (int32_t i = 0; i < model->about.classes; i++)
        names[i] = (char *)"class";
    assert_true(play("a model", 2, keep_model, &kept) > 5);
    free(model->values);
    weight_table_free(&model->table);
    graph_free(&model->graph);
    free(kept.path);
    data_files_remove(folder);
}

/* ---- devices and trainings ---- */

struct training {
    struct tiny_task tasks[2];
    const struct device_ops *ops;
    float *values;
    char *path; /* of a checkpoint */
};

static void open_training(struct training *training, const struct device_ops *ops, const char *folder)
{
    *training = (struct training){.ops = ops, .path = file_join(folder, "checkpoint")};
    for (int32_t k = 0; k < 2; k++)
        tiny_task_open_at(&training->tasks[k], ops, k, true);
    training->values = tiny_task_weights(&training->tasks[0].graph, 1, NULL);
}

static void close_training(struct training *training)
{
    for (int32_t k = 0; k < 2; k++)
        tiny_task_close(&training->tasks[k]);
    free(training->values);
    free(training->path);
}

static enum status ignore_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context, (void)epoch, (void)err;
    return ST_OK;
}

/* A past is read, becomes a child's, and is gone on from. */
static enum status go_on(const struct training *training, struct trainer *trainer, struct error *err)
{
    struct trainer_past past = {0};
    enum status st = trainer_past_read(&past, training->path, trainer_weights(trainer), err);
    if (st == ST_OK)
        st = trainer_go_on(trainer, &past, err);
    trainer_past_free(&past);
    return st;
}

static enum status test_trained(const struct training *training, struct trainer *trainer, struct error *err)
{
    const struct tiny_task *task = &training->tasks[0];
    int64_t confusion[TINY_CLASSES * TINY_CLASSES] = {0};
    struct trainer_test test = {.samples = task->samples + TINY_TRAIN,
                                .count = TINY_VALIDATION,
                                .views = 2,
                                .classes = TINY_CLASSES,
                                .labels = task->labels,
                                .confusion = confusion};
    return trainer_test(trainer, &test, err);
}

/* Both devices train together: steps, a checkpoint that is read again, a past, a test. */
static enum status train(void *context, struct error *err)
{
    const struct training *training = context;
    const struct trainer_device devices[2] = {training->tasks[0].trainer_device,
                                              training->tasks[1].trainer_device};
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = 12};
    const struct trainer_events events = {.on_epoch = ignore_epoch, .tick_seconds = INFINITY};
    struct trainer_settings settings = tiny_task_settings();
    struct trainer *trainer = NULL;
    struct trainer_result result;
    uint64_t note;
    size_t bytes;
    settings.average = 0.9f;
    settings.use_validation = true;
    settings.labels = training->tasks[0].labels;
    enum status st =
        trainer_open(devices, 2, &training->tasks[0].graph, &settings, SIZE_MAX, &trainer, &bytes, err);
    if (st == ST_OK)
        st = trainer_load_values(trainer, training->values, err);
    if (st == ST_OK)
        st = trainer_run(trainer, limit, &events, &result, err);
    if (st == ST_OK)
        st = trainer_checkpoint(trainer, training->path, 7, err);
    if (st == ST_OK)
        st = trainer_restore(trainer, training->path, &note, err);
    if (st == ST_OK)
        st = test_trained(training, trainer, err);
    if (st == ST_OK)
        st = go_on(training, trainer, err);
    trainer_close(trainer);
    return st;
}

/* A child by each kind of morph that inheritance treats in its own way, and its past. */
static enum status become_child(void *context, struct error *err)
{
    static const struct morph morphs[] = {{.kind = MORPH_WIDEN, .a = 1, .amount = 8},
                                          {.kind = MORPH_PRUNE, .a = 1, .amount = 2}};
    const struct training *training = context;
    const struct tiny_task *task = &training->tasks[0];
    const struct device_ops *ops = training->ops;
    struct weight_table table = {0};
    struct device_weights *parent = NULL;
    struct inheritance inherited = {0};
    struct trainer_past past = {0};
    enum status st = weight_table_new(&table, &task->graph, err);
    if (st == ST_OK)
        st = ops->weights_new(task->device, &table, 1, &parent, err);
    if (st == ST_OK)
        st = ops->weights_upload(task->device, parent, SLOT_VALUE, training->values, err);
    const struct inherit_order order = {.device = &task->trainer_device,
                                        .batch = TINY_BATCH,
                                        .parent = &task->graph,
                                        .parent_weights = parent,
                                        .morphs = morphs,
                                        .morph_count = 2,
                                        .seed = 1,
                                        .id = 3};
    if (st == ST_OK)
        st = inherit(&order, &inherited, err);
    if (st == ST_OK)
        st = trainer_past_read(&past, training->path, &table, err);
    if (st == ST_OK)
        st = inherit_past(&task->graph, morphs, &inherited, 1, 3, &past, err);
    trainer_past_free(&past);
    inheritance_free(&task->trainer_device, &inherited);
    ops->weights_free(task->device, parent);
    weight_table_free(&table);
    return st;
}

static enum status calibrate(void *context, struct error *err)
{
    const struct training *training = context;
    const struct tiny_task *task = &training->tasks[0];
    double seconds;
    const struct trainer_settings settings = tiny_task_settings();
    return calibration_step_seconds(&task->trainer_device, &task->graph, &settings, &seconds, err);
}

/* Opens a device, images on it, a cache with a set of weights. */
static enum status open_device(void *context, struct error *err)
{
    const struct training *training = context;
    const struct tiny_task *task = &training->tasks[0];
    static const int32_t labels[2] = {0, 1};
    static const uint8_t pixels[2 * 4] = {0};
    const struct dataset_view view = {.count = 2,
                                      .channels = 1,
                                      .height = 2,
                                      .width = 2,
                                      .classes = 2,
                                      .pixels = pixels,
                                      .labels = labels,
                                      .deviation = {1.0f}};
    struct devices devices = {.ops = training->ops, .count = 1, .workers = 1};
    struct run_device *item = &devices.items[0];
    struct weight_table table = {0};
    struct device_weights *weights = NULL;
    struct weight_cache *cache = NULL;
    enum status st = weight_table_new(&table, &task->graph, err);
    if (st == ST_OK)
        st = training->ops->open(&(struct device_options){.threads = 1, .untimed = true}, &item->device, err);
    if (st == ST_OK)
        st = training->ops->dataset_upload(item->device, &view, &item->data, err);
    if (st == ST_OK)
        st = weight_cache_open(&devices, &cache, err);
    if (st == ST_OK)
        st = training->ops->weights_new(item->device, &table, 1, &weights, err);
    if (st == ST_OK)
        st = weight_cache_add(cache, 0, 1, 0.5, weights, &table, err);
    if (st != ST_OK && item->device != NULL)
        training->ops->weights_free(item->device, weights);
    weight_cache_close(cache);
    if (item->device != NULL) {
        training->ops->dataset_free(item->device, item->data);
        training->ops->close(item->device);
    }
    weight_table_free(&table);
    return st;
}

static void test_devices(void **state)
{
    static const struct device_ops *const kinds[] = {&ref_device_ops, &cpu_device_ops};
    (void)state;
    char *folder = data_files_folder();
    for (int i = 0; i < 2; i++) {
        struct training training;
        open_training(&training, kinds[i], folder);
        int32_t places = play("a training", 2, train, &training);
        places += play("a child", 2, become_child, &training);
        places += play("a calibration", 2, calibrate, &training);
        places += play("a device", 2, open_device, &training);
        assert_true(places > 10);
        close_training(&training);
    }
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
    assert_true(play("a library", 2, find_library, name) > 1);
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
    assert_true(play("a dry run", 1, run_dry, &tiny) > 0);
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
        cmocka_unit_test(test_named_classes), cmocka_unit_test(test_list),
        cmocka_unit_test(test_cache),         cmocka_unit_test(test_job),
        cmocka_unit_test(test_journal),       cmocka_unit_test(test_model),
        cmocka_unit_test(test_devices),       cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_library),       cmocka_unit_test(test_folder),
        cmocka_unit_test(test_other_ways),    cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

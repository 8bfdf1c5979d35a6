/* Starting networks that are files: what they begin with, whose head they get, what is refused; whole runs that grow
 * from one, resumed behind each line of their journals. */
#include "host/run/start_files.h"

#include "host/base/file.h"
#include "host/net/start.h"
#include "host/onnx/onnx_write.h"
#include "host/run/engine.h"
#include "tests/support/data_files.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

/* ---- files ---- */

static char *names[] = {"0", "1", "2"}, *others[] = {"ant", "bee", "cow"};

static struct model_about about_of(char **class_names, int32_t classes)
{
    return (struct model_about){.class_names = class_names,
                                .classes = classes,
                                .mean = {0.4f, 0.4f, 0.4f},
                                .deviation = {0.2f, 0.2f, 0.2f},
                                .fit = "stretch",
                                .views = 1,
                                .temperature = 1.0f,
                                .plain_temperature = 1.0f,
                                .validation_accuracy = 0.5};
}

/* A network of random weights, in FOLDER/NAME. */
static char *write_model(const char *folder, const char *name, struct shape image,
                         const struct model_about *about)
{
    struct graph graph;
    struct weight_table table;
    struct error err;
    char *path = file_join(folder, name);
    check(start_make(&graph, "lean", 8, image, about->classes, &err), &err);
    check(weight_table_new(&table, &graph, &err), &err);
    float *values = calloc(table.total, sizeof(*values));
    assert_true(path != NULL && values != NULL);
    weight_initialise(&table, &graph, 99, NULL, values);
    check(model_save(path, &graph, values, about, &err), &err);
    free(values);
    weight_table_free(&table);
    graph_free(&graph);
    return path;
}

static const struct shape IMAGE = {.c = 1, .h = 8, .w = 8};

static struct dataset data_of(char **class_names, int32_t classes)
{
    return (struct dataset){
        .class_names = class_names, .classes = classes, .channels = 1, .height = 8, .width = 8};
}

/* A baseline of NULL: there is none. */
static struct job job_of(struct job_strings starts, char *baseline)
{
    static char none[] = "none";
    struct job job = {.search.starts = starts, .train.depth_rate = 0.01};
    job.baseline.start = (struct job_strings){.count = 1, .items = {baseline != NULL ? baseline : none}};
    return job;
}

/* A kept network learns as it did; with a new last layer from 0.01 times the rate up to all of it. */
static void check_paces(const struct graph *graph, bool keeps)
{
    double before = 0.0, ratio = 0.0;
    for (int32_t i = 0; i < graph->count; i++) {
        const double pace = (double)graph->layers[i].pace;
        if (layer_traits(graph->layers[i].kind)->weights == LAYER_WEIGHTS_NONE)
            continue;
        if (keeps || before == 0.0)
            assert_true(fabs(pace - (keeps ? 1.0 : 0.01)) < 1e-6);
        else if (ratio == 0.0)
            ratio = pace / before;
        else
            assert_true(fabs(pace / before - ratio) < 1e-5 * ratio);
        before = pace;
    }
    assert_true(before == 1.0 && (keeps || ratio > 1.0));
}

/* How many of the file's tensors its starting network begins with; the others are as they were. */
static int32_t filled(const struct start_files *files, const struct model *model)
{
    struct weight_table table;
    struct error err;
    int32_t count = 0;
    check(weight_table_new(&table, &files->graphs[0], &err), &err);
    float *values = calloc(table.total, sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < table.total; i++)
        values[i] = 7.0f;
    start_files_fill(files, 0, &table, values);
    assert_int_equal(table.count, model->table.count);
    for (int32_t t = 0; t < table.count; t++) {
        const float *found = values + table.tensors[t].offset;
        const bool same = table.tensors[t].count == model->table.tensors[t].count &&
                          memcmp(found, model->values + model->table.tensors[t].offset,
                                 table.tensors[t].count * sizeof(*found)) == 0;
        for (size_t i = 0; !same && i < table.tensors[t].count; i++)
            assert_true(found[i] == 7.0f);
        count += same;
    }
    free(values);
    weight_table_free(&table);
    return count;
}

/* ---- one file ---- */

static void keeps_the_head_of_the_same_classes(void **state)
{
    static char *swapped[] = {"1", "0", "2"};
    static const struct {
        char **classes;
        int32_t count;
        bool keeps;
    } cases[] = {{names, 3, true}, {others, 3, false}, {swapped, 3, false}, {names, 2, false}};
    const struct model_about about = about_of(names, 3);
    char *folder = data_files_folder(), *path = write_model(folder, "old.safetensors", IMAGE, &about);
    const struct job job = job_of((struct job_strings){.count = 1, .items = {path}}, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct dataset data = data_of(cases[i].classes, cases[i].count);
        struct start_files files;
        struct model model;
        struct error err;
        check(model_load(path, &model, &err), &err);
        check(start_files_open(&job, &data, &files, &err), &err);
        const struct graph *graph = &files.graphs[0];
        assert_int_equal(files.items[0].keeps_head, cases[i].keeps);
        assert_string_equal(files.items[0].hash, model.hash);
        assert_int_equal(graph->layers[graph->count - 1].shape.c, cases[i].count);
        assert_int_equal(filled(&files, &model), model.table.count - (cases[i].keeps ? 0 : 2));
        check_paces(graph, cases[i].keeps);
        assert_true(files.normalise && files.mean[0] == 0.4f && files.deviation[0] == 0.2f);
        start_files_close(&files);
        model_free(&model);
    }
    free(path);
    data_files_remove(folder);
}

/* What nasexport writes says classes and normalisation; what somebody else writes may say neither. */
static void reads_onnx(void **state)
{
    const struct model_about about = about_of(names, 3);
    const struct dataset data = data_of(names, 3);
    char *folder = data_files_folder(), *path = write_model(folder, "old.safetensors", IMAGE, &about);
    struct start_files files;
    struct model model;
    struct error err;
    unsigned char *bytes;
    size_t length;
    (void)state;
    check(model_load(path, &model, &err), &err);
    check(onnx_write(&model, NULL, NULL, &bytes, &length, &err), &err);
    data_files_write(folder, "old.onnx", bytes, length, false);
    char *other = file_join(folder, "old.onnx");
    const struct job job = job_of((struct job_strings){.count = 1, .items = {other}}, NULL);
    check(start_files_open(&job, &data, &files, &err), &err);
    assert_true(files.items[0].keeps_head && files.normalise);
    assert_true(fabsf(files.mean[0] - 0.4f) < 1e-6f && fabsf(files.deviation[0] - 0.2f) < 1e-6f);
    assert_int_equal(filled(&files, &model), model.table.count);
    start_files_close(&files);
    model_free(&model);
    free(bytes);
    free(path);
    free(other);
    data_files_remove(folder);
}

/* A network that pools over all of its map is one for images of any size. */
static void takes_images_of_the_data(void **state)
{
    const struct model_about about = about_of(names, 3);
    const struct dataset data = data_of(names, 3);
    char *folder = data_files_folder();
    char *path = write_model(folder, "large.safetensors", (struct shape){.c = 1, .h = 24, .w = 16}, &about);
    const struct job job = job_of((struct job_strings){.count = 1, .items = {path}}, NULL);
    struct start_files files;
    struct model model;
    struct error err;
    (void)state;
    check(model_load(path, &model, &err), &err);
    check(start_files_open(&job, &data, &files, &err), &err);
    const struct shape *image = &files.graphs[0].layers[0].shape;
    assert_true(image->c == 1 && image->h == 8 && image->w == 8);
    assert_int_equal(files.graphs[0].next_id, model.graph.next_id);
    assert_int_equal(filled(&files, &model), model.table.count);
    start_files_close(&files);
    model_free(&model);
    free(path);
    data_files_remove(folder);
}

static void refuses_what_does_not_fit(void **state)
{
    struct model_about about = about_of(names, 3);
    char *folder = data_files_folder(), *paths[4], text[256];
    (void)state;
    paths[0] = write_model(folder, "right.safetensors", IMAGE, &about);
    paths[1] = write_model(folder, "colours.safetensors", (struct shape){.c = 3, .h = 16, .w = 8}, &about);
    about.deviation[0] = 0.25f;
    paths[2] = write_model(folder, "other.safetensors", IMAGE, &about);
    data_files_write_text(folder, "none.onnx", "no model");
    paths[3] = file_join(folder, "none.onnx");
    const struct {
        struct job_strings starts;
        enum status status;
        const char *told;
    } cases[] = {
        {{1, {paths[1]}},
         ST_RANGE,
         ": found a network for images of 3 x 16 x 8 (channels, height, width), expected 1 x 8 x 8, which "
         "the data "
         "have (dataset.channels, dataset.resize)"},
        {{2, {paths[0], paths[2]}},
         ST_RANGE,
         ": found mean 0.4 and deviation 0.25 of channel 0, expected 0.4 and 0.2 as in the file before it: a "
         "run "
         "normalises its images in one way"},
        {{1, {paths[3]}}, ST_FORMAT, ": is no ONNX model"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct dataset data = data_of(names, 3);
        const struct job_strings *starts = &cases[i].starts;
        char *last = starts->items[starts->count - 1];
        for (int baseline = 0; baseline < 2; baseline++) { /* the last of them is the baseline's */
            const struct job_strings word = {.count = 1, .items = {(char[]){"lean"}}};
            struct job_strings others = *starts;
            others.count -= baseline;
            const struct job job = job_of(others.count > 0 ? others : word, baseline ? last : NULL);
            struct start_files files;
            struct error err;
            assert_int_equal(start_files_open(&job, &data, &files, &err), cases[i].status);
            start_files_close(&files);
            snprintf(text, sizeof(text), "%s: %s%s", baseline ? "baseline.start" : "search.starts", last,
                     cases[i].told);
            assert_string_equal(err.message, text);
        }
    }
    for (int i = 0; i < 4; i++)
        free(paths[i]);
    data_files_remove(folder);
}

/* ---- whole runs ---- */

enum { MOST = 8 };

/* A job whose first start is FOLDER/old.safetensors, made for its data; `more` are words KEY=VALUE. */
static void open_job(struct tiny_job *tiny, const char *starts, const char *const *more)
{
    const struct model_about about = about_of(names, 3);
    const char *overrides[MOST] = {NULL};
    char text[512];
    int count = 0;
    tiny_job_open(tiny, NULL);
    char *path = write_model(tiny->folder, "old.safetensors", IMAGE, &about);
    snprintf(text, sizeof(text), starts, path);
    overrides[count++] = text;
    for (; more != NULL && more[count - 1] != NULL; count++)
        overrides[count] = more[count - 1];
    tiny_job_change(tiny, overrides);
    free(path);
}

/* But for statistics, which no rate slows down. */
static void check_weights(const struct model *before, const struct model *after, float tolerance)
{
    assert_int_equal(after->table.total, before->table.total);
    for (int32_t t = 0; t < after->table.count; t++) {
        const struct weight_tensor *tensor = &after->table.tensors[t];
        for (size_t i = tensor->offset;
             !weight_is_statistic(tensor->role) && i < tensor->offset + tensor->count; i++)
            assert_true(fabsf(after->values[i] - before->values[i]) < tolerance);
    }
}

/* Hardly trained: what it ends with is what it began with. */
static void begins_with_the_weights(void **state)
{
    static const char *const more[] = {"budget.models=[]", "budget.steps=3", "search.strategy=none",
                                       "train.learning_rate=1e-6", NULL};
    struct tiny_job tiny;
    struct model before, after;
    struct error err;
    (void)state;
    open_job(&tiny, "search.starts=\"%s\"", more);
    char *old = file_join(tiny.folder, "old.safetensors"), *new = file_join(tiny.run, MODEL_FILE_NAME);
    tiny_job_run(&tiny);
    check(model_load(old, &before, &err), &err);
    check(model_load(new, &after, &err), &err);
    check_weights(&before, &after, 1e-4f);
    assert_true(after.about.mean[0] == before.about.mean[0]);
    assert_true(after.about.deviation[0] == before.about.deviation[0]);
    model_free(&before);
    model_free(&after);
    free(old);
    free(new);
    tiny_job_close(&tiny);
}

/* The same of a baseline's network, beside a search that has words. */
static void is_a_baseline(void **state)
{
    static const char *const more[] = {"budget.models=[]", "budget.steps=20", "train.use_validation=false",
                                       "search.strategy=bayesian", NULL};
    struct tiny_job tiny;
    struct journal_lines lines;
    struct model before, after;
    struct error err;
    char name[64];
    (void)state;
    open_job(&tiny, "baseline.start=\"%s\"", more);
    char *old = file_join(tiny.folder, "old.safetensors");
    tiny.job.train.learning_rate = 1e-6;
    tiny_job_run(&tiny);
    tiny_job_journal(&tiny, &lines);
    assert_int_equal(tiny_job_events(&tiny, "start_file"), 1);
    const cJSON *candidate = tiny_job_last(&lines, "candidate"), *event = tiny_job_last(&lines, "baseline");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(candidate, "start")), old);
    snprintf(name, sizeof(name), "models/%d.safetensors", (int)tiny_job_number(event, "id"));
    char *new = file_join(tiny.run, name);
    check(model_load(old, &before, &err), &err);
    check(model_load(new, &after, &err), &err);
    check_weights(&before, &after, 1e-3f);
    char *report = file_join(tiny.run, "report.txt"), *text, line[512];
    size_t length;
    check(file_read(report, &text, &length, &err), &err);
    snprintf(line, sizeof(line), "\nbaseline: model %d (%s, %lld parameters), without a search, accuracy ",
             (int)tiny_job_number(event, "id"), old, (long long)tiny_job_number(candidate, "parameters"));
    assert_non_null(strstr(text, line));
    journal_lines_free(&lines);
    model_free(&before);
    model_free(&after);
    free(report);
    free(text);
    free(old);
    free(new);
    tiny_job_close(&tiny);
}

static void is_told_and_stays_what_it_is(void **state)
{
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    char *text, hash[MODEL_HASH_LENGTH], line[512];
    size_t length;
    (void)state;
    open_job(&tiny, "search.starts=[\"%s\",\"lean\"]", NULL);
    char *old = file_join(tiny.folder, "old.safetensors"), *report = file_join(tiny.run, "report.txt");
    tiny_job_run(&tiny);
    check(model_hash(old, hash, &err), &err);
    tiny_job_journal(&tiny, &lines);
    const cJSON *event = tiny_job_last(&lines, "start_file");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "file")), old);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "hash")), hash);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(event, "keeps_head")));
    journal_lines_free(&lines);
    assert_int_equal(tiny_job_events(&tiny, "start_file"), 1);
    snprintf(line, sizeof(line), "\nnetwork from a file: %s (%s), its last layer kept\n", old, hash);
    check(file_read(report, &text, &length, &err), &err);
    assert_non_null(strstr(text, line));
    free(text);

    /* Another file by that name: the run is not gone on with, and is as it was. */
    char *before = tiny_job_history(&tiny);
    struct model_about about = about_of(names, 3);
    about.validation_accuracy = 0.75;
    free(write_model(tiny.folder, "old.safetensors", IMAGE, &about));
    assert_int_equal(engine_run(&tiny.job, tiny.run, -1, &tiny.history, &err), ST_FORMAT);
    snprintf(line, sizeof(line), "expected %s as the run began; use --fresh to start over", hash);
    if (strstr(err.message, line) == NULL)
        fail_msg("found \"%s\", expected %s", err.message, line);
    char *after = tiny_job_history(&tiny);
    assert_string_equal(before, after);
    free(before);
    free(after);
    free(old);
    free(report);
    tiny_job_close(&tiny);
}

/* Cuts the journal behind each of its lines in turn, or of those of one event: the same candidates and the same model
 * each time. */
static void resume_everywhere(const char *starts, const char *const *more, const char *event)
{
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    char *text, *expected;
    size_t length;
    open_job(&tiny, starts, more);
    tiny_job_run(&tiny);
    char *path = file_join(tiny.run, JOURNAL_NAME), *whole = tiny_job_history(&tiny);
    char *published = file_join(tiny.run, MODEL_FILE_NAME);
    check(file_read(path, &text, &length, &err), &err);
    check(file_read(published, &expected, &length, &err), &err);
    tiny_job_journal(&tiny, &lines);
    assert_true(tiny_job_events(&tiny, "candidate") >= 3);
    for (size_t i = 0; i + 1 < lines.count; i++) {
        char *model;
        size_t found;
        if (strcmp(lines.lines[i].event, "epoch") == 0 ||
            (event != NULL && strcmp(lines.lines[i].event, event) != 0))
            continue;
        check(file_write_atomic(path, text, lines.lines[i].end, &err), &err);
        tiny_job_run(&tiny);
        char *again = tiny_job_history(&tiny);
        assert_string_equal(again, whole);
        check(file_read(published, &model, &found, &err), &err);
        assert_int_equal(found, length);
        assert_memory_equal(model, expected, length);
        free(model);
        free(again);
    }
    journal_lines_free(&lines);
    free(text);
    free(expected);
    free(whole);
    free(path);
    free(published);
    tiny_job_close(&tiny);
}

static void grows_and_is_resumed(void **state)
{
    static const char *const bayesian[] = {"search.strategy=bayesian", "budget.models=4", NULL};
    static const char *const phases[] = {"search.strategy=phases", "budget.models=[]", "budget.steps=1600",
                                         NULL};
    (void)state;
    resume_everywhere("search.starts=[\"%s\",\"cnn\"]", bayesian, NULL);
    resume_everywhere("search.starts=[\"%s\",\"lean\"]", phases, "candidate");
    resume_everywhere("baseline.start=\"%s\"", bayesian, "candidate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_head_of_the_same_classes),
        cmocka_unit_test(reads_onnx),
        cmocka_unit_test(takes_images_of_the_data),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(begins_with_the_weights),
        cmocka_unit_test(is_a_baseline),
        cmocka_unit_test(is_told_and_stays_what_it_is),
        cmocka_unit_test(grows_and_is_resumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Networks in the user's data folder: where that is, what "pretrained" in search.starts becomes, which images a job
 * gets whose starting network is a file. */
#include "host/run/pretrained.h"

#include "host/base/file.h"
#include "host/net/start.h"
#include "host/onnx/onnx_write.h"
#include "spec/spec.h"
#include "tests/support/data_files.h"

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

/* A network of random weights for RGB images of 64 x 48 in FOLDER/NAME; one that is `fixed` takes no others. */
static void write_network(const char *folder, const char *name, bool fixed)
{
    static char *names[] = {"0", "1", "2"};
    const struct model_about about = {.class_names = names,
                                      .classes = 3,
                                      .mean = {0.4f, 0.4f, 0.4f},
                                      .deviation = {0.2f, 0.2f, 0.2f},
                                      .fit = "stretch",
                                      .views = 1,
                                      .temperature = 1.0f,
                                      .plain_temperature = 1.0f,
                                      .validation_accuracy = 0.5};
    struct graph graph;
    struct weight_table table;
    struct error err;
    char *path = file_join(folder, name);
    if (fixed) {
        check(graph_new(&graph, 3, 64, 48, &err), &err);
        check(graph_append(&graph,
                           (struct layer){.kind = LAYER_MAX_POOL,
                                          .input_count = 1,
                                          .inputs = {0},
                                          .kernel_h = 8,
                                          .kernel_w = 8,
                                          .stride = 8},
                           NULL, &err),
              &err);
        check(graph_append(
                  &graph,
                  (struct layer){.kind = LAYER_DENSE, .input_count = 1, .inputs = {1}, .out_channels = 3},
                  NULL, &err),
              &err);
        check(graph_infer(&graph, &err), &err);
    } else {
        check(start_make(&graph, "lean", 8, (struct shape){.c = 3, .h = 64, .w = 48}, 3, &err), &err);
    }
    check(weight_table_new(&table, &graph, &err), &err);
    float *values = calloc(table.total, sizeof(*values));
    assert_true(path != NULL && values != NULL);
    weight_initialise(&table, &graph, 99, NULL, values);
    check(model_save(path, &graph, values, &about, &err), &err);
    free(values);
    free(path);
    weight_table_free(&table);
    graph_free(&graph);
}

/* The job of those keys; *st is that of pretrained_complete. */
static enum status complete(const char *keys, struct job *job, struct error *err)
{
    check(spec_read_text("job", keys, strlen(keys), NULL, 0, job, err), err);
    return pretrained_complete(job, err);
}

static void finds_the_folder(void **state)
{
    struct error err;
    char *folder;
    (void)state;
    setenv("HOME", "/home/ann", 1);
    unsetenv("XDG_DATA_HOME");
    check(pretrained_folder(&folder, &err), &err);
    assert_string_equal(folder, "/home/ann/.local/share/nasrun/pretrained");
    free(folder);
    setenv("XDG_DATA_HOME", "relative", 1); /* which is not allowed */
    check(pretrained_folder(&folder, &err), &err);
    assert_string_equal(folder, "/home/ann/.local/share/nasrun/pretrained");
    free(folder);
    setenv("XDG_DATA_HOME", "/data", 1);
    check(pretrained_folder(&folder, &err), &err);
    assert_string_equal(folder, "/data/nasrun/pretrained");
    free(folder);
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    assert_int_equal(pretrained_folder(&folder, &err), ST_RANGE);
    assert_string_equal(err.message, "found neither XDG_DATA_HOME nor HOME, expected one of them");
}

static void names_the_first_file(void **state)
{
    char *data = data_files_folder(), *nasrun = file_join(data, "nasrun"), text[512];
    char *folder = file_join(nasrun, "pretrained"), *first = file_join(folder, "a.safetensors");
    struct error err;
    struct job job;
    (void)state;
    snprintf(text, sizeof(text),
             "dataset = { path = \"%s\"; }; search = { starts = [\"air\", \"pretrained\"]; };"
             "budget = { seconds = 9; };",
             data);
    setenv("XDG_DATA_HOME", data, 1);
    assert_int_equal(complete(text, &job, &err), ST_RANGE);
    spec_free(&job);
    assert_non_null(strstr(err.message, "search.starts: found no network"));
    assert_non_null(strstr(err.message, "samples/pretrained/convert.sh gets one"));
    check(file_make_folder(folder, &err), &err);
    data_files_write_text(folder, "README", "none");
    write_network(folder, "b.safetensors", false);
    write_network(folder, "a.safetensors", false);
    check(complete(text, &job, &err), &err);
    assert_int_equal(job.search.starts.count, 2);
    assert_string_equal(job.search.starts.items[0], "air");
    assert_string_equal(job.search.starts.items[1], first);
    spec_free(&job);
    data_files_remove(data);
    free(first);
    free(folder);
    free(nasrun);
}

static void brings_images_to_the_network(void **state)
{
    static const struct {
        const char *file, *keys;
        int32_t count, height, width;
        enum job_channels channels;
    } cases[] = {
        {"any.safetensors", "", 2, 64, 48, JOB_CHANNELS_RGB},
        {"any.safetensors", "max_side = 32;", 2, 32, 24, JOB_CHANNELS_RGB},
        {"fixed.safetensors", "max_side = 32;", 2, 64, 48, JOB_CHANNELS_RGB},
        {"any.safetensors", "resize = 40;", 2, 40, 40, JOB_CHANNELS_RGB},
        {"any.safetensors", "channels = \"grey\";", 2, 64, 48,
         JOB_CHANNELS_GREY}, /* refused when it begins */
    };
    char *folder = data_files_folder(), text[1024];
    (void)state;
    write_network(folder, "any.safetensors", false);
    write_network(folder, "fixed.safetensors", true);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err;
        struct job job;
        snprintf(text, sizeof(text),
                 "dataset = { path = \"%s\"; %s }; search = { starts = [\"%s/%s\", \"air\"]; };"
                 "budget = { seconds = 9; };",
                 folder, cases[i].keys, folder, cases[i].file);
        check(complete(text, &job, &err), &err);
        assert_int_equal(job.dataset.resize.count, cases[i].count);
        assert_int_equal((int32_t)job.dataset.resize.items[0], cases[i].height);
        assert_int_equal((int32_t)job.dataset.resize.items[1], cases[i].width);
        assert_int_equal(job.dataset.channels, cases[i].channels);
        spec_free(&job);
    }
    data_files_remove(folder);
}

/* What stands in a file, and what is wrong with another. */
static void lists_what_there_is(void **state)
{
    char *data = data_files_folder(), *nasrun = file_join(data, "nasrun"), *said = NULL;
    char *folder = file_join(nasrun, "pretrained");
    struct error err;
    size_t length;
    (void)state;
    setenv("XDG_DATA_HOME", data, 1);
    FILE *out = open_memstream(&said, &length);
    assert_non_null(out);
    check(pretrained_list(out, &err), &err);
    fclose(out);
    assert_non_null(strstr(said, ": no networks; samples/pretrained/convert.sh gets one\n"));
    free(said);
    check(file_make_folder(folder, &err), &err);
    write_network(folder, "a.safetensors", false);
    data_files_write_text(folder, "b.onnx", "no model");
    out = open_memstream(&said, &length);
    assert_non_null(out);
    check(pretrained_list(out, &err), &err);
    fclose(out);
    assert_non_null(
        strstr(said, "a.safetensors: of no name, license unknown, 3 classes, images of 3 x 64 x 48, "));
    assert_non_null(strstr(said, "b.onnx: is no ONNX model\n"));
    free(said);
    data_files_remove(data);
    free(folder);
    free(nasrun);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_folder),
        cmocka_unit_test(names_the_first_file),
        cmocka_unit_test(brings_images_to_the_network),
        cmocka_unit_test(lists_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

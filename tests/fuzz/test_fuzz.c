/* Readers of files that anybody may have written, fed with damaged ones. Whatever the damage, a reader ends,
 * and either accepts or refuses with a status and a message of one printable line. AddressSanitizer and UBSan
 * see the rest (make asan). A case that fails is named by its number, and the same in every run. */
#include "host/base/file.h"
#include "host/data/data_internal.h"
#include "host/journal/journal.h"
#include "host/model/model_file.h"
#include "host/net/serialise.h"
#include "host/report/history.h"
#include "spec/spec.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_mutate.h"
#include "tests/support/random_graph.h"

#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { CASES = 2000 };

/* ---- what is read ---- */

static void make_png(const char *folder)
{
    const struct data_files_png png = {PNG_COLOR_TYPE_PALETTE, 4, 9, 13, true, true};
    data_files_png(folder, "input", &png);
}

static void make_jpeg(const char *folder)
{
    data_files_jpeg(folder, "input", 3, 20, 24, 200, 100, 50);
}

static enum status read_image(const char *folder, const char *path, struct error *err)
{
    struct image_info info;
    struct image image = {0};
    (void)folder;
    enum status st = image_probe(path, &info, err);
    if (st == ST_OK)
        st = image_decode(path, 3, 2, &image, err);
    free(image.pixels);
    return st;
}

static enum status read_data(const char *path, enum job_format format, struct error *err)
{
    struct job_dataset job = data_files_job(path);
    struct dataset set;
    job.format = format;
    enum status st = data_load(&job, 1, 1, NULL, &set, err);
    data_free(&set);
    return st;
}

static void make_idx(const char *folder)
{
    static const uint8_t labels[12] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
    data_files_idx_images(folder, "train-images-idx3-ubyte", 12, 5, 6, false);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, 12, false);
    data_files_idx_images(folder, "t10k-images-idx3-ubyte", 6, 5, 6, true);
    data_files_idx_labels(folder, "t10k-labels-idx1-ubyte", labels, 6, false);
}

static enum status read_idx(const char *folder, const char *path, struct error *err)
{
    (void)path;
    return read_data(folder, JOB_FORMAT_IDX, err);
}

static void make_cifar(const char *folder)
{
    data_files_cifar(folder, "data_batch_1.bin", 10, 40, false);
    data_files_cifar(folder, "test_batch.bin", 10, 10, true);
}

static enum status read_cifar(const char *folder, const char *path, struct error *err)
{
    (void)path;
    return read_data(folder, JOB_FORMAT_CIFAR10, err);
}

static void make_csv(const char *folder)
{
    data_files_png_plain(folder, "a.png", 4, 4, 10, 20, 30);
    data_files_png_plain(folder, "b,c.png", 4, 4, 90, 20, 30);
    data_files_write_text(folder, "input",
                          "path,label,split\r\na.png,cat,train\na.png,\"cat\",train\na.png,cat,val\n"
                          "\"b,c.png\",\"a \"\"dog\"\"\",train\n\"b,c.png\",\"a \"\"dog\"\"\",train\n"
                          "a.png,cat,test\n\"b,c.png\",\"a \"\"dog\"\"\",test\n");
}

static enum status read_csv(const char *folder, const char *path, struct error *err)
{
    (void)folder;
    return read_data(path, JOB_FORMAT_CSV, err);
}

static void make_job(const char *folder)
{
    data_files_write_text(folder, "input",
                          "# a job\ndataset = { path = \"/\"; resize = [32, 32]; fit = \"crop\"; };\n"
                          "search : { starts = [\"lean\", \"resnet\"]; beta = 2.5; max_morphs = 3; }\n"
                          "train = { batch = 64; flip = false; /* mirrored */ warmup = 0.1; };\n"
                          "budget = { seconds = [60, 120.5]; };\nseed = 12345678901;\n");
}

static enum status read_job(const char *folder, const char *path, struct error *err)
{
    struct job job = {0};
    (void)folder;
    enum status st = spec_read(path, NULL, 0, &job, err);
    if (st == ST_OK)
        spec_free(&job);
    return st;
}

static void make_model(const char *folder)
{
    struct graph graph;
    struct weight_table table;
    struct error err;
    char name[] = "class", *names[8];
    char *path = file_join(folder, "input");

    assert_non_null(path);
    assert_int_equal(random_graph_make(&graph, 5, &err), ST_OK);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    float *values = calloc(table.total, sizeof(*values));
    assert_non_null(values);
    random_graph_weights(&table, 5, values);
    struct model_about about = {.class_names = names,
                                .classes = graph.layers[graph.count - 1].shape.c,
                                .mean = {0.5f, 0.5f, 0.5f},
                                .deviation = {0.25f, 0.25f, 0.25f},
                                .fit = "pad",
                                .validation_accuracy = 0.5};
    for (int32_t i = 0; i < about.classes; i++)
        names[i] = name;
    assert_int_equal(model_save(path, &graph, values, &about, &err), ST_OK);
    free(values);
    free(path);
    weight_table_free(&table);
    graph_free(&graph);
}

static enum status read_model(const char *folder, const char *path, struct error *err)
{
    struct model model = {0};
    (void)folder;
    enum status st = model_load(path, &model, err);
    if (st == ST_OK)
        model_free(&model);
    return st;
}

static void make_graph(const char *folder)
{
    struct graph graph;
    struct error err;
    assert_int_equal(random_graph_make(&graph, 5, &err), ST_OK);
    cJSON *json = graph_to_json(&graph);
    char *text = cJSON_PrintUnformatted(json);
    assert_non_null(text);
    data_files_write_text(folder, "input", text);
    cJSON_free(text);
    cJSON_Delete(json);
    graph_free(&graph);
}

static enum status read_graph(const char *folder, const char *path, struct error *err)
{
    struct graph graph = {0};
    char *text = NULL;
    size_t length;
    (void)folder;
    enum status st = file_read(path, &text, &length, err);
    if (st != ST_OK)
        return st;
    cJSON *json = cJSON_ParseWithLength(text, length); /* NULL, which is no graph, for what is no JSON */
    st = graph_from_json(&graph, json, err);
    if (st == ST_OK)
        graph_free(&graph);
    cJSON_Delete(json);
    free(text);
    return st;
}

/* One that has every event and every field. */
static void make_journal(const char *folder)
{
    char *text;
    size_t length;
    struct error err;
    assert_int_equal(file_read("tests/journal/format-2/journal.jsonl", &text, &length, &err), ST_OK);
    data_files_write(folder, JOURNAL_NAME, text, length, false);
    free(text);
}

static enum status read_journal(const char *folder, const char *path, struct error *err)
{
    struct history history;
    (void)path;
    enum status st = history_load(folder, &history, err); /* journal_load, then event_next to the end */
    history_free(&history);
    return st;
}

/* ---- the test ---- */

static const struct target {
    const char *name;
    const char *file; /* of the folder that `make` fills: the one to be damaged */
    enum fuzz_kind kind;
    void (*make)(const char *folder);
    enum status (*read)(const char *folder, const char *path, struct error *err);
    void (*repair)(struct fuzz_bytes *file); /* of every second case; may be NULL */
} targets[] = {
    {"PNG", "input", FUZZ_BINARY, make_png, read_image, fuzz_repair_png},
    {"JPEG", "input", FUZZ_BINARY, make_jpeg, read_image, NULL},
    {"IDX images", "train-images-idx3-ubyte", FUZZ_BINARY, make_idx, read_idx, NULL},
    {"IDX labels", "train-labels-idx1-ubyte", FUZZ_BINARY, make_idx, read_idx, NULL},
    {"gzip", "t10k-images-idx3-ubyte", FUZZ_BINARY, make_idx, read_idx, NULL},
    {"CIFAR", "data_batch_1.bin", FUZZ_BINARY, make_cifar, read_cifar, NULL},
    {"CSV", "input", FUZZ_TEXT, make_csv, read_csv, NULL},
    {"job", "input", FUZZ_TEXT, make_job, read_job, NULL},
    {"model header", "input", FUZZ_TEXT, make_model, read_model, NULL},
    {"model", "input", FUZZ_BINARY, make_model, read_model, NULL},
    {"graph", "input", FUZZ_TEXT, make_graph, read_graph, NULL},
    {"journal", JOURNAL_NAME, FUZZ_TEXT, make_journal, read_journal, fuzz_repair_journal},
};
enum { TARGET_COUNT = sizeof(targets) / sizeof(targets[0]) };

static void check_message(const struct target *target, uint32_t number, enum status st,
                          const struct error *err)
{
    size_t length = strnlen(err->message, ERROR_LENGTH);
    bool printable = length > 0 && length < ERROR_LENGTH;
    for (size_t i = 0; i < length; i++)
        printable = printable && (unsigned char)err->message[i] >= ' ';
    if (err->status != st || !printable)
        fail_msg("%s, case %u: status %s beside %s, message \"%s\"", target->name, number, status_name(st),
                 status_name(err->status), err->message);
}

static void survives_damage(void **state)
{
    const struct target *target = *state;
    struct error err;
    char *folder = data_files_folder(), *path = file_join(folder, target->file), *bytes;
    size_t length;
    int refused = 0;

    assert_non_null(path);
    target->make(folder);
    if (target->read(folder, path, &err) != ST_OK)
        fail_msg("%s, undamaged: %s", target->name, err.message);
    assert_int_equal(file_read(path, &bytes, &length, &err), ST_OK);
    struct fuzz_bytes whole = fuzz_copy(bytes, length), damaged = fuzz_copy(bytes, length);
    for (uint32_t number = 0; number < CASES; number++) {
        fuzz_mutate(&whole, target->kind, (uint32_t)(target - targets), number, &damaged);
        if (target->repair != NULL && number % 2 == 0)
            target->repair(&damaged);
        remove(path); /* writing over a file waits for the disk on some file systems */
        data_files_write(folder, target->file, damaged.bytes, damaged.length, false);
        err = (struct error){.status = ST_OK};
        enum status st = target->read(folder, path, &err);
        if (st != ST_OK)
            check_message(target, number, st, &err);
        refused += st != ST_OK;
    }
    /* Damage that nobody notices would test nothing. */
    assert_in_range(refused, CASES / 8, CASES);
    free(whole.bytes);
    free(damaged.bytes);
    free(bytes);
    free(path);
    data_files_remove(folder);
}

int main(void)
{
    struct CMUnitTest tests[TARGET_COUNT];
    for (size_t i = 0; i < TARGET_COUNT; i++)
        tests[i] = (struct CMUnitTest){
            .name = targets[i].name, .test_func = survives_damage, .initial_state = (void *)&targets[i]};
    return _cmocka_run_group_tests("fuzz", tests, TARGET_COUNT, NULL, NULL);
}

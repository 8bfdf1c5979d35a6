#include "tests/support/fuzz_targets.h"

#include "host/base/file.h"
#include "host/data/data_internal.h"
#include "host/inference/fold.h"
#include "host/journal/journal.h"
#include "host/model/model_file.h"
#include "host/net/serialise.h"
#include "host/onnx/onnx_read.h"
#include "host/onnx/onnx_write.h"
#include "host/report/history.h"
#include "host/report/predictions.h"
#include "spec/spec.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_runs.h"
#include "tests/support/random_graph.h"
#include "tests/support/tiny_task.h"

#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

static void make_png(const char *folder)
{
    const struct data_files_png png = {PNG_COLOR_TYPE_PALETTE, 4, 9, 13, true, true};
    data_files_png(folder, "input", &png);
}

static void make_jpeg(const char *folder)
{
    data_files_jpeg(folder, "input", 3, 20, 24, 200, 100, 50);
}

static void make_exif(const char *folder)
{
    data_files_copy_image(folder, "input", "turned.jpg");
}

static void make_webp(const char *folder)
{
    data_files_copy_image(folder, "input", "alpha.webp");
}

static void make_tiff(const char *folder)
{
    data_files_copy_image(folder, "input", "turned.tif");
}

static void make_gif(const char *folder)
{
    data_files_copy_image(folder, "input", "plain.gif");
}

static void make_bmp(const char *folder)
{
    data_files_copy_image(folder, "input", "palette.bmp");
}

/* As a dataset is read; an image larger than this is refused by its head. */
enum { MOST_PIXELS = 1 << 21 };

static enum status read_image(const char *folder, const char *path, struct error *err)
{
    struct image_info info;
    struct image image = {0};
    (void)folder;
    enum status st = image_probe(path, &info, err);
    if (st == ST_OK)
        st = image_check_pixels(path, &info, MOST_PIXELS, err);
    if (st == ST_OK)
        st = image_decode(path, 3, 2, NULL, &image, err);
    free(image.pixels);
    return st;
}

static enum status read_data(const char *path, enum job_format format, enum job_labels labels,
                             struct error *err)
{
    struct job_dataset job = data_files_job(path);
    struct dataset set;
    job.format = format;
    job.labels = labels;
    enum status st = data_load(&job, 1, &(struct data_way){.threads = 1}, &set, err);
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
    return read_data(folder, JOB_FORMAT_IDX, JOB_LABELS_ONE, err);
}

static void make_cifar(const char *folder)
{
    data_files_cifar(folder, "data_batch_1.bin", 10, 40, false);
    data_files_cifar(folder, "test_batch.bin", 10, 10, true);
}

static enum status read_cifar(const char *folder, const char *path, struct error *err)
{
    (void)path;
    return read_data(folder, JOB_FORMAT_CIFAR10, JOB_LABELS_ONE, err);
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
    return read_data(path, JOB_FORMAT_CSV, JOB_LABELS_ONE, err);
}

static void make_labels(const char *folder)
{
    make_csv(folder);
    data_files_write_text(folder, "input",
                          "split,path,labels\ntrain,a.png,cat|dog\ntrain,\"b,c.png\",dog,\"a cat\"\n"
                          "train,\"b,c.png\"\nval,a.png,cat\ntest,a.png,\"cat|dog\"\n");
}

static enum status read_labels(const char *folder, const char *path, struct error *err)
{
    (void)folder;
    return read_data(path, JOB_FORMAT_CSV, JOB_LABELS_SEVERAL, err);
}

static void make_label_columns(const char *folder)
{
    make_csv(folder);
    data_files_write_text(folder, "input",
                          "image,cat,\"a dog\",bird,split\na.png,1,0,0,train\n\"b,c.png\",0,1.0,,train\n"
                          "a.png,-1,true,0,val\na.png,1,1,0,test\n");
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

/* With `labels` of images with several of them. */
static void write_model(const char *folder, bool labels)
{
    struct graph graph;
    struct weight_table table;
    struct error err;
    char name[] = "class", *names[8];
    double thresholds[8];
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
                                .views = 2,
                                .temperature = 1.5f,
                                .plain_temperature = 0.75f,
                                .label_thresholds = labels ? thresholds : NULL,
                                .validation_accuracy = 0.5};
    for (int32_t i = 0; i < about.classes; i++) {
        names[i] = name;
        thresholds[i] = 0.125 * i;
    }
    assert_int_equal(model_save(path, &graph, values, &about, &err), ST_OK);
    free(values);
    free(path);
    weight_table_free(&table);
    graph_free(&graph);
}

static void make_model(const char *folder)
{
    write_model(folder, false);
}

static void make_model_labels(const char *folder)
{
    write_model(folder, true);
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

/* A model as ONNX, or in whole numbers by ranges that no image has given. */
static void write_onnx(const char *folder, bool labels, bool coded)
{
    struct model model = {0}, folded = {0};
    struct quantisation codes = {0};
    struct error err;
    unsigned char *bytes;
    size_t length;
    char path[4096];
    write_model(folder, labels);
    snprintf(path, sizeof(path), "%s/input", folder);
    assert_int_equal(model_load(path, &model, &err), ST_OK);
    if (coded) {
        assert_int_equal(fold_model(&model, &folded, &err), ST_OK);
        struct value_range *ranges = calloc((size_t)folded.graph.count, sizeof(*ranges));
        assert_non_null(ranges);
        for (int32_t i = 0; i < folded.graph.count; i++)
            ranges[i] = (struct value_range){0.0f, 3.0f};
        assert_int_equal(quantise(&folded, ranges, &codes, &err), ST_OK);
        free(ranges);
    }
    assert_int_equal(onnx_write(coded ? &folded : &model, coded ? &codes : NULL, NULL, &bytes, &length, &err),
                     ST_OK);
    assert_int_equal(file_write_atomic(path, bytes, length, &err), ST_OK);
    free(bytes);
    quantisation_free(&codes);
    model_free(&folded);
    model_free(&model);
}

static void make_onnx(const char *folder)
{
    write_onnx(folder, false, false);
}

static void make_onnx_labels(const char *folder)
{
    write_onnx(folder, true, false);
}

static void make_onnx_int8(const char *folder)
{
    write_onnx(folder, false, true);
}

static enum status read_onnx_as(const char *path, bool coded, struct error *err)
{
    struct model model = {0};
    struct quantisation codes = {0};
    char *bytes;
    size_t length;
    enum status st = file_read(path, &bytes, &length, err);
    if (st != ST_OK)
        return st;
    st = onnx_read((const unsigned char *)bytes, length, &model, coded ? &codes : NULL, err);
    model_free(&model);
    quantisation_free(&codes);
    free(bytes);
    return st;
}

static enum status read_onnx(const char *folder, const char *path, struct error *err)
{
    (void)folder;
    return read_onnx_as(path, false, err);
}

static enum status read_onnx_int8(const char *folder, const char *path, struct error *err)
{
    (void)folder;
    return read_onnx_as(path, true, err);
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

/* ---- checkpoints ---- */

/* A trainer with AdamW's slots, two batches into its training; opened once, for all that is read. */
static struct trainer *open_trainer(void)
{
    static struct tiny_task task;
    static struct trainer *trainer;
    struct trainer_settings settings = tiny_task_settings();
    if (trainer == NULL) {
        settings.optimizer.kind = OPTIMIZER_ADAMW;
        tiny_task_open(&task, &cpu_device_ops, true);
        trainer = tiny_task_trainer(&task, &settings);
    }
    return trainer;
}

static void make_checkpoint(const char *folder)
{
    struct error err;
    char *path = file_join(folder, "input");
    assert_non_null(path);
    assert_int_equal(trainer_checkpoint(open_trainer(), path, 7, &err), ST_OK);
    free(path);
}

static enum status read_checkpoint(const char *folder, const char *path, struct error *err)
{
    uint64_t note;
    uint32_t steps;
    (void)folder;
    enum status st = checkpoint_note(path, &note, &steps, err);
    if (st == ST_OK)
        st = trainer_restore(open_trainer(), path, &note, err);
    return st;
}

static void make_predictions(const char *folder)
{
    data_files_write_text(folder, "input",
                          "image,hash,split,trained,views,class,predicted,p_cat,\"p_a, \"\"b\"\"\"\n"
                          "\"x,\n1.png\",xxh3:0123456789abcdef,test,0,6,cat,\"a, \"\"b\"\"\",0.25,0.75\r\n"
                          "17,xxh3:fedcba9876543210,validation,1,1,cat,cat,1,0\n");
}

static void make_label_predictions(const char *folder)
{
    data_files_write_text(folder, "input",
                          "image,hash,split,trained,views,labels,predicted,p_cat,\"p_a, \"\"b\"\"\"\n"
                          "1.png,xxh3:0123456789abcdef,test,0,6,\"cat|a, \"\"b\"\"\",cat,0.75,0.25\n"
                          "17,xxh3:fedcba9876543210,validation,1,1,,cat,1,0\n");
}

static enum status read_predictions(const char *folder, const char *path, struct error *err)
{
    struct predictions predictions;
    struct comparison comparison;
    struct error unlike;
    (void)folder;
    enum status st = predictions_read(path, &predictions, err);
    if (st == ST_OK)
        predictions_compare(&predictions, &predictions, &comparison, &unlike);
    predictions_free(&predictions);
    return st;
}

/* ---- the table ---- */

const struct fuzz_target fuzz_targets[] = {
    {"png", "input", FUZZ_BINARY, make_png, read_image, fuzz_repair_png, 0},
    {"jpeg", "input", FUZZ_BINARY, make_jpeg, read_image, NULL, 0},
    {"exif", "input", FUZZ_BINARY, make_exif, read_image, NULL, 0},
    {"webp", "input", FUZZ_BINARY, make_webp, read_image, NULL, 0},
    {"tiff", "input", FUZZ_BINARY, make_tiff, read_image, NULL, 0},
    {"gif", "input", FUZZ_BINARY, make_gif, read_image, NULL, 0},
    {"bmp", "input", FUZZ_BINARY, make_bmp, read_image, NULL, 0},
    {"idx-images", "train-images-idx3-ubyte", FUZZ_BINARY, make_idx, read_idx, NULL, 0},
    {"idx-labels", "train-labels-idx1-ubyte", FUZZ_BINARY, make_idx, read_idx, NULL, 0},
    {"gzip", "t10k-images-idx3-ubyte", FUZZ_BINARY, make_idx, read_idx, NULL, 0},
    {"cifar", "data_batch_1.bin", FUZZ_BINARY, make_cifar, read_cifar, NULL, 0},
    {"csv", "input", FUZZ_TEXT, make_csv, read_csv, NULL, 0},
    {"labels", "input", FUZZ_TEXT, make_labels, read_labels, NULL, 0},
    {"label-columns", "input", FUZZ_TEXT, make_label_columns, read_labels, NULL, 0},
    {"job", "input", FUZZ_TEXT, make_job, read_job, NULL, 0},
    {"model", "input", FUZZ_BINARY, make_model, read_model, NULL, 0},
    {"model-as-text", "input", FUZZ_TEXT, make_model, read_model, NULL, 0},
    {"model-labels", "input", FUZZ_TEXT, make_model_labels, read_model, NULL, 0},
    {"onnx", "input", FUZZ_BINARY, make_onnx, read_onnx, NULL, 0},
    {"onnx-labels", "input", FUZZ_BINARY, make_onnx_labels, read_onnx, NULL, 0},
    {"onnx-int8", "input", FUZZ_BINARY, make_onnx_int8, read_onnx_int8, NULL, 0},
    {"graph", "input", FUZZ_TEXT, make_graph, read_graph, NULL, 0},
    {"journal", JOURNAL_NAME, FUZZ_TEXT, make_journal, read_journal, fuzz_repair_journal, 0},
    {"checkpoint", "input", FUZZ_BINARY, make_checkpoint, read_checkpoint, fuzz_repair_checkpoint, 0},
    {"resume", "input", FUZZ_TEXT, fuzz_make_resume, fuzz_read_resume, fuzz_repair_journal, FUZZ_PREPARES},
    {"restarts", "input", FUZZ_TEXT, fuzz_make_restarts, fuzz_read_restarts, NULL,
     FUZZ_FORGIVES | FUZZ_PREPARES},
    {"cache", "input", FUZZ_BINARY, fuzz_make_cache, fuzz_read_cache, fuzz_repair_cache,
     FUZZ_FORGIVES | FUZZ_PREPARES},
    {"tree", "input", FUZZ_TEXT, fuzz_make_tree, fuzz_read_tree, NULL, FUZZ_PREPARES | FUZZ_LENIENT},
    {"command", "input", FUZZ_TEXT, fuzz_make_command, fuzz_read_command, NULL, FUZZ_PREPARES},
    {"predictions", "input", FUZZ_TEXT, make_predictions, read_predictions, NULL, 0},
    {"label-predictions", "input", FUZZ_TEXT, make_label_predictions, read_predictions, NULL, 0},
};
const int fuzz_target_count = sizeof(fuzz_targets) / sizeof(fuzz_targets[0]);

const char *fuzz_complaint(enum status st, const struct error *err)
{
    const size_t length = strnlen(err->message, ERROR_LENGTH);
    if (st == ST_OK)
        return NULL;
    if (err->status != st)
        return "another status is told than is returned";
    if (length == 0 || length == ERROR_LENGTH)
        return "no message";
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)err->message[i] < ' ')
            return "a message that is no printable line";
    return NULL;
}

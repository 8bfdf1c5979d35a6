/* Class folders and CSV lists: what is found, which split it belongs to, and how mistakes are refused. */
#include "host/base/file.h"
#include "tests/support/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

/* PREFIX/cat and PREFIX/dog with `count` plain images each. */
static void write_classes(const char *folder, const char *prefix, int32_t count)
{
    static const char *const names[] = {"dog", "cat"};
    char name[64];
    for (int32_t i = 0; i < 2 * count; i++) {
        snprintf(name, sizeof(name), "%s%s/%03d.png", prefix, names[i % 2], i);
        data_files_png_plain(folder, name, 4, 6, (uint8_t)i, (uint8_t)(2 * i), (uint8_t)(i % 2));
    }
}

static void test_one_folder(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    write_classes(folder, "", 20);
    data_files_write_text(folder, "README.txt", "not an image");
    data_files_write_text(folder, "cat/.hidden.png", "not an image");
    data_files_png_plain(folder, "cat/inner/deep.png", 4, 6, 1, 2, 0);
    data_files_load(&job, &set);
    assert_int_equal(set.count, 41);
    assert_int_equal(set.classes, 2);
    assert_string_equal(set.class_names[0], "cat");
    assert_string_equal(set.class_names[1], "dog");
    assert_int_equal(set.sample_count[SPLIT_TEST], 4);
    assert_int_equal(set.sample_count[SPLIT_VALIDATION], 4);
    assert_int_equal(set.sample_count[SPLIT_TRAIN], 33);
    assert_int_equal(set.channels, 3);
    for (int32_t i = 0; i < set.count; i++) /* blue tells the class: cats were odd, but for the deep one */
        assert_int_equal(set.labels[i], i == 20 ? 0 : set.pixels[i * 72 + 48] == 0);
    data_free(&set);
    data_files_remove(folder);
}

static void count_one(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

/* Whoever watches is told of each image that is looked at and decoded, and of each folder. */
static void test_signs_of_life(void **state)
{
    struct dataset set;
    struct error err;
    atomic_int signs = 0;
    (void)state;
    char *folder = data_files_folder();
    const struct job_dataset job = data_files_job(folder);
    write_classes(folder, "", 20);
    assert_int_equal(
        data_load(&job, 1, &(struct data_way){.alive = count_one, .context = &signs}, &set, &err), ST_OK);
    assert_int_equal(atomic_load(&signs), 2 * 40 + 3);
    data_free(&set);
    data_files_remove(folder);
}

static void test_given_splits(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    write_classes(folder, "Train/", 10);
    write_classes(folder, "test/", 3);
    data_files_load(&job, &set);
    assert_int_equal(set.sample_count[SPLIT_TRAIN], 18);
    assert_int_equal(set.sample_count[SPLIT_VALIDATION], 2);
    assert_int_equal(set.sample_count[SPLIT_TEST], 6);
    data_free(&set);
    write_classes(folder, "valid/", 4);
    data_files_load(&job, &set);
    assert_int_equal(set.sample_count[SPLIT_TRAIN], 20);
    assert_int_equal(set.sample_count[SPLIT_VALIDATION], 8);
    data_free(&set);
    write_classes(folder, "val/", 4);
    data_files_refuse(&job, ST_FORMAT, "folders val and valid are of the same split", "expected one");
    data_files_remove(folder);
}

static void test_folder_refused(void **state)
{
    struct error err;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    data_files_refuse(&job, ST_FORMAT, "no class folders", "expected a folder for each class");
    data_files_png_plain(folder, "cat/a.png", 4, 4, 1, 2, 3);
    data_files_png_plain(folder, "cat/b.png", 4, 4, 1, 2, 3);
    data_files_refuse(&job, ST_FORMAT, "one class only (\"cat\")", "expected at least 2");
    char *empty = file_join(folder, "dog");
    assert_non_null(empty);
    assert_int_equal(file_make_folder(empty, &err), ST_OK);
    data_files_refuse(&job, ST_FORMAT, "dog: no images in this class folder", "expected PNG, JPEG");
    free(empty);
    data_files_png_plain(folder, "dog/a.png", 4, 4, 1, 2, 3);
    data_files_png_plain(folder, "stray.png", 4, 4, 1, 2, 3);
    data_files_refuse(&job, ST_FORMAT, "stray.png: image without a label",
                      "expected it inside a class folder");
    data_files_remove(folder);

    folder = data_files_folder();
    job = data_files_job(folder);
    write_classes(folder, "train/", 3);
    data_files_png_plain(folder, "test/fox/a.png", 4, 4, 1, 2, 3);
    data_files_refuse(&job, ST_FORMAT, "class \"fox\" has no training images", "for validation or test");
    write_classes(folder, "more/", 3);
    data_files_refuse(&job, ST_FORMAT, "more: a folder beside the split folders",
                      "expected train, val and test");
    data_files_remove(folder);

    job = data_files_job("/nowhere/at/all");
    data_files_refuse(&job, ST_IO, "/nowhere/at/all", "No such file");
}

/* Under "skip" the same mistakes in single files are logged and counted. */
static void test_skip(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    write_classes(folder, "", 20);
    data_files_cut(folder, "cat/001.png", 50);
    data_files_write_text(folder, "cat/text.png", "hello");
    data_files_write_text(folder, "dog/old.heic", "BM");
    data_files_png_plain(folder, "stray.png", 4, 4, 1, 2, 3);
    data_files_refuse(&job, ST_UNSUPPORTED, "dog/old.heic: an image of another kind", "expected PNG, JPEG");
    job.on_error = JOB_ON_ERROR_SKIP;
    char *text = data_files_told(&job, &set);
    assert_int_equal(set.count, 39);
    assert_int_equal(set.skipped, 4);
    assert_non_null(strstr(text, "cat/001.png: broken PNG"));
    assert_non_null(strstr(text, "cat/text.png: the file starts with 68 65 6c"));
    assert_non_null(strstr(text, "old.heic"));
    assert_non_null(strstr(text, "stray.png"));
    free(text);
    for (int32_t i = 0; i < set.count; i++) /* the gap is closed: pixels and labels still belong together */
        assert_int_equal(set.labels[i], set.pixels[i * 72 + 48] == 0);
    data_free(&set);
    data_files_remove(folder);
}

static void load_csv(const char *folder, const char *text, struct dataset *set)
{
    char *path = file_join(folder, "list.csv");
    assert_non_null(path);
    struct job_dataset job = data_files_job(path);
    data_files_write_text(folder, "list.csv", text);
    data_files_load(&job, set);
    free(path);
}

static void test_csv(void **state)
{
    static const char *const same[] = {
        "dog/000.png,d,train\ndog/002.png,d,TEST\ncat/001.png,c,Validation\ncat/003.png,c,training\n",
        "path,label,split\ndog/000.png,d,train\ndog/002.png,d,test\ncat/001.png,c,val\ncat/003.png,c,train\n",
        "label,other,filename,set\r\nd,1,dog/000.png,train\r\nd,,dog/002.png,test\r\nc,,cat/"
        "001.png,val\r\n\r\n"
        "c,,cat/003.png,train",
        "TRAINING,dog/000.png,d\nTEST,dog/002.png,d\nVALIDATION,cat/001.png,c\n,cat/003.png,c\n",
        "\xef\xbb\xbf"
        "UNASSIGNED,\"dog/000.png\",\"d\"\nTEST,\"dog/002.png\",d\nVALIDATION, cat/001.png , c\n"
        "UNASSIGNED,cat/003.png,c\n",
        /* blanks behind a quoted field that ends its row, as those of Windows do */
        "TRAIN,dog/000.png,\"d\"\r\nTEST,dog/002.png,\"d\" \r\nVAL,cat/001.png,\"c\"\r\n,cat/003.png,c\r\n",
    };
    (void)state;
    char *folder = data_files_folder();
    write_classes(folder, "", 2);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct dataset set;
        load_csv(folder, same[i], &set);
        assert_int_equal(set.count, 4);
        assert_string_equal(set.class_names[0], "c");
        assert_int_equal(set.sample_count[SPLIT_TRAIN], 2);
        assert_int_equal(set.sample_count[SPLIT_VALIDATION], 1);
        assert_int_equal(set.sample_count[SPLIT_TEST], 1);
        assert_int_equal(set.samples[SPLIT_TEST][0], 1);
        assert_int_equal(set.samples[SPLIT_VALIDATION][0], 2);
        assert_int_equal(set.labels[0], 1);
        assert_int_equal(set.labels[3], 0);
        data_free(&set);
    }
    struct dataset set;
    load_csv(folder,
             "dog/000.png,\"d, or \"\"dog\"\"\"\ncat/001.png,c\ndog/002.png,\"d, or "
             "\"\"dog\"\"\"\ncat/003.png,c\n",
             &set);
    assert_string_equal(set.class_names[1], "d, or \"dog\"");
    data_free(&set);
    data_files_remove(folder);
}

static void test_csv_refused(void **state)
{
    static const struct {
        const char *text;
        enum status status;
        const char *what, *expected;
    } cases[] = {
        {"", ST_FORMAT, "list.csv: no rows", "expected path,label"},
        {"dog/000.png\n", ST_FORMAT, "list.csv:1: 1 columns", "expected path,label[,split]"},
        {"dog/000.png,d\ncat/001.png\n", ST_FORMAT, "list.csv:2: 1 columns", "expected at least 2"},
        {"path,split\ndog/000.png,train\n", ST_FORMAT,
         "list.csv:1: the header path,split has no column \"label\"", "expected path, label"},
        {"dog/000.png,d\nnone.png,c\n", ST_FORMAT, "list.csv:2:", "none.png: No such file"},
        {"dog/000.png,d\ncat,c\n", ST_FORMAT, "list.csv:2:", "is no regular file"},
        {"dog/000.png,d,train\ncat/001.png,c,later\n", ST_FORMAT, "list.csv:2: split \"later\"",
         "expected train, validation or test"},
        {"dog/000.png,d\ncat/001.png,\n", ST_FORMAT, "list.csv:2: no label for cat/001.png", "list.csv"},
        {"dog/000.png,d\n,c\n", ST_FORMAT, "list.csv:2: an empty path", "list.csv"},
        {"dog/000.png,d\n\"cat/001.png,c\n", ST_FORMAT, "list.csv:2: a quoted field without an end",
         "expected \""},
        {"dog/000.png,d\n\ntext.png,c\n", ST_FORMAT,
         "list.csv:3:", "text.png: the file starts with 68 65 6c"},
        {"dog/000.png,d\ndog/002.png,d\n", ST_FORMAT, "one class only (\"d\")", "expected at least 2"},
        {"dog/000.png,d,test\ncat/001.png,c,test\n", ST_FORMAT, "no training images", "expected some"},
    };
    (void)state;
    char *folder = data_files_folder();
    char *path = file_join(folder, "list.csv");
    assert_non_null(path);
    struct job_dataset job = data_files_job(path);
    write_classes(folder, "", 2);
    data_files_write_text(folder, "text.png", "hello");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        data_files_write_text(folder, "list.csv", cases[i].text);
        data_files_refuse(&job, cases[i].status, cases[i].what, cases[i].expected);
    }
    struct job_dataset wrong = data_files_job(folder);
    wrong.format = JOB_FORMAT_CSV;
    data_files_refuse(&wrong, ST_FORMAT, "is a folder", "expected a CSV file");
    wrong = data_files_job(path);
    wrong.format = JOB_FORMAT_FOLDER;
    data_files_refuse(&wrong, ST_FORMAT, "is a file", "expected a folder");
    free(path);
    data_files_remove(folder);
}

/* Under "skip" a class without training images is left out, for whatever reason it has none. */
static void test_skipped_classes(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    write_classes(folder, "train/", 10);
    write_classes(folder, "test/", 3);
    data_files_png_plain(folder, "test/bird/a.png", 4, 6, 9, 9, 9);
    data_files_write_text(folder, "train/cow/a.png", "hello");
    data_files_refuse(&job, ST_FORMAT, "cow/a.png: the file starts with 68 65 6c", "expected PNG");
    data_files_write_text(folder, "train/emu/.hidden", "");
    job.on_error = JOB_ON_ERROR_SKIP;
    char *text = data_files_told(&job, &set);
    assert_int_equal(set.classes, 2);
    assert_string_equal(set.class_names[0], "cat");
    assert_string_equal(set.class_names[1], "dog");
    assert_int_equal(set.sample_count[SPLIT_TEST], 6);
    assert_int_equal(set.count, 26);
    assert_int_equal(set.skipped, 2);
    for (int32_t i = 0; i < set.count; i++)
        assert_int_equal(set.labels[i], set.pixels[i * 72 + 48] == 0);
    assert_non_null(strstr(text, "class \"bird\" has no training images"));
    assert_non_null(strstr(text, "class \"cow\" has no training images"));
    assert_non_null(strstr(text, "class \"emu\" has no training images"));
    free(text);
    data_free(&set);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_folder),
        cmocka_unit_test(test_given_splits),
        cmocka_unit_test(test_folder_refused),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_signs_of_life),
        cmocka_unit_test(test_skipped_classes),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What no reader takes, a line of a table for each: the message names place, found and expected. */
#include "tests/support/data_files.h"

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

/* A folder of two classes with three images each, below `inside`. */
static char *classes(const char *inside)
{
    char *folder = data_files_folder(), name[64];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof(name), "%s%s/%d.png", inside, i % 2 ? "cat" : "dog", i);
        data_files_png_plain(folder, name, 4, 4, (uint8_t)i, 2, 3);
    }
    return folder;
}

static void refuse(char *folder, enum status status, const char *what, const char *expected)
{
    struct job_dataset job = data_files_job(folder);
    data_files_refuse(&job, status, what, expected);
    data_files_remove(folder);
}

/* ---- BMP ---- */

static void put(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static void test_bmp(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
        enum status status;
        const char *what, *expected;
    } cases[] = {
        {14, 12, ST_UNSUPPORTED, "a BMP with a head of 12 bytes", "expected 40"},
        {28, 16, ST_UNSUPPORTED, "a BMP of 16 bits and compression 0", "expected 1, 4, 8, 24 or 32"},
        {30, 1, ST_UNSUPPORTED, "a BMP of 24 bits and compression 1", "without compression"},
        {18, 0, ST_FORMAT, "width 0", "expected"},
        {22, 0x7fffffff, ST_FORMAT, "height 2147483647", "expected"},
        {10, 60, ST_FORMAT, "broken BMP", "broken BMP"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[54 + 4 * 16] = "BM";
        put(bytes + 2, sizeof(bytes));
        put(bytes + 10, 54);
        put(bytes + 14, 40);
        put(bytes + 18, 4);
        put(bytes + 22, 4);
        bytes[26] = 1;
        bytes[28] = 24;
        char *folder = classes("");
        data_files_write(folder, "cat/good.bmp", bytes, sizeof(bytes), false);
        struct job_dataset job = data_files_job(folder);
        struct dataset set;
        data_files_load(&job, &set);
        data_free(&set);
        put(bytes + cases[i].at, cases[i].value);
        data_files_write(folder, "cat/good.bmp", bytes, i == 5 ? 70 : sizeof(bytes), false);
        refuse(folder, cases[i].status, cases[i].what, cases[i].expected);
    }
}

/* ---- folders ---- */

static void test_folders(void **state)
{
    static const struct {
        const char *inside, *more; /* of an image beside the classes */
        enum status status;
        const char *what, *expected;
    } cases[] = {
        {"a/", "a/cat/9.png", ST_FORMAT, "one folder only, which holds 2 folders (",
         "dataset.path is probably"},
        {"", "more/cat/9.png", ST_OK, NULL, NULL},
        {"", "test/cat/9.png", ST_FORMAT, "a folder test and none for training", "expected train"},
        {"train/", "test/9.png", ST_FORMAT, "test: 1 images without class folders",
         "expected a folder for each class"},
        {"train/", "training/cat/9.png", ST_FORMAT, "folders train and training are of the same split",
         "expected one"},
        {"train/", "fox/9.png", ST_FORMAT, "fox: a folder beside the split folders",
         "expected train, val and test"},
        {"", "cat/1/2/3/4/5/6/7/8/9/9.png", ST_FORMAT, "more than 8 folders deep", "below its class folder"},
        {"", "both/cat/9.png", ST_OK, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *folder = classes(cases[i].inside);
        data_files_png_plain(folder, cases[i].more, 4, 4, 9, 9, 9);
        struct job_dataset job = data_files_job(folder);
        struct dataset set;
        if (cases[i].status == ST_OK) {
            data_files_load(&job, &set);
            assert_int_equal(set.classes, 3);
            data_free(&set);
            data_files_remove(folder);
        } else {
            refuse(folder, cases[i].status, cases[i].what, cases[i].expected);
        }
    }
    char *folder = classes("");
    data_files_png_plain(folder, "again/cat/9.png", 4, 4, 9, 9, 9);
    data_files_png_plain(folder, "again/dog/9.png", 4, 4, 9, 9, 9);
    refuse(folder, ST_FORMAT, "again: holds 2 folders that are called like class folders", "expected images");
    folder = classes("");
    data_files_write_text(folder, "inner/data_batch_1.bin", "none");
    refuse(folder, ST_FORMAT, "its folder inner holds files of format \"cifar10\"",
           "dataset.path is probably");
}

static void test_links(void **state)
{
    static const struct {
        const char *target, *name, *what, *expected;
    } cases[] = {
        {"..", "cat/up", "cat/up: a symbolic link that leads back to a folder above it", "above it"},
        {"self.png", "cat/self.png", "cat/self.png: a symbolic link that leads back to itself", "itself"},
        {"gone.png", "cat/there.png", "cat/there.png: No such file", "No such file"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *folder = classes(""), path[256];
        snprintf(path, sizeof(path), "%s/%s", folder, cases[i].name);
        assert_int_equal(symlink(cases[i].target, path), 0);
        refuse(folder, ST_FORMAT, cases[i].what, cases[i].expected);
    }
}

/* ---- lists ---- */

static void test_lists(void **state)
{
    static const struct {
        const char *text;
        size_t length; /* 0: to its end */
        enum status status;
        const char *what, *expected;
    } cases[] = {
        {"path,label\ndog/0.png,d\ncat/1.png,c,x\n", 0, ST_FORMAT, "list.csv:3: 3 fields", "expected 2"},
        {"image,MEL,NV\ndog/0.png,1,0\n", 0, ST_FORMAT, "has no column \"label\"", "one-hot"},
        {"dog/0.png,d\ngs://b/1.png,c\n", 0, ST_UNSUPPORTED, "nothing is read from gs://", "expected paths"},
        {"dog/0.png,d\nca\0t/1.png,c\n", 25, ST_FORMAT, "list.csv:2: a zero byte", "expected text"},
        {"dog/0.png,\"d\0\"\ncat/1.png,c\n", 27, ST_FORMAT, "list.csv:1: a zero byte", "expected text"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *folder = classes(""), path[256];
        const size_t length = cases[i].length > 0 ? cases[i].length : strlen(cases[i].text);
        data_files_write(folder, "list.csv", cases[i].text, length, false);
        snprintf(path, sizeof(path), "%s/list.csv", folder);
        struct job_dataset job = data_files_job(path);
        data_files_refuse(&job, cases[i].status, cases[i].what, cases[i].expected);
        data_files_remove(folder);
    }
}

/* ---- packed files, settings ---- */

static void test_packed(void **state)
{
    static const uint8_t labels[4] = {0, 1, 0, 1};
    static const char page[] = "<!DOCTYPE html><html></html>";
    (void)state;
    char *folder = data_files_folder();
    data_files_idx_images(folder, "some-idx3-ubyte", 4, 5, 6, false);
    refuse(folder, ST_FORMAT, "some-idx3-ubyte: the name tells no split", "expected train");
    folder = data_files_folder();
    data_files_idx_images(folder, "a-train-idx3-ubyte", 4, 5, 6, false);
    data_files_idx_images(folder, "b-train-idx3-ubyte", 4, 5, 6, false);
    refuse(folder, ST_FORMAT, "are of the same split", "expected one of them");
    folder = data_files_folder();
    data_files_idx_images(folder, "train-images-idx3-ubyte", 4, 5, 6, false);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, 4, false);
    data_files_idx_labels(folder, "t10k-labels-idx1-ubyte", labels, 4, false);
    refuse(folder, ST_FORMAT, "t10k-labels-idx1-ubyte: no images for these labels", "expected an idx3-ubyte");
    folder = data_files_folder();
    data_files_write(folder, "train-images-idx3-ubyte", page, sizeof(page), false);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, 4, false);
    refuse(folder, ST_FORMAT, "like a web page", "expected IDX of images");
    folder = data_files_folder();
    data_files_write(folder, "data_batch_1.bin.gz", "", 0, true);
    refuse(folder, ST_FORMAT, "data_batch_1.bin.gz: no record in it", "expected at least one");
    folder = data_files_folder();
    data_files_cifar(folder, "test.bin", 100, 10, false);
    struct job_dataset job = data_files_job(folder);
    job.format = JOB_FORMAT_CIFAR100;
    data_files_refuse(&job, ST_FORMAT, "no training images found", "expected train.bin");
    data_files_remove(folder);
}

static void test_settings(void **state)
{
    (void)state;
    char *folder = classes(""), path[256];
    struct job_dataset job = data_files_job(folder);
    job.resize = (struct job_numbers){.count = 1, .items = {8}};
    data_files_refuse(&job, ST_RANGE, "dataset resize: 1 numbers", "expected [height, width]");
    job.resize = (struct job_numbers){.count = 2, .items = {8, 70000}};
    data_files_refuse(&job, ST_RANGE, "dataset resize: a side of 70000", "expected 1 to 65535");
    job = data_files_job(folder);
    job.validation = 1.0;
    data_files_refuse(&job, ST_RANGE, "validation 1", "expected 0 up to below 1");
    snprintf(path, sizeof(path), "%s/cat/1.png", folder);
    job = data_files_job(path);
    data_files_refuse(&job, ST_FORMAT, "is a file that is no .csv", "expected a folder or a CSV file");
    data_files_remove(folder);
}

/* Where nothing can be read, "skip" leaves nothing. */
static void test_nothing_left(void **state)
{
    (void)state;
    char *folder = data_files_folder();
    data_files_write_text(folder, "cat/a.png", "none");
    data_files_write_text(folder, "dog/b.png", "none");
    struct job_dataset job = data_files_job(folder);
    job.on_error = JOB_ON_ERROR_SKIP;
    data_files_refuse(&job, ST_FORMAT, "none of 2 images can be read", "none of 2");
    data_files_remove(folder);

    /* heads that are good, and no pixels: in all images, and in those of a class, which then is left out */
    for (int all = 1; all >= 0; all--) {
        struct dataset set;
        folder = data_files_folder();
        for (int i = 0; i < 12; i++) {
            static const char *const names[] = {"cat", "dog", "owl"};
            char name[32];
            snprintf(name, sizeof(name), "%s/%d.png", names[i % 3], i);
            data_files_png_plain(folder, name, 8, 8, (uint8_t)(20 * i), 2, 3);
            if (all || i % 3 == 0)
                data_files_cut(folder, name, 40);
        }
        job = data_files_job(folder);
        job.on_error = JOB_ON_ERROR_SKIP;
        if (all) {
            data_files_refuse(&job, ST_FORMAT, "none of 12 images can be read", "none of 12");
        } else {
            data_files_load(&job, &set);
            assert_int_equal(set.classes, 2);
            assert_string_equal(set.class_names[0], "dog");
            assert_int_equal(set.skipped, 4);
            data_free(&set);
        }
        data_files_remove(folder);
    }

    folder = data_files_folder();
    data_files_write_text(folder, "cat/a.heic", "none");
    job = data_files_job(folder);
    job.on_error = JOB_ON_ERROR_SKIP;
    data_files_refuse(&job, ST_FORMAT, "no images found (1 files left out)", "expected PNG");
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bmp),          cmocka_unit_test(test_folders), cmocka_unit_test(test_links),
        cmocka_unit_test(test_lists),        cmocka_unit_test(test_packed),  cmocka_unit_test(test_settings),
        cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

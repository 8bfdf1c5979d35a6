/* Readers of all files under calls of the C library that fail, one in each round, at each place: they end with one line
 * and the status of that line, or as if nothing had been. */
#include "host/base/file.h"
#include "tests/faults/failing.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_targets.h"

#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

static void test_readers(void **state)
{
    struct error err;
    int32_t count = 0;
    (void)state;
    for (int i = 0; i < fuzz_target_count; i++) {
        const struct fuzz_target *target = &fuzz_targets[i];
        if (target->about & FUZZ_PREPARES)
            continue;
        char *folder = data_files_folder(), *path = file_join(folder, target->file);
        target->make(folder);
        assert_int_equal(target->read(folder, path, &err), ST_OK);
        failing_begin(2);
        do {
            failing_arm();
            err = (struct error){0};
            const enum status st = target->read(folder, path, &err);
            failing_pause();
            failing_check_end(target->name, st, &err);
        } while (failing_more());
        count += failing_count();
        free(path);
        data_files_remove(folder);
    }
    assert_true(count > 50);
}

/* An image of each kind, as tests/data/images has them. */
static void copy_images(const char *folder)
{
    static const char *const images[] = {"alpha.tif",   "alpha.webp", "grey.png",  "palette.bmp",
                                         "palette.png", "plain.bmp",  "plain.gif", "plain.tif",
                                         "plain.webp",  "turned.jpg", "turned.tif"};
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        char name[64];
        snprintf(name, sizeof(name), "train/%s/%s", i % 2 ? "cat" : "dog", images[i]);
        data_files_copy_image(folder, name, images[i]);
    }
}

/* Folders of classes with a damaged image, a cache to be written and one to be read, twins of both kinds. */
static void make_folders(const char *folder)
{
    char name[64];
    copy_images(folder);
    for (int i = 0; i < 12; i++) {
        const struct data_files_png noise = {PNG_COLOR_TYPE_RGB, 8, 32 + i % 3, 33, false, false};
        snprintf(name, sizeof(name), "%s/%s/%02d.png", i % 4 == 3 ? "test" : "train", i % 2 ? "cat" : "dog",
                 i);
        data_files_png(folder, name, &noise);
    }
    data_files_write_text(folder, "train/dog/bad.png", "none");
    data_files_write_text(folder, "train/dog/notes.txt", "none");
    data_files_write_text(folder, "train/dog/without", "none");
    data_files_write_text(folder, "train/none/bad.png", "none");
    snprintf(name, sizeof(name), "%.40s/train/dog/gone.png", folder);
    assert_int_equal(symlink("nowhere", name), 0);
}

static void test_folders(void **state)
{
    int32_t count = 0;
    (void)state;
    char *folder = data_files_folder(), *cache = data_files_folder();
    make_folders(folder);
    for (int fresh = 1; fresh >= 0; fresh--) { /* the cache is written, then read */
        struct job_dataset job = data_files_job(folder);
        job.on_error = JOB_ON_ERROR_SKIP;
        job.cache = cache;
        job.resize = (struct job_numbers){.count = 2, .items = {32, 34}};
        failing_begin(2);
        do {
            struct error err = {0};
            struct dataset set;
            FILE *log = fmemopen(NULL, 1 << 16, "w");
            const struct data_way way = {.threads = 1, .log = log};
            failing_arm();
            const enum status st = data_load(&job, 1, &way, &set, &err);
            failing_pause();
            failing_check_end("folder", st, &err);
            if (st == ST_OK)
                assert_int_equal(set.classes, 2);
            data_free(&set);
            fclose(log);
            if (fresh) {
                data_files_remove(cache);
                cache = data_files_folder();
                job.cache = cache;
            }
        } while (failing_more());
        count += failing_count();
    }
    assert_true(count > 40);
    data_files_remove(cache);
    data_files_remove(folder);
}

/* Packed images that are made larger. */
static void test_conformed(void **state)
{
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    job.resize = (struct job_numbers){.count = 2, .items = {7, 9}};
    job.channels = JOB_CHANNELS_RGB;
    static const uint8_t labels[12] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
    data_files_idx_images(folder, "train-images-idx3-ubyte", 12, 5, 6, false);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, 12, false);
    failing_begin(2);
    do {
        struct error err = {0};
        struct dataset set;
        failing_arm();
        const enum status st = data_load(&job, 1, &(struct data_way){.threads = 1}, &set, &err);
        failing_pause();
        failing_check_end("resized IDX", st, &err);
        data_free(&set);
    } while (failing_more());
    assert_true(failing_count() > 0);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_conformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

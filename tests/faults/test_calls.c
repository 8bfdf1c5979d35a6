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

/* cmocka.h needs the headers above. */
#include <cmocka.h>

static void test_readers(void **state)
{
    struct error err;
    int32_t count = 0;
    (void)state;
    for (int i = 0; i < fuzz_target_count; i++) {
        const struct fuzz_target *target = &fuzz_targets[i];
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
    assert_true(count > 100);
}

/* Folders of classes with a damaged image, a cache to be written and one to be read, twins of both kinds. */
static void make_folders(const char *folder)
{
    char name[64];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "%s/%s/%02d.png", i % 4 == 3 ? "test" : "train", i % 2 ? "cat" : "dog",
                 i);
        data_files_png_plain(folder, name, 32, 33, (uint8_t)(i / 2), (uint8_t)(i * 9), 7);
    }
    const struct data_files_png noise = {PNG_COLOR_TYPE_RGB, 8, 32, 33, false, false};
    data_files_png(folder, "train/cat/noise.png", &noise);
    data_files_png(folder, "test/dog/noise.png", &noise);
    data_files_write_text(folder, "train/dog/bad.png", "none");
    data_files_write_text(folder, "train/dog/notes.txt", "none");
    data_files_write_text(folder, "train/dog/without", "none");
    data_files_write_text(folder, "train/none/bad.png", "none");
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
    assert_true(count > 50);
    data_files_remove(cache);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

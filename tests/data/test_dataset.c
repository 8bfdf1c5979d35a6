/* Resizing, splits, statistics and the cache. */
#include "host/base/file.h"
#include "host/base/random.h"
#include "host/data/data_internal.h"
#include "tests/support/data_files.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

static const struct {
    int32_t height, width, to_height, to_width;
} shapes[] = {{8, 8, 4, 4}, {9, 31, 7, 5}, {5, 4, 13, 9}, {300, 200, 16, 16}, {1, 1, 6, 3}, {64, 3, 1, 1}};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static double mean_of(const uint8_t *pixels, size_t count, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += pixels[i * step];
    return sum / (double)count;
}

/* A constant image stays what it is; a random one keeps its mean; the same size is a copy; sides are not
 * mixed up. */
static void test_resize(void **state)
{
    struct resize_work work = {0};
    struct error err;
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        size_t count = (size_t)shapes[s].height * (size_t)shapes[s].width;
        size_t to_count = (size_t)shapes[s].to_height * (size_t)shapes[s].to_width;
        uint8_t *from = malloc(3 * count), *to = malloc(3 * to_count + 1);
        assert_non_null(from);
        assert_non_null(to);
        struct resize_order order = {.from = from,
                                     .channels = 3,
                                     .height = shapes[s].height,
                                     .width = shapes[s].width,
                                     .to_height = shapes[s].to_height,
                                     .to_width = shapes[s].to_width};
        for (int fit = JOB_FIT_STRETCH; fit <= JOB_FIT_CROP; fit++) {
            for (size_t i = 0; i < 3 * count; i++)
                from[i] = (uint8_t)(77 + 89 * (i % 3)); /* 77, 166, 255 */
            to[3 * to_count] = 42;
            order.fit = (enum job_fit)fit;
            assert_int_equal(data_resize(&work, &order, to, &err), ST_OK);
            for (size_t i = 0; i < 3 * to_count; i++)
                assert_int_equal(to[i], 77 + 89 * (i / to_count));
            assert_int_equal(to[3 * to_count], 42);
        }
        for (size_t i = 0; i < 3 * count; i++)
            from[i] = (uint8_t)random_draw(7, RANDOM_TEST, s, (uint32_t)i).v[0];
        order.fit = JOB_FIT_STRETCH;
        assert_int_equal(data_resize(&work, &order, to, &err), ST_OK);
        if (s == 0 || s == 3) { /* shrinking a good deal: the ends weigh little */
            for (size_t c = 0; c < 3; c++) {
                double off = mean_of(from + c, count, 3) - mean_of(to + c * to_count, to_count, 1);
                assert_true(fabs(off) <= (s == 0 ? 8 : 1.5));
            }
        }
        free(from);
        free(to);
    }
    data_resize_free(&work);
}

static void test_resize_pixels(void **state)
{
    struct resize_work work = {0};
    struct error err;
    uint8_t from[4 * 8], to[4 * 4];
    (void)state;
    for (int i = 0; i < 32; i++)
        from[i] = (uint8_t)(20 * (i / 8) + 10 * (i % 8)); /* a plane of slopes: linear in y and x */
    assert_int_equal(
        data_resize(&work, &(struct resize_order){from, 1, 4, 8, JOB_FIT_STRETCH, 4, 8 / 2}, to, &err),
        ST_OK);
    for (int y = 0; y < 4; y++) /* inside, the triangle keeps slopes exactly */
        for (int x = 1; x < 3; x++)
            assert_int_equal(to[y * 4 + x], 20 * y + 20 * x + 5);
    assert_int_equal(data_resize(&work, &(struct resize_order){from, 1, 4, 8, JOB_FIT_CROP, 4, 4}, to, &err),
                     ST_OK);
    for (int i = 0; i < 16; i++) /* the middle four columns, unscaled */
        assert_int_equal(to[i], 20 * (i / 4) + 10 * (i % 4 + 2));
    assert_int_equal(data_resize(&work, &(struct resize_order){from, 1, 4, 8, JOB_FIT_PAD, 4, 4}, to, &err),
                     ST_OK);
    for (int x = 0; x < 4; x++) {
        assert_int_equal(to[x], 0);
        assert_int_equal(to[12 + x], 0);
        assert_true(to[4 + x] > 0 && to[8 + x] > to[4 + x]);
    }
    assert_int_equal(
        data_resize(&work, &(struct resize_order){from, 1, 4, 8, JOB_FIT_STRETCH, 2, 8}, to, &err), ST_OK);
    assert_int_equal(data_resize_shrink(64, 64, JOB_FIT_STRETCH, 4, 4), 8);
    assert_int_equal(data_resize_shrink(64, 32, JOB_FIT_STRETCH, 4, 4), 4);
    assert_int_equal(data_resize_shrink(64, 64, JOB_FIT_STRETCH, 33, 33), 1);
    data_resize_free(&work);
}

static void test_size_choice(void **state)
{
    int32_t heights[5] = {10, 400, 200, 30, 250}, widths[5] = {100, 100, 100, 100, 1}, height = 0, width = 0;
    (void)state;
    struct job_dataset job = data_files_job("");
    data_choose_size(&job, heights, widths, 5, &height, &width);
    assert_int_equal(height, 96);
    assert_int_equal(width, 48);
    /* Strips: what they have across, or eight pixels of it. */
    int32_t low[3] = {4, 4, 4}, twenty[3] = {20, 20, 20}, lengths[3] = {1200, 1200, 1200};
    data_choose_size(&job, low, lengths, 3, &height, &width);
    assert_int_equal(height, 4);
    assert_int_equal(width, 96);
    data_choose_size(&job, lengths, twenty, 3, &height, &width);
    assert_int_equal(height, 96);
    assert_int_equal(width, 8);
    job.resize = (struct job_numbers){.count = 2, .items = {7, 300}};
    data_choose_size(&job, heights, widths, 5, &height, &width);
    assert_int_equal(height, 7);
    assert_int_equal(width, 300);
}

/* 600 images: 60 of class 0, 120 of class 1, 180 of class 2, 240 of class 3. */
static char *write_uneven(int32_t *counts)
{
    char *folder = data_files_folder();
    uint8_t labels[600];
    int32_t at = 0;
    for (int32_t c = 0; c < 4; c++) {
        counts[c] = 60 * (c + 1);
        for (int32_t i = 0; i < counts[c]; i++)
            labels[at++] = (uint8_t)c;
    }
    data_files_idx_images(folder, "train-images-idx3-ubyte", 600, 2, 3, false);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, 600, false);
    return folder;
}

static void test_split(void **state)
{
    struct dataset set, other;
    struct error err;
    int32_t counts[4], seen[600] = {0};
    (void)state;
    char *folder = write_uneven(counts);
    struct job_dataset job = data_files_job(folder);
    job.test = 0.15;
    data_files_load(&job, &set);
    assert_int_equal(set.sample_count[SPLIT_TEST], 90);
    assert_int_equal(set.sample_count[SPLIT_VALIDATION], 51);
    assert_int_equal(set.sample_count[SPLIT_TRAIN], 459);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        int32_t of_class[4] = {0};
        for (int32_t i = 0; i < set.sample_count[split]; i++) {
            seen[set.samples[split][i]]++;
            of_class[set.labels[set.samples[split][i]]]++;
        }
        for (int32_t c = 0; c < 4; c++) { /* shares are kept to one image */
            double wanted = (double)counts[c] * set.sample_count[split] / 600;
            assert_true(fabs(of_class[c] - wanted) <= 1.0);
        }
    }
    for (int32_t i = 0; i < 600; i++)
        assert_int_equal(seen[i], 1);
    int32_t so_far[4] = {0}, rising = 0;
    for (int32_t n = 0; n < 459; n++) { /* every prefix is stratified, but for an image or so a class */
        so_far[set.labels[set.samples[SPLIT_TRAIN][n]]]++;
        rising += n > 0 && set.samples[SPLIT_TRAIN][n] > set.samples[SPLIT_TRAIN][n - 1];
        for (int32_t c = 0; c < 4; c++)
            assert_true(fabs(so_far[c] - (n + 1) * counts[c] / 600.0) <= 4.0);
    }
    assert_true(rising > 150 && rising < 380);

    assert_int_equal(data_load(&job, 1, &(struct data_way){.threads = 2}, &other, &err),
                     ST_OK); /* another number of threads: the same */
    assert_true(other.fingerprint == set.fingerprint && other.old_fingerprint == set.old_fingerprint);
    assert_memory_equal(other.mean, set.mean, sizeof(set.mean));
    data_free(&other);
    assert_int_equal(data_load(&job, 2, &(struct data_way){0}, &other, &err), ST_OK);
    assert_true(other.fingerprint != set.fingerprint && other.old_fingerprint != set.old_fingerprint);
    assert_memory_not_equal(other.samples[SPLIT_TEST], set.samples[SPLIT_TEST], 90 * sizeof(int32_t));
    data_free(&other);
    data_free(&set);
    data_files_remove(folder);
}

/* A class with a single image keeps it for training, and shares of nothing hold out nothing. */
static void test_split_edges(void **state)
{
    static const uint8_t labels[10] = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct dataset set;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    data_files_idx_images(folder, "train-images-idx3-ubyte", 10, 2, 3, false);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, 10, false);
    job.test = job.validation = 0.5;
    data_files_load(&job, &set);
    assert_int_equal(set.sample_count[SPLIT_TEST], 5);
    bool kept = false;
    for (int32_t i = 0; i < set.sample_count[SPLIT_TRAIN]; i++)
        kept = kept || set.samples[SPLIT_TRAIN][i] == 0;
    assert_true(kept);
    data_free(&set);
    job.test = job.validation = 0;
    data_files_load(&job, &set);
    assert_int_equal(set.sample_count[SPLIT_TRAIN], 10);
    assert_int_equal(set.sample_count[SPLIT_TEST], 0);
    data_free(&set);
    job.test = 1;
    data_files_refuse(&job, ST_RANGE, "test 1", "expected 0 up to below 1");
    data_files_remove(folder);
}

/* Mean and deviation against a plain two-pass computation, over the training part alone. */
static void test_statistics(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    data_files_cifar(folder, "data_batch_1.bin", 10, 60, false);
    data_files_cifar(folder, "test_batch.bin", 10, 20, false);
    data_files_load(&job, &set);
    for (int32_t c = 0; c < 3; c++) {
        double sum = 0, squares = 0, values = 1024.0 * set.sample_count[SPLIT_TRAIN];
        for (int32_t i = 0; i < set.sample_count[SPLIT_TRAIN]; i++)
            for (int32_t k = 0; k < 1024; k++)
                sum += set.pixels[set.samples[SPLIT_TRAIN][i] * 3072 + c * 1024 + k] / 255.0;
        for (int32_t i = 0; i < set.sample_count[SPLIT_TRAIN]; i++)
            for (int32_t k = 0; k < 1024; k++)
                squares += pow(
                    set.pixels[set.samples[SPLIT_TRAIN][i] * 3072 + c * 1024 + k] / 255.0 - sum / values, 2);
        assert_true(fabs(set.mean[c] - sum / values) <= 1e-6);
        assert_true(fabs(set.deviation[c] - sqrt(squares / values)) <= 1e-6);
    }
    data_free(&set);
    data_files_remove(folder);
}

/* As journals have it: by the hash that the text beside it is of. */
static void test_fingerprint_text(void **state)
{
    const struct dataset set = {.fingerprint = 0x12345, .old_fingerprint = 0xfedcba9876543210};
    char text[DATA_FINGERPRINT_LENGTH];
    (void)state;
    data_fingerprint_text(&set, NULL, text);
    assert_string_equal(text, "xxh3:0000000000012345");
    data_fingerprint_text(&set, "xxh3:0000000000000000", text);
    assert_string_equal(text, "xxh3:0000000000012345");
    data_fingerprint_text(&set, "0000000000012345", text);
    assert_string_equal(text, "fedcba9876543210");
}

static void write_images(const char *folder)
{
    char name[64];
    for (int32_t i = 0; i < 24; i++) {
        snprintf(name, sizeof(name), "data/%c/%02d.png", 'a' + i % 2, i);
        data_files_png_plain(folder, name, 6 + i % 3, 8, (uint8_t)(10 * i), (uint8_t)(5 * i), 77);
    }
}

/* The one file in the cache folder, malloc'd; fails if there is none, or more than `expected`. */
static char *cached_file(const char *cache, int expected)
{
    char *found = NULL;
    int count = 0;
    DIR *folder = opendir(cache);
    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        free(found);
        found = strdup(entry->d_name);
        count++;
    }
    closedir(folder);
    assert_int_equal(count, expected);
    return found;
}

static void load_expecting(const struct job_dataset *job, bool from_cache, uint64_t fingerprint)
{
    struct dataset set;
    data_files_load(job, &set);
    assert_int_equal(set.from_cache, from_cache);
    assert_int_equal(set.skipped, 1);
    assert_int_equal(set.resized, 16 - 1);
    assert_non_null(strstr(set.policy, "sizes to 7 x 8"));
    assert_true(set.fingerprint == fingerprint);
    data_free(&set);
}

static void test_cache(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = data_files_folder(), *data = file_join(folder, "data"),
         *cache = file_join(folder, "deep/cache");
    assert_non_null(data);
    assert_non_null(cache);
    write_images(folder);
    data_files_cut(folder, "data/a/00.png", -20);
    struct job_dataset job = data_files_job(data);
    job.on_error = JOB_ON_ERROR_SKIP;
    data_files_load(&job, &set);
    uint64_t fingerprint = set.fingerprint;
    assert_int_equal(set.count, 23);
    data_free(&set);

    job.cache = cache;
    load_expecting(&job, false, fingerprint);
    char *name = cached_file(cache, 1);
    load_expecting(&job, true, fingerprint);

    char *content = NULL;
    size_t length = 0;
    struct error err;
    char *path = file_join(cache, name);
    assert_non_null(path);
    assert_int_equal(file_read(path, &content, &length, &err), ST_OK);
    static const size_t places[] = {0, 9, 20, 60, 200, 330, 400, 800};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]);
         i++) { /* a broken byte: remade, and whole again */
        assert_true(places[i] < length);
        content[places[i]] ^= 4;
        data_files_write(cache, name, content, length, false);
        content[places[i]] ^= 4;
        load_expecting(&job, false, fingerprint);
        load_expecting(&job, true, fingerprint);
    }
    data_files_cut(cache, name, -1);
    load_expecting(&job, false, fingerprint);
    data_files_cut(cache, name, 0);
    load_expecting(&job, false, fingerprint);
    load_expecting(&job, true, fingerprint);

    job.fit = JOB_FIT_CROP; /* other settings are another file */
    data_files_load(&job, &set);
    assert_false(set.from_cache);
    data_free(&set);
    free(cached_file(cache, 2));
    job.fit = JOB_FIT_STRETCH;
    data_files_png_plain(folder, "data/b/01.png", 7, 8, 1, 1, 1); /* a changed file is another one */
    data_files_load(&job, &set);
    assert_false(set.from_cache);
    assert_true(set.fingerprint != fingerprint);
    data_free(&set);
    free(cached_file(cache, 3));

    data_files_write_text(folder, "occupied", "");
    char *blocked =
        file_join(folder, "occupied"); /* no cache can be there: a warning, and the data all the same */
    assert_non_null(blocked);
    job.cache = blocked;
    char *text = data_files_told(&job, &set);
    assert_non_null(strstr(text, "warning: the dataset cache is not written: "));
    data_free(&set);
    free(text);
    free(blocked);
    free(content);
    free(path);
    free(name);
    free(data);
    free(cache);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize),           cmocka_unit_test(test_resize_pixels),
        cmocka_unit_test(test_size_choice),      cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_edges),      cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_fingerprint_text), cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Second moments of patches against plain loops over normalised pixels, and images that have no patches. */
#include "host/base/random.h"
#include "host/data/data_internal.h"
#include "tests/support/data_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = DATA_PATCH_SIDE, IMAGES = 6 };

struct image_shape {
    int32_t c, h, w;
};

/* `count` images of which the training part has those of odd number, from the last on. `pixel` of them: 0 to 255, or -1
 * for random ones. */
static void open_set(struct dataset *set, struct image_shape shape, int32_t count, int pixel)
{
    const size_t pixels = (size_t)count * (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
    *set = (struct dataset){
        .count = count, .channels = shape.c, .height = shape.h, .width = shape.w, .pixels = malloc(pixels)};
    set->samples[SPLIT_TRAIN] = malloc((size_t)count * sizeof(*set->samples[SPLIT_TRAIN]));
    assert_true(set->pixels != NULL && set->samples[SPLIT_TRAIN] != NULL);
    for (size_t i = 0; i < pixels; i++) {
        /* Neighbours are alike, as in photos. */
        const uint32_t drawn = random_draw(5, RANDOM_TEST, i / 3, (uint32_t)count).v[0] % 200 + i % 3 * 20;
        set->pixels[i] = (uint8_t)(pixel < 0 ? drawn : (uint32_t)pixel);
    }
    for (int32_t i = count - 1; i >= 0; i--)
        if (i % 2 == 1)
            set->samples[SPLIT_TRAIN][set->sample_count[SPLIT_TRAIN]++] = i;
    data_measure(set, 1);
    memset(set->patches, 0xff, sizeof(set->patches)); /* NaN: whatever is not written shows */
    data_measure_patches(set);
}

static void close_set(struct dataset *set)
{
    free(set->pixels);
    free(set->samples[SPLIT_TRAIN]);
}

/* Value i of the patch whose first pixel is (y, x), normalised. */
static double value_at(const struct dataset *set, int32_t sample, int32_t y, int32_t x, int32_t i)
{
    const int32_t c = i / (SIDE * SIDE), row = y + i / SIDE % SIDE, column = x + i % SIDE;
    const int64_t at = (((int64_t)sample * set->channels + c) * set->height + row) * set->width + column;
    return (set->pixels[at] / 255.0 - (double)set->mean[c]) / (double)set->deviation[c];
}

static double moment_by_hand(const struct dataset *set, int32_t images, int32_t i, int32_t j)
{
    double sum = 0.0;
    int64_t patches = 0;
    for (int32_t n = 0; n < images; n++)
        for (int32_t y = 0; y + SIDE <= set->height; y++)
            for (int32_t x = 0; x + SIDE <= set->width; x++, patches++)
                sum += value_at(set, set->samples[SPLIT_TRAIN][n], y, x, i) *
                       value_at(set, set->samples[SPLIT_TRAIN][n], y, x, j);
    return sum / (double)patches;
}

static void assert_moments(const struct dataset *set, int32_t images)
{
    const int32_t values = set->channels * SIDE * SIDE;
    for (int32_t i = 0; i < values; i++)
        for (int32_t j = 0; j < values; j++) {
            const double found = set->patches[i * values + j], expected = moment_by_hand(set, images, i, j);
            if (!(fabs(found - expected) <= 1e-9))
                fail_msg("moment %d %d: found %.12g, expected %.12g", i, j, found, expected);
        }
}

static void test_moments(void **state)
{
    (void)state;
    static const struct image_shape shapes[] = {{1, 5, 9}, {2, 2, 2}, {3, 8, 4}, {4, 6, 7}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
        struct dataset set;
        open_set(&set, shapes[s], IMAGES, -1);
        assert_int_equal(set.sample_count[SPLIT_TRAIN], IMAGES / 2);
        assert_moments(&set, IMAGES / 2);
        close_set(&set);
    }
}

/* Of many images the first ones in the order of training count. */
static void test_first_images(void **state)
{
    (void)state;
    struct dataset set;
    open_set(&set, (struct image_shape){1, 3, 2}, 2 * DATA_PATCH_IMAGES + 400, -1);
    assert_int_equal(set.sample_count[SPLIT_TRAIN], DATA_PATCH_IMAGES + 200);
    assert_moments(&set, DATA_PATCH_IMAGES);
    close_set(&set);
}

/* Nothing differs, or there is no patch: zeros, which whitening takes, but for the square of what the mean is rounded
 * by. */
static void test_nothing_to_measure(void **state)
{
    (void)state;
    static const struct {
        struct image_shape shape;
        int32_t images;
        int pixel;
    } cases[] = {{{3, 4, 4}, 4, 0},  {{3, 4, 4}, 4, 255}, {{1, 4, 4}, 4, 77},
                 {{3, 1, 4}, 4, -1}, {{2, 4, 1}, 4, -1},  {{1, 1, 1}, 4, -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dataset set;
        open_set(&set, cases[i].shape, cases[i].images, cases[i].pixel);
        const int32_t values = set.channels * SIDE * SIDE;
        for (int32_t k = 0; k < values * values; k++)
            assert_true(fabs(set.patches[k]) <= 0x1p-50);
        close_set(&set);
    }
}

/* A dataset that was read has them. */
static void test_of_a_file(void **state)
{
    (void)state;
    struct dataset set;
    char *folder = data_files_folder();
    data_files_cifar(folder, "data_batch_1.bin", 10, 60, false);
    data_files_cifar(folder, "test_batch.bin", 10, 20, false);
    struct job_dataset job = data_files_job(folder);
    data_files_load(&job, &set);
    assert_int_equal(set.channels, 3);
    assert_moments(&set, set.sample_count[SPLIT_TRAIN]);
    data_free(&set);
    data_files_remove(folder);
}

/* By another mean the moments stay about that of the images; by another deviation they are smaller or larger. */
static void test_normalised_otherwise(void **state)
{
    static const float mean[] = {0.5f, 0.1f, 0.0f}, deviation[] = {0.5f, 0.125f, 1.0f};
    struct dataset set;
    double before[DATA_PATCH_VALUES * DATA_PATCH_VALUES];
    float measured[3];
    (void)state;
    open_set(&set, (struct image_shape){3, 5, 4}, IMAGES, -1);
    memcpy(before, set.patches, sizeof(before));
    memcpy(measured, set.deviation, sizeof(measured));
    data_normalise_by(&set, mean, deviation);
    assert_memory_equal(set.mean, mean, sizeof(mean));
    assert_memory_equal(set.deviation, deviation, sizeof(deviation));
    const int32_t area = SIDE * SIDE, values = 3 * area;
    for (int32_t i = 0; i < values; i++)
        for (int32_t j = 0; j < values; j++) {
            const double expected = before[i * values + j] * (double)measured[i / area] /
                                    (double)deviation[i / area] * (double)measured[j / area] /
                                    (double)deviation[j / area];
            assert_true(fabs(set.patches[i * values + j] - expected) <= 1e-12 * (1.0 + fabs(expected)));
        }
    close_set(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_first_images),
        cmocka_unit_test(test_nothing_to_measure),
        cmocka_unit_test(test_of_a_file),
        cmocka_unit_test(test_normalised_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

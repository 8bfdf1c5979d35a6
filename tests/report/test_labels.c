/* Images with several labels: thresholds, scores and metrics beside scikit-learn 1.9.1's figures and their definitions,
 * and the answers' file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/base/random.h"
#include "host/report/metrics.h"
#include "host/report/predictions.h"
#include "host/report/thresholds.h"
#include "tests/support/data_files.h"
#include "tests/support/twelve_images.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;

static void assert_ok(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-6))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static float probabilities[TWELVE_IMAGES * TWELVE_CLASSES];

/* ---- by scikit-learn ---- */

static void counts_as_scikit_learn(void **state)
{
    static const int64_t expected[] = {8, 0, 2, 2, 7, 3, 0, 2, 12, 0, 0, 0, 7, 1, 0, 4},
                         at_half[] = {5, 3, 1, 3, 8, 2, 1, 1, 12, 0, 0, 0, 8, 0, 4, 0};
    static const double half[TWELVE_CLASSES] = {0.5, 0.5, 0.5, 0.5};
    int64_t counts[TWELVE_CLASSES * LABELS_COUNTS], counts_at_half[TWELVE_CLASSES * LABELS_COUNTS];
    struct label_results results = {.counts = counts_at_half};
    const struct answered twelve = twelve_answered(probabilities);
    struct metrics metrics;
    struct error err;
    (void)state;
    label_results_count(&twelve, half, &results);
    assert_memory_equal(counts_at_half, at_half, sizeof(at_half));
    assert_int_equal(results.exact, 5);
    results.counts = counts;
    label_results_count(&twelve, twelve_given_from, &results);
    assert_memory_equal(counts, expected, sizeof(expected));
    assert_int_equal(results.exact, 7);
    assert_near(results.by_image.precision, 0.5);
    assert_near(results.by_image.recall, 0.5);
    assert_near(results.by_image.f1, 0.4861111111111111);
    assert_ok(metrics_from_labels(&metrics, TWELVE_CLASSES, &results, counts_at_half, 5, &err), &err);
    assert_int_equal(metrics.samples, TWELVE_IMAGES);
    assert_int_equal(metrics.micro.support, 10);
    assert_near(metrics.accuracy, 5.0 / 12.0);
    assert_near(metrics.labels.hamming, 0.125);
    assert_near(metrics.labels_at_half.hamming, 0.22916666666666666);
    assert_near(metrics.labels.micro_f1, 0.7272727272727273);
    assert_near(metrics.labels_at_half.micro_f1, 0.42105263157894735);
    assert_near(metrics.labels_at_half.macro_f1, 0.25);
    metrics_free(&metrics);
}

/* One threshold that divides as well is nearer to a half than the other: 0.41 and 0.675 of the second class. */
static void finds_the_thresholds_of_the_largest_f1(void **state)
{
    static const int32_t with[TWELVE_CLASSES] = {4, 2, 0, 4};
    const struct answered twelve = twelve_answered(probabilities);
    double thresholds[TWELVE_CLASSES];
    int32_t images[TWELVE_CLASSES];
    struct error err;
    (void)state;
    assert_ok(thresholds_of_labels(&twelve, thresholds, images, &err), &err);
    assert_memory_equal(images, with, sizeof(with));
    assert_near(thresholds[0], 0.555);
    assert_near(thresholds[1], 0.41);
    assert_true(thresholds[2] == 0.5);
    assert_near(thresholds[3], 0.175);
}

static void scores_as_scikit_learn(void **state)
{
    const struct answered twelve = twelve_answered(probabilities);
    const struct scores scores = scores_of(&twelve);
    struct scores_bin bins[SCORES_BINS] = {{0}};
    struct rankings rankings;
    struct error err;
    (void)state;
    assert_near(scores.loss, 1.7705430485291027);
    assert_true(isnan(scores.top));
    for (int i = 0; i < TWELVE_IMAGES * TWELVE_CLASSES; i++)
        scores_count(bins, (double)probabilities[i],
                     twelve_sets[twelve_labels[i / TWELVE_CLASSES] * TWELVE_CLASSES + i % TWELVE_CLASSES] !=
                         0);
    assert_near(scores.calibration_error, scores_calibration_error(bins));
    assert_ok(rankings_make(&rankings, &twelve, &err), &err);
    assert_near(rankings.of_class[0].roc_auc, 0.875);
    assert_near(rankings.of_class[0].average_precision, 0.8303571428571428);
    assert_near(rankings.of_class[1].roc_auc, 0.9);
    assert_near(rankings.of_class[1].average_precision, 0.75);
    assert_true(isnan(rankings.of_class[2].roc_auc));
    assert_near(rankings.of_class[3].roc_auc, 0.9375);
    assert_near(rankings.of_class[3].average_precision, 0.8875);
    assert_near(rankings.macro.roc_auc, (0.875 + 0.9 + 0.9375) / 3);
    rankings_free(&rankings);
}

/* ---- thresholds by their definition ---- */

static double f1_at(const struct answered *a, int32_t class, double threshold)
{
    double found = 0, wrong = 0;
    for (int32_t row = 0; row < a->rows; row++) {
        const bool has = labels_have(a->label_sets, a->classes, a->labels[row], class),
                   gives = (double)a->probabilities[row * a->classes + class] >= threshold;
        found += has && gives;
        wrong += has != gives;
    }
    return 2 * found / (2 * found + wrong);
}

/* Of many answers, some of them equal, no threshold at all has a larger F1, and those that have the same are not nearer
 * to a half but for the middle between two answers. */
static void finds_no_better_threshold(void **state)
{
    enum { ROWS = 60 };
    static const uint8_t two_sets[] = {0, 1};
    float answers[ROWS];
    int32_t truths[ROWS], images;
    double threshold;
    struct error err;
    (void)state;
    for (uint32_t sample = 0; sample < 200; sample++) {
        const uint32_t steps = sample % 2 == 0 ? 9 : 1000;
        for (int32_t row = 0; row < ROWS; row++) {
            const struct random4 words = random_draw(7, RANDOM_TEST, (uint64_t)row, sample);
            truths[row] = words.v[0] % 100 < sample % 90;
            answers[row] =
                (float)(1 + words.v[1] % steps + (truths[row] ? steps / 3 : 0)) / (2.0f * (float)steps);
        }
        const struct answered made = {answers, ROWS, 1, truths, two_sets};
        assert_ok(thresholds_of_labels(&made, &threshold, &images, &err), &err);
        if (images == 0) {
            assert_true(threshold == 0.5);
            continue;
        }
        const double best = f1_at(&made, 0, threshold);
        for (int32_t row = 0; row < ROWS; row++) {
            double next = 0, middle;
            for (int32_t other = 0; other < ROWS; other++)
                if (answers[other] < answers[row])
                    next = fmax(next, (double)answers[other]);
            middle = ((double)answers[row] + next) / 2;
            assert_true(f1_at(&made, 0, middle) < best ||
                        (f1_at(&made, 0, middle) == best && fabs(middle - 0.5) >= fabs(threshold - 0.5)));
        }
    }
}

/* ---- predictions.csv ---- */

static void comes_back(void **state)
{
    struct predicted_image rows[TWELVE_IMAGES];
    struct predictions written = twelve_predictions(rows, probabilities), found;
    struct error err;
    char *path = predictions_path(folder, -1), *text;
    size_t length;
    (void)state;
    assert_ok(predictions_write(path, &written, &err), &err);
    assert_ok(file_read(path, &text, &length, &err), &err);
    assert_memory_equal(text, "image,hash,split,trained,views,labels,predicted,p_sky,", 54);
    assert_non_null(strstr(text, "\na.png,xxh3:0000000000000007,test,0,6,sky|z\xc3\xbcrich \xc3\xbc,"
                                 "z\xc3\xbcrich \xc3\xbc|a name of twenty-six chars,0.389999986,"));
    assert_non_null(strstr(text, "\na.png,xxh3:0000000000000003,test,0,6,,,0.100000001,"));
    free(text);
    assert_ok(predictions_read(path, &found, &err), &err);
    assert_string_equal(found.hash, written.hash);
    assert_int_equal(found.count, TWELVE_IMAGES);
    for (int i = 0; i < TWELVE_IMAGES; i++) {
        const struct predicted_image *a = &found.rows[i], *b = &written.rows[i];
        for (int k = 0; k < TWELVE_CLASSES; k++) {
            assert_int_equal(labels_have(found.label_sets, TWELVE_CLASSES, a->truth, k),
                             labels_have(written.label_sets, TWELVE_CLASSES, b->truth, k));
            assert_int_equal(labels_have(found.label_sets, TWELVE_CLASSES, a->predicted, k),
                             labels_have(written.label_sets, TWELVE_CLASSES, b->predicted, k));
        }
        assert_int_equal(a->truth == a->predicted, b->truth == b->predicted);
    }
    predictions_free(&found);
    free(written.label_sets);
    free(path);
}

#define HEAD "image,hash,split,trained,views,labels,predicted,p_cat,p_dog\n"
#define HASH "xxh3:0123456789abcdef"
static const struct {
    const char *text, *expected; /* NULL: nothing is wrong with it */
} files[] = {
    {HEAD, NULL},
    {HEAD "1," HASH ",test,0,1,dog|cat,cat,1,0\n", NULL},
    {HEAD "1," HASH ",test,0,1,,,1,0\n", NULL},
    {HEAD "1," HASH ",test,0,1,cat|cat,cat,1,0\n",
     "found \"cat|cat\", expected names of classes with \"|\" between them, each once"},
    {HEAD "1," HASH ",test,0,1,cat|,cat,1,0\n", "found \"cat|\", expected names of classes"},
    {HEAD "1," HASH ",test,0,1,|,cat,1,0\n", "found \"|\", expected names of classes"},
    {HEAD "1," HASH ",test,0,1,cat|cow,cat,1,0\n", "found \"cat|cow\", expected names of classes"},
    {HEAD "1," HASH ",test,0,1,ca,cat,1,0\n", "found \"ca\", expected names of classes"},
    {HEAD "1," HASH ",test,0,1,cat,dogs,1,0\n", ":2: found \"dogs\", expected names of classes"},
    {HEAD "1," HASH ",test,0,1,cat,dog,1,0,1\n", ":2: found 10 fields, expected 9"},
    {"image,hash,split,trained,views,label,predicted,p_cat\n", "found \"label\", expected class, or labels"},
};

static void refuses(void **state)
{
    char *path = file_join(folder, "predictions.csv");
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct predictions found;
        struct error err = {.message = ""};
        data_files_write_text(folder, "predictions.csv", files[i].text);
        const enum status st = predictions_read(path, &found, &err);
        if (files[i].expected == NULL) {
            assert_ok(st, &err);
            assert_non_null(found.label_sets);
            predictions_free(&found);
        } else if (st != ST_FORMAT || strstr(err.message, files[i].expected) == NULL) {
            fail_msg("case %zu: found \"%s\", expected \"%s\"", i, err.message, files[i].expected);
        }
    }
    free(path);
}

/* Images are paired by their labels' names, and right when they are given exactly. */
static void compares(void **state)
{
    struct predicted_image rows[2][TWELVE_IMAGES];
    struct predictions first = twelve_predictions(rows[0], probabilities),
                       second = twelve_predictions(rows[1], probabilities);
    struct comparison comparison;
    struct error err;
    (void)state;
    assert_int_equal(rows[1][0].truth, rows[1][0].predicted);
    rows[1][0].predicted = rows[1][2].truth;
    assert_ok(predictions_compare(&first, &second, &comparison, &err), &err);
    assert_int_equal(comparison.images, 10);
    assert_int_equal(comparison.better, 1);
    assert_int_equal(comparison.worse, 0);
    rows[1][0].truth = rows[1][6].truth;
    assert_int_equal(predictions_compare(&first, &second, &comparison, &err), ST_RANGE);
    free(first.label_sets);
    free(second.label_sets);
}

/* The precision that is wanted: of the second class the first answer, then two of four from 0.5 on. */
static void fits_thresholds_of_a_precision(void **state)
{
    struct predicted_image rows[TWELVE_IMAGES];
    struct predictions predictions = twelve_predictions(rows, probabilities);
    double thresholds[TWELVE_CLASSES];
    struct error err;
    (void)state;
    for (int i = 0; i < TWELVE_IMAGES; i++)
        rows[i].validation = true;
    assert_ok(thresholds_fit(&predictions, 6, 1.0, thresholds, &err), &err);
    assert_true(thresholds[0] == (double)0.65f && thresholds[1] == (double)0.78f && isinf(thresholds[2]));
    assert_ok(thresholds_fit(&predictions, 6, 0.5, thresholds, &err), &err);
    assert_true(thresholds[1] == (double)0.42f);
    free(predictions.label_sets);
}

static int make_folder(void **state)
{
    (void)state;
    folder = data_files_folder();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    data_files_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_as_scikit_learn),
        cmocka_unit_test(finds_the_thresholds_of_the_largest_f1),
        cmocka_unit_test(scores_as_scikit_learn),
        cmocka_unit_test(finds_no_better_threshold),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(refuses),
        cmocka_unit_test(compares),
        cmocka_unit_test(fits_thresholds_of_a_precision),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

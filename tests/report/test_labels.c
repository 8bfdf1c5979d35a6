/* Images with several labels: thresholds, scores and metrics beside scikit-learn 1.9.1's figures and their definitions,
 * the answers' file, and reports and plots from a journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/distinct.h"
#include "host/base/file.h"
#include "host/base/random.h"
#include "host/report/metrics.h"
#include "host/report/predictions.h"
#include "host/report/report.h"
#include "host/report/thresholds.h"
#include "tests/support/data_files.h"
#include "tests/support/journal_events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 12, CLASSES = 4, SETS = 5 };

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

/* ---- twelve images, by scikit-learn ---- */

static const uint8_t sets[SETS * CLASSES] = {0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1};
static const int32_t labels[IMAGES] = {0, 0, 1, 1, 1, 0, 2, 3, 1, 4, 1, 3};
static const int32_t hundredths[IMAGES * CLASSES] = {
    55, 24, 40, 19, 57, 33, 40, 26, 23, 22, 40, 14, 10, 20, 5,  15, 19, 50, 7, 12, 54, 57, 14, 20,
    84, 39, 15, 16, 39, 78, 33, 22, 5,  40, 23, 16, 56, 39, 35, 36, 4,  14, 4, 12, 65, 42, 40, 15};
static const double given_from[CLASSES] = {0.6, 0.4, 0.5, 0.18};
static const char *const names[CLASSES] = {"sky", "z\xc3\xbcrich \xc3\xbc", "absent",
                                           "a name of twenty-six chars"};
static float probabilities[IMAGES * CLASSES];

static struct answered answered(void)
{
    for (int i = 0; i < IMAGES * CLASSES; i++)
        probabilities[i] = (float)hundredths[i] / 100.0f;
    return (struct answered){probabilities, IMAGES, CLASSES, labels, sets};
}

static void counts_as_scikit_learn(void **state)
{
    static const int64_t expected[] = {8, 0, 2, 2, 7, 3, 0, 2, 12, 0, 0, 0, 7, 1, 0, 4},
                         at_half[] = {5, 3, 1, 3, 8, 2, 1, 1, 12, 0, 0, 0, 8, 0, 4, 0};
    static const double half[CLASSES] = {0.5, 0.5, 0.5, 0.5};
    int64_t counts[CLASSES * LABELS_COUNTS], counts_at_half[CLASSES * LABELS_COUNTS];
    struct label_results results = {.counts = counts_at_half};
    const struct answered twelve = answered();
    struct metrics metrics;
    struct error err;
    (void)state;
    label_results_count(&twelve, half, &results);
    assert_memory_equal(counts_at_half, at_half, sizeof(at_half));
    assert_int_equal(results.exact, 5);
    results.counts = counts;
    label_results_count(&twelve, given_from, &results);
    assert_memory_equal(counts, expected, sizeof(expected));
    assert_int_equal(results.exact, 7);
    assert_near(results.by_image.precision, 0.5);
    assert_near(results.by_image.recall, 0.5);
    assert_near(results.by_image.f1, 0.4861111111111111);
    assert_ok(metrics_from_labels(&metrics, CLASSES, &results, counts_at_half, 5, &err), &err);
    assert_int_equal(metrics.samples, IMAGES);
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
    static const int32_t with[CLASSES] = {4, 2, 0, 4};
    const struct answered twelve = answered();
    double thresholds[CLASSES];
    int32_t images[CLASSES];
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
    const struct answered twelve = answered();
    const struct scores scores = scores_of(&twelve);
    struct scores_bin bins[SCORES_BINS] = {{0}};
    struct rankings rankings;
    struct error err;
    (void)state;
    assert_near(scores.loss, 1.7705430485291027);
    assert_true(isnan(scores.top));
    for (int i = 0; i < IMAGES * CLASSES; i++)
        scores_count(bins, (double)probabilities[i], sets[labels[i / CLASSES] * CLASSES + i % CLASSES] != 0);
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

static struct predictions sample(struct predicted_image rows[IMAGES])
{
    const struct answered twelve = answered();
    struct distinct all = {.width = CLASSES};
    struct error err;
    int32_t number;
    for (int i = 0; i < SETS; i++)
        assert_ok(distinct_number(&all, sets + (size_t)i * CLASSES, &number, &err), &err);
    for (int i = 0; i < IMAGES; i++) {
        uint8_t given[CLASSES];
        for (int k = 0; k < CLASSES; k++)
            given[k] = (double)probabilities[i * CLASSES + k] >= given_from[k];
        rows[i] = (struct predicted_image){
            .image = "a.png", .hash = (uint64_t)i, .validation = i >= 10, .views = 6, .truth = labels[i]};
        assert_ok(distinct_number(&all, given, &rows[i].predicted, &err), &err);
    }
    uint8_t *rows_of_sets = all.rows;
    all.rows = NULL;
    const int32_t count = all.count;
    distinct_free(&all);
    return (struct predictions){.classes = CLASSES,
                                .count = IMAGES,
                                .class_names = (char **)(uintptr_t)names,
                                .label_sets = rows_of_sets,
                                .label_set_count = count,
                                .rows = rows,
                                .probabilities = (float *)(uintptr_t)twelve.probabilities};
}

static void comes_back(void **state)
{
    struct predicted_image rows[IMAGES];
    struct predictions written = sample(rows), found;
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
    assert_int_equal(found.count, IMAGES);
    for (int i = 0; i < IMAGES; i++) {
        const struct predicted_image *a = &found.rows[i], *b = &written.rows[i];
        for (int k = 0; k < CLASSES; k++) {
            assert_int_equal(labels_have(found.label_sets, CLASSES, a->truth, k),
                             labels_have(written.label_sets, CLASSES, b->truth, k));
            assert_int_equal(labels_have(found.label_sets, CLASSES, a->predicted, k),
                             labels_have(written.label_sets, CLASSES, b->predicted, k));
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
    struct predicted_image rows[2][IMAGES];
    struct predictions first = sample(rows[0]), second = sample(rows[1]);
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
    struct predicted_image rows[IMAGES];
    struct predictions predictions = sample(rows);
    double thresholds[CLASSES];
    struct error err;
    (void)state;
    for (int i = 0; i < IMAGES; i++)
        rows[i].validation = true;
    assert_ok(thresholds_fit(&predictions, 6, 1.0, thresholds, &err), &err);
    assert_true(thresholds[0] == (double)0.65f && thresholds[1] == (double)0.78f && isinf(thresholds[2]));
    assert_ok(thresholds_fit(&predictions, 6, 0.5, thresholds, &err), &err);
    assert_true(thresholds[1] == (double)0.42f);
    free(predictions.label_sets);
}

/* ---- a run's report ---- */

static const char table[] =
    "                            precision    recall  f1-score   support\n"
    "\n"
    "                       sky     1.0000    0.5000    0.6667         4\n"
    "                  z\xc3\xbcrich \xc3\xbc     0.4000    1.0000    0.5714         2\n"
    "                    absent     0.0000    0.0000    0.0000         0\n"
    "a name of twenty-six chars     0.8000    1.0000    0.8889         4\n"
    "\n"
    "                 micro avg     0.6667    0.8000    0.7273        10\n"
    "                 macro avg     0.5500    0.6250    0.5317        10\n"
    "              weighted avg     0.8000    0.8000    0.7365        10\n"
    "               samples avg     0.5000    0.5000    0.4861        10\n";
static const int64_t test_counts[] = {8, 0, 2, 2, 7, 3, 0, 2, 12, 0, 0, 0, 7, 1, 0, 4},
                     test_counts_at_half[] = {5, 3, 1, 3, 8, 2, 1, 1, 12, 0, 0, 0, 8, 0, 4, 0};
static const double test_images[CLASSES] = {10, 9, 0, 12};

enum { RUN_EVENTS = 3, TEST_EVENT = 2 };
static void fill_events(struct event events[RUN_EVENTS], const char *predictions)
{
    events[0] = journal_events_blank(EVENT_RUN);
    events[0].run.version = "1";
    events[0].run.format = EVENT_FORMAT;
    events[0].run.dataset.fingerprint = "0";
    events[0].run.dataset.class_names = (struct event_texts){names, CLASSES};
    events[0].run.dataset.labels = EVENT_LABELS_SEVERAL;
    events[0].run.dataset.policy = "";
    events[0].run.dataset.validation = 200;
    events[0].run.libraries.cjson = "1";
    events[1] = journal_events_blank(EVENT_STAGE);
    events[1].stage.budget.steps = 100;
    events[2] = journal_events_blank(EVENT_TEST);
    struct event_test *test = &events[TEST_EVENT].test;
    test->accuracy = 5.0 / 12.0;
    test->loss = 1.5;
    test->temperature = test->plain_temperature = 1.25;
    test->calibrated_by = 40;
    test->label_counts = (struct event_table){test_counts, CLASSES, LABELS_COUNTS};
    test->label_counts_at_half = (struct event_table){test_counts_at_half, CLASSES, LABELS_COUNTS};
    test->label_thresholds = (struct event_numbers){given_from, CLASSES};
    test->threshold_images = (struct event_numbers){test_images, CLASSES};
    test->exact = 7;
    test->image_precision = test->image_recall = 0.5;
    test->image_f1 = 0.4861111111111111;
    test->predictions = predictions;
}

static char *write_run(const char *name, const struct event *events)
{
    struct error err;
    char *run = file_join(folder, name), *journal;
    assert_ok(file_make_folder(run, &err), &err);
    journal = file_join(run, JOURNAL_NAME);
    unlink(journal);
    journal_events_write(journal, events, RUN_EVENTS);
    free(journal);
    return run;
}

/* All twelve are test images. */
static char *write_whole_run(const char *name)
{
    struct predicted_image rows[IMAGES];
    struct predictions predictions = sample(rows);
    struct event events[RUN_EVENTS];
    struct error err;
    char *run = file_join(folder, name), *path;
    assert_ok(file_make_folder(run, &err), &err);
    path = predictions_path(run, -1);
    rows[10].validation = rows[11].validation = false;
    assert_ok(predictions_write(path, &predictions, &err), &err);
    fill_events(events, predictions.hash);
    free(run);
    free(path);
    run = write_run(name, events);
    free(predictions.label_sets);
    return run;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("found\n%s\nexpected in it\n%s", text, part);
}

static char *read_in(const char *run, const char *name)
{
    char *path = file_join(run, name), *text;
    struct error err;
    size_t length;
    assert_ok(file_read(path, &text, &length, &err), &err);
    free(path);
    return text;
}

static bool is_in(const char *run, const char *name)
{
    char *path = file_join(run, name);
    const bool there = file_exists(path);
    free(path);
    return there;
}

static void reports(void **state)
{
    char *run = write_whole_run("whole"), *text, *printed = NULL;
    struct error err;
    size_t length;
    (void)state;
    assert_ok(report_write_all(run, true, &err), &err);
    text = read_in(run, "report.txt");
    if (strncmp(text, table, strlen(table)) != 0)
        fail_msg("found\n%s\nexpected\n%s", text, table);
    assert_has(text, "\naccuracy: 0.4167\n\naccuracy interval: 0.1933 to 0.6805 (95 %)\n"
                     "exact match: 0.5833 (0.4167 at 0.5, which is the accuracy)\n"
                     "Hamming loss: 0.1250 (0.2292 at 0.5)\n"
                     "F1: 0.7273 micro, 0.5317 macro (0.4211 and 0.2500 at 0.5)\n"
                     "thresholds of labels: 0.1800 to 0.6000, by 40 validation images\n");
    assert_has(text, "\nROC AUC: 0.9042 macro, 0.9050 weighted\n");
    assert_has(text,
               "\nwarning: 2 of 4 thresholds of labels were found by fewer than 10 images that have the "
               "label\n");
    FILE *out = open_memstream(&printed, &length);
    assert_ok(report_print(run, out, &err), &err);
    fclose(out);
    assert_string_equal(printed, text);
    free(printed);
    free(text);

    text = read_in(run, "report.json");
    cJSON *json = cJSON_Parse(text);
    const cJSON *class = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "classes"), 3);
    assert_non_null(class);
    assert_null(cJSON_GetObjectItem(json, "confusion"));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "label_counts")), CLASSES);
    assert_int_equal(
        cJSON_GetArraySize(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "label_counts_at_half"), 0)),
        LABELS_COUNTS);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "accuracy")), 5.0 / 12.0);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "exact_match")), 7.0 / 12.0);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "hamming_loss")), 0.125);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(class, "threshold")), 0.18);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(class, "threshold_images")), 12);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "samples_average"), "f1")),
                0.4861111111111111);
    cJSON_Delete(json);
    free(text);
    assert_true(is_in(run, "plots/labels.png") && is_in(run, "plots/precision.png") &&
                is_in(run, "plots/reliability.png"));
    assert_false(is_in(run, "plots/confusion.png") || is_in(run, "plots/shares.png"));
    struct plot_request numbers = {.format = PLOT_CSV};
    assert_ok(report_write_plots(run, &numbers, &err), &err);
    text = read_in(run, "plots/labels.csv");
    assert_has(text, "\nsky,0.59999999999999998,8,0,2,2,1,0.5,0.66666666666666663\n");
    free(text);
    text = read_in(run, "plots/reliability.csv"); /* of 48 answers */
    assert_has(text, "\n0,0.066666666666666666,4,0,");
    free(text);
    free(run);
}

/* Runs of several labels beside each other. */
static void compares_runs(void **state)
{
    char *runs[] = {write_whole_run("first"), write_whole_run("second")}, *printed = NULL;
    struct plot_request request = {.folder = folder};
    struct error err;
    size_t length;
    (void)state;
    FILE *out = open_memstream(&printed, &length);
    assert_ok(report_print_several(runs, 2, out, &err), &err);
    fclose(out);
    assert_has(printed, "+0.00 points");
    assert_has(printed, "0 of 12 images right by the first alone, 0 by the second alone");
    assert_ok(report_plot_several(runs, 2, &request, &err), &err);
    free(printed);
    free(runs[0]);
    free(runs[1]);
}

/* A journal whose counts can't be. */
static void names_what_is_wrong(void **state)
{
    static const int64_t uneven[] = {8, 0, 2, 2, 7, 3, 0, 2, 12, 0, 0, 0, 7, 1, 0, 5};
    static const double large[] = {0.5, 0.5, 0.5, 1.5};
    struct event events[RUN_EVENTS], original;
    struct error err;
    (void)state;
    fill_events(events, NULL);
    original = events[TEST_EVENT];
    const struct {
        struct event_table counts, at_half;
        struct event_numbers thresholds;
        int32_t exact;
        const char *expected;
    } cases[] = {
        {{uneven, 4, 4},
         original.test.label_counts,
         original.test.label_thresholds,
         7,
         "\"label_counts\" has 13 images in row 4, expected 12"},
        {{test_counts, 3, 4},
         original.test.label_counts,
         original.test.label_thresholds,
         7,
         "\"label_counts\" has 3 rows of 4, expected 4 of 4"},
        {{test_counts, 4, 3},
         original.test.label_counts,
         original.test.label_thresholds,
         7,
         "\"label_counts\" has 4 rows of 3, expected 4 of 4"},
        {{NULL, 0, 0},
         original.test.label_counts,
         original.test.label_thresholds,
         7,
         "\"label_counts\" has 0 rows of 0, expected 4 of 4"},
        {original.test.label_counts,
         {uneven, 4, 4},
         original.test.label_thresholds,
         7,
         "\"label_counts_at_half\" has 13 images in row 4, expected 12"},
        {original.test.label_counts,
         original.test.label_counts,
         {large, 3},
         7,
         "\"label_thresholds\" has 3 numbers, expected 4"},
        {original.test.label_counts,
         original.test.label_counts,
         {large, 4},
         7,
         "\"label_thresholds\" has 1.5, expected 0 to 1"},
        {original.test.label_counts, original.test.label_counts, original.test.label_thresholds, 13,
         "\"exact\" is 13, expected 0 to 12"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct event_test *test = &events[TEST_EVENT].test;
        test->label_counts = cases[i].counts;
        test->label_counts_at_half = cases[i].at_half;
        test->label_thresholds = cases[i].thresholds;
        test->exact = cases[i].exact;
        char *run = write_run("bad", events);
        assert_int_equal(report_write_all(run, false, &err), ST_FORMAT);
        assert_has(err.message, cases[i].expected);
        assert_has(err.message, "journal.jsonl:3: test event: ");
        free(run);
    }
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
        cmocka_unit_test(reports),
        cmocka_unit_test(compares_runs),
        cmocka_unit_test(names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

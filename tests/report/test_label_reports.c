/* Reports and plots of a run whose images have several labels, from its journal and its answers' file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/report/predictions.h"
#include "host/report/report.h"
#include "tests/support/data_files.h"
#include "tests/support/journal_events.h"
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
static const double test_images[TWELVE_CLASSES] = {10, 9, 0, 12};

enum { RUN_EVENTS = 3, TEST_EVENT = 2 };
static void fill_events(struct event events[RUN_EVENTS], const char *predictions)
{
    events[0] = journal_events_blank(EVENT_RUN);
    events[0].run.version = "1";
    events[0].run.format = EVENT_FORMAT;
    events[0].run.dataset.fingerprint = "0";
    events[0].run.dataset.class_names = (struct event_texts){twelve_names, TWELVE_CLASSES};
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
    test->label_counts = (struct event_table){test_counts, TWELVE_CLASSES, LABELS_COUNTS};
    test->label_counts_at_half = (struct event_table){test_counts_at_half, TWELVE_CLASSES, LABELS_COUNTS};
    test->label_thresholds = (struct event_numbers){twelve_given_from, TWELVE_CLASSES};
    test->threshold_images = (struct event_numbers){test_images, TWELVE_CLASSES};
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
    struct predicted_image rows[TWELVE_IMAGES];
    struct predictions predictions = twelve_predictions(rows, probabilities);
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
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "label_counts")), TWELVE_CLASSES);
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
        cmocka_unit_test(reports),
        cmocka_unit_test(compares_runs),
        cmocka_unit_test(names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

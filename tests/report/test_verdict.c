/* What a report says of the search: intervals and probabilities beside figures that were computed with whole numbers,
 * and the lines of reports of runs with a baseline, with branches, with neither. */
#include "host/report/verdict.h"

#include "host/base/file.h"
#include "host/report/report.h"
#include "tests/support/data_files.h"
#include "tests/support/journal_events.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fmax(1.0, fabs(expected))))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static void test_figures(void **state)
{
    static const struct {
        int64_t better, worse, images;
        double difference, low, high, p;
    } cases[] = {
        {61, 43, 10000, 0.0018, -0.000217554557623094, 0.0038168347015943, 0.0950436747994081},
        {10, 0, 200, 0.05, 0.0165941005257339, 0.0824158004643651, 0.001953125},
        {0, 0, 50, 0, -0.0533039932442184, 0.0533039932442184, 1},
        {3, 25, 100, -0.22, -0.312251500837399, -0.119121048182208, 2.74404883384705e-05},
        {5000, 5200, 60000, -0.00333333333333333, -0.00663243886689998, -3.40055849516263e-05,
         0.0487879631268225},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct verdict verdict = verdict_of(cases[i].better, cases[i].worse, cases[i].images);
        assert_near(verdict.difference, cases[i].difference);
        assert_near(verdict.low, cases[i].low);
        assert_near(verdict.high, cases[i].high);
        assert_near(verdict.p, cases[i].p);
    }
}

/* ---- reports ---- */

enum { MOST_EVENTS = 24, IMAGES = 200 };

static const char *const NAMES[] = {"a", "b"};
static const int64_t CONFUSION[] = {90, 10, 10, 90};

struct story {
    struct event events[MOST_EVENTS];
    size_t count;
    cJSON *graph;
};

/* To be filled; what may be absent is. */
static struct event *tell(struct story *story, enum event_kind kind)
{
    assert_true(story->count < MOST_EVENTS);
    struct event *event = &story->events[story->count];
    *event = journal_events_blank(kind);
    event->time = 10.0 * (double)story->count++;
    return event;
}

static void tell_model(struct story *story, int32_t id, int32_t parent, int32_t compared_with,
                       double accuracy, double gain)
{
    struct event_candidate *candidate = &tell(story, EVENT_CANDIDATE)->candidate;
    candidate->id = id;
    candidate->parent = parent;
    candidate->compared_with = compared_with;
    candidate->graph = story->graph;
    candidate->parameters = 100;
    if (compared_with >= 0 && id % 2 == 0) { /* every other change is a morph */
        struct event_morph *morph = &tell(story, EVENT_MORPH)->morph;
        morph->id = id;
        morph->operation = "widen";
    }
    struct event_model *model = &tell(story, EVENT_MODEL)->model;
    model->id = id;
    model->parent = parent;
    model->validation_loss = 1.0;
    model->validation_accuracy = accuracy;
    model->gain = gain;
    model->gain_deviation = isnan(gain) ? NAN : 0.01;
}

static void begin(struct story *story)
{
    *story = (struct story){.graph = cJSON_Parse("{\"layers\":[1,2]}")};
    struct event_run *run = &tell(story, EVENT_RUN)->run;
    run->version = "1";
    run->format = EVENT_FORMAT;
    run->dataset = (struct event_dataset){
        .fingerprint = "f", .class_names = {NAMES, 2}, .validation = 100, .image = {1, 4, 4}, .policy = ""};
    run->devices = (struct event_texts){NAMES, 1};
    run->libraries.cjson = "1";
    tell(story, EVENT_STAGE)->stage.budget.seconds = 60.0;
}

static void tell_test(struct story *story, const char *right)
{
    struct event_test *test = &tell(story, EVENT_TEST)->test;
    test->accuracy = 0.9;
    test->loss = 0.5;
    test->confusion = (struct event_matrix){CONFUSION, 2};
    test->budget_seconds = 60;
    test->elapsed_seconds = 59;
    test->models = 2;
    test->right = right;
}

static void tell_baseline(struct story *story, double accuracy, int32_t better, int32_t worse)
{
    struct event_baseline *baseline = &tell(story, EVENT_BASELINE)->baseline;
    baseline->id = 9;
    baseline->accuracy = accuracy;
    baseline->loss = 0.5;
    baseline->views = 6;
    baseline->plain_accuracy = accuracy;
    baseline->better = better;
    baseline->worse = worse;
    baseline->spent = 60;
}

/* The report ends with these lines, and its JSON has that in "baseline" or "branches". */
static void check_report(struct story *story, const char *lines, const char *key, const char *field,
                         double value)
{
    char *folder = data_files_folder(), *text, *path = file_join(folder, "journal.jsonl");
    char *report = file_join(folder, "report.txt"), *json_path = file_join(folder, "report.json");
    struct error err;
    size_t length;
    journal_events_write(path, story->events, story->count);
    if (report_write_all(folder, false, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(file_read(report, &text, &length, &err), ST_OK);
    if (length < strlen(lines) || strcmp(text + length - strlen(lines), lines) != 0)
        fail_msg("found\n%s\nexpected at its end\n%s", text, lines);
    free(text);
    assert_int_equal(file_read(json_path, &text, &length, &err), ST_OK);
    cJSON *json = cJSON_Parse(text), *object = cJSON_GetObjectItem(json, key);
    if (field == NULL)
        assert_true(cJSON_IsNull(object));
    else
        assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(object, field)), value);
    cJSON_Delete(json);
    cJSON_Delete(story->graph);
    free(text);
    free(path);
    free(report);
    free(json_path);
    data_files_remove(folder);
}

static void test_nothing_compared(void **state)
{
    struct story story;
    (void)state;
    begin(&story);
    tell_model(&story, 0, -1, -1, 0.9, NAN);
    tell_test(&story, NULL);
    check_report(&story, "layers: 2\nverdict: nothing was compared with the search (baseline.start)\n",
                 "baseline", NULL, 0.0);
}

static void test_baseline(void **state)
{
    static const struct {
        double accuracy;
        int32_t better, worse;
        const char *lines;
    } cases[] = {
        {0.85, 14, 4,
         "layers: 2\nbaseline: model 9, without a search, accuracy 0.8500 (0.8500 without views)\n"
         "verdict: the search was worth it: +5.00 points (95 %: +0.67 to +9.24), 14 images right by the "
         "search alone, 4 "
         "without it alone, p = 0.031\n"},
        {0.9, 9, 9,
         "layers: 2\nbaseline: model 9, without a search, accuracy 0.9000 (0.9000 without views)\n"
         "verdict: no difference can be told: +0.00 points (95 %: -4.34 to +4.34), 9 images right by the "
         "search alone, 9 "
         "without it alone, p = 1\n"},
        {0.96, 1, 13,
         "layers: 2\nbaseline: model 9, without a search, accuracy 0.9600 (0.9600 without views)\n"
         "verdict: no search would have been better: -6.00 points (95 %: -9.73 to -2.15), 1 images right by "
         "the search alone, 13 "
         "without it alone, p = 0.0018\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct story story;
        begin(&story);
        tell_model(&story, 0, -1, -1, 0.9, NAN);
        tell_test(&story, "ff");
        tell_model(&story, 9, -1, -1, 0.8, NAN);
        tell_baseline(&story, cases[i].accuracy, cases[i].better, cases[i].worse);
        check_report(&story, cases[i].lines, "baseline", "difference",
                     (cases[i].better - cases[i].worse) / (double)IMAGES);
    }
}

/* Not trained yet, or not to be trained. */
static void test_no_baseline(void **state)
{
    struct story story;
    (void)state;
    begin(&story);
    tell_model(&story, 0, -1, -1, 0.9, NAN);
    tell_test(&story, "ff");
    check_report(&story, "layers: 2\nbaseline: still to be trained\n", "baseline", NULL, 0.0);
    begin(&story);
    tell_model(&story, 0, -1, -1, 0.9, NAN);
    tell_test(&story, "ff");
    tell_baseline(&story, NAN, 0, 0);
    check_report(&story, "layers: 2\nbaseline: model 9, without a search, could not be trained\n", "branches",
                 NULL, 0.0);
}

/* Control 1 with the changes 2 to 4, of which 2 is accepted: control 5 goes on from it, with change 6. */
static void test_branches(void **state)
{
    struct story story;
    (void)state;
    begin(&story);
    tell_model(&story, 0, -1, -1, 0.90, NAN);
    tell_model(&story, 1, 0, -1, 0.91, NAN);
    tell_model(&story, 2, 0, 1, 0.93, 0.05);
    tell_model(&story, 3, 0, 1, 0.95, 0.90);
    tell_model(&story, 4, 0, 1, 0.90, -0.02);
    tell_model(&story, 5, 2, -1, 0.92, NAN);
    tell_model(&story, 6, 2, 5, 0.94, 0.03);
    tell_test(&story, NULL);
    check_report(
        &story,
        "layers: 2\nbranches: 2 rounds, 4 changes beside their controls, 1 accepted\n"
        "verdict: morphs were worth +1.00 points of validation accuracy, +0.0200 +- 0.0196 in loss (3 of "
        "them, 95 %)\n",
        "branches", "loss", 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),  cmocka_unit_test(test_nothing_compared),
        cmocka_unit_test(test_baseline), cmocka_unit_test(test_no_baseline),
        cmocka_unit_test(test_branches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

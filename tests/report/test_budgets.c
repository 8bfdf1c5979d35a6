/* The budgets of a run beside each other: the table and the plot of its stages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/journal/journal.h"
#include "host/report/report.h"
#include "tests/support/journal_events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/nasrun-budgets-XXXXXX";

/* ---- a run of two stages ---- */

enum { RUN, STAGE_0, MODEL_0, TEST_0, BASELINE_0, STAGE_1, MODEL_1, TEST_1, EVENTS };

static const int64_t half_right[] = {2, 2, 2, 2}, most_right[] = {4, 0, 2, 2};

struct story {
    struct event events[EVENTS];
    cJSON *graph;
};

static struct event *begin(struct story *story, int index, enum event_kind kind)
{
    story->events[index] = journal_events_blank(kind);
    story->events[index].time = index;
    return &story->events[index];
}

static void tell_stage(struct story *story, int first, int32_t stage, double seconds)
{
    begin(story, first, EVENT_STAGE)->stage.stage = stage;
    story->events[first].stage.budget.seconds = seconds;
    struct event_candidate *candidate = &begin(story, first + 1, EVENT_CANDIDATE)->candidate;
    candidate->id = stage;
    candidate->parent = -1;
    candidate->stage = stage;
    candidate->graph = story->graph;
    candidate->parameters = 1000 + stage;
    struct event_test *test = &begin(story, first + 2, EVENT_TEST)->test;
    test->stage = test->id = stage;
    test->accuracy = stage == 0 ? 0.5 : 0.75;
    test->loss = 0.5;
    test->confusion = (struct event_matrix){stage == 0 ? half_right : most_right, 2};
    test->budget_seconds = seconds;
    test->elapsed_seconds = seconds - 1.5;
    test->models = 2 + stage;
}

/* Of a minute and of two hours; the first is tested with views and has a baseline. */
static void tell(struct story *story)
{
    static const char *const names[] = {"a", "b"};
    story->graph = cJSON_Parse("{\"layers\":[1]}");
    struct event_run *run = &begin(story, RUN, EVENT_RUN)->run;
    run->version = "1";
    run->format = EVENT_FORMAT;
    run->dataset.fingerprint = "0";
    run->dataset.class_names = (struct event_texts){names, 2};
    run->dataset.policy = "";
    run->libraries.cjson = "1";
    tell_stage(story, STAGE_0, 0, 60);
    story->events[TEST_0].test.views = 6;
    story->events[TEST_0].test.plain_accuracy = 0.4375;
    begin(story, BASELINE_0, EVENT_BASELINE)->baseline.accuracy = 0.25;
    tell_stage(story, STAGE_1, 1, 7200);
}

static char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* Reports of the story's first events, with plots or without. */
static void write_reports(struct story *story, size_t count, bool plots)
{
    struct error err;
    unlink(path_of(JOURNAL_NAME));
    journal_events_write(path_of(JOURNAL_NAME), story->events, count);
    if (report_write_all(folder, plots, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static char *read_text(const char *name)
{
    struct error err;
    char *text;
    size_t length;
    if (file_read(path_of(name), &text, &length, &err) != ST_OK)
        fail_msg("%s", err.message);
    return text;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    static const char *const top[] = {JOURNAL_NAME,    "report.txt",   "report.json",  "report-0.txt",
                                      "report-0.json", "report-1.txt", "report-1.json"};
    static const char *const plots[] = {"budgets",     "learning",    "progress", "family",   "confusion",
                                        "confusion-0", "confusion-1", "shares",   "shares-0", "shares-1"};
    (void)state;
    for (size_t i = 0; i < sizeof(top) / sizeof(*top); i++)
        unlink(path_of(top[i]));
    for (size_t i = 0; i < 2 * sizeof(plots) / sizeof(*plots); i++) {
        char name[64];
        snprintf(name, sizeof(name), "plots/%s.%s", plots[i / 2], i % 2 == 0 ? "png" : "csv");
        unlink(path_of(name));
    }
    rmdir(path_of("plots"));
    return rmdir(folder);
}

/* ---- what is told ---- */

/* Behind the last stage's own report, which has none. */
static void prints_a_table(void **state)
{
    struct story story;
    (void)state;
    tell(&story);
    write_reports(&story, EVENTS, false);
    char *all = read_text("report.txt"), *own = read_text("report-1.txt");
    assert_memory_equal(all, own, strlen(own));
    assert_string_equal(all + strlen(own), "\n        budget  accuracy   interval of 95 %  one view  "
                                           "baseline candidates parameters       elapsed\n"
                                           "\n          60 s    0.5000   0.2152 to 0.7848    0.4375    "
                                           "0.2500          2       1000        58.5 s\n"
                                           "           2 h    0.7500   0.4093 to 0.9285    0.7500         -  "
                                           "        3       1001      7198.5 s\n"
                                           "\naccuracies on the test images; a stage goes on from those "
                                           "before it, and its budget, candidates and "
                                           "time are all until then\n");
    free(all);
    free(own);
    write_reports(&story, BASELINE_0, false);
    all = read_text("report.txt");
    assert_null(strstr(all, "interval of 95 %"));
    free(all);
    cJSON_Delete(story.graph);
}

static double number_of(const cJSON *json, const char *key)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItem(json, key)); /* NAN of null */
}

/* The last report has all stages, also when it is the only one; another's has none. */
static void tells_the_same_in_json(void **state)
{
    struct story story;
    (void)state;
    tell(&story);
    for (int stages = 1; stages <= 2; stages++) {
        write_reports(&story, stages == 1 ? BASELINE_0 + 1 : EVENTS, false);
        char *text = read_text("report.json");
        cJSON *json = cJSON_Parse(text);
        const cJSON *budgets = cJSON_GetObjectItem(json, "budgets"), *first = cJSON_GetArrayItem(budgets, 0);
        assert_int_equal(cJSON_GetArraySize(budgets), stages);
        assert_true(number_of(first, "budget") == 60 && number_of(first, "accuracy") == 0.5);
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(first, "unit")), "seconds");
        assert_true(number_of(first, "accuracy_without_views") == 0.4375);
        assert_true(number_of(first, "baseline") == 0.25 && number_of(first, "models") == 2);
        if (stages == 2) {
            const cJSON *second = cJSON_GetArrayItem(budgets, 1);
            assert_true(number_of(second, "budget") == 7200 && number_of(second, "accuracy") == 0.75);
            assert_true(isnan(number_of(second, "baseline")) && number_of(second, "parameters") == 1001);
            assert_true(number_of(second, "elapsed_seconds") == 7198.5);
        }
        cJSON_Delete(json);
        free(text);
    }
    char *own = read_text("report-1.json");
    assert_null(strstr(own, "\"budgets\""));
    free(own);
    cJSON_Delete(story.graph);
}

/* What an hour costs is told with the test; so is the energy, or that it is not known. Eight node hours are the fewest
 * that Google sells. */
static void tells_the_cost(void **state)
{
    struct story story;
    (void)state;
    tell(&story);
    for (int i = 0; i < 2; i++) {
        struct event_test *test = &story.events[i == 0 ? TEST_0 : TEST_1].test;
        test->cost_per_hour = 2.5;
        test->currency = "EUR";
        test->elapsed_seconds = i == 0 ? 57.6 : 36000;
    }
    story.events[TEST_1].test.energy = 1.8e6;
    story.events[TEST_1].test.energy_source = "GPUs";
    write_reports(&story, EVENTS, false);
    char *first = read_text("report-0.txt"), *last = read_text("report.txt"),
         *text = read_text("report.json");
    cJSON *json = cJSON_Parse(text);
    const cJSON *cost = cJSON_GetObjectItem(json, "cost");
    assert_non_null(strstr(first,
                           "\nelapsed: 57.6 s\ncost: 0.0400 EUR for 0.016 h at 2.5 EUR\nGoogle's list price: "
                           "27.72 USD for 8 node hours, the fewest, at 3.465 USD (Vertex AI, 2026)\n"
                           "energy: unknown\nmodels tried: 2\n"));
    assert_non_null(strstr(last,
                           "\nelapsed: 36000.0 s\ncost: 25.00 EUR for 10 h at 2.5 EUR\nGoogle's list price: "
                           "34.65 USD for 10 node hours at 3.465 USD (Vertex AI, 2026)\n"
                           "energy: 0.5 kWh by the counters of GPUs, with all else that ran there\n"));
    assert_non_null(strstr(last, " parameters       elapsed        cost\n"));
    assert_non_null(strstr(last, "        57.6 s        0.04 EUR\n"));
    assert_true(number_of(cost, "total") == 25 && number_of(cost, "per_hour") == 2.5);
    assert_true(fabs(number_of(cost, "google_usd") - 34.65) < 1e-9);
    assert_true(number_of(json, "energy_joules") == 1.8e6);
    cJSON_Delete(json);
    free(first);
    free(last);
    free(text);
    story.events[RUN].run.job = "budget = {\n    clock = \"model\";\n};\n";
    write_reports(&story, EVENTS, false);
    last = read_text("report.txt");
    assert_non_null(
        strstr(last, "\ncost: unknown, for no clock counts this run's time (budget.clock)\nenergy: "));
    assert_null(strstr(last, "        cost\n"));
    free(last);
    cJSON_Delete(story.graph);
}

/* Where there are several, all in one unit; as numbers they are those of nasplot of several runs. */
static void draws_them(void **state)
{
    struct plot_request numbers = {.format = PLOT_CSV};
    struct story story;
    struct error err;
    char expected[512];
    (void)state;
    tell(&story);
    write_reports(&story, BASELINE_0, true);
    assert_false(file_exists(path_of("plots/budgets.png")));
    story.events[STAGE_1].stage.budget = (struct event_budget){NAN, 500, NAN};
    write_reports(&story, EVENTS, true);
    assert_false(file_exists(path_of("plots/budgets.png")));
    story.events[STAGE_1].stage.budget = (struct event_budget){7200, NAN, NAN};
    write_reports(&story, EVENTS, true);
    assert_true(file_exists(path_of("plots/budgets.png")));
    assert_int_equal(report_write_plots(folder, &numbers, &err), ST_OK);
    char *text = read_text("plots/budgets.csv");
    snprintf(expected, sizeof(expected),
             "run,job,unit,budget,seed,stage,accuracy,baseline\n%s,,seconds,60,0,0,0.5,0.25\n"
             "%s,,seconds,7200,0,1,0.75,\n",
             folder, folder);
    assert_string_equal(text, expected);
    free(text);
    cJSON_Delete(story.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_a_table),
        cmocka_unit_test(tells_the_same_in_json),
        cmocka_unit_test(tells_the_cost),
        cmocka_unit_test(draws_them),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

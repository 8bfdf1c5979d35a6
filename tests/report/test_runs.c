/* Several runs together: which are of one job, and the table of their results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/report/report.h"
#include "host/report/runs.h"
#include "tests/support/journal_events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char top[] = "/tmp/nasrun-runs-XXXXXX";

enum { RUNS = 5 };
static char folders[RUNS][64];
static char *const paths[RUNS] = {folders[0], folders[1], folders[2], folders[3], folders[4]};

#define JOB(path, strategy, seconds)                                                                         \
    "dataset = {\n    path = \"" path "\";\n};\nsearch = {\n    strategy = \"" strategy                      \
    "\"; # or another\n};\nbudget = {\n    seconds = [" seconds "];\n};\nseed = 7;\n"

/* Journals of runs with 100 test images of two classes: `right` of them are. */
static const struct {
    const char *job;
    int64_t seed, right, baseline; /* right without a search; -1: there is none */
    double seconds;
} runs_made[RUNS] = {
    {JOB("here", "phases", "3600.0"), 1, 90, 85, 3600}, {JOB("there", "phases", "3600.0"), 2, 92, -1, 3600},
    {JOB("here", "phases", "900.0"), 1, 80, -1, 900},   {JOB("here", "random", "900.0"), 2, 70, -1, 900},
    {JOB("here", "phases", "90.5"), 2, 60, -1, 90.5},
};

static void write_run(int run)
{
    static const char *const names[] = {"a", "b"};
    char path[400];
    const int64_t right = runs_made[run].right, counts[] = {right, 100 - right, 0, 0};
    cJSON *graph = cJSON_Parse("{\"layers\":[1]}");
    struct event events[] = {journal_events_blank(EVENT_RUN), journal_events_blank(EVENT_STAGE),
                             journal_events_blank(EVENT_CANDIDATE), journal_events_blank(EVENT_TEST),
                             journal_events_blank(EVENT_BASELINE)};
    const size_t count = sizeof(events) / sizeof(*events);
    events[0].run.version = "1";
    events[0].run.format = EVENT_FORMAT;
    events[0].run.seed = runs_made[run].seed;
    events[0].run.job = runs_made[run].job;
    events[0].run.dataset.fingerprint = run == 1 ? "1" : "0"; /* other images are tested by another seed */
    events[0].run.dataset.class_names = (struct event_texts){names, 2};
    events[0].run.dataset.policy = "";
    events[0].run.libraries.cjson = "1";
    events[1].stage.budget.seconds = runs_made[run].seconds;
    events[2].candidate.parent = -1;
    events[2].candidate.graph = graph;
    events[3].test.accuracy = (double)right / 100;
    events[3].test.confusion.rows = 2;
    events[3].test.confusion.values = counts;
    events[4].baseline.accuracy = (double)runs_made[run].baseline / 100;
    assert_true(snprintf(folders[run], sizeof(folders[run]), "%s/%d", top, run) > 0);
    struct error err;
    assert_int_equal(file_make_folder(folders[run], &err), ST_OK);
    snprintf(path, sizeof(path), "%s/%s", folders[run], JOURNAL_NAME);
    journal_events_write(path, events, runs_made[run].baseline >= 0 ? count : count - 1);
    cJSON_Delete(graph);
}

static int write_runs(void **state)
{
    (void)state;
    if (mkdtemp(top) == NULL)
        return -1;
    for (int i = 0; i < RUNS; i++)
        write_run(i);
    return 0;
}

static int remove_runs(void **state)
{
    char path[400];
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        snprintf(path, sizeof(path), "%s/%s", folders[i], JOURNAL_NAME);
        unlink(path);
        rmdir(folders[i]);
    }
    return rmdir(top);
}

static void groups_by_job_and_budget(void **state)
{
    static const struct {
        int32_t job, count;
        double budget, mean, deviation, low, high, baseline;
    } expected[] = {
        {0, 1, 90.5, 0.6, NAN, 0.6, 0.6, NAN},
        {0, 1, 900, 0.8, NAN, 0.8, 0.8, NAN},
        {0, 2, 3600, 0.91, 0.0141421356, 0.9, 0.92, 0.85},
        {1, 1, 900, 0.7, NAN, 0.7, 0.7, NAN},
    };
    struct runs runs;
    struct error err;
    (void)state;
    assert_int_equal(runs_load(paths, RUNS, &runs, &err), ST_OK);
    assert_int_equal(runs.job_count, 2);
    assert_string_equal(runs.jobs[0], "search.strategy = \"phases\"");
    assert_string_equal(runs.jobs[1], "search.strategy = \"random\"");
    assert_int_equal(runs.row_count, sizeof(expected) / sizeof(*expected));
    for (int32_t i = 0; i < runs.row_count; i++) {
        const struct runs_row *row = &runs.rows[i];
        assert_int_equal(row->job, expected[i].job);
        assert_int_equal(row->search.count, expected[i].count);
        assert_true(row->unit == RUNS_SECONDS && row->budget == expected[i].budget);
        assert_true(fabs(row->search.mean - expected[i].mean) < 1e-12);
        assert_true(row->search.low == expected[i].low && row->search.high == expected[i].high);
        if (row->search.count > 1)
            assert_true(fabs(row->search.deviation - expected[i].deviation) < 1e-9);
        else
            assert_true(isnan(row->search.deviation));
        assert_int_equal(row->baseline.count, isnan(expected[i].baseline) ? 0 : 1);
        if (row->baseline.count > 0)
            assert_true(row->baseline.mean == expected[i].baseline);
    }
    runs_free(&runs);
}

static void prints_the_table(void **state)
{
    static const char expected[] =
        "            budget     seed 1     seed 2   runs       mean  deviation\n"
        "\n"
        "search.strategy = \"phases\"\n"
        "            90.5 s          -     0.6000      1     0.6000          -\n"
        "            15 min     0.8000          -      1     0.8000          -\n"
        "               1 h     0.9000     0.9200      2     0.9100     0.0141\n"
        "  without a search     0.8500          -      1     0.8500          -\n"
        "\n"
        "search.strategy = \"random\"\n"
        "            15 min          -     0.7000      1     0.7000          -\n"
        "\n"
        "accuracies on the test images; deviation of one run, from all of its row\n";
    char *text = NULL;
    size_t length;
    struct error err;
    (void)state;
    FILE *out = open_memstream(&text, &length);
    assert_int_equal(report_print_several(paths, RUNS, out, &err), ST_OK);
    fclose(out);
    assert_true(length > strlen(expected));
    text[strlen(expected)] = '\0';
    assert_string_equal(text, expected);
    free(text);
}

static void prints_comma_separated_values(void **state)
{
    char *text = NULL;
    size_t length;
    struct runs runs;
    struct error err;
    (void)state;
    assert_int_equal(runs_load(paths, 1, &runs, &err), ST_OK);
    FILE *out = open_memstream(&text, &length);
    runs_print_csv(&runs, out);
    fclose(out);
    char expected[256];
    snprintf(expected, sizeof(expected),
             "run,job,unit,budget,seed,stage,accuracy,baseline\n%s,,seconds,3600,1,0,%.17g,%.17g\n",
             folders[0], 0.9, 0.85);
    assert_string_equal(text, expected);
    free(text);
    runs_free(&runs);
}

static void refuses_what_has_no_result(void **state)
{
    char *const missing[] = {folders[0], top};
    struct runs runs;
    struct error err;
    (void)state;
    assert_int_equal(runs_load(missing, 2, &runs, &err), ST_IO);
    assert_null(runs.histories);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_by_job_and_budget),
        cmocka_unit_test(prints_the_table),
        cmocka_unit_test(prints_comma_separated_values),
        cmocka_unit_test(refuses_what_has_no_result),
    };
    return cmocka_run_group_tests(tests, write_runs, remove_runs);
}

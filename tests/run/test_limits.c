/* A run's limit of latency: what is measured is journalled once and taken by whoever resumes; where no clock may decide
 * nothing is measured before the end, and two runs are the same. */
#include "host/run/limits.h"

#include "host/run/engine.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_measured(void **state)
{
    static const char *const clocked[] = {"budget.models=[]", "budget.seconds=6", "search.max_latency_ms=500",
                                          NULL};
    static struct run run;
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, clocked);
    tiny_job_run(&tiny);
    assert_int_equal(tiny_job_events(&tiny, "latency"), 1);
    tiny_job_journal(&tiny, &lines);
    const cJSON *event = tiny_job_last(&lines, "latency"), *test = tiny_job_last(&lines, "test");
    assert_true(tiny_job_number(test, "latency_ms") > 0.0);
    assert_true(tiny_job_number(test, "max_latency_ms") == 500.0);

    tiny_job_open_run(&tiny, &run);
    assert_true(run.limits.max_latency == 0.5);
    assert_int_equal(run.limits.latency.batch, 1);
    assert_true(run.limits.latency.seconds[COST_CONV_3X3] == tiny_job_number(event, "conv_3x3"));
    assert_true(run.limits.latency.seconds[COST_LAYERS] == tiny_job_number(event, "layers"));
    assert_int_equal(limits_open(&run, &err), ST_OK);
    assert_int_equal(tiny_job_events(&tiny, "latency"), 1);
    run_close(&run);
    journal_lines_free(&lines);
    tiny_job_close(&tiny);
}

static void test_repeats(void **state)
{
    static const char *const limited[] = {"search.max_latency_ms=500", NULL};
    char *histories[2];
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct tiny_job tiny;
        struct journal_lines lines;
        tiny_job_open(&tiny, limited);
        tiny_job_run(&tiny);
        assert_int_equal(tiny_job_events(&tiny, "latency"), 0);
        tiny_job_journal(&tiny, &lines);
        assert_true(tiny_job_number(tiny_job_last(&lines, "test"), "latency_ms") > 0.0);
        journal_lines_free(&lines);
        histories[k] = tiny_job_history(&tiny);
        tiny_job_close(&tiny);
    }
    /* the first line has the job, with another folder of data */
    assert_string_equal(strchr(histories[0], '\n'), strchr(histories[1], '\n'));
    free(histories[0]);
    free(histories[1]);
}

/* The limit is known to the search, and to the budget's costs, by the time that anything is proposed. */
static void test_narrower(void **state)
{
    static const char *const limited[] = {"search.starts=[\"air\"]", "search.width=0",
                                          "search.max_latency_ms=0.2", NULL};
    static const char *const refused[] = {"search.starts=[\"air\"]", "search.max_latency_ms=1e-6", NULL};
    static struct run run;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, limited);
    tiny_job_open_run(&tiny, &run);
    const int64_t before = cost_of_graph(&run.starts[0]).parameters;
    assert_int_equal(limits_open(&run, &err), ST_OK);
    assert_true(cost_of_graph(&run.starts[0]).parameters < before);
    assert_true(search_fits(&run.limits, &run.starts[0]));
    run_close(&run);
    tiny_job_change(&tiny, refused);
    tiny_job_open_run(&tiny, &run);
    assert_int_equal(limits_open(&run, &err), ST_RANGE);
    assert_memory_equal(err.message, "search.max_latency_ms: found 1e-06, expected ", 45);
    run_close(&run);
    tiny_job_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measured), cmocka_unit_test(test_repeats),
                                       cmocka_unit_test(test_narrower)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

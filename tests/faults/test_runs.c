/* Whole runs of a tiny job under calls of the C library that fail, one in each round, at each place: they end with one
 * line and the status of that line, or as the undisturbed run. The same of runs that are gone on with. */
#include "host/base/file.h"
#include "host/run/engine.h"
#include "tests/faults/failing.h"
#include "tests/support/data_files.h"
#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

/* The run's journal is as the undisturbed one's, but for the first line, in which folders differ. */
static void check_history(const char *name, const struct tiny_job *tiny, const char *expected)
{
    char *history = tiny_job_history(tiny);
    if (strcmp(strchr(history, '\n'), strchr(expected, '\n')) != 0)
        fail_msg("%s: the run ended with another journal when this failed: %s\n%s\nexpected\n%s", name,
                 failing_where(), history, expected);
    free(history);
}

static char *undisturbed(const char *const *overrides, const char *const *raised)
{
    struct tiny_job tiny;
    tiny_job_open(&tiny, overrides);
    tiny_job_run(&tiny);
    if (raised != NULL) {
        tiny_job_change(&tiny, raised);
        tiny_job_run(&tiny);
    }
    char *history = tiny_job_history(&tiny);
    tiny_job_close(&tiny);
    return history;
}

/* Runs; with `raised`, runs that were finished and then go on. */
static int32_t run_with(const char *name, const char *const *overrides, const char *const *raised)
{
    char *expected = undisturbed(overrides, raised);
    failing_begin(1);
    do {
        struct tiny_job tiny;
        struct error err = {0};
        tiny_job_open(&tiny, overrides);
        if (raised != NULL) {
            tiny_job_run(&tiny);
            tiny_job_change(&tiny, raised);
        }
        failing_arm();
        const enum status st = engine_run(&tiny.job, tiny.run, -1, &tiny.history, &err);
        failing_pause();
        failing_check_end(name, st, &err);
        if (st == ST_OK)
            check_history(name, &tiny, expected);
        tiny_job_close(&tiny);
    } while (failing_more());
    free(expected);
    return failing_count();
}

static void test_from_the_beginning(void **state)
{
    static const char *const bayesian[] = {"search.strategy=bayesian", NULL};
    static const char *const phases[] = {"search.strategy=phases", "budget.models=[]", "budget.steps=40",
                                         NULL};
    (void)state;
    assert_true(run_with("random", NULL, NULL) > 50);
    assert_true(run_with("bayesian", bayesian, NULL) > 0);
    assert_true(run_with("phases", phases, NULL) > 0);
}

static void test_gone_on_with(void **state)
{
    static const char *const raised[] = {"budget.models=3", NULL};
    static const char *const baseline[] = {"baseline.start=first", "train.batch=16", NULL};
    (void)state;
    assert_true(run_with("gone on with", NULL, raised) > 0);
    assert_true(run_with("with a baseline", baseline, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_the_beginning),
        cmocka_unit_test(test_gone_on_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

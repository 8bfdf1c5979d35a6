/* The plan of a run (--plan): what it says of data, device, networks and budget, and that it leaves nothing behind. */
#include "host/run/engine.h"
#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What it says of the job with those overrides; the caller frees. */
static char *plan_of(const char *const *overrides)
{
    struct tiny_job tiny;
    struct error err;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    tiny_job_open(&tiny, overrides);
    if (engine_dry_run(&tiny.job, out, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_false(tiny_job_has(&tiny, JOURNAL_NAME));
    assert_false(tiny_job_has(&tiny, "models"));
    tiny_job_close(&tiny);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void check_says(const char *const *overrides, const char *const *lines, const char *unsaid)
{
    char *text = plan_of(overrides);
    for (int i = 0; lines[i] != NULL; i++)
        if (strstr(text, lines[i]) == NULL)
            fail_msg("found\n%sexpected \"%s\"", text, lines[i]);
    if (strstr(text, unsaid) != NULL)
        fail_msg("found\n%sexpected no \"%s\"", text, unsaid);
    free(text);
}

static void test_models(void **state)
{
    static const char *const said[] = {
        "data     3 classes, 1 x 8 x 8: 48 training, 16 validation, 16 test images, 0.0 MB on the device\n",
        "\ndevice   ",
        "\nbatch    8 images\n",
        "\nstart    lean ",
        "\nmemory   of each device: ",
        "\nbudget   stage 0: 2 models in all\n",
        NULL};
    (void)state;
    check_says(NULL, said, "\nend ");
}

static void test_steps(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.steps=[40,100]",
                                            "search.starts=[\"lean\",\"cnn\"]", "train.batch=auto", NULL};
    static const char *const said[] = {
        "images, chosen for devices and data\n",
        "\nstart    lean ",
        "\nstart    cnn ",
        "\nbudget   stage 0: 40 steps in all\nbudget   stage 1: 100 steps in all\n",
        "\nsearch   about ",
        "candidates a stage, 40 % of it, then the final fit\n",
        "\nend      after about ",
        NULL};
    (void)state;
    check_says(overrides, said, "resnet");
}

static void test_seconds(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.seconds=60", NULL};
    static const char *const said[] = {"\nbudget   stage 0: 60 seconds in all\n",
                                       "\nend      after at most 60 s\n", NULL};
    (void)state;
    check_says(overrides, said, "about 60");
}

/* A baseline takes as long again. */
static void test_baseline(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.seconds=60", "baseline.start=first",
                                            NULL};
    static const char *const said[] = {
        "\nbaseline lean without a search, with as much again behind each stage\n",
        "\nend      after at most 120 s, the baseline's among them\n", NULL};
    (void)state;
    check_says(overrides, said, "at most 60");
}

/* Candidates that never see all images are said to be that, not only counted. */
static void test_too_small(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.steps=4", NULL};
    static const char *const said[] = {"\nepochs   about 0.", " of the final fit\n",
                                       "\nwarning  the budget is too small: the final fit ends before", NULL};
    static const char *const larger[] = {"budget.models=[]", "budget.steps=400", NULL};
    static const char *const said_then[] = {"\nepochs   about ", " of each candidate, ", NULL};
    (void)state;
    check_says(overrides, said, "10 candidates");
    check_says(larger, said_then, "warning");
}

static void test_no_search(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.steps=100", "search.strategy=none",
                                            NULL};
    static const char *const said[] = {"\nsearch   none: the starting network gets the whole budget\n",
                                       "\nend      after about ", NULL};
    (void)state;
    check_says(overrides, said, "candidates a stage");
}

static void test_refused(void **state)
{
    static const char *const overrides[] = {"train.batch=49", NULL};
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, overrides);
    assert_int_equal(engine_dry_run(&tiny.job, stdout, &err), ST_RANGE);
    assert_string_equal(
        err.message,
        "train.batch: found 49, expected at most 48, the candidates' training images, or \"auto\"");
    tiny_job_close(&tiny);

    static const char *const small[] = {"search.max_parameters=10", NULL};
    tiny_job_open(&tiny, small);
    assert_int_equal(engine_dry_run(&tiny.job, stdout, &err), ST_RANGE);
    assert_memory_equal(err.message, "search.max_parameters: found 10, expected ", 42);
    tiny_job_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),    cmocka_unit_test(test_steps),    cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_too_small), cmocka_unit_test(test_baseline), cmocka_unit_test(test_no_search),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How fast the machine is, as a run finds it out: when a calibration is made, that a resumed run goes by the same
 * figures, and what is expected of trainings. What the calibration finds is the test's. */
#include "host/run/speed.h"

#include "host/net/start.h"
#include "host/run/engine.h"
#include "host/run/record.h"
#include "host/run/run_budget.h"
#include "host/run/stage.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const clocked[] = {"budget.models=[]", "budget.seconds=[1000,2000]",
                                      "search.strategy=phases", "search.starts=[\"lean\",\"cnn\"]", NULL};

static int calibrated;    /* how often it was asked for */
static int32_t networks;  /* that the next one says to have measured */
static double given_time; /* by the last one */

/* In place of calibration_measure (Makefile): each unit has a cost of its own that is no round number. */
enum status __wrap_calibration_measure(const struct calibration_setup *setup, struct calibration *calibration,
                                       struct error *err);
enum status __wrap_calibration_measure(const struct calibration_setup *setup, struct calibration *calibration,
                                       struct error *err)
{
    (void)err;
    calibrated++;
    given_time = setup->seconds;
    *calibration = (struct calibration){.rates = cost_fit_prior(1.23e10, 4.56e9, setup->settings.batch),
                                        .networks = networks,
                                        .error = 0.0625};
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        calibration->rates.seconds[unit] *= 1.0 + unit / 3.0;
    return ST_OK;
}

static void open_run(struct run *run, struct tiny_job *tiny)
{
    tiny_job_open_run(tiny, run);
    calibrated = 0;
    networks = 20;
    given_time = NAN;
}

static void open_speed(struct run *run)
{
    struct error err;
    if (speed_open(run, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static void assert_same(double found, double expected)
{
    if (found != expected)
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static void test_resumed(void **state)
{
    static struct run run, again;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, clocked);
    open_run(&run, &tiny);
    assert_int_equal(record_stage(&run, &err), ST_OK);
    open_speed(&run);
    assert_int_equal(calibrated, 1);
    assert_true(given_time == 1.0);
    assert_true(run.calibrated && run.seconds_per_image > 0.0 && run.beside > 0.0);
    assert_true(run.evaluation_factor > 0.0);
    assert_int_equal(run.rates.batch, TINY_JOB_BATCH);
    assert_int_equal(tiny_job_events(&tiny, "calibration"), 1);
    const struct cost_rates rates = run.rates;
    const double measured = run.seconds_per_image, beside = run.beside, evaluation = run.evaluation_factor;
    run_close(&run);
    open_run(&again, &tiny);
    assert_int_equal(again.rates.batch, rates.batch);
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        assert_same(again.rates.seconds[unit], rates.seconds[unit]);
    assert_true(again.calibrated);
    assert_same(again.seconds_per_image, measured);
    assert_same(again.beside, beside);
    assert_same(again.evaluation_factor, evaluation); /* by which the test's time is reckoned */
    open_speed(&again);
    assert_int_equal(calibrated, 0);
    assert_same(again.seconds_per_image, measured);
    assert_int_equal(tiny_job_events(&tiny, "calibration"), 1);
    run_close(&again);
    tiny_job_close(&tiny);
}

/* No clock decides, there is nothing to choose, or there is no time: then nothing is measured. */
static void test_not_wanted(void **state)
{
    static const char *const model_clock[] = {"budget.models=[]", "budget.seconds=[1000]",
                                              "budget.clock=model", "search.strategy=phases", NULL};
    static const char *const none[] = {"budget.models=[]", "budget.seconds=[1000]", "search.strategy=none",
                                       NULL};
    static const char *const steps[] = {"budget.models=[]", "budget.steps=[1000]", NULL};
    static const char *const shortly[] = {"budget.models=[]", "budget.seconds=[4]", "search.strategy=phases",
                                          NULL};
    static const char *const *const jobs[] = {model_clock, none, steps, shortly, NULL};
    (void)state;
    for (int i = 0; jobs[i] != NULL; i++) {
        static struct run run;
        struct tiny_job tiny;
        tiny_job_open(&tiny, jobs[i]);
        open_run(&run, &tiny);
        const struct cost_rates rates = run.rates;
        open_speed(&run);
        assert_int_equal(calibrated, 0);
        assert_memory_equal(&run.rates, &rates, sizeof(rates));
        assert_int_equal(tiny_job_events(&tiny, "calibration"), 0);
        run_close(&run);
        tiny_job_close(&tiny);
    }
}

/* The stage's time is over, as in a run that is gone on with late: nothing is measured. */
static void test_no_time(void **state)
{
    static struct run run;
    struct tiny_job tiny;
    (void)state;
    tiny_job_open(&tiny, clocked);
    open_run(&run, &tiny);
    run.aside = -5000.0;
    assert_true(run_seconds_left(&run) < 0.0);
    open_speed(&run);
    assert_int_equal(calibrated, 0);
    assert_true(!run.calibrated && run.beside == 0.0);
    run_close(&run);
    tiny_job_close(&tiny);
}

/* A calibration of a few networks is none; a stage of half a minute gives it half a second. */
static void test_too_few(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.seconds=[30]",
                                            "search.strategy=phases", NULL};
    static struct run run;
    struct tiny_job tiny;
    (void)state;
    tiny_job_open(&tiny, overrides);
    open_run(&run, &tiny);
    networks = 9;
    open_speed(&run);
    assert_int_equal(calibrated, 1);
    assert_true(given_time > 0.0 && given_time <= 0.6);
    assert_int_equal(run.rates.batch, 0);
    assert_true(run.calibrated); /* the first start was measured all the same */
    assert_int_equal(tiny_job_events(&tiny, "calibration"), 0);
    run_close(&run);
    tiny_job_close(&tiny);
}

static void test_expected(void **state)
{
    static struct run run;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, clocked);
    open_run(&run, &tiny);
    struct candidate *candidate = candidate_new();
    assert_non_null(candidate);
    assert_true(isnan(candidate->expected_images_per_second));
    const struct shape image = {0, run.data.channels, run.data.height, run.data.width};
    assert_int_equal(start_make(&candidate->graph, "cnn", 8, image, run.data.classes, &err), ST_OK);
    open_speed(&run);
    const double alone = 1.0 / (run.seconds_per_image * cost_seconds(&candidate->graph, &run.rates));
    assert_true(fabs(speed_expected(&run, candidate) / alone - 1.0) < 1e-12);
    run.sharing = (struct run_sharing){.workers = 2, .alone = 100.0, .together = 160.0};
    assert_true(fabs(speed_expected(&run, candidate) / (0.8 * alone) - 1.0) < 1e-12);
    candidate->final = true; /* nothing is beside it, and several devices may share it */
    run.batches.team = 2;
    assert_true(fabs(speed_expected(&run, candidate) / (2.0 * alone) - 1.0) < 1e-12);
    /* who was as fast as expected teaches nothing new, whatever trained it; who was half as fast does */
    const double before = run.seconds_per_image;
    candidate->measured_steps = 1000;
    for (int final = 0; final < 2; final++) {
        candidate->final = final == 1;
        candidate->images_per_second = speed_expected(&run, candidate);
        candidate->validation_seconds = 0.5 * run.data.sample_count[SPLIT_VALIDATION] /
                                        (candidate->images_per_second * run.seconds_per_image);
        speed_learn(&run, candidate);
        assert_true(fabs(run.seconds_per_image / before - 1.0) < 1e-12);
        assert_true(fabs(run.evaluation_factor - 0.5) < 1e-12);
    }
    candidate->images_per_second *= 0.5;
    speed_learn(&run, candidate);
    assert_true(fabs(run.seconds_per_image / before - 1.5) < 1e-12);
    candidate->images_per_second = 0.0;
    assert_true(isnan(speed_error(candidate)));
    candidate->images_per_second = 80.0;
    candidate->expected_images_per_second = 100.0;
    assert_true(fabs(speed_error(candidate) - 0.25) < 1e-12);
    candidate_free(candidate);
    run_close(&run);
    tiny_job_close(&tiny);
}

/* A whole run journals what it expected of each training, and what it was. */
static void test_journalled(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.seconds=[8]",
                                            "search.strategy=phases", "search.starts=[\"lean\",\"cnn\"]",
                                            NULL};
    static struct run run;
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    int models = 0;
    (void)state;
    tiny_job_open(&tiny, overrides);
    open_run(&run, &tiny);
    if (stage_run(&run, &err) != ST_OK)
        fail_msg("%s", err.message);
    tiny_job_journal(&tiny, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        if (strcmp(lines.lines[i].event, "model") != 0)
            continue;
        models++;
        assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(lines.lines[i].json, "images_per_second")) >
                    0.0);
        assert_true(cJSON_GetNumberValue(
                        cJSON_GetObjectItem(lines.lines[i].json, "predicted_images_per_second")) > 0.0);
    }
    assert_true(models > 0);
    journal_lines_free(&lines);
    run_close(&run);
    tiny_job_close(&tiny);
}

/* --plan says what is predicted beside what was measured, where a clock counts. */
static void test_plan(void **state)
{
    (void)state;
    for (int counts = 0; counts < 2; counts++) {
        struct tiny_job tiny;
        struct error err;
        char *text = NULL;
        size_t length;
        FILE *out = open_memstream(&text, &length);
        assert_non_null(out);
        networks = 20;
        tiny_job_open(&tiny, counts ? clocked : NULL);
        if (engine_dry_run(&tiny.job, out, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(fclose(out), 0);
        if ((strstr(text, " images/s (") != NULL) != (bool)counts)
            fail_msg("found\n%s", text);
        free(text);
        tiny_job_close(&tiny);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumed), cmocka_unit_test(test_not_wanted), cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_too_few), cmocka_unit_test(test_expected),   cmocka_unit_test(test_journalled),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

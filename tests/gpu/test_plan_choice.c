/* How a planner chooses on a device that is there: candidates are run and recorded, those that cuDNN refuses are passed
 * over, of the others the fastest is taken, nothing leaks. The device is a double (plan_double.h). */
#include "tests/gpu/plan_double.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREAD_SHAPES = 24 };

/* Plans one convolution; *info is what was chosen. */
static enum status choose(enum conv_kind kind, int32_t timed, const char *cache, struct conv_plan_info *info,
                          struct error *err)
{
    const struct conv_options options = {.type = CUDA_BF16,
                                         .deterministic = true,
                                         .workspace_limit = CONV_WORKSPACE_LIMIT,
                                         .timed = timed,
                                         .cache_folder = cache};
    const struct conv_window window = {3, 3, 1, 1, 1, 1};
    const struct shape image = {128, 64, 32, 32};
    struct conv_geometry geometry;
    struct conv_planner *planner;
    const struct conv_plan *plan;
    *err = (struct error){0};
    conv_geometry_of(image, image, &window, &geometry);
    if (conv_planner_open(0, &options, &planner, err) != ST_OK)
        fail_msg("%s", err->message);
    enum status st = conv_planner_plan(planner, kind, &geometry, &plan, err);
    if (st == ST_OK)
        *info = conv_plan_describe(plan);
    conv_planner_close(planner);
    return st;
}

static void choose_well(enum conv_kind kind, int32_t timed, const char *cache, struct conv_plan_info *info)
{
    struct error err;
    if (choose(kind, timed, cache, info, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static void test_the_first_that_runs_is_taken(void **state)
{
    (void)state;
    struct conv_plan_info first, third;
    choose_well(CONV_FORWARD, 1, NULL, &first);
    assert_int_equal(plan_double.plans, 1);
    assert_int_equal(plan_double.executions, 1);
    plan_double.plans = 0;
    plan_double.milliseconds[0] = plan_double.milliseconds[1] = 0;
    choose_well(CONV_FORWARD, 0, NULL, &third);
    assert_int_equal(plan_double.plans, 3);
    assert_int_not_equal(first.rank, third.rank);
    assert_true(third.seconds == 0.0);
}

static void test_the_fastest_of_the_timed_is_taken(void **state)
{
    (void)state;
    static const float times[] = {4, 0, 1, 2, 3, 0.5f}; /* the second doesn't run, the sixth is not asked */
    struct conv_plan_info info;
    memcpy(plan_double.milliseconds, times, sizeof times);
    choose_well(CONV_BACKWARD_DATA, 4, NULL, &info);
    assert_int_equal(plan_double.plans, 5);
    assert_float_equal(info.seconds, 1e-3, 1e-9);
    assert_true(info.tensor_core);
}

/* Who shares the device slows down a stretch of measurements: it must not decide, wherever it falls and however long it
 * lasts, up to the time in which each candidate is measured twice. */
static void test_a_disturbance_does_not_decide(void **state)
{
    (void)state;
    static const float orders[][4] = {{4, 3, 1, 2},          {1, 2, 3, 4},       {4, 3, 2, 1},
                                      {1.2f, 1.1f, 1, 1.3f}, {1.3f, 9, 1.2f, 1}, {9, 1, 8, 1.4f}};
    const int32_t candidates = 4;
    for (size_t order = 0; order < sizeof orders / sizeof *orders; order++)
        for (int32_t from = 0; from < 5 * candidates; from++)
            for (int32_t length = 0; length <= 2 * candidates; length++) {
                struct conv_plan_info info;
                plan_double.plans = plan_double.measurements = 0;
                memcpy(plan_double.milliseconds, orders[order], sizeof orders[order]);
                plan_double.slowed_from = from;
                plan_double.slowed_to = from + length;
                choose_well(CONV_BACKWARD_DATA, candidates, NULL, &info);
                if (info.seconds > 1.0001e-3)
                    fail_msg("order %zu, disturbed from measurement %d for %d: %g ms are chosen", order,
                             (int)from, (int)length, 1e3 * info.seconds);
            }
}

/* Far slower than the best: two looks and no more. */
static void test_the_slow_are_given_up(void **state)
{
    (void)state;
    struct conv_plan_info info;
    int32_t alike, slow;
    choose_well(CONV_FORWARD, 8, NULL, &info);
    alike = plan_double.executions;
    plan_double.plans = plan_double.executions = 0;
    for (int32_t i = 1; i < 8; i++)
        plan_double.milliseconds[i] = 12.1f;
    choose_well(CONV_FORWARD, 8, NULL, &info);
    slow = plan_double.executions;
    assert_int_equal(alike, 8 + 2 * 8 * (1 + 3)); /* once each, then replays of two */
    assert_int_equal(slow, 8 + 2 * (1 + 7 * 3));
}

/* What shows that a candidate can be recorded is replayed to time it. One with a larger workspace than those before it moves
 * theirs, and they are recorded anew. */
static void test_each_is_recorded_once(void **state)
{
    (void)state;
    struct conv_plan_info info;
    choose_well(CONV_FORWARD, 1, NULL, &info);
    assert_int_equal(plan_double.recordings, 1);
    plan_double.plans = plan_double.recordings = 0;
    choose_well(CONV_FORWARD, 8, NULL, &info);
    assert_in_range(plan_double.recordings, 8, 15);
}

/* ---- refusals ---- */

/* Whatever is wrong with one candidate is the next one's chance. */
static void test_what_cannot_be_described_is_passed_over(void **state)
{
    (void)state;
    struct conv_plan_info first, second, none;
    struct error err;
    choose_well(CONV_FORWARD, 1, NULL, &first);
    plan_double.plans = plan_double.described = 0;
    plan_double.undescribed_from = first.rank;
    plan_double.undescribed_to = first.rank + 1;
    choose_well(CONV_FORWARD, 1, NULL, &second);
    assert_int_equal(plan_double.plans, 1);
    assert_int_not_equal(first.rank, second.rank);
    plan_double.undescribed_from = 0;
    plan_double.undescribed_to = PLAN_DOUBLE_NEVER;
    assert_int_equal(choose(CONV_FORWARD, 1, NULL, &none, &err), ST_UNSUPPORTED);
    assert_non_null(
        strstr(err.message, "the last refusal: cuDNN: describe an engine: CUDNN_STATUS_NOT_SUPPORTED"));
}

/* In a step that is recorded it would have all others queued one by one. */
static void test_what_cannot_be_recorded_is_passed_over(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    for (int32_t timed = 1; timed <= 4; timed += 3) {
        plan_double.plans = 0;
        plan_double.unrecordable = 3;
        choose_well(CONV_FORWARD, timed, NULL, &info);
        assert_int_equal(plan_double.plans, 3 + timed);
    }
    plan_double.plans = 0;
    plan_double.unrecordable = PLAN_DOUBLE_NEVER;
    assert_int_equal(choose(CONV_FORWARD, 4, NULL, &info, &err), ST_DEVICE);
    assert_non_null(strstr(err.message, "the last refusal: CUDA: record a convolution"));
}

/* Where the device can't tell times within a recording, cuDNN's first that runs is taken. */
static void test_without_times_the_first_is_taken(void **state)
{
    (void)state;
    struct conv_plan_info first, info;
    choose_well(CONV_FORWARD, 1, NULL, &first);
    plan_double.plans = 0;
    plan_double.untimeable = true;
    choose_well(CONV_FORWARD, 4, NULL, &info);
    assert_int_equal(plan_double.plans, 4);
    assert_int_equal(info.rank, first.rank);
    assert_true(info.seconds == 0.0);
}

/* ---- threads ---- */

struct second_planner {
    struct conv_planner *planner;
    const struct conv_plan *plans[THREAD_SHAPES];
    bool upwards;
};

static void *plan_in_a_thread(void *context)
{
    struct second_planner *second = context;
    struct error err;
    for (int32_t i = 0; i < THREAD_SHAPES; i++) {
        const int32_t shape = second->upwards ? i : THREAD_SHAPES - 1 - i;
        struct conv_geometry geometry;
        conv_geometry_of((struct shape){8, 16, 8, 8}, (struct shape){8, 16 + 8 * (shape / 3), 8, 8},
                         &(struct conv_window){3, 3, 1, 1, 1, 1}, &geometry);
        if (conv_planner_plan(second->planner, (enum conv_kind)(shape % 3), &geometry, &second->plans[shape],
                              &err) != ST_OK)
            return NULL;
    }
    return second;
}

/* Each shape becomes one plan, whoever comes first. */
static void test_two_threads_plan_at_once(void **state)
{
    (void)state;
    const struct conv_options options = {
        .type = CUDA_BF16, .deterministic = true, .workspace_limit = CONV_WORKSPACE_LIMIT, .timed = 2};
    struct second_planner here = {.upwards = true}, there = {.upwards = false};
    struct error err;
    pthread_t thread;
    void *done;
    assert_int_equal(conv_planner_open(0, &options, &here.planner, &err), ST_OK);
    there.planner = here.planner;
    assert_int_equal(pthread_create(&thread, NULL, plan_in_a_thread, &there), 0);
    assert_non_null(plan_in_a_thread(&here));
    assert_int_equal(pthread_join(thread, &done), 0);
    assert_non_null(done);
    for (int32_t i = 0; i < THREAD_SHAPES; i++)
        assert_ptr_equal(here.plans[i], there.plans[i]);
    assert_int_equal(plan_double.plans, 2 * THREAD_SHAPES); /* two were timed for each */
    conv_planner_close(here.planner);
}

static void test_none_runs(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    memset(plan_double.milliseconds, 0, sizeof plan_double.milliseconds);
    assert_int_equal(choose(CONV_FORWARD, 1, NULL, &info, &err), ST_DEVICE);
    assert_non_null(
        strstr(err.message, "convolution of 128 x 32 x 32 x 64 (NHWC) by 64 kernels of 3 x 3 x 64"));
    assert_non_null(strstr(err.message, "CUDNN_STATUS_EXECUTION_FAILED"));
    assert_true(plan_double.plans > 10); /* not before all were tried */
}

/* What is fused has another way: it is no error of the device's. All its operands have memory. It is not timed. */
static void test_fused_none_runs(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    choose_well(CONV_ADD_BIAS_RELU, 4, NULL, &info);
    assert_int_equal(plan_double.executions, 1);
    assert_true(info.seconds == 0.0);
    assert_true(info.tensor_core && !info.compiled);
    assert_in_range(plan_double.allocations, 5, 6); /* x, kernel, y, bias, addend; a workspace */
    plan_double.plans = 0;
    memset(plan_double.milliseconds, 0, sizeof plan_double.milliseconds);
    assert_int_equal(choose(CONV_ADD_BIAS_RELU, 1, NULL, &info, &err), ST_UNSUPPORTED);
    assert_true(plan_double.plans > 10);
}

static void test_without_memory_the_choice_is_untried(void **state)
{
    (void)state;
    for (plan_double.allocations_before_failure = 0; plan_double.allocations_before_failure < 3;
         plan_double.allocations_before_failure++) {
        struct conv_plan_info info;
        plan_double.plans = plan_double.allocations = plan_double.executions = 0;
        choose_well(CONV_FORWARD, 4, NULL, &info);
        assert_int_equal(plan_double.plans, 1);
        assert_int_equal(plan_double.executions, 0);
        assert_int_equal(plan_double.alive, 0);
    }
}

static void test_without_room_for_its_workspace_another_is_taken(void **state)
{
    (void)state;
    struct conv_plan_info roomy, tight;
    choose_well(CONV_BACKWARD_WEIGHTS, 1, NULL, &roomy);
    assert_int_equal(plan_double.allocations, 4); /* x, kernel, y, workspace */
    plan_double.plans = plan_double.allocations = 0;
    plan_double.allocations_before_failure = 3;
    plan_double.failing_allocations = 1;
    choose_well(CONV_BACKWARD_WEIGHTS, 1, NULL, &tight);
    assert_int_equal(plan_double.refused_allocations, 1);
    assert_int_equal(plan_double.plans, 2);
    assert_int_not_equal(roomy.rank, tight.rank);
}

static void test_a_broken_device_ends_it(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    plan_double.broken = true;
    assert_int_equal(choose(CONV_FORWARD, 4, NULL, &info, &err), ST_DEVICE);
    assert_non_null(strstr(err.message, "run a convolution"));
    assert_int_equal(plan_double.plans, 1);
}

static void test_a_kept_choice_needs_no_trial(void **state)
{
    (void)state;
    char folder[] = "/tmp/nasrun-choice-XXXXXX", command[64];
    struct conv_plan_info made, kept;
    assert_non_null(mkdtemp(folder));
    plan_double.milliseconds[1] = 2;
    choose_well(CONV_FORWARD, 3, folder, &made);
    plan_double.plans = plan_double.executions = 0;
    choose_well(CONV_FORWARD, 3, folder, &kept);
    assert_int_equal(plan_double.plans, 0);
    assert_int_equal(plan_double.executions, 0);
    assert_true(kept.cached);
    assert_int_equal(kept.engine, made.engine);
    assert_true(kept.seconds == made.seconds && kept.seconds > 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_first_that_runs_is_taken, plan_double_begin,
                                        plan_double_end),
        cmocka_unit_test_setup_teardown(test_the_fastest_of_the_timed_is_taken, plan_double_begin,
                                        plan_double_end),
        cmocka_unit_test_setup_teardown(test_a_disturbance_does_not_decide, plan_double_begin,
                                        plan_double_end),
        cmocka_unit_test_setup_teardown(test_the_slow_are_given_up, plan_double_begin, plan_double_end),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_described_is_passed_over, plan_double_begin,
                                        plan_double_end),
        cmocka_unit_test_setup_teardown(test_each_is_recorded_once, plan_double_begin, plan_double_end),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_recorded_is_passed_over, plan_double_begin,
                                        plan_double_end),
        cmocka_unit_test_setup_teardown(test_without_times_the_first_is_taken, plan_double_begin,
                                        plan_double_end),
        cmocka_unit_test_setup_teardown(test_two_threads_plan_at_once, plan_double_begin, plan_double_end),
        cmocka_unit_test_setup_teardown(test_none_runs, plan_double_begin, plan_double_end),
        cmocka_unit_test_setup_teardown(test_fused_none_runs, plan_double_begin, plan_double_end),
        cmocka_unit_test_setup_teardown(test_without_memory_the_choice_is_untried, plan_double_begin,
                                        plan_double_end),
        cmocka_unit_test_setup_teardown(test_without_room_for_its_workspace_another_is_taken,
                                        plan_double_begin, plan_double_end),
        cmocka_unit_test_setup_teardown(test_a_broken_device_ends_it, plan_double_begin, plan_double_end),
        cmocka_unit_test_setup_teardown(test_a_kept_choice_needs_no_trial, plan_double_begin,
                                        plan_double_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

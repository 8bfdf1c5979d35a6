/* Learning-rate schedules: their corners, their shape between them. */
#include "host/train/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

/* Rates at the start, half-way up, at the peak, half-way down and at the end; warm-up 0.2, peak 0.5. */
static void test_corners(void **state)
{
    static const struct {
        enum job_schedule kind;
        double rates[5];
    } cases[] = {
        {JOB_SCHEDULE_COSINE, {0, 0.25, 0.5, 0.25, 0}},
        {JOB_SCHEDULE_LINEAR, {0, 0.25, 0.5, 0.25, 0}},
        {JOB_SCHEDULE_TRIANGLE, {0.1, 0.3, 0.5, 0.5 * (1 + 0.07) / 2, 0.035}},
        {JOB_SCHEDULE_ONE_CYCLE,
         {0.5 / 25, 0.5 * (1 + 1.0 / 25) / 2, 0.5, 0.5 * (1 + 1.0 / 10000) / 2, 0.5 / 10000}},
    };
    static const double progress[5] = {0, 0.1, 0.2, 0.6, 1};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct schedule schedule = {cases[i].kind, 0.5, 0.2, 0.0};
        for (int j = 0; j < 5; j++)
            assert_near(schedule_rate(&schedule, progress[j]), cases[i].rates[j]);
        assert_near(schedule_rate(&schedule, -1), cases[i].rates[0]); /* clamped */
        assert_near(schedule_rate(&schedule, 1.5), cases[i].rates[4]);
    }
    /* a quarter of the way down: where cosine and line differ */
    const struct schedule cosine = {JOB_SCHEDULE_COSINE, 1, 0.2, 0.0},
                          linear = {JOB_SCHEDULE_LINEAR, 1, 0.2, 0.0};
    assert_near(schedule_rate(&cosine, 0.4), 0.5 + 0.25 * sqrt(2));
    assert_near(schedule_rate(&linear, 0.4), 0.75);
}

static void test_rises_then_falls(void **state)
{
    static const double warmups[] = {0.0, 0.15, 0.9};
    (void)state;
    for (int kind = JOB_SCHEDULE_COSINE; kind <= JOB_SCHEDULE_ONE_CYCLE; kind++) {
        for (int w = 0; w < 3; w++) {
            const struct schedule schedule = {(enum job_schedule)kind, 3.0, warmups[w], 0.0};
            double before = schedule_rate(&schedule, 0);
            for (int i = 1; i <= 1000; i++) {
                double progress = i / 1000.0, rate = schedule_rate(&schedule, progress);
                assert_true(rate >= 0.0 && rate <= 3.0);
                if (progress < warmups[w])
                    assert_true(rate > before);
                else if (progress > warmups[w] + 0.001)
                    assert_true(rate < before);
                before = rate;
            }
        }
    }
    const struct schedule without = {JOB_SCHEDULE_COSINE, 3.0, 0.0, 0.0};
    assert_near(schedule_rate(&without, 0), 3.0);
}

/* Warm-up, hold and fall, each of its share; without a fall the peak is kept to the end, rounded shares or not. */
static void test_hold(void **state)
{
    (void)state;
    for (int kind = JOB_SCHEDULE_COSINE; kind <= JOB_SCHEDULE_ONE_CYCLE; kind++) {
        const struct schedule plain = {(enum job_schedule)kind, 3.0, 0.2, 0.0},
                              holds = {(enum job_schedule)kind, 3.0, 0.1, 0.5},
                              stays = {(enum job_schedule)kind, 3.0, 0.07, 1.0 - 0.07},
                              only = {(enum job_schedule)kind, 3.0, 0.0, 1.0};
        for (int i = 0; i <= 100; i++) {
            const double part = i / 100.0;
            assert_near(schedule_rate(&holds, 0.1 * part), schedule_rate(&plain, 0.2 * part));
            assert_near(schedule_rate(&holds, 0.1 + 0.499 * part), 3.0);
            assert_near(schedule_rate(&holds, 0.6 + 0.4 * part), schedule_rate(&plain, 0.2 + 0.8 * part));
            assert_near(schedule_fallen(&holds, 0.6 * part), 0.0);
            assert_near(schedule_fallen(&holds, 0.6 + 0.4 * part), part);
            assert_near(schedule_rate(&stays, 0.07 + 0.93 * part), 3.0);
            assert_near(schedule_fallen(&stays, part), 0.0);
            assert_near(schedule_rate(&only, part), 3.0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corners),
        cmocka_unit_test(test_rises_then_falls),
        cmocka_unit_test(test_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

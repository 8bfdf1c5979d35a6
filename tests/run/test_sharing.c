/* Whether a device is shared by two trainings, by what was measured; what that makes of the speeds that a budget is
 * divided by; and how many candidates are on their way. */
#include "host/run/coordinator.h"
#include "host/run/sharing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_choice(void **state)
{
    static const struct {
        double alone, together;
        int32_t expected;
    } cases[] = {
        {1000, 2000, 2}, {1000, 1200, 2}, {1000, 1150.01, 2}, {1000, 1140, 1},
        {1000, 1000, 1}, {1000, 600, 1},  {500, 600, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(sharing_choose(cases[i].alone, cases[i].together), cases[i].expected);
}

static void test_slowdown(void **state)
{
    static const struct {
        struct run_sharing sharing;
        double expected;
    } cases[] = {
        {{0, 0, 0, 0}, 1.0},       {{1, 0, 0, 0}, 1.0},       {{2, 0, 0, 0}, 1.0},
        {{1, 1000, 600, 0}, 1.0},  {{2, 1000, 2000, 0}, 1.0}, {{2, 1000, 1250, 0}, 1.6},
        {{3, 1000, 1500, 0}, 2.0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(fabs(sharing_slowdown(&cases[i].sharing) - cases[i].expected) < 1e-12);
}

/* Each training that goes on at a time has its next candidate waiting, where preparing takes time; the job may say
 * otherwise. */
static void test_window(void **state)
{
    static const struct {
        int32_t ahead, workers;
        bool slow;
        int32_t expected;
    } cases[] = {{-1, 1, false, 1}, {-1, 1, true, 2}, {-1, 8, true, 16}, {-1, 2, false, 2},
                 {0, 4, true, 4},   {3, 4, true, 7},  {1, 2, false, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct job job = {.search = {.ahead = cases[i].ahead}};
        const struct run run = {.job = &job,
                                .devices = {.count = 1, .workers = cases[i].workers},
                                .device_info = {.prepares_slowly = cases[i].slow}};
        assert_int_equal(coordinator_window(&run), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_slowdown),
        cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

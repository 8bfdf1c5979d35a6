/* The batches that a run chooses: what the user set, and what "auto" makes of devices and data. */
#include "host/run/batch.h"
#include "spec/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_choice(void **state)
{
    static const struct {
        int32_t job_batch;
        bool gpus;
        int32_t devices, candidate_images, final_images;
        int32_t candidate, final, team; /* expected */
    } cases[] = {
        /* What the user set stays, and is split by the devices that divide it. */
        {32, false, 1, 480, 480, 32, 32, 1},
        {128, true, 8, 45000, 45000, 128, 128, 8},
        {100, true, 8, 45000, 45000, 100, 100, 5},
        {32, false, 3, 480, 480, 32, 32, 2},
        /* The CPU: 128, or what there are images for. */
        {JOB_AUTO, false, 1, 54000, 54000, 128, 128, 1},
        {JOB_AUTO, false, 2, 200, 200, 128, 128, 2},
        {JOB_AUTO, false, 3, 200, 200, 128, 128, 2},
        {JOB_AUTO, false, 1, 128, 128, 128, 128, 1},
        {JOB_AUTO, false, 1, 127, 127, 64, 64, 1},
        {JOB_AUTO, false, 1, 50, 100, 32, 64, 1},
        {JOB_AUTO, false, 1, 1, 2, 1, 2, 1},
        /* One GPU. */
        {JOB_AUTO, true, 1, 54000, 54000, 512, 1024, 1},
        {JOB_AUTO, true, 1, 45000, 45000, 512, 1024, 1},
        {JOB_AUTO, true, 1, 512 * 32, 1024 * 16, 512, 1024, 1},
        {JOB_AUTO, true, 1, 512 * 32 - 1, 1024 * 16 - 1, 256, 512, 1},
        {JOB_AUTO, true, 1, 900, 900, 128, 128, 1},
        {JOB_AUTO, true, 1, 100, 100, 64, 64, 1},
        /* Several: the final fit's grows with them, as far as the images do. */
        {JOB_AUTO, true, 2, 45000, 45000, 512, 2048, 2},
        {JOB_AUTO, true, 8, 45000, 45000, 512, 2048, 8},
        {JOB_AUTO, true, 8, 1280000, 1280000, 512, 8192, 8},
        {JOB_AUTO, true, 3, 45000, 45000, 512, 1536, 3},
        {JOB_AUTO, true, 3, 1000, 1000, 128, 192, 3},
        {JOB_AUTO, true, 8, 90, 90, 64, 64, 8},
        {JOB_AUTO, true, 8, 5, 5, 4, 5, 5},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct batches got = batches_choose(cases[i].job_batch, cases[i].gpus, cases[i].devices,
                                                  cases[i].candidate_images, cases[i].final_images);
        if (got.candidate != cases[i].candidate || got.final != cases[i].final || got.team != cases[i].team)
            fail_msg("case %zu: %d, %d by %d devices, expected %d, %d by %d", i, (int)got.candidate,
                     (int)got.final, (int)got.team, (int)cases[i].candidate, (int)cases[i].final,
                     (int)cases[i].team);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

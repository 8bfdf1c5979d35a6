/* Images that occur twice, exactly or nearly: how many are told, and what is not taken for one. */
#include "host/base/random.h"
#include "tests/support/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { TRAINED = 300, TESTED = 40, SIDE = 32, RECORD = 1 + 3 * SIDE * SIDE, GRID = 9 };

/* An image like a photo, smooth between random values of a coarse grid: record `to`, with its label. */
static void draw(struct random_sequence *random, int32_t label, uint8_t *to)
{
    float grid[3][GRID][GRID];
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < GRID; y++)
            for (int x = 0; x < GRID; x++)
                grid[c][y][x] = 30.0f + 190.0f * random_next_unit(random);
    to[0] = (uint8_t)label;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                const float v = (float)y / 4.0f, u = (float)x / 4.0f;
                const int row = (int)v, column = (int)u;
                const float down = v - (float)row, right = u - (float)column;
                const float above = grid[c][row][column] * (1.0f - right) + grid[c][row][column + 1] * right;
                const float below =
                    grid[c][row + 1][column] * (1.0f - right) + grid[c][row + 1][column + 1] * right;
                to[1 + (c * SIDE + y) * SIDE + x] = (uint8_t)(above * (1.0f - down) + below * down);
            }
}

/* The same in other light, and as after a stronger compression: a little noise. */
static void alter(struct random_sequence *random, const uint8_t *from, int32_t label, uint8_t *to)
{
    to[0] = (uint8_t)label;
    for (int i = 1; i < RECORD; i++)
        to[i] = (uint8_t)(0.8f * (float)from[i] + 20.0f + 5.0f * random_next_unit(random));
}

static uint8_t trained[TRAINED][RECORD], tested[TESTED][RECORD];

static void write_both(const char *folder)
{
    data_files_write(folder, "data_batch_1.bin", trained, sizeof(trained), false);
    data_files_write(folder, "test_batch.bin", tested, sizeof(tested), false);
}

/* Images that all differ, in a folder; its job keeps none for validation. */
static struct job_dataset draw_all(struct random_sequence *random, const char *folder)
{
    for (int32_t i = 0; i < TRAINED; i++)
        draw(random, i % 10, trained[i]);
    for (int32_t i = 0; i < TESTED; i++)
        draw(random, i % 10, tested[i]);
    write_both(folder);
    struct job_dataset job = data_files_job(folder);
    job.validation = 0.0;
    return job;
}

/* Two test images are training images, one of them with another label. */
static void repeat_two(void)
{
    memcpy(tested[5], trained[105], RECORD);
    memcpy(tested[6], trained[106], RECORD);
    tested[6][0] = 1;
}

/* What loading it says. */
static char *said(const struct job_dataset *job)
{
    struct dataset set;
    char *text = data_files_told(job, &set);
    data_free(&set);
    return text;
}

static void test_twins(void **state)
{
    struct random_sequence random = {.seed = 1, .stream = RANDOM_SPLIT};
    (void)state;
    char *folder = data_files_folder();
    const struct job_dataset job = draw_all(&random, folder);
    char *text = said(&job);
    assert_null(strstr(text, "images are")); /* neither the same nor nearly */
    assert_null(strstr(text, "label"));
    free(text);

    /* Five in other light, two as they are; of a label of its own one each. */
    for (int32_t i = 0; i < 5; i++)
        alter(&random, trained[20 * i + i], i == 4 ? 9 : i, tested[i]);
    repeat_two();
    /* A mirrored one is another image here. */
    for (int32_t i = 1; i < RECORD; i++)
        tested[7][i] = trained[107][1 + (i - 1) / SIDE * SIDE + SIDE - 1 - (i - 1) % SIDE];
    /* Within a split and a class they are nobody's business. */
    alter(&random, trained[200], 0, trained[210]);
    write_both(folder);
    text = said(&job);
    assert_non_null(strstr(text, "warning: 2 of 40 test images are training images, too, pixel by pixel"));
    assert_non_null(strstr(
        text, "warning: 2 images occur under more than one label, pixel by pixel, for example image 106 "
              "and image 306\n"));
    assert_non_null(
        strstr(text, "warning: 5 of 40 test images are nearly training images, too, but for scale"));
    assert_non_null(
        strstr(text, "warning: 2 images occur nearly under more than one label, but for scale, colours or "
                     "compression, for example image 84 and image 304\n"));
    free(text);
    data_files_remove(folder);
}

/* Whether warnings are told, or stop it, or are not looked for. */
static void test_audit(void **state)
{
    struct random_sequence random = {.seed = 2, .stream = RANDOM_SPLIT};
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = draw_all(&random, folder);
    job.audit = JOB_AUDIT_STOP;
    free(said(&job)); /* nothing speaks against them */

    repeat_two();
    write_both(folder);
    data_files_refuse(
        &job, ST_FORMAT,
        ": found 2 warnings, the first: 2 of 40 test images are training images, too, pixel by pixel",
        "; expected none, or dataset.audit = \"warn\"");
    job.audit = JOB_AUDIT_OFF;
    char *text = said(&job);
    assert_null(strstr(text, "warning"));
    free(text);
    job.audit = JOB_AUDIT_WARN;
    text = said(&job);
    assert_non_null(strstr(text, "warning: 2 of 40 test images are training images"));
    free(text);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_audit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

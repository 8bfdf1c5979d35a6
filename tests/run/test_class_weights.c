/* What the loss of each class is multiplied by, by train.class_weights; and that a run trains by it. */
#include "host/run/class_weights.h"

#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CLASSES = 4, IMAGES = 12 };

/* Six images of the first class, two of the second, one of the third, none of the last; three more are for the test. */
static int32_t labels[IMAGES] = {0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3};
static int32_t training[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
static char *names[] = {"cat", "a=b", "dog", "none"};

static struct dataset data_of(void)
{
    struct dataset data = {.classes = CLASSES, .class_names = names, .labels = labels, .count = IMAGES};
    data.samples[SPLIT_TRAIN] = training;
    data.sample_count[SPLIT_TRAIN] = 9;
    return data;
}

static void check(const struct job_strings *list, const float *expected)
{
    const struct job_train job = {.class_weights = *list};
    const struct dataset data = data_of();
    struct error err;
    float *weights;
    assert_int_equal(class_weights_of(&job, &data, &weights, &err), ST_OK);
    if (expected == NULL)
        assert_null(weights);
    for (int k = 0; expected != NULL && k < CLASSES; k++)
        assert_float_equal(weights[k], expected[k], 0.0f);
    free(weights);
}

static void test_weights(void **state)
{
    (void)state;
    check(&(struct job_strings){1, {"none"}}, NULL);
    /* nine images in three classes: three for each */
    check(&(struct job_strings){1, {"balanced"}}, (const float[]){0.5f, 1.5f, 3.0f, 1.0f});
    check(&(struct job_strings){2, {"a=b=2.5", "dog=0"}}, (const float[]){1.0f, 2.5f, 0.0f, 1.0f});
}

/* With any number of labels an image, those with a class weigh as much as those without; one that all have, 1. */
static void test_labels(void **state)
{
    static uint8_t sets[] = {1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1};
    const struct job_train job = {.class_weights = {1, {"balanced"}}};
    struct dataset data = data_of();
    struct error err;
    float *weights;
    (void)state;
    data.label_sets = sets; /* of six images, of two, of one, of none for training */
    data.label_set_count = 4;
    assert_int_equal(class_weights_of(&job, &data, &weights, &err), ST_OK);
    assert_float_equal(weights[0], 1.0f, 0.0f);
    assert_float_equal(weights[1], 7.0f / 2.0f, 0.0f);
    assert_float_equal(weights[2], 8.0f, 0.0f);
    assert_float_equal(weights[3], 1.0f, 0.0f);
    free(weights);
}

static void check_refused(const struct job_strings *list, const char *text)
{
    const struct job_train job = {.class_weights = *list};
    const struct dataset data = data_of();
    struct error err;
    float *weights;
    assert_int_equal(class_weights_of(&job, &data, &weights, &err), ST_RANGE);
    assert_string_equal(err.message, text);
    free(weights);
}

static void test_refused(void **state)
{
    (void)state;
    check_refused(&(struct job_strings){1, {"horse=2"}},
                  "train.class_weights: found \"horse=2\", expected the name of a class, as cat=2");
    check_refused(&(struct job_strings){4, {"cat=0", "a=b=0", "dog=0", "none=0"}},
                  "train.class_weights: found 0 for each class, expected more for one");
}

/* A run's models are others, and by the same keys the same. */
static void test_run(void **state)
{
    static const char *const jobs[][3] = {
        {NULL}, {"train.class_weights=0=4", NULL}, {"train.focal=2", NULL}, {"train.focal=2", NULL}};
    double losses[4] = {0};
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct tiny_job tiny;
        struct journal_lines lines;
        tiny_job_open(&tiny, jobs[k]);
        tiny_job_run(&tiny);
        tiny_job_journal(&tiny, &lines);
        losses[k] = tiny_job_number(tiny_job_last(&lines, "model"), "validation_loss");
        journal_lines_free(&lines);
        tiny_job_close(&tiny);
    }
    assert_true(losses[0] != losses[1] && losses[0] != losses[2] && losses[1] != losses[2]);
    assert_true(losses[2] == losses[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights), cmocka_unit_test(test_labels),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

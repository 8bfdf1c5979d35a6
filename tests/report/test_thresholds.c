/* Thresholds by which each class's answers reach a precision. */
#include "host/report/thresholds.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 3, ROWS = 12 };

static char *names[CLASSES] = {"a", "b", "c"};

struct answer {
    int32_t truth, predicted;
    float probability;
    bool validation, trained;
    int32_t views;
};

static const struct answer answers[ROWS] = {
    {0, 0, 0.9f, true, false, 6},  {0, 0, 0.8f, true, false, 6},   {1, 0, 0.7f, true, false, 6},
    {0, 0, 0.7f, true, false, 6},  {0, 0, 0.6f, true, false, 6},   {1, 0, 0.5f, true, false, 6},
    {2, 1, 0.99f, true, false, 6}, {1, 1, 0.4f, true, false, 6},   {0, 1, 0.99f, true, true, 6},
    {1, 1, 0.9f, true, false, 1},  {0, 1, 0.95f, false, false, 6}, {1, 1, 0.98f, true, false, 6},
};

/* Rows of the answers, whose other classes share what is left. */
static void fit(double precision, int32_t views, double thresholds[CLASSES])
{
    static struct predicted_image rows[ROWS];
    static float probabilities[ROWS * CLASSES];
    struct error err;
    for (int i = 0; i < ROWS; i++) {
        const struct answer *a = &answers[i];
        rows[i] = (struct predicted_image){.validation = a->validation,
                                           .trained = a->trained,
                                           .views = a->views,
                                           .truth = a->truth,
                                           .predicted = a->predicted};
        for (int k = 0; k < CLASSES; k++)
            probabilities[i * CLASSES + k] = k == a->predicted ? a->probability : (1 - a->probability) / 2;
    }
    const struct predictions predictions = {.classes = CLASSES,
                                            .count = ROWS,
                                            .class_names = names,
                                            .rows = rows,
                                            .probabilities = probabilities};
    if (thresholds_fit(&predictions, views, precision, thresholds, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* Of class a, surest first: right, right, (wrong, right), right, wrong: precision 1, 1, 3/4, 4/5, 4/6. Of b: wrong,
 * right, right: 0, 1/2, 2/3; what was trained on, tested on or found in other views does not count. c: never. */
static void reach_the_precision(void **state)
{
    double t[CLASSES];
    (void)state;
    fit(1.0, 6, t);
    assert_true(t[0] == (double)0.8f && isinf(t[1]) && isinf(t[2]));
    fit(0.8, 6, t);
    assert_true(t[0] == (double)0.6f && isinf(t[1]));
    fit(0.75, 6, t);
    assert_true(t[0] == (double)0.6f);
    fit(0.6, 6, t);
    assert_true(t[0] == (double)0.5f && t[1] == (double)0.4f && isinf(t[2]));
    fit(1.0, 1, t);
    assert_true(isinf(t[0]) && t[1] == (double)0.9f);
}

static void want_answers(void **state)
{
    const struct predictions none = {.classes = CLASSES, .class_names = names};
    double t[CLASSES];
    struct error err;
    (void)state;
    assert_int_equal(thresholds_fit(&none, 6, 0.9, t, &err), ST_RANGE);
    assert_string_equal(err.message,
                        "found no answers in 6 views to validation images that were not trained on");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reach_the_precision),
        cmocka_unit_test(want_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

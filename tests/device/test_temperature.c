/* Temperatures beside a search over a fine grid, which knows no slopes. */
#include "host/base/random.h"
#include "host/device/temperature.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_ROWS = 400, MOST_CLASSES = 12 };

static float answers[MOST_ROWS * MOST_CLASSES];
static int32_t labels[MOST_ROWS];
static uint8_t label_sets[MOST_ROWS * MOST_CLASSES]; /* with sets each image has one of its own */

static double draw(uint64_t number, uint32_t stream)
{
    return (double)random_unit(random_draw(31, RANDOM_TEST, number, stream).v[0]);
}

/* Answers of logits that are `sureness` times too large: labels are drawn by the softmax of the logits as they are. */
static void make(int32_t rows, int32_t classes, double sureness, uint32_t stream)
{
    for (int32_t row = 0; row < rows; row++) {
        double logits[MOST_CLASSES], total = 0.0, sum = 0.0, at = draw((uint64_t)row, stream);
        for (int32_t k = 0; k < classes; k++) {
            logits[k] = 6.0 * draw((uint64_t)(row * classes + k), stream + 1) - 3.0;
            total += exp(logits[k]);
        }
        labels[row] = classes - 1;
        for (int32_t k = classes - 1; k >= 0; k--) {
            at -= exp(logits[k]) / total;
            if (at < 0.0) {
                labels[row] = k;
                break;
            }
        }
        for (int32_t k = 0; k < classes; k++)
            sum += exp(sureness * logits[k]);
        for (int32_t k = 0; k < classes; k++)
            answers[row * classes + k] = (float)(exp(sureness * logits[k]) / sum);
    }
}

/* What temperature_fit makes least. */
static double cost(int32_t rows, int32_t classes, double temperature)
{
    double sum = 0.5 * log(temperature) * log(temperature);
    for (int32_t row = 0; row < rows; row++) {
        double total = 0.0;
        for (int32_t k = 0; k < classes; k++)
            total += pow(fmax((double)answers[row * classes + k], (double)FLT_MIN), 1.0 / temperature);
        sum += log(total) -
               log(fmax((double)answers[row * classes + labels[row]], (double)FLT_MIN)) / temperature;
    }
    return sum;
}

/* Of a thousandth of a logarithm's distance. */
static double by_grid(int32_t rows, int32_t classes)
{
    double best = TEMPERATURE_LEAST, least = INFINITY;
    for (double u = log(TEMPERATURE_LEAST); u <= log(TEMPERATURE_MOST); u += 1e-3) {
        const double now = cost(rows, classes, exp(u));
        if (now < least) {
            least = now;
            best = exp(u);
        }
    }
    return best;
}

static void assert_fits(int32_t rows, int32_t classes)
{
    const double found = (double)temperature_fit(answers, rows, classes, labels, NULL);
    const double expected = by_grid(rows, classes);
    if (!(fabs(log(found / expected)) <= 1.1e-3))
        fail_msg("temperature %.6f, by the grid %.6f", found, expected);
}

static void finds_what_a_grid_finds(void **state)
{
    (void)state;
    static const double SURENESS[] = {0.3, 0.8, 1.0, 2.5, 6.0};
    for (uint32_t i = 0; i < sizeof(SURENESS) / sizeof(SURENESS[0]); i++) {
        make(MOST_ROWS, 10, SURENESS[i], 10 * i);
        assert_fits(MOST_ROWS, 10);
        const double found = (double)temperature_fit(answers, MOST_ROWS, 10, labels, NULL);
        assert_true(fabs(log(found / SURENESS[i])) < 0.25); /* and so what the answers were spoilt by */
        make(7, 2, SURENESS[i], 10 * i);
        assert_fits(7, 2);
    }
}

/* All right and sure, all wrong and sure, without any chance: there is an answer within the limits. */
static void knows_the_ends(void **state)
{
    (void)state;
    enum { ROWS = 40, CLASSES = 3 };
    for (int32_t right = 0; right < 2; right++) {
        memset(answers, 0, sizeof(answers));
        for (int32_t row = 0; row < ROWS; row++) {
            labels[row] = row % CLASSES;
            answers[row * CLASSES + (row + 1 - right) % CLASSES] = 1.0f;
        }
        const float found = temperature_fit(answers, ROWS, CLASSES, labels, NULL);
        assert_true(found >= (float)TEMPERATURE_LEAST && found <= (float)TEMPERATURE_MOST);
        assert_true(right ? found <= 1.0f : found > 10.0f);
        assert_fits(ROWS, CLASSES);
    }
    assert_true(temperature_fit(answers, 0, CLASSES, labels, NULL) == 1.0f);
}

/* Rows sum to 1, keep their order and are what the formula says; 1 changes nothing, and T behind 1/T gives back. */
static void is_the_formula(void **state)
{
    (void)state;
    enum { ROWS = 50, CLASSES = 9 };
    static float before[ROWS * CLASSES];
    make(ROWS, CLASSES, 2.0, 3);
    memcpy(before, answers, sizeof(before));
    temperature_apply(answers, ROWS, CLASSES, 1.0f, false);
    assert_memory_equal(answers, before, sizeof(before));
    temperature_apply(answers, ROWS, CLASSES, 1.75f, false);
    for (int32_t row = 0; row < ROWS; row++) {
        double total = 0.0, sum = 0.0;
        for (int32_t k = 0; k < CLASSES; k++)
            total += pow((double)before[row * CLASSES + k], 1.0 / 1.75);
        for (int32_t k = 0; k < CLASSES; k++) {
            const double expected = pow((double)before[row * CLASSES + k], 1.0 / 1.75) / total;
            assert_true(fabs((double)answers[row * CLASSES + k] - expected) <= 1e-7);
            sum += (double)answers[row * CLASSES + k];
        }
        assert_true(fabs(sum - 1.0) <= 1e-6);
    }
    temperature_apply(answers, ROWS, CLASSES, 1.0f / 1.75f, false);
    for (int32_t i = 0; i < ROWS * CLASSES; i++)
        assert_true(fabs((double)answers[i] - (double)before[i]) <= 1e-6);
}

/* As `make`, where each class is an answer of its own. */
static void make_sets(int32_t rows, int32_t classes, double sureness, uint32_t stream)
{
    for (int32_t i = 0; i < rows * classes; i++) {
        const double logit = 6.0 * draw((uint64_t)i, stream) - 4.0;
        labels[i / classes] = i / classes;
        label_sets[i] = draw((uint64_t)i, stream + 1) < 1.0 / (1.0 + exp(-logit));
        answers[i] = (float)(1.0 / (1.0 + exp(-sureness * logit)));
    }
}

/* In extended precision: logits of 1 and 0 as they are in labels.h. */
static double cost_of_sets(int32_t rows, int32_t classes, double temperature)
{
    long double sum = 0.5L * logl((long double)temperature) * logl((long double)temperature);
    for (int32_t row = 0; row < rows; row++)
        for (int32_t k = 0; k < classes; k++) {
            const long double p = fmaxl((long double)answers[row * classes + k], (long double)FLT_MIN);
            const long double rest = fmaxl(1.0L - (long double)answers[row * classes + k], 0x1p-25L);
            const long double logit = logl(p / rest) / (long double)temperature;
            sum += log1pl(expl(label_sets[labels[row] * classes + k] ? -logit : logit));
        }
    return (double)sum;
}

static void assert_sets_fit(int32_t rows, int32_t classes)
{
    const double found = (double)temperature_fit(answers, rows, classes, labels, label_sets);
    double best = TEMPERATURE_LEAST, least = INFINITY;
    for (double u = log(TEMPERATURE_LEAST); u <= log(TEMPERATURE_MOST); u += 1e-3) {
        const double now = cost_of_sets(rows, classes, exp(u));
        best = now < least ? exp(u) : best;
        least = fmin(now, least);
    }
    if (!(fabs(log(found / best)) <= 1.1e-3))
        fail_msg("temperature of sets %.6f, by the grid %.6f", found, best);
}

static void fits_sets_of_labels(void **state)
{
    (void)state;
    static const double SURENESS[] = {0.4, 1.0, 3.0};
    for (uint32_t i = 0; i < sizeof(SURENESS) / sizeof(SURENESS[0]); i++) {
        make_sets(100, 5, SURENESS[i], 100 + 10 * i);
        assert_sets_fit(100, 5);
        const double found = (double)temperature_fit(answers, 100, 5, labels, label_sets);
        assert_true(fabs(log(found / SURENESS[i])) < 0.25);
        make_sets(6, 1, SURENESS[i], 100 + 10 * i);
        assert_sets_fit(6, 1);
    }
    for (int32_t right = 0; right < 2; right++) { /* all sure */
        for (int32_t i = 0; i < 60; i++)
            answers[i] = label_sets[i] == right ? 1.0f : 0.0f;
        for (int32_t row = 0; row < 20; row++)
            labels[row] = row;
        assert_sets_fit(20, 3);
    }
    assert_true(temperature_fit(answers, 0, 3, labels, label_sets) == 1.0f);
}

static void is_the_formula_of_sets(void **state)
{
    (void)state;
    enum { ROWS = 50, CLASSES = 9 };
    static float before[ROWS * CLASSES];
    make_sets(ROWS, CLASSES, 2.0, 7);
    answers[0] = 0.0f;
    answers[1] = 1.0f;
    memcpy(before, answers, sizeof(before));
    temperature_apply(answers, ROWS, CLASSES, 1.0f, true);
    assert_memory_equal(answers, before, sizeof(before));
    temperature_apply(answers, ROWS, CLASSES, 1.75f, true);
    for (int32_t i = 0; i < ROWS * CLASSES; i++) {
        const double p = fmax((double)before[i], (double)FLT_MIN),
                     rest = fmax(1.0 - (double)before[i], 0x1p-25);
        const double expected = pow(p, 1.0 / 1.75) / (pow(p, 1.0 / 1.75) + pow(rest, 1.0 / 1.75));
        assert_true(fabs((double)answers[i] - expected) <= 1e-7);
    }
    temperature_apply(answers, ROWS, CLASSES, 1.0f / 1.75f, true);
    for (int32_t i = 0; i < ROWS * CLASSES; i++)
        assert_true(fabs((double)answers[i] - (double)before[i]) <= 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_grid_finds), cmocka_unit_test(knows_the_ends),
        cmocka_unit_test(is_the_formula),          cmocka_unit_test(fits_sets_of_labels),
        cmocka_unit_test(is_the_formula_of_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

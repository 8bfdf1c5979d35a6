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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_grid_finds),
        cmocka_unit_test(knows_the_ends),
        cmocka_unit_test(is_the_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

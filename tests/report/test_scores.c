/* Scores of probabilities beside their definitions, word by word: every pair of images for the area under the curve,
 * every threshold for the average precision, every bin for the calibration error. */
#include "host/report/scores.h"

#include "host/base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ROWS = 300, CLASSES = 7 };

static float probabilities[ROWS * CLASSES];
static int32_t labels[ROWS];
static const struct answered answered = {probabilities, ROWS, CLASSES, labels, NULL};

/* With many equal values, and labels that have something to do with them; class 6 does not occur. */
static void make(uint32_t stream)
{
    for (int32_t row = 0; row < ROWS; row++) {
        double sum = 0.0, values[CLASSES];
        const struct random4 words = random_draw(9, RANDOM_TEST, (uint64_t)row, stream);
        labels[row] = (int32_t)(words.v[0] % 6);
        for (int32_t k = 0; k < CLASSES; k++) {
            values[k] = 1.0 + random_draw(9, RANDOM_TEST, (uint64_t)(row * CLASSES + k), stream + 1).v[0] % 8;
            values[k] += k == labels[row] ? 4.0 : 0.0;
            sum += values[k];
        }
        for (int32_t k = 0; k < CLASSES; k++)
            probabilities[row * CLASSES + k] = (float)(values[k] / sum);
    }
}

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static double auc_by_pairs(int32_t k)
{
    double won = 0.0, pairs = 0.0;
    for (int32_t i = 0; i < ROWS; i++)
        for (int32_t j = 0; j < ROWS; j++) {
            if (labels[i] != k || labels[j] == k)
                continue;
            const float a = probabilities[i * CLASSES + k], b = probabilities[j * CLASSES + k];
            won += a > b ? 1.0 : a == b ? 0.5 : 0.0;
            pairs += 1.0;
        }
    return won / pairs;
}

/* Precision and what recall gains at each image's probability as threshold, each of those once. */
static double precision_by_thresholds(int32_t k)
{
    double sum = 0.0, all = 0.0;
    for (int32_t i = 0; i < ROWS; i++)
        all += labels[i] == k;
    for (int32_t i = 0; i < ROWS; i++) {
        const float threshold = probabilities[i * CLASSES + k];
        double above = 0.0, right = 0.0, at = 0.0;
        int32_t first = i;
        for (int32_t j = 0; j < ROWS; j++) {
            const float value = probabilities[j * CLASSES + k];
            first = value == threshold && j < first ? j : first;
            above += value >= threshold;
            right += value >= threshold && labels[j] == k;
            at += value == threshold && labels[j] == k;
        }
        sum += first == i ? at / all * right / above : 0.0;
    }
    return sum;
}

static void ranks_by_the_definitions(void **state)
{
    (void)state;
    for (uint32_t stream = 0; stream < 3; stream++) {
        struct rankings rankings;
        struct error err;
        double sums[4] = {0};
        make(2 * stream);
        assert_int_equal(rankings_make(&rankings, &answered, &err), ST_OK);
        for (int32_t k = 0; k < CLASSES - 1; k++) {
            const double auc = auc_by_pairs(k), precision = precision_by_thresholds(k);
            double of_class = 0.0;
            for (int32_t i = 0; i < ROWS; i++)
                of_class += labels[i] == k;
            assert_near(rankings.of_class[k].roc_auc, auc);
            assert_near(rankings.of_class[k].average_precision, precision);
            assert_true(auc > 0.6 && auc < 1.0);
            sums[0] += auc / (CLASSES - 1);
            sums[1] += precision / (CLASSES - 1);
            sums[2] += auc * of_class / ROWS;
            sums[3] += precision * of_class / ROWS;
        }
        assert_true(isnan(rankings.of_class[6].roc_auc) && isnan(rankings.of_class[6].average_precision));
        assert_near(rankings.macro.roc_auc, sums[0]);
        assert_near(rankings.macro.average_precision, sums[1]);
        assert_near(rankings.weighted.roc_auc, sums[2]);
        assert_near(rankings.weighted.average_precision, sums[3]);
        rankings_free(&rankings);
    }
}

static void calibration_by_bins(void **state)
{
    double error = 0.0, loss = 0.0, top = 0.0;
    (void)state;
    make(1);
    for (int bin = 0; bin < 15; bin++) {
        double images = 0.0, right = 0.0, sum = 0.0;
        for (int32_t i = 0; i < ROWS; i++) {
            const float *answer = &probabilities[i * CLASSES];
            int32_t best = 0;
            for (int32_t k = 1; k < CLASSES; k++)
                best = answer[k] > answer[best] ? k : best;
            if ((double)answer[best] <= bin / 15.0 || (double)answer[best] > (bin + 1) / 15.0)
                continue;
            images += 1.0;
            right += best == labels[i];
            sum += (double)answer[best];
        }
        error += images > 0.0 ? images / ROWS * fabs(right / images - sum / images) : 0.0;
    }
    for (int32_t i = 0; i < ROWS; i++) {
        const float *answer = &probabilities[i * CLASSES];
        int before = 0;
        for (int32_t k = 0; k < CLASSES; k++)
            before += answer[k] > answer[labels[i]] || (answer[k] == answer[labels[i]] && k < labels[i]);
        top += (before < 5) / (double)ROWS;
        loss -= log((double)answer[labels[i]]) / ROWS;
    }
    const struct scores scores = scores_of(&answered);
    assert_near(scores.calibration_error, error);
    assert_near(scores.loss, loss);
    assert_near(scores.top, top);
    assert_true(error > 0.0 && top > 0.5 && top < 1.0);
}

/* What has no answer is NAN; what is certain is no error. */
static void knows_the_ends(void **state)
{
    static const float sure[] = {1, 0, 0, 1};
    static const int32_t right[] = {0, 1}, wrong[] = {1, 0}, one[] = {0, 0};
    struct rankings rankings;
    struct error err;
    (void)state;
    struct scores scores = scores_of(&(struct answered){sure, 0, 2, right, NULL});
    assert_true(isnan(scores.loss) && isnan(scores.calibration_error) && isnan(scores.top));
    scores = scores_of(&(struct answered){sure, 2, 2, right, NULL});
    assert_true(scores.loss == 0.0 && scores.calibration_error == 0.0 && isnan(scores.top));
    scores = scores_of(&(struct answered){sure, 2, 2, wrong, NULL});
    assert_true(isfinite(scores.loss) && scores.loss > 80.0 && scores.calibration_error == 1.0);
    assert_int_equal(rankings_make(&rankings, &(struct answered){sure, 2, 2, wrong, NULL}, &err), ST_OK);
    assert_true(rankings.macro.roc_auc == 0.0 && rankings.macro.average_precision == 0.5);
    rankings_free(&rankings);
    assert_int_equal(rankings_make(&rankings, &(struct answered){sure, 2, 2, one, NULL}, &err), ST_OK);
    assert_true(isnan(rankings.macro.roc_auc) && isnan(rankings.weighted.average_precision));
    rankings_free(&rankings);
}

/* Of Newcombe 1998 (Statistics in Medicine 17, table I, method 3), with more digits by hand. */
static void intervals(void **state)
{
    static const struct {
        int64_t right, all;
        double low, high;
    } cases[] = {{0, 0, 0, 1},
                 {0, 10, 0, 0.2775328},
                 {10, 10, 0.7224672, 1},
                 {81, 263, 0.2552885, 0.3662096},
                 {15, 148, 0.0623864, 0.1604872}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double low, high;
        scores_interval(cases[i].right, cases[i].all, &low, &high);
        if (!(fabs(low - cases[i].low) < 5e-7 && fabs(high - cases[i].high) < 5e-7))
            fail_msg("%d of %d: found %.7f to %.7f", (int)cases[i].right, (int)cases[i].all, low, high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_by_the_definitions),
        cmocka_unit_test(calibration_by_bins),
        cmocka_unit_test(knows_the_ends),
        cmocka_unit_test(intervals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

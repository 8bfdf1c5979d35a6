/* Whitening filters: what they make of patches with known moments, their order and signs, and what is refused. */
#include "host/base/random.h"
#include "host/net/whitening.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { TAPS = GRAPH_WHITENING_SIDE * GRAPH_WHITENING_SIDE, MOST = TAPS * GRAPH_WHITENING_CHANNELS };

/* Moments of `count` values that are sums of `directions` random ones: of rank `directions`. */
static void draw_moments(int32_t count, int32_t directions, double size, double moments[MOST * MOST])
{
    struct random_sequence random = {.seed = 3, .stream = RANDOM_TEST, .part = (uint32_t)count};
    double mixing[MOST][MOST];
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < directions; k++)
            mixing[i][k] = size * (2.0 * (double)random_next_unit(&random) - 1.0);
    for (int32_t i = 0; i < count; i++)
        for (int32_t j = 0; j < count; j++) {
            moments[i * count + j] = 0.0;
            for (int32_t k = 0; k < directions; k++)
                moments[i * count + j] += mixing[i][k] * mixing[j][k];
        }
}

/* Mean over all patches of the results of filters a and b multiplied. */
static double moment_of_results(const struct whitening *whitening, int32_t count, const double *moments,
                                int32_t a, int32_t b)
{
    double sum = 0.0;
    for (int32_t i = 0; i < count; i++)
        for (int32_t j = 0; j < count; j++)
            sum += (double)whitening->filters[a * count + i] * moments[i * count + j] *
                   (double)whitening->filters[b * count + j];
    return sum;
}

/* The variance of filter k's result is v / (v + 5e-4) by the head of whitening.c, v being the patches' variance in its
 * direction, which is 1 / |filter|^2 - 5e-4. */
static void test_results_are_white(void **state)
{
    (void)state;
    for (int32_t channels = 1; channels <= GRAPH_WHITENING_CHANNELS; channels++) {
        const int32_t count = TAPS * channels;
        double moments[MOST * MOST];
        struct whitening whitening;
        struct error err;
        int32_t ones = 0;
        draw_moments(count, count, 1.0, moments);
        assert_int_equal(whitening_make(&whitening, channels, moments, &err), ST_OK);
        assert_int_equal(whitening.channels, channels);
        for (int32_t a = 0; a < count; a++) {
            double square = 0.0;
            for (int32_t i = 0; i < count; i++)
                square += pow((double)whitening.filters[a * count + i], 2);
            for (int32_t b = 0; b < count; b++) {
                const double found = moment_of_results(&whitening, count, moments, a, b);
                const double expected = a == b ? 1.0 - 5e-4 * square : 0.0;
                if (!(fabs(found - expected) <= 1e-4))
                    fail_msg("%d channels, results %d and %d: found %g, expected %g", channels, a, b, found,
                             expected);
            }
            ones += moment_of_results(&whitening, count, moments, a, a) > 0.95;
        }
        assert_true(ones >= count - 2); /* small variances are random's */
    }
}

/* The largest value of a filter is above 0, the second half are the negatives, nothing stands behind them. */
static void test_signs(void **state)
{
    (void)state;
    for (int32_t channels = 1; channels <= GRAPH_WHITENING_CHANNELS; channels++) {
        const int32_t count = TAPS * channels;
        double moments[MOST * MOST];
        struct whitening whitening;
        struct error err;
        draw_moments(count, count, 1.0, moments);
        assert_int_equal(whitening_make(&whitening, channels, moments, &err), ST_OK);
        for (int32_t k = 0; k < count; k++) {
            const float *filter = whitening.filters + k * count;
            float largest = 0.0f;
            for (int32_t i = 0; i < count; i++) {
                if (fabsf(filter[i]) > fabsf(largest))
                    largest = filter[i];
                assert_true(whitening.filters[(count + k) * count + i] == -filter[i]);
            }
            assert_true(largest > 0.0f);
        }
        for (size_t i = 2 * (size_t)count * (size_t)count;
             i < sizeof(whitening.filters) / sizeof(whitening.filters[0]); i++)
            assert_true(whitening.filters[i] == 0.0f);
    }
}

/* Independent values: filter k is that of the k-th smallest variance. */
static void test_order(void **state)
{
    (void)state;
    static const double variances[TAPS] = {4.0, 0.25, 1.0, 9.0};
    static const int32_t order[TAPS] = {1, 2, 0, 3};
    double moments[TAPS * TAPS] = {0};
    struct whitening whitening;
    struct error err;
    for (int32_t i = 0; i < TAPS; i++)
        moments[i * TAPS + i] = variances[i];
    assert_int_equal(whitening_make(&whitening, 1, moments, &err), ST_OK);
    for (int32_t k = 0; k < TAPS; k++)
        for (int32_t i = 0; i < TAPS; i++) {
            const double expected = i == order[k] ? 1.0 / sqrt(variances[i] + 5e-4) : 0.0;
            assert_true(fabs((double)whitening.filters[k * TAPS + i] - expected) <= 1e-6);
        }
}

/* Where patches do not differ, as in constant images, filters stay finite and of one size. */
static void test_without_variance(void **state)
{
    (void)state;
    const int32_t count = TAPS * 3;
    const double limit = 1.0 / sqrt(5e-4);
    double moments[MOST * MOST];
    for (int32_t directions = 0; directions <= 2; directions += 2) {
        struct whitening whitening;
        struct error err;
        int32_t largest = 0;
        draw_moments(count, directions, 1.0, moments);
        assert_int_equal(whitening_make(&whitening, 3, moments, &err), ST_OK);
        for (int32_t k = 0; k < count; k++) {
            double square = 0.0;
            for (int32_t i = 0; i < count; i++)
                square += pow((double)whitening.filters[k * count + i], 2);
            assert_true(sqrt(square) <= limit * (1.0 + 1e-5));
            largest += sqrt(square) >= limit * (1.0 - 1e-5);
        }
        assert_int_equal(largest, count - directions);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    double moments[TAPS * TAPS] = {0};
    struct whitening whitening = {.channels = 7};
    struct error err;
    static const int32_t channels[] = {-1, 0, GRAPH_WHITENING_CHANNELS + 1};
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        assert_int_equal(whitening_make(&whitening, channels[i], moments, &err), ST_RANGE);
        assert_int_equal(whitening.channels, 0);
    }
    assert_string_equal(err.message, "whitening: found 5 channels, expected 1 to 4");
    moments[1] = moments[TAPS] = NAN;
    assert_int_equal(whitening_make(&whitening, 1, moments, &err), ST_RANGE);
    assert_int_equal(whitening.channels, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_white),
        cmocka_unit_test(test_signs),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_without_variance),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The Gaussian process: closed forms, interpolation, symmetries, kernels that are not positive definite. */
#include "host/base/random.h"
#include "host/search/gaussian.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST = 40 };

static const double far_away = 1e6;

/* Distances of n points of a line. */
static void line(const double *points, int32_t n, double *distances)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++)
            distances[i * n + j] = fabs(points[i] - points[j]);
}

static struct gaussian *fit(const double *distances, const double *targets, int32_t n)
{
    struct gaussian *gaussian;
    struct error err;
    if (gaussian_fit(distances, targets, n, &gaussian, &err) != ST_OK)
        fail_msg("%s", err.message);
    return gaussian;
}

static void predict(struct gaussian *gaussian, const double *points, int32_t n, double at, double *mean,
                    double *deviation)
{
    double distances[MOST];
    struct error err;
    for (int32_t i = 0; i < n; i++)
        distances[i] = fabs(points[i] - at);
    assert_int_equal(gaussian_predict(gaussian, distances, mean, deviation, &err), ST_OK);
}

/* One target teaches its own value; the prior's noise is 0.1, the unit length 1. */
static void test_one_target(void **state)
{
    (void)state;
    const double zero = 0.0, target = 5.0, point = 0.0;
    struct gaussian *gaussian = fit(&zero, &target, 1);
    const double points_at[] = {0.0, 0.5, 2.0, 10.0};
    for (int i = 0; i < 4; i++) {
        double mean, deviation, k = 0.9 * exp(-points_at[i]);
        predict(gaussian, &point, 1, points_at[i], &mean, &deviation);
        assert_true(fabs(mean - 5.0) <= 1e-12);
        assert_true(fabs(deviation - sqrt(0.9 - k * k)) <= 1e-12);
    }
    gaussian_free(gaussian);
    gaussian_free(NULL);
}

static void test_interpolates(void **state)
{
    (void)state;
    enum { N = 25 };
    double points[N], targets[N], distances[N * N], mean, deviation, near_deviation;
    for (int i = 0; i < N; i++) {
        points[i] = 0.25 * i;
        targets[i] = 10.0 + 3.0 * sin(points[i]);
    }
    line(points, N, distances);
    struct gaussian *gaussian = fit(distances, targets, N);
    for (int i = 0; i + 1 < N; i++) {
        double at = points[i] + 0.125;
        predict(gaussian, points, N, at, &mean, &near_deviation);
        assert_true(fabs(mean - (10.0 + 3.0 * sin(at))) <= 0.05);
        assert_true(near_deviation >= 0.0 && near_deviation <= 0.6);
    }
    /* Beyond the data doubt grows, up to nearly the targets' own deviation (2.1), and the mean returns to
     * theirs. */
    double average = 0.0;
    for (int i = 0; i < N; i++)
        average += targets[i] / N;
    predict(gaussian, points, N, far_away, &mean, &deviation);
    assert_true(fabs(mean - average) <= 1e-9);
    assert_true(deviation >= 1.4 && deviation <= 2.3);
    assert_true(deviation > 3.0 * near_deviation);
    gaussian_free(gaussian);
}

/* Pure noise is not interpolated: predictions stay nearer to the mean than the targets. */
static void test_noise_is_smoothed(void **state)
{
    (void)state;
    enum { N = 40 };
    double points[N], targets[N], distances[N * N], spread = 0.0, predicted = 0.0;
    for (int i = 0; i < N; i++) {
        double unused;
        points[i] = i;
        random_normal2(random_draw(3, RANDOM_TEST, (uint64_t)i, 0), &targets[i], &unused);
        targets[i] += points[i] < N / 2 ? -1.0 : 1.0;
    }
    line(points, N, distances);
    struct gaussian *gaussian = fit(distances, targets, N);
    for (int i = 0; i < N; i++) {
        double mean, deviation, truth = points[i] < N / 2 ? -1.0 : 1.0;
        predict(gaussian, points, N, points[i], &mean, &deviation);
        spread += (targets[i] - truth) * (targets[i] - truth);
        predicted += (mean - truth) * (mean - truth);
    }
    assert_true(predicted <= 0.5 * spread);
    gaussian_free(gaussian);
}

/* Other units of targets and distances give the same prediction in those units. */
static void test_units(void **state)
{
    (void)state;
    enum { N = 8 };
    double points[N], stretched[N], targets[N], other[N], distances[N * N], longer[N * N];
    for (int i = 0; i < N; i++) {
        points[i] = random_unit(random_draw(7, RANDOM_TEST, (uint64_t)i, 0).v[0]);
        targets[i] = cos(4.0 * points[i]);
        stretched[i] = 64.0 * points[i];
        other[i] = 100.0 - 8.0 * targets[i];
    }
    line(points, N, distances);
    line(stretched, N, longer);
    struct gaussian *a = fit(distances, targets, N), *b = fit(longer, other, N);
    for (int i = 0; i <= 10; i++) {
        double mean, deviation, other_mean, other_deviation;
        predict(a, points, N, 0.1 * i, &mean, &deviation);
        predict(b, stretched, N, 6.4 * i, &other_mean, &other_deviation);
        assert_true(fabs(other_mean - (100.0 - 8.0 * mean)) <= 1e-6);
        assert_true(fabs(other_deviation - 8.0 * deviation) <= 1e-6);
    }
    gaussian_free(a);
    gaussian_free(b);
}

/* Equal things, equal targets, all at once. */
static void test_degenerate(void **state)
{
    (void)state;
    double distances[9] = {0}, targets[3] = {0.7, 0.7, 0.7}, points[3] = {0}, mean, deviation;
    struct gaussian *gaussian = fit(distances, targets, 3);
    predict(gaussian, points, 3, 0.0, &mean, &deviation);
    assert_true(fabs(mean - 0.7) <= 1e-12 && deviation >= 0.0 && deviation <= 1.0);
    gaussian_free(gaussian);
    targets[0] = 0.1; /* one thing measured thrice: noise */
    gaussian = fit(distances, targets, 3);
    predict(gaussian, points, 3, 0.0, &mean, &deviation);
    assert_true(mean >= 0.1 && mean <= 0.7 && deviation >= 0.0);
    gaussian_free(gaussian);
}

/* Random numbers as distances break the triangle inequality badly: the kernel is indefinite and must still
 * serve. */
static void test_indefinite(void **state)
{
    (void)state;
    enum { N = 40 };
    for (uint32_t round = 0; round < 5; round++) {
        double distances[N * N] = {0}, targets[N], query[N], mean, deviation;
        struct random_sequence random = {.seed = 5, .stream = RANDOM_TEST, .part = round};
        struct error err;
        for (int i = 0; i < N; i++) {
            targets[i] = random_next_unit(&random);
            query[i] = random_next_unit(&random) * 3.0;
            for (int j = 0; j < i; j++)
                distances[i * N + j] = distances[j * N + i] = random_next_unit(&random) < 0.5f ? 0.01 : 3.0;
        }
        struct gaussian *gaussian = fit(distances, targets, N);
        assert_int_equal(gaussian_predict(gaussian, query, &mean, &deviation, &err), ST_OK);
        assert_true(mean >= -5.0 && mean <= 5.0);
        assert_true(deviation >= 0.0 && deviation <= 1.0);
        gaussian_free(gaussian);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    double distances[4] = {0, 1, 1, 0}, targets[2] = {1, 2}, mean, deviation;
    struct gaussian *gaussian;
    struct error err;
    assert_int_equal(gaussian_fit(distances, targets, 0, &gaussian, &err), ST_RANGE);
    assert_null(gaussian);
    distances[1] = NAN;
    assert_int_equal(gaussian_fit(distances, targets, 2, &gaussian, &err), ST_RANGE);
    distances[1] = -1.0;
    assert_int_equal(gaussian_fit(distances, targets, 2, &gaussian, &err), ST_RANGE);
    distances[1] = 1.0;
    targets[1] = INFINITY;
    assert_int_equal(gaussian_fit(distances, targets, 2, &gaussian, &err), ST_RANGE);
    targets[1] = 2.0;
    gaussian = fit(distances, targets, 2);
    distances[0] = NAN;
    assert_int_equal(gaussian_predict(gaussian, distances, &mean, &deviation, &err), ST_RANGE);
    gaussian_free(gaussian);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_target),        cmocka_unit_test(test_interpolates),
        cmocka_unit_test(test_noise_is_smoothed), cmocka_unit_test(test_units),
        cmocka_unit_test(test_degenerate),        cmocka_unit_test(test_indefinite),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

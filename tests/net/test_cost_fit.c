/* Units' costs from made-up seconds: a machine whose units are known is found again. */
#include "host/base/random.h"
#include "host/net/cost_fit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SAMPLES = 24, OTHERS = 50 };

static double uniform(uint64_t index)
{
    return random_unit(random_draw(7, RANDOM_TEST, index, 0).v[0]);
}

/* How much of each unit a network has: by the prior about a microsecond of each, and much of one. */
static struct cost_units units_of(const struct cost_rates *prior, int32_t network)
{
    struct cost_units units;
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++) {
        const double seconds = 1e-6 * (0.5 + uniform((uint64_t)(network * COST_UNIT_COUNT + unit)));
        units.of[unit] = (unit == network % COST_UNIT_COUNT ? 20.0 : 1.0) * seconds / prior->seconds[unit];
    }
    return units;
}

static double seconds_of(const struct cost_units *units, const struct cost_rates *rates)
{
    double seconds = 0.0;
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        seconds += units->of[unit] * rates->seconds[unit];
    return seconds;
}

/* A machine on which a unit takes a third to three times what the prior says. */
static struct cost_rates machine_of(const struct cost_rates *prior)
{
    struct cost_rates rates = *prior;
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        rates.seconds[unit] *= exp(log(3.0) * (2.0 * uniform(100000 + (uint64_t)unit) - 1.0));
    return rates;
}

/* The largest error of what is predicted for networks that were not measured; `noise`: of what was measured. */
static double error_of(double noise)
{
    const struct cost_rates prior = cost_fit_prior(1e11, 2e10, 32), machine = machine_of(&prior);
    struct cost_sample samples[SAMPLES];
    struct cost_rates fitted = prior;
    double largest = 0.0;
    for (int32_t s = 0; s < SAMPLES; s++) {
        samples[s].units = units_of(&prior, s);
        samples[s].seconds = seconds_of(&samples[s].units, &machine) *
                             (1.0 + noise * (2.0 * uniform(200000 + (uint64_t)s) - 1.0));
    }
    cost_fit(samples, SAMPLES, &fitted);
    assert_true(fitted.flops == 1e11 && fitted.bytes == 2e10);
    assert_int_equal(fitted.batch, 32);
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        assert_true(fitted.seconds[unit] >= 0.0 && isfinite(fitted.seconds[unit]));
    for (int32_t other = SAMPLES; other < SAMPLES + OTHERS; other++) {
        const struct cost_units units = units_of(&prior, other);
        largest = fmax(largest, fabs(seconds_of(&units, &fitted) / seconds_of(&units, &machine) - 1.0));
    }
    return largest;
}

static void test_found_again(void **state)
{
    (void)state;
    assert_true(error_of(0.0) < 0.02);
    assert_true(error_of(0.05) < 0.15);
}

/* What no network has costs what the prior says; what is known to cost nothing costs nothing, and not less. */
static void test_unknown_and_free(void **state)
{
    const struct cost_rates prior = cost_fit_prior(1e11, 2e10, 32);
    struct cost_rates machine = prior, fitted = prior;
    struct cost_sample samples[SAMPLES];
    (void)state;
    machine.seconds[COST_CONV_3X3] *= 2.0;
    machine.seconds[COST_ADD] = 0.0;
    for (int32_t s = 0; s < SAMPLES; s++) {
        samples[s].units = units_of(&prior, s);
        samples[s].units.of[COST_DROPOUT] = 0.0;
        samples[s].seconds = seconds_of(&samples[s].units, &machine) * (s % 2 == 0 ? 1.01 : 0.99);
    }
    cost_fit(samples, SAMPLES, &fitted);
    assert_true(fitted.seconds[COST_DROPOUT] == prior.seconds[COST_DROPOUT]);
    assert_true(fabs(fitted.seconds[COST_CONV_3X3] / machine.seconds[COST_CONV_3X3] - 1.0) < 0.05);
    assert_true(fitted.seconds[COST_ADD] >= 0.0);
    assert_true(fitted.seconds[COST_ADD] < 0.05 * prior.seconds[COST_ADD]);
    fitted = prior;
    cost_fit(samples, 0, &fitted);
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        assert_true(fitted.seconds[unit] == prior.seconds[unit]);
}

/* A machine that does not say how fast it is gets a prior, too. */
static void test_prior(void **state)
{
    (void)state;
    for (int known = 0; known < 4; known++) {
        const struct cost_rates prior = cost_fit_prior(known & 1 ? 1e12 : 0.0, known & 2 ? 1e11 : 0.0, 128);
        for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
            assert_true(prior.seconds[unit] > 0.0 && isfinite(prior.seconds[unit]));
    }
    const struct cost_rates slow = cost_fit_prior(1e10, 1e9, 8), fast = cost_fit_prior(1e11, 1e10, 8);
    assert_true(fabs(slow.seconds[COST_CONV_1X1] / fast.seconds[COST_CONV_1X1] - 10.0) < 1e-9);
    assert_true(fabs(slow.seconds[COST_BATCH_NORM] / fast.seconds[COST_BATCH_NORM] - 10.0) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_unknown_and_free),
        cmocka_unit_test(test_prior),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

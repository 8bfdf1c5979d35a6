/* The formulas of activation.h in float, as the CPU and GPUs compile them, against the C library in double. */
#include "host/program/activation.h"
#include "tests/support/activations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static float forward(enum activation_kind function, float x)
{
    switch (function) {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    case ACTIVATION_##KIND:                                                                                  \
        return activation_##name(x);
#include "host/net/layers.def"
    case ACTIVATION_COUNT:
        break;
    }
    return NAN;
}

static float backward(enum activation_kind function, float seen, float dy)
{
    switch (function) {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...)                                                                          \
    case ACTIVATION_##KIND:                                                                                  \
        return activation_##name##_backward(seen, dy);
#include "host/net/layers.def"
    case ACTIVATION_COUNT:
        break;
    }
    return NAN;
}

/* Every 97th float between -limit and limit, the small ones by their logarithm like the large. */
static void sweep(float limit, void (*check)(float x))
{
    uint32_t end;
    memcpy(&end, &limit, sizeof(end));
    for (uint32_t bits = 0; bits < end; bits += 97) {
        float x;
        memcpy(&x, &bits, sizeof(x));
        check(x);
        check(-x);
    }
}

static double worst, worst_forward;

static void check_exp(float x)
{
    const double expected = exp((double)x), error = fabs((double)activation_exp(x) / expected - 1.0);
    worst = error > worst ? error : worst;
    if (!(error < 0x1p-22))
        fail_msg("e^%.9g: error %.3g", (double)x, error);
}

static void check_normal(float x)
{
    const double expected = 0.5 * erfc(-(double)x / sqrt(2.0));
    const double error = fabs((double)activation_normal(x) - expected);
    worst = error > worst ? error : worst;
    if (!(error < 0x1p-22))
        fail_msg("normal distribution at %.9g: error %.3g", (double)x, error);
}

static void approximations_keep_their_promise(void **state)
{
    (void)state;
    worst = 0.0;
    sweep(60.0f, check_exp);
    print_message("e^x: relative error %.3g\n", worst);
    worst = 0.0;
    sweep(1e4f, check_normal);
    print_message("normal distribution: error %.3g\n", worst);
    assert_true(activation_exp(1000.0f) == activation_exp(60.0f));
    assert_true(activation_exp(-1000.0f) == activation_exp(-60.0f));
}

static enum activation_kind checked;

static void check_formulas(float x)
{
    const double value = activation_value(checked, (double)x), slope = activation_slope(checked, (double)x);
    const float y = forward(checked, x), dy = 0.75f,
                seen = activation_traits(checked)->reads == ACTIVATION_READS_INPUT ? x : y;
    const double off = fabs((double)y - value),
                 back = fabs((double)backward(checked, seen, dy) - slope * (double)dy);
    worst = fmax(worst, back / (double)dy);
    if (fabs((double)x) >= 0x1p-126)
        worst_forward = fmax(worst_forward, off / fabs((double)x));
    if (!(off <= activation_error(checked, (double)x)))
        fail_msg("%s(%.9g) = %.9g, expected %.9g", activation_traits(checked)->name, (double)x, (double)y,
                 value);
    if (!(back <= activation_backward_error(checked, (double)dy)))
        fail_msg("slope of %s at %.9g: off by %.3g, expected %.9g", activation_traits(checked)->name,
                 (double)x, back, slope);
}

static void formulas_agree_with_the_library(void **state)
{
    (void)state;
    for (int function = 0; function < ACTIVATION_COUNT; function++) {
        checked = (enum activation_kind)function;
        worst = worst_forward = 0.0;
        sweep(3e4f, check_formulas);
        print_message("%s: error %.3g of x, %.3g of dy\n", activation_traits(checked)->name, worst_forward,
                      worst);
    }
}

/* The padding of channels stays zero, and a diverged network shows. */
static void zero_and_nan_are_kept(void **state)
{
    (void)state;
    for (int function = 0; function < ACTIVATION_COUNT; function++) {
        assert_true(forward((enum activation_kind)function, 0.0f) == 0.0f);
        assert_true(backward((enum activation_kind)function, 0.0f, 0.0f) == 0.0f);
        assert_true(isnan(forward((enum activation_kind)function, NAN)));
        assert_true(isfinite(forward((enum activation_kind)function, 1e30f)));
        assert_true(isfinite(forward((enum activation_kind)function, -1e30f)));
    }
}

/* The textbook's slopes are slopes of its values. */
static void slopes_agree_with_differences(void **state)
{
    (void)state;
    const double h = 1e-5;
    for (int function = 0; function < ACTIVATION_COUNT; function++)
        for (double x = -8.05; x < 8.0; x += 0.1) {
            const double difference = (activation_value((enum activation_kind)function, x + h) -
                                       activation_value((enum activation_kind)function, x - h)) /
                                      (2.0 * h);
            assert_true(fabs(difference - activation_slope((enum activation_kind)function, x)) < 1e-8);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(approximations_keep_their_promise),
        cmocka_unit_test(formulas_agree_with_the_library),
        cmocka_unit_test(zero_and_nan_are_kept),
        cmocka_unit_test(slopes_agree_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

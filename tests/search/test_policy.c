/* The policy of a learned controller: its gradient against differences, what it may say, and what it learns. */
#include "host/search/policy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct policy_shape SHAPE = {{14, 8, 4}};

/* Two changes, and the word that it is enough; of some slots little is allowed. */
static const struct policy_said SAID = {
    .count = 7, .tokens = {{0x1fff, 3}, {0xff, 7}, {0xf, 0}, {0x2009, 3}, {0xff, 1}, {0xf, 3}, {0x3fff, 13}}};

static struct policy *new_policy(uint64_t seed)
{
    struct policy *policy;
    struct error err;
    assert_int_equal(policy_new(&SHAPE, seed, &policy, &err), ST_OK);
    return policy;
}

static double objective(struct policy *policy, const struct policy_said *said, double *gradient)
{
    return policy_gradient(policy, said, 0.7, 0.2, gradient);
}

/* Central differences, of weights that are large enough for all to count. */
static void test_gradient(void **state)
{
    enum { EVERY = 7 };
    const double step = 1e-5;
    struct policy *policy = new_policy(3);
    const int32_t count = policy_parameters(policy);
    double *values = policy_values(policy), *gradient = calloc((size_t)count, sizeof(double)),
           *nobody = calloc((size_t)count, sizeof(double)), most = 0.0;
    int32_t some = 0;
    (void)state;
    assert_non_null(gradient);
    assert_non_null(nobody);
    assert_true(count > 15000 && count < 25000);
    for (int32_t i = 0; i < count; i++)
        values[i] *= 5.0;
    objective(policy, &SAID, gradient);
    for (int32_t i = 0; i < count; i++)
        most = fmax(most, fabs(gradient[i]));
    for (int32_t i = 0; i < count; i += EVERY) {
        const double value = values[i];
        values[i] = value + step;
        const double above = objective(policy, &SAID, nobody);
        values[i] = value - step;
        const double below = objective(policy, &SAID, nobody);
        values[i] = value;
        assert_true(fabs((above - below) / (2.0 * step) - gradient[i]) < 1e-6 * most);
        some += fabs(gradient[i]) > 1e-3 * most;
    }
    assert_true(some > count / EVERY / 20);
    free(gradient);
    free(nobody);
    policy_free(policy);
}

/* Probabilities of what is allowed, that sum to 1; another token before makes others. */
static void test_probabilities(void **state)
{
    struct policy *policy = new_policy(1), *same = new_policy(1), *other = new_policy(2);
    double p[POLICY_CHOICES], q[POLICY_CHOICES], sum = 0.0;
    struct policy_place place = {0}, again = {0}, elsewhere = {0};
    struct policy_said said = {0};
    (void)state;
    policy_next(policy, &said, 0x2105, &place, p);
    for (int32_t k = 0; k < POLICY_CHOICES; k++) {
        assert_true((p[k] > 0.0) == ((0x2105 >> k & 1) != 0));
        sum += p[k];
    }
    assert_float_equal(sum, 1.0, 1e-12);
    assert_true(fabs(policy_entropy(p) - log(4.0)) < 0.01); /* at first it has no opinion */
    policy_next(same, &said, 0x2105, &again, q);
    assert_memory_equal(p, q, sizeof(p));
    policy_next(other, &said, 0x2105, &elsewhere, q);
    assert_true(p[0] != q[0]);
    said.count = 1;
    said.tokens[0] = (struct policy_token){0x2105, 2};
    policy_next(policy, &said, 0xff, &place, p);
    said.tokens[0].choice = 8;
    policy_next(same, &said, 0xff, &again, q);
    assert_true(p[0] != q[0]);
    policy_free(policy);
    policy_free(same);
    policy_free(other);
    policy_free(NULL);
}

/* What is rewarded becomes likely, what is not unlikely, also where it depends on a token far before. */
static void test_learns(void **state)
{
    enum { ROUNDS = 150 };
    struct policy *policy = new_policy(5);
    const size_t count = (size_t)policy_parameters(policy);
    double *gradient = calloc(count, sizeof(double));
    (void)state;
    assert_non_null(gradient);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++)
            gradient[i] = 0.0;
        for (int32_t first = 0; first < 2; first++)
            for (int32_t third = 0; third < 2; third++) {
                const struct policy_said said = {.count = 3,
                                                 .tokens = {{0x3, first}, {0x1, 0}, {0x3, third}}};
                policy_gradient(policy, &said, first == third ? 1.0 : -1.0, 0.0, gradient);
            }
        policy_climb(policy, gradient, 0.01);
    }
    for (int32_t first = 0; first < 2; first++) {
        double p[POLICY_CHOICES];
        struct policy_place place = {0};
        struct policy_said said = {0};
        const int32_t tokens[] = {first, 0};
        for (; said.count < 2; said.count++) {
            policy_next(policy, &said, 0x3, &place, p);
            said.tokens[said.count] = (struct policy_token){0x3, tokens[said.count]};
        }
        policy_next(policy, &said, 0x3, &place, p);
        assert_true(p[first] > 0.95);
    }
    free(gradient);
    policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_probabilities),
        cmocka_unit_test(test_learns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which hyperparameters a search tries, and what chance makes of a parent's. */
#include "host/search/hyperparameters.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct job_range RATES = {
    .kind = JOB_RANGE_BETWEEN, .min = 0.01, .max = 1.0, .scale = JOB_RANGE_LOG};
static const struct job_range SMOOTHINGS = {.kind = JOB_RANGE_LIST,
                                            .values = {.count = 3, .items = {0.2, 0.0, 0.1}}};
static const struct job_range BATCHES = {
    .kind = JOB_RANGE_BETWEEN, .min = 16, .max = 256, .scale = JOB_RANGE_LOG, .whole = true};
static const struct job_range MOMENTA = {
    .kind = JOB_RANGE_BETWEEN, .min = 0.5, .max = 0.9, .scale = JOB_RANGE_LINEAR};

static struct hyperparameter_space space_with(const struct job_ranges *ranges)
{
    const struct job job = {.train = {.learning_rate = 0.1,
                                      .label_smoothing = 0.2,
                                      .momentum = 0.7,
                                      .weight_decay = 0.01,
                                      .average = 0.95,
                                      .batch = 64},
                            .ranges = *ranges};
    return hyperparameter_space_of(&job);
}

static struct hyperparameters none(void)
{
    return recipe_usual().hyperparameters;
}

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

/* ---- trials ---- */

/* What the job leaves open: half and twice the learning rate, where that is asked for; what it fixes: nothing. */
static void test_open(void **state)
{
    const struct hyperparameter_space space = space_with(&(struct job_ranges){0});
    const struct hyperparameter_space fixed =
        space_with(&(struct job_ranges){.learning_rate = {.kind = JOB_RANGE_FIXED}});
    const struct hyperparameters usual = none();
    struct hyperparameters sets[HYPERPARAMETERS_MOST];
    (void)state;
    assert_false(hyperparameters_are_given(&space));
    assert_false(hyperparameters_are_given(&fixed));
    assert_int_equal(hyperparameters_round(&space, &usual, 0, false, sets), 0);
    assert_int_equal(hyperparameters_round(&space, &usual, 0, true, sets), 2);
    assert_near(sets[0].learning_rate, 0.05);
    assert_near(sets[1].learning_rate, 0.2);
    assert_true(isnan(sets[0].weight_decay) && isnan(sets[0].batch));
    assert_int_equal(hyperparameters_round(&space, &usual, 1, true, sets), 0);
    assert_int_equal(hyperparameters_round(&fixed, &usual, 0, true, sets), 0);
}

/* Only upwards, by one key, within what the job says; a value is left alone. */
static void test_raised(void **state)
{
    const struct job_ranges limited = {.learning_rate = RATES, .weight_decay = {.kind = JOB_RANGE_FIXED}};
    const struct hyperparameter_space open = space_with(&(struct job_ranges){0}),
                                      space = space_with(&limited);
    struct hyperparameter_change changes[HYPERPARAMETERS_RAISED_MOST];
    struct hyperparameters set = none();
    (void)state;
    assert_int_equal(hyperparameters_raised(&open, &set, changes), 2);
    assert_near(changes[0].set.learning_rate, 0.2);
    assert_near(changes[1].set.weight_decay, 0.02);
    assert_true(isnan(changes[0].set.weight_decay) && isnan(changes[1].set.learning_rate));
    assert_string_equal(changes[1].text, "more weight decay");
    assert_int_equal(hyperparameters_raised(&space, &set, changes), 1);
    assert_near(changes[0].set.learning_rate, 0.2);
    set.momentum = 0.8;
    set.learning_rate = 0.7;
    assert_int_equal(hyperparameters_raised(&space, &set, changes), 1);
    assert_near(changes[0].set.learning_rate, 1.0); /* its bound */
    assert_near(changes[0].set.momentum, 0.8);
    set.learning_rate = 1.0;
    assert_int_equal(hyperparameters_raised(&space, &set, changes), 0);
}

/* Each round goes half as far as the one before, and not beyond the bounds; a list is gone through at once. */
static void test_rounds(void **state)
{
    const struct hyperparameter_space space =
        space_with(&(struct job_ranges){.learning_rate = RATES, .label_smoothing = SMOOTHINGS});
    struct hyperparameters centre = none(), sets[HYPERPARAMETERS_MOST];
    (void)state;
    assert_true(hyperparameters_are_given(&space));
    assert_int_equal(hyperparameters_round(&space, &centre, 0, false, sets), 4);
    assert_near(sets[0].learning_rate, pow(10.0, -1.5));
    assert_near(sets[1].learning_rate, pow(10.0, -0.5));
    assert_true(isnan(sets[0].label_smoothing) && isnan(sets[2].learning_rate));
    assert_near(sets[2].label_smoothing, 0.0);
    assert_near(sets[3].label_smoothing, 0.1);
    centre = sets[1];
    assert_int_equal(hyperparameters_round(&space, &centre, 1, false, sets), 2);
    assert_near(sets[0].learning_rate, pow(10.0, -0.75));
    assert_near(sets[1].learning_rate, pow(10.0, -0.25));
    centre.learning_rate = 1.0;
    assert_int_equal(hyperparameters_round(&space, &centre, 1, false, sets), 1);
    centre.label_smoothing = 0.1; /* a change of one keeps the other */
    hyperparameters_round(&space, &centre, 2, false, sets);
    assert_near(sets[0].label_smoothing, 0.1);
}

static void test_whole_and_most(void **state)
{
    struct job_ranges ranges = {.batch = BATCHES};
    const struct hyperparameter_space space = space_with(&ranges);
    const struct hyperparameters usual = none();
    struct hyperparameters sets[HYPERPARAMETERS_MOST];
    (void)state;
    assert_int_equal(hyperparameters_round(&space, &usual, 0, false, sets), 2);
    assert_near(sets[0].batch, 32.0);
    assert_near(sets[1].batch, 128.0);
    ranges.momentum = (struct job_range){.kind = JOB_RANGE_LIST, .values = {.count = JOB_LIST_MAX}};
    for (int32_t i = 0; i < JOB_LIST_MAX; i++)
        ranges.momentum.values.items[i] = 0.01 * i;
    const struct hyperparameter_space many = space_with(&ranges);
    assert_int_equal(hyperparameters_round(&many, &usual, 0, false, sets), HYPERPARAMETERS_MOST);
}

/* ---- equal, far, in words ---- */

static void test_equal(void **state)
{
    const struct hyperparameter_space space = space_with(&(struct job_ranges){.learning_rate = RATES});
    const struct hyperparameters usual = none();
    struct hyperparameters same = none(), nearly = none(), other = none();
    (void)state;
    same.learning_rate = 0.1;
    nearly.learning_rate = 0.1 * (1.0 + 1e-15);
    other.weight_decay = 0.02;
    assert_true(hyperparameters_equal(&space, &usual, &same));
    assert_true(hyperparameters_equal(&space, &nearly, &same));
    assert_false(hyperparameters_equal(&space, &usual, &other));
    assert_near(hyperparameters_distance(&space, &usual), 0.0);
    assert_near(hyperparameters_distance(&space, &same), 0.0);
    assert_near(hyperparameters_distance(&space, &other), 1.0);
    other.learning_rate = 0.025;
    assert_near(hyperparameters_distance(&space, &other), 3.0);
}

static void test_words(void **state)
{
    const struct hyperparameter_space space = space_with(&(struct job_ranges){.learning_rate = RATES});
    struct hyperparameters set = none();
    char text[96];
    (void)state;
    hyperparameters_describe(&space, &set, text, sizeof(text));
    assert_string_equal(text, "");
    set.label_smoothing = 0.2; /* the job's */
    set.learning_rate = 0.03125;
    hyperparameters_describe(&space, &set, text, sizeof(text));
    assert_string_equal(text, "learning rate 0.03125");
    set.batch = 32.0;
    hyperparameters_describe(&space, &set, text, sizeof(text));
    assert_string_equal(text, "batch 32, learning rate 0.03125");
    hyperparameters_describe(&space, &set, text, 10); /* cut, and ended */
    assert_string_equal(text, "batch 32,");
}

/* ---- chance ---- */

static struct hyperparameters draw(const struct hyperparameter_space *space, uint32_t part,
                                   const struct hyperparameters *parent)
{
    struct random_sequence random = {.seed = 7, .stream = RANDOM_HYPERPARAMETERS, .part = part};
    return hyperparameters_vary(space, parent, &random);
}

/* Within the ranges, about the parent's, on the scale; half of the children keep each; without a range it is the
 * job's. */
static void test_chance(void **state)
{
    const struct hyperparameter_space space = space_with(&(struct job_ranges){
        .learning_rate = RATES, .label_smoothing = SMOOTHINGS, .batch = BATCHES, .momentum = MOMENTA});
    enum { CHILDREN = 4000 };
    struct hyperparameters parent = none();
    double kept = 0.0, above = 0.0, smoothing_kept = 0.0, zero = 0.0;
    (void)state;
    parent.learning_rate = 0.3;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        const struct hyperparameters child = draw(&space, i, &parent), again = draw(&space, i, &parent);
        const double rate = isnan(child.learning_rate) ? 0.1 : child.learning_rate;
        assert_true(rate >= 0.01 && rate <= 1.0);
        assert_true(isnan(child.momentum) || (child.momentum >= 0.5 && child.momentum <= 0.9));
        assert_true(isnan(child.batch) ||
                    (child.batch == rint(child.batch) && child.batch >= 16.0 && child.batch <= 256.0));
        assert_true(isnan(child.weight_decay) && isnan(child.average));
        assert_true(hyperparameters_equal(&space, &child, &again));
        kept += rate == 0.3;
        above += rate > 0.3;
        smoothing_kept += isnan(child.label_smoothing);
        zero += child.label_smoothing == 0.0;
    }
    assert_true(fabs(kept / CHILDREN - 0.5) < 0.03);
    assert_true(fabs(smoothing_kept / CHILDREN - 0.5) < 0.03);
    assert_true(fabs(zero / CHILDREN - 0.25) < 0.03);
    assert_true(above / CHILDREN > 0.18 && above / CHILDREN < 0.27);
}

/* Evenly of what the job gives, whatever was tried before; of what it leaves open the learning rate alone. */
static void test_draws(void **state)
{
    const struct hyperparameter_space space =
        space_with(&(struct job_ranges){.label_smoothing = SMOOTHINGS, .momentum = MOMENTA});
    enum { DRAWS = 4000 };
    double below = 0.0, quarter = 0.0, zero = 0.0;
    (void)state;
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct random_sequence random = {.seed = 7, .stream = RANDOM_SEARCH, .part = i};
        const struct hyperparameters set = hyperparameters_draw(&space, &random);
        const double rate = isnan(set.learning_rate) ? 0.1 : set.learning_rate;
        const double momentum = isnan(set.momentum) ? 0.7 : set.momentum;
        assert_true(rate >= 0.025 && rate <= 0.4 && momentum >= 0.5 && momentum <= 0.9);
        assert_true(isnan(set.batch) && isnan(set.weight_decay) && isnan(set.average));
        below += rate < 0.1;
        quarter += momentum < 0.6;
        zero += set.label_smoothing == 0.0;
    }
    assert_true(fabs(below / DRAWS - 0.5) < 0.03);
    assert_true(fabs(quarter / DRAWS - 0.25) < 0.03);
    assert_true(fabs(zero / DRAWS - 1.0 / 3.0) < 0.03);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),           cmocka_unit_test(test_raised), cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_whole_and_most), cmocka_unit_test(test_equal),  cmocka_unit_test(test_words),
        cmocka_unit_test(test_chance),         cmocka_unit_test(test_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Budgets: every rule by which a stage is divided, on numbers that can be followed by hand, and that nothing is planned
 * beyond the deadline, whatever the machine does meanwhile. */
#include "host/base/random.h"
#include "host/search/budget.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fmax(1.0, fabs(expected))))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

/* An image takes 2 ms, an epoch 2 s or 20 steps of 50 images; 2.5 s are kept for the test of 500 images at 1 ms. */
static struct budget_state state_of(enum budget_kind kind, double total)
{
    return (struct budget_state){
        .kind = kind,
        .total = total,
        .final_share = 0.6,
        .final_epochs = 20.0,
        .workers = 1,
        .candidate_images = 1000.0,
        .train_images = 1000,
        .test_evaluations = 500,
        .candidate_batch = 50,
        .final_batch = 100,
        .team = 1,
        .speed = {.rates = {.flops = 1e9, .bytes = 1e8}, .measured = 2.0, .slowdown = 1.0, .overhead = 2.0},
        .costs = {.likely = 0.001, .cheapest = 0.0005, .dearest = 0.004}};
}

static void test_kinds(void **state)
{
    const struct job_budget seconds = {.seconds = {2, {10, 30}}}, steps = {.steps = {1, {500}}},
                            models = {.models = {3, {1, 2, 7}}};
    (void)state;
    assert_int_equal(budget_kind_of(&seconds), BUDGET_SECONDS);
    assert_int_equal(budget_kind_of(&steps), BUDGET_STEPS);
    assert_int_equal(budget_kind_of(&models), BUDGET_MODELS);
    assert_string_equal(budget_kind(&seconds), "seconds");
    assert_string_equal(budget_kind(&steps), "steps");
    assert_string_equal(budget_kind(&models), "models");
    assert_int_equal(budget_stages(&seconds), 2);
    assert_int_equal(budget_stages(&steps), 1);
    assert_int_equal(budget_stages(&models), 3);
    assert_near(budget_total(&seconds, 1), 30);
    assert_near(budget_total(&steps, 0), 500);
    assert_near(budget_total(&models, 2), 7);
}

/* Two seconds, and the test's: half the training's time until it is measured, then five quarters of what was
 * measured. Where a clock ends the final fit: its last step, too. Devices share both. */
static void test_reserve(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    assert_near(budget_reserve(&budget), 2.5);
    budget.costs.likely = 0.01;
    assert_near(budget_reserve(&budget), 7.0);
    budget.speed.evaluation = 0.25;
    assert_near(budget_reserve(&budget), 2.0 + 1.25 * 0.25 * 0.01 * 500);
    budget.speed.measured = 100.0; /* it is known better */
    assert_near(budget_reserve(&budget), 2.0 + 1.25 * 0.25 * 0.01 * 500);
    budget.test_evaluations = 6 * 500;
    assert_near(budget_reserve(&budget), 2.0 + 6 * 1.25 * 0.25 * 0.01 * 500);
    budget.test_evaluations = 500;
    budget.speed.overhead = 0.0;
    assert_near(budget_reserve(&budget), 1.25 * 0.25 * 0.01 * 500);
    budget = state_of(BUDGET_SECONDS, 1000);
    budget.by_a_clock = true;
    assert_near(budget_reserve(&budget), 2.5 + 0.2);
    budget.team = 2;
    assert_near(budget_reserve(&budget), 2.0 + (0.5 + 0.2) / 2);
    budget = state_of(BUDGET_STEPS, 1000);
    assert_near(budget_reserve(&budget), 0.0);
    budget = state_of(BUDGET_MODELS, 1000);
    assert_near(budget_reserve(&budget), 0.0);
}

/* What the final fit's share and the reserve leave of what lies between two stages. */
static void test_search_part(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    assert_near(budget_search_part(&budget), 397.5);
    budget.began = 600;
    assert_near(budget_search_part(&budget), 157.5);
    budget.final_share = 0.0;
    assert_near(budget_search_part(&budget), 397.5);
    budget.began = 999; /* less is left than is kept */
    assert_near(budget_search_part(&budget), 0.0);
    assert_near(budget_candidates(&budget), 0.0);
    budget = state_of(BUDGET_STEPS, 1000);
    budget.began = 600;
    assert_near(budget_search_part(&budget), 160);
    budget = state_of(BUDGET_MODELS, 7); /* final fits come on top */
    assert_near(budget_search_part(&budget), 7);
}

/* Twelve epochs of the likely network; at most a tenth of the search, at least a two-hundredth. */
static void test_allowance(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    assert_near(budget_allowance(&budget), 24.0);
    assert_near(budget_candidates(&budget), 397.5 / 24);
    budget.candidate_images = 250;
    assert_near(budget_allowance(&budget), 6.0);
    budget.candidate_images = 10;
    assert_near(budget_allowance(&budget), 397.5 / 200);
    assert_near(budget_candidates(&budget), 200);
    budget.candidate_images = 100000;
    assert_near(budget_allowance(&budget), 39.75);
    assert_near(budget_candidates(&budget), 10);

    budget = state_of(BUDGET_STEPS, 10000);
    assert_near(budget_allowance(&budget), 240);
    budget.candidate_images = 50;
    assert_near(budget_allowance(&budget), 20);
    assert_near(budget_candidates(&budget), 200);
    budget.candidate_images = 100000;
    assert_near(budget_allowance(&budget), 400);
    assert_near(budget_candidates(&budget), 10);
    budget.candidate_images = 10; /* less than a batch: an epoch is a step */
    budget.total = 500;
    assert_near(budget_allowance(&budget), 12);

    budget = state_of(BUDGET_MODELS, 7);
    assert_near(budget_allowance(&budget), 1);
    assert_near(budget_candidates(&budget), 7);
}

/* Seconds are each device's own: more workers have more candidates, and 200 in all. Beside others a training takes
 * longer. */
static void test_workers(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    budget.workers = 4;
    assert_near(budget_allowance(&budget), 24.0);
    assert_near(budget_candidates(&budget), 4 * 397.5 / 24);
    budget.speed.slowdown = 1.5;
    assert_near(budget_allowance(&budget), 36.0);
    budget.speed.slowdown = 3.0;
    assert_near(budget_allowance(&budget), 39.75);
    assert_near(budget_candidates(&budget), 40);
    budget.speed.slowdown = 1.0;
    budget.candidate_images = 10;
    assert_near(budget_allowance(&budget), 4 * 397.5 / 200);
    assert_near(budget_candidates(&budget), 200);
    assert_near(budget_reserve(&budget), 2.5);

    budget = state_of(BUDGET_STEPS, 10000); /* counted over all of them */
    budget.workers = 4;
    budget.speed.slowdown = 3.0;
    assert_near(budget_allowance(&budget), 240);
    assert_near(budget_candidates(&budget), 4000.0 / 240);
}

static bool goes_on(struct budget_state budget, double spent)
{
    budget.spent = spent;
    return budget_search_goes_on(&budget);
}

/* Half an allowance before the search's part is spent. */
static void test_end_of_search(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    assert_true(goes_on(budget, 0));
    assert_true(goes_on(budget, 385.49));
    assert_false(goes_on(budget, 385.51));
    assert_false(goes_on(budget, 2000));
    assert_false(goes_on(state_of(BUDGET_SECONDS, 1), 0)); /* not even the reserve */

    budget = state_of(BUDGET_STEPS, 10000);
    assert_true(goes_on(budget, 3879));
    assert_false(goes_on(budget, 3880));

    budget = state_of(BUDGET_MODELS, 7);
    assert_true(goes_on(budget, 6));
    assert_false(goes_on(budget, 7));
}

static void test_idle_devices(void **state)
{
    struct budget_state seconds = state_of(BUDGET_SECONDS, 1000), steps = state_of(BUDGET_STEPS, 1000),
                        models = state_of(BUDGET_MODELS, 1000);
    (void)state;
    assert_true(budget_fills_devices(&seconds));
    assert_false(budget_fills_devices(&steps));
    assert_false(budget_fills_devices(&models));
    seconds.spent = 390;
    assert_false(budget_fills_devices(&seconds));
}

/* A stage begins where the one before ended, by the clock; one whose end is moved further out goes on searching. */
static void test_later_stages(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 3000);
    (void)state;
    budget.began = 1000;
    assert_near(budget_search_part(&budget), 797.5);
    assert_true(goes_on(budget, 1785.4));
    assert_false(goes_on(budget, 1785.6));
    budget.spent = 1780;
    assert_near(budget_candidate_seconds(&budget, 1, 0), 17.5);
    assert_near(budget_final_seconds(&budget, 0), 1217.5);
    assert_near(budget_limits(&budget).max_seconds_per_image, 1200.0 / 8000 / 2);

    budget = state_of(BUDGET_SECONDS, 1000);
    assert_false(goes_on(budget, 390));
    budget.total = 2000;
    assert_true(goes_on(budget, 390));
    budget = state_of(BUDGET_STEPS, 10000);
    budget.began = 9000;
    assert_near(budget_allowance(&budget), 40);
    assert_true(goes_on(budget, 9379));
    assert_false(goes_on(budget, 9380));
    budget.spent = 9370;
    assert_int_equal(budget_candidate_steps(&budget, 1), 30);
    assert_int_equal(budget_final_steps(&budget), 630);
}

/* One allowance, two from fresh weights, and never more than is left; what an interrupted training has had counts. */
static void test_candidate_seconds(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    assert_near(budget_candidate_seconds(&budget, 1, 0), 24);
    assert_near(budget_candidate_seconds(&budget, 2, 0), 48);
    assert_near(budget_candidate_seconds(&budget, 1, 10), 24);
    budget.spent = 390;
    assert_near(budget_candidate_seconds(&budget, 1, 0), 7.5);
    assert_near(budget_candidate_seconds(&budget, 2, 0), 7.5);
    assert_near(budget_candidate_seconds(&budget, 1, 10), 17.5);
    assert_near(budget_candidate_seconds(&budget, 1, 20), 24);
    budget.spent = 397.5;
    assert_near(budget_candidate_seconds(&budget, 2, 0), 0);
    budget.spent = 5000;
    assert_near(budget_candidate_seconds(&budget, 2, 0), 0);
    assert_near(budget_candidate_seconds(&budget, 2, 10), 0);
    budget.kind = BUDGET_STEPS;
    assert_true(isinf(budget_candidate_seconds(&budget, 2, 0)));
    budget.kind = BUDGET_MODELS;
    assert_true(isinf(budget_candidate_seconds(&budget, 2, 0)));
}

/* All that is left but for the reserve: also what the search has not used. */
static void test_final_seconds(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    budget.spent = 390;
    assert_near(budget_final_seconds(&budget, 0), 607.5);
    assert_near(budget_final_seconds(&budget, 100), 707.5);
    budget.spent = 997.5;
    assert_near(budget_final_seconds(&budget, 0), 0);
    assert_near(budget_final_seconds(&budget, 100), 100);
    budget.spent = 5000;
    assert_near(budget_final_seconds(&budget, 0), 0);
    budget.kind = BUDGET_STEPS;
    assert_true(isinf(budget_final_seconds(&budget, 0)));
    budget.kind = BUDGET_MODELS;
    assert_true(isinf(budget_final_seconds(&budget, 0)));
}

/* A recipe asks for times the usual, a quarter or four; the search's end holds for it, too. */
static void test_allowances(void **state)
{
    struct budget_state budget = state_of(BUDGET_STEPS, 10000);
    (void)state;
    assert_near(budget_allowances(false, 1), 1);
    assert_near(budget_allowances(true, 1), 2);
    assert_near(budget_allowances(false, 0.25), 0.25);
    assert_near(budget_allowances(true, 4), 8);
    assert_int_equal(budget_candidate_steps(&budget, 0.25), 60);
    assert_int_equal(budget_candidate_steps(&budget, 8), 1920);
    budget.spent = 3850;
    assert_int_equal(budget_candidate_steps(&budget, 8), 150);
    budget = state_of(BUDGET_SECONDS, 1000);
    assert_near(budget_candidate_seconds(&budget, 0.25, 0), 6);
    assert_near(budget_candidate_seconds(&budget, 8, 0), 192);
    budget = state_of(BUDGET_MODELS, 7);
    assert_int_equal(budget_candidate_steps(&budget, 0.25), 10);
}

static void test_candidate_steps(void **state)
{
    struct budget_state budget = state_of(BUDGET_STEPS, 10000);
    (void)state;
    assert_int_equal(budget_candidate_steps(&budget, 1), 240);
    assert_int_equal(budget_candidate_steps(&budget, 2), 480);
    budget.spent = 3850;
    assert_int_equal(budget_candidate_steps(&budget, 2), 150);
    budget.spent = 5000; /* the first candidate is tried whatever is left */
    assert_int_equal(budget_candidate_steps(&budget, 2), 1);
    budget = state_of(BUDGET_STEPS, 10001); /* parts of steps are rounded up */
    budget.candidate_images = 50;
    assert_int_equal(budget_candidate_steps(&budget, 1), 21);
    assert_int_equal(budget_candidate_steps(&budget, 2), 41);

    budget = state_of(BUDGET_SECONDS, 1000);
    assert_true(budget_candidate_steps(&budget, 2) == UINT32_MAX);
    budget.epochs = 2.5; /* whatever the kind of budget */
    assert_int_equal(budget_candidate_steps(&budget, 1), 50);
    assert_int_equal(budget_candidate_steps(&budget, 2), 100);
    budget.candidate_images = 60; /* an epoch is one whole batch */
    assert_int_equal(budget_candidate_steps(&budget, 1), 2);
    budget.epochs = 0.25;
    assert_int_equal(budget_candidate_steps(&budget, 1), 1);
    budget.epochs = 1000;
    budget.candidate_images = 1e9;
    assert_true(budget_candidate_steps(&budget, 1) == UINT32_MAX - 1);
    budget = state_of(BUDGET_STEPS, 10000);
    budget.epochs = 3.0;
    assert_int_equal(budget_candidate_steps(&budget, 1), 60);
    budget.epochs = 30.0;
    assert_int_equal(budget_candidate_steps(&budget, 1), 240);

    budget = state_of(BUDGET_MODELS, 7);
    assert_int_equal(budget_candidate_steps(&budget, 1), 40);
    assert_int_equal(budget_candidate_steps(&budget, 2), 80);
    budget.epochs = 3.0;
    assert_int_equal(budget_candidate_steps(&budget, 1), 60);
}

static void test_final_steps(void **state)
{
    struct budget_state budget = state_of(BUDGET_STEPS, 10000);
    (void)state;
    budget.spent = 3900;
    assert_int_equal(budget_final_steps(&budget), 6100);
    budget.spent = 10000;
    assert_int_equal(budget_final_steps(&budget), 1);
    budget.spent = 11000;
    assert_int_equal(budget_final_steps(&budget), 1);
    budget = state_of(BUDGET_MODELS, 7);
    assert_int_equal(budget_final_steps(&budget), 200);
    budget = state_of(BUDGET_SECONDS, 1000);
    assert_true(budget_final_steps(&budget) == UINT32_MAX);
}

static void test_limits(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    budget.limits.max_parameters = 12345;
    struct search_limits limits = budget_limits(&budget);
    assert_int_equal(limits.max_parameters, 12345);
    assert_true(limits.rates.flops == 1e9 && limits.rates.bytes == 1e8);
    assert_near(limits.max_seconds_per_image, 0.0375); /* eight epochs of 1000 images at twice that: 600 s */
    budget.speed.measured = 20.0;
    assert_near(budget_limits(&budget).max_seconds_per_image, 0.00375);
    budget.costs.cheapest = 0.05;
    assert_near(budget_limits(&budget).max_seconds_per_image, 0.0505);
    assert_true(budget_limits(&budget).max_seconds_per_image > budget.costs.cheapest);
    budget.final_share = 0.0;
    assert_near(budget_limits(&budget).max_seconds_per_image, 0.0505);
    budget.spent = 900; /* the final fit's share does not shrink while the search goes on */
    budget.final_share = 0.6;
    budget.speed.measured = 2.0;
    budget.costs.cheapest = 0.0005;
    assert_near(budget_limits(&budget).max_seconds_per_image, 0.0375);

    budget = state_of(BUDGET_STEPS, 1000);
    assert_near(budget_limits(&budget).max_seconds_per_image, 4 * 0.004);
    budget.kind = BUDGET_MODELS;
    assert_near(budget_limits(&budget).max_seconds_per_image, 4 * 0.004);
}

/* ---- trainings whose time is predicted ---- */

/* A step of 50 images takes 0.1 s, an epoch 20 of them and 0.1 s for its validation; several devices share both. */
static void test_training_seconds(void **state)
{
    const struct budget_speed speed = {.measured = 2.0, .evaluation = 0.5};
    struct budget_training training = {
        .cost = 0.001, .stepped = 0.001, .images = 1010, .batch = 50, .validation_images = 200, .devices = 1};
    (void)state;
    assert_near(budget_training_seconds(&speed, &training, 0), 0.0);
    assert_near(budget_training_seconds(&speed, &training, 1), 0.2);
    assert_near(budget_training_seconds(&speed, &training, 20), 2.1);
    assert_near(budget_training_seconds(&speed, &training, 21), 2.3);
    assert_near(budget_training_seconds(&speed, &training, 2000), 210.0);
    assert_int_equal(budget_training_steps(&speed, &training, 0.0), 1);
    assert_int_equal(budget_training_steps(&speed, &training, -5.0), 1);
    assert_int_equal(budget_training_steps(&speed, &training, 1.05), 9);
    assert_int_equal(budget_training_steps(&speed, &training, 2.05), 19);
    assert_int_equal(budget_training_steps(&speed, &training, 2.15), 20);
    assert_int_equal(budget_training_steps(&speed, &training, 2.25), 20);
    assert_int_equal(budget_training_steps(&speed, &training, 2.35), 21);
    training.devices = 4;
    assert_near(budget_training_seconds(&speed, &training, 2000), 52.5);
    training.devices = 1;
    training.stepped = 0.0006; /* smaller images at first: steps are shorter, validations are not */
    assert_near(budget_training_seconds(&speed, &training, 20), 1.3);
    assert_int_equal(budget_training_steps(&speed, &training, 1.32), 20);
    training.stepped = training.cost;
    const struct budget_speed unknown = {.measured = 2.0}; /* half the training's time, as for the reserve */
    assert_near(budget_training_seconds(&unknown, &training, 20), 2.2);
}

/* No more steps than are paid for, and one more would be too many. */
static void test_training_steps(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4000; i++) {
        struct random_sequence random = {.seed = 4, .stream = RANDOM_TEST, .part = i};
        const double unit = random_next_unit(&random);
        const struct budget_speed speed = {.measured = 0.1 + 10.0 * random_next_unit(&random),
                                           .evaluation = random_next_unit(&random)};
        const double cost = 1e-6 + 1e-3 * random_next_unit(&random);
        const struct budget_training training = {.cost = cost,
                                                 .stepped = cost * (0.3 + 0.7 * random_next_unit(&random)),
                                                 .images = 1.0 + random_next_below(&random, 100000),
                                                 .batch = 1 + (int32_t)random_next_below(&random, 1000),
                                                 .validation_images =
                                                     (int32_t)random_next_below(&random, 10000),
                                                 .devices = 1 + (int32_t)random_next_below(&random, 8)};
        const double least = budget_training_seconds(&speed, &training, 1), seconds = least * pow(1e6, unit);
        const uint32_t steps = budget_training_steps(&speed, &training, seconds);
        assert_true(steps >= 1 && steps < UINT32_MAX);
        assert_true(budget_training_seconds(&speed, &training, steps) <= seconds * (1.0 + 1e-9));
        assert_true(budget_training_seconds(&speed, &training, steps + 1) >= seconds * (1.0 - 1e-9));
    }
}

/* ---- nothing is planned beyond the deadline ---- */

enum { SWEEPS = 4000, MOST_WORKERS = 8 };

/* Evenly between the logarithms. */
static double between(struct random_sequence *random, double least, double most)
{
    return least * pow(most / least, random_next_unit(random));
}

static struct budget_state random_state(struct random_sequence *random, enum budget_kind kind)
{
    struct budget_state budget = state_of(kind, floor(between(random, 1, 50000)));
    budget.final_share = 0.95 * random_next_unit(random);
    budget.epochs = random_next_below(random, 4) == 0 ? between(random, 0.1, 100) : 0.0;
    budget.workers = 1 + (int32_t)random_next_below(random, MOST_WORKERS);
    budget.train_images = (int32_t)between(random, 10, 1e6);
    budget.candidate_images = (0.01 + 0.99 * random_next_unit(random)) * budget.train_images;
    budget.test_evaluations = between(random, 1, 6e5);
    budget.candidate_batch = 1 + (int32_t)random_next_below(random, 1024);
    budget.final_batch = 1 + (int32_t)random_next_below(random, 4096);
    budget.speed.slowdown = 1.0 + random_next_unit(random);
    return budget;
}

/* After a training the machine is another one, and so is the best network. */
static void learn(struct random_sequence *random, struct budget_state *budget)
{
    budget->costs.likely = between(random, 1e-7, 1e-2);
    budget->costs.cheapest = budget->costs.likely * random_next_unit(random);
    budget->speed.measured = between(random, 0.1, 10);
    budget->speed.evaluation = random_next_below(random, 3) == 0 ? 0.0 : between(random, 0.01, 3);
}

/* From fresh weights or not; most of them of the usual length. */
static double random_allowances(struct random_sequence *random)
{
    const bool start = random_next_below(random, 2) == 0, usual = random_next_below(random, 3) > 0;
    return budget_allowances(start, usual ? 1.0 : between(random, 0.1, 20));
}

/* Trains candidates on all workers until the search ends; returns when the last of them is done. */
static double search_in_seconds(struct random_sequence *random, struct budget_state *budget)
{
    double free_at[MOST_WORKERS], last = budget->began;
    for (int32_t k = 0; k < budget->workers; k++)
        free_at[k] = budget->began;
    for (int32_t count = 0;; count++) {
        int32_t next = 0;
        for (int32_t k = 1; k < budget->workers; k++)
            next = free_at[k] < free_at[next] ? k : next;
        budget->spent = free_at[next];
        if (!budget_search_goes_on(budget))
            return last;
        const double allowances = random_allowances(random);
        const double limit = budget_candidate_seconds(budget, allowances, 0.0);
        const double kept = budget->final_share * (budget->total - budget->began) + budget_reserve(budget);
        assert_true(limit > 0.0);
        assert_true(limit <= allowances * budget_allowance(budget));
        assert_true(budget->spent + limit + kept <= budget->total * (1.0 + 1e-12));
        free_at[next] += random_next_below(random, 3) == 0 ? limit * random_next_unit(random) : limit;
        last = fmax(last, free_at[next]);
        assert_true(count < 100000); /* each takes its time: the search ends */
        learn(random, budget);
    }
}

/* What strategies see of a stage: epochs, and shares of it. Only what is left depends on what was spent. */
static void test_means(void **state)
{
    struct budget_state budget = state_of(BUDGET_SECONDS, 1000);
    (void)state;
    budget.team = 2;
    budget.speed.overhead = 2.25; /* both test, in 0.25 s, which the final fit gives away */
    budget.workers = 3;
    budget.speed.slowdown = 1.25;
    budget.speed.beside = 3.991;
    budget.validation_images = 500;
    struct search_means means = budget_means(&budget);
    assert_near(means.beside, 0.004);
    assert_near(means.validation,
                500 / 2.0); /* until it is measured: evaluated twice as fast as trained on */
    budget.speed.evaluation = 0.5;
    means = budget_means(&budget);
    assert_near(means.validation, 500 * 0.5 / 2.0);
    budget.speed.evaluation = 0.0;
    means = budget_means(&budget);
    assert_true(means.by_cost && isnan(means.device_seconds));
    assert_near(means.candidate_epochs, 997.75 / 2.0 / 1000 / 1.25); /* of a cost of 1, so of 2 s an image */
    assert_near(means.epochs, 2 * 997.75 / 2.0 / 1000);
    /* of the likely network that is 0.25 s, and so of any other, for epochs and tests cost alike */
    assert_near(means.test, means.epochs / budget.costs.likely * 0.25 / 997.75);
    assert_near(means.search, 397.5 / 997.75);
    assert_near(means.candidate, 2 * budget_allowance(&budget) / 997.75);
    assert_near(means.left, 1.0);
    assert_int_equal(means.workers, 3);
    assert_int_equal(means.models, INT32_MAX);
    budget.by_a_clock = true; /* the last step of 0.1 s is kept, too */
    budget.spent = 0.2 * 997.65;
    means = budget_means(&budget);
    assert_near(means.left, 0.8);
    assert_near(means.device_seconds, 2 * 997.65 * 1.25);

    budget = state_of(BUDGET_STEPS, 1000);
    budget.began = 200;
    budget.spent = 400;
    means = budget_means(&budget);
    assert_true(!means.by_cost && means.workers == 1);
    assert_near(means.epochs, 800 * 100 / 1000.0);
    assert_near(means.candidate_epochs, 800 * 50 / 1000.0);
    assert_near(means.left, 0.75);
    assert_near(means.search, 0.4);

    budget = state_of(BUDGET_MODELS, 7);
    for (budget.spent = 0; budget.spent < 7; budget.spent++) {
        means = budget_means(&budget);
        assert_int_equal(means.models, 7);
        assert_near(means.left, 1.0);
        assert_near(means.epochs, 20.0);
        assert_near(means.candidate, 2 * 2 / 20.0);
    }
}

static void test_deadline(void **state)
{
    int searched = 0, fitted = 0;
    (void)state;
    for (uint32_t i = 0; i < SWEEPS; i++) {
        struct random_sequence random = {.seed = 1, .stream = RANDOM_TEST, .part = i};
        struct budget_state budget = random_state(&random, BUDGET_SECONDS);
        learn(&random, &budget);
        for (int stage = 0; stage < 3; stage++) {
            const double last = search_in_seconds(&random, &budget);
            const double reserve = budget_reserve(&budget);
            budget.spent = last;
            const double final = budget_final_seconds(&budget, 0.0);
            assert_true(final >= 0.0 && last <= budget.total);
            assert_true(final == 0.0 || last + final + reserve <= budget.total * (1.0 + 1e-12));
            searched += last > budget.began;
            fitted += final > 0.0;
            budget.began = budget.total - random_next_unit(&random) * reserve; /* the test is done */
            budget.total *= 1.0 + between(&random, 0.01, 3);
        }
    }
    assert_true(searched > SWEEPS &&
                fitted > SWEEPS); /* of three stages each: most of them are no empty ones */
}

/* The networks that are admitted are seen by the final fit eight times. */
static void test_admitted_are_fitted(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SWEEPS; i++) {
        struct random_sequence random = {.seed = 2, .stream = RANDOM_TEST, .part = i};
        struct budget_state budget = random_state(&random, BUDGET_SECONDS);
        learn(&random, &budget);
        const double most = budget_limits(&budget).max_seconds_per_image;
        const double epochs = budget_image_seconds(&budget.speed, most) * 8.0 * budget.train_images;
        const double share = budget.final_share * budget.total;
        assert_true(most > budget.costs.cheapest);
        assert_true(most <= 1.011 * budget.costs.cheapest || fabs(epochs - share) <= 1e-9 * share);
    }
}

/* Steps are used up to the last one, and none is counted twice, in whatever order candidates come and end. */
static void test_steps_add_up(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SWEEPS; i++) {
        struct random_sequence random = {.seed = 3, .stream = RANDOM_TEST, .part = i};
        struct budget_state budget = random_state(&random, BUDGET_STEPS);
        for (int stage = 0; stage < 2; stage++) {
            while (budget_search_goes_on(&budget)) {
                const double allowances = random_allowances(&random);
                const uint32_t limit = budget_candidate_steps(&budget, allowances);
                assert_true(limit >= 1 && limit <= ceil(allowances * budget_allowance(&budget)));
                budget.spent += limit;
                if (random_next_below(&random, 3) == 0) /* the last one has failed, or stopped early */
                    budget.spent -= random_next_below(&random, limit);
            }
            assert_true(budget.spent - budget.began < budget_search_part(&budget) + 1.0);
            const uint32_t final = budget_final_steps(&budget);
            assert_true(budget.spent + final == budget.total || (budget.spent >= budget.total && final == 1));
            budget.began = budget.spent = budget.spent + final;
            budget.total = budget.began + floor(between(&random, 1, 50000));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_search_part),
        cmocka_unit_test(test_allowance),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_end_of_search),
        cmocka_unit_test(test_idle_devices),
        cmocka_unit_test(test_later_stages),
        cmocka_unit_test(test_candidate_seconds),
        cmocka_unit_test(test_final_seconds),
        cmocka_unit_test(test_allowances),
        cmocka_unit_test(test_candidate_steps),
        cmocka_unit_test(test_final_steps),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_training_seconds),
        cmocka_unit_test(test_training_steps),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_admitted_are_fitted),
        cmocka_unit_test(test_steps_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a run tells its budget: costs of which networks, by which rates, and what counts as spent. */
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/run/run_budget.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { CLASSES = 10, SIDE = 16 };

static void make_start(const char *name, struct graph *graph)
{
    const struct shape image = {0, 1, SIDE, SIDE};
    struct error err;
    *graph = (struct graph){0};
    assert_int_equal(start_make(graph, name, 8, image, CLASSES, &err), ST_OK);
}

static double cost_of_start(const char *name, double flops, double bytes)
{
    struct graph graph;
    make_start(name, &graph);
    const struct cost_rates rates = cost_rates_of(flops, bytes);
    const double cost = cost_seconds(&graph, &rates);
    graph_free(&graph);
    return cost;
}

static struct job job_of(struct job_budget budget)
{
    return (struct job){.search = {.strategy = JOB_STRATEGY_GREEDY,
                                   .starts = {.count = 2, .items = {"resnet", "cnn"}},
                                   .width = 8,
                                   .morphs = {.count = 1, .items = {"widen"}},
                                   .max_morphs = 1,
                                   .data = 0.5,
                                   .final_share = 0.25,
                                   .epochs = 3.0},
                        .train = {.final_epochs = 9.0},
                        .budget = budget};
}

static struct run run_of(const struct job *job)
{
    struct run run = {.job = job,
                      .data = {.classes = CLASSES, .channels = 1, .height = SIDE, .width = SIDE},
                      .devices = {.count = 1, .workers = 2},
                      .rates = {.flops = 1e9, .bytes = 1e8},
                      .batches = {.candidate = 32, .final = 64},
                      .sharing = {.workers = 2, .alone = 100, .together = 160},
                      .stage = 1,
                      .stage_began = 30.0,
                      .stage_steps = 200,
                      .steps_done = 250,
                      .steps_coming = 40,
                      .models = 3,
                      .coming = 2,
                      .seconds_per_image = 1.5,
                      .evaluation_factor = 0.25,
                      .report_seconds = 0.5,
                      .beside = 0.75};
    const struct search_setup setup = {
        .job = &job->search, .seed = 1, .image = {0, 1, SIDE, SIDE}, .classes = CLASSES};
    struct error err;
    run.data.sample_count[SPLIT_TRAIN] = 1001;
    run.data.sample_count[SPLIT_VALIDATION] = 100;
    run.data.sample_count[SPLIT_TEST] = 400;
    assert_int_equal(search_new(&setup, &run.search, &err), ST_OK);
    assert_int_equal(run_starts_open(&run, &err), ST_OK);
    run.limits.max_parameters = 77;
    return run;
}

static void observe(struct run *run, int32_t id, const char *start, double score)
{
    struct graph graph;
    struct error err;
    make_start(start, &graph);
    const struct search_trial trial = {.id = id,
                                       .parent = -1,
                                       .start = -1,
                                       .graph = &graph,
                                       .recipe = recipe_usual(),
                                       .prediction = prediction_none()};
    assert_int_equal(search_observe(run->search, &trial, score, 1.0, &err), ST_OK);
    graph_free(&graph);
}

static void test_seconds(void **state)
{
    struct job job = job_of((struct job_budget){.seconds = {2, {100, 1e9}}});
    struct run run = run_of(&job);
    (void)state;
    const double before = run_time(&run);
    const struct budget_state budget = run_budget(&run);
    const double after = run_time(&run);
    assert_int_equal(budget.kind, BUDGET_SECONDS);
    assert_true(budget.total == 1e9 && budget.began == 30.0);
    assert_true(before <= budget.spent && budget.spent <= after);
    assert_true(budget.final_share == 0.25 && budget.epochs == 3.0 && budget.final_epochs == 9.0);
    assert_int_equal(budget.limits.max_parameters, 77);
    assert_int_equal(budget.workers, 2);
    assert_true(budget.candidate_images == 500.5);
    assert_int_equal(budget.train_images, 1001);
    assert_true(budget.test_evaluations == 500.0);
    assert_int_equal(budget.candidate_batch, 32);
    assert_int_equal(budget.final_batch, 64);
    assert_true(budget.speed.rates.flops == 1e9 && budget.speed.rates.bytes == 1e8);
    assert_true(budget.speed.measured == 1.5 && budget.speed.evaluation == 0.25);
    assert_true(budget.speed.beside == 0.75);
    assert_true(fabs(budget.speed.slowdown - 1.25) < 1e-12 && budget.speed.overhead == 2.0 + 3.0 * 0.5);
    /* What is kept beside the test grows with the report, and with the stage, to a limit. */
    job.budget.seconds.items[run.stage] = run.stage_began + 10.0;
    const struct budget_state brief = run_budget(&run);
    assert_true(fabs(brief.speed.overhead - (0.6 + 3.0 * 0.5)) < 1e-9);
    job.budget.seconds.items[run.stage] = 1e9;
    assert_true(run_seconds_left(&run) <= 1e9 - after);
    search_free(run.search);
    run_starts_close(&run);
}

/* Before anything is trained the starting networks count, afterwards the best and the cheapest that was. */
static void test_costs(void **state)
{
    const struct job job = job_of((struct job_budget){.seconds = {2, {100, 1e9}}});
    const double lean = cost_of_start("lean", 1e9, 1e8), cnn = cost_of_start("cnn", 1e9, 1e8),
                 resnet = cost_of_start("resnet", 1e9, 1e8), dense = cost_of_start("densenet", 1e9, 1e8);
    struct run run = run_of(&job);
    struct budget_costs costs = run_budget(&run).costs;
    (void)state;
    assert_true(costs.cheapest == fmin(cnn, resnet) && costs.likely == fmin(cnn, resnet));
    assert_true(costs.dearest == fmax(cnn, resnet) && cnn != resnet);

    observe(&run, 0, "densenet", NAN); /* failed */
    costs = run_budget(&run).costs;
    assert_true(costs.cheapest == fmin(cnn, resnet) && costs.likely == fmin(cnn, resnet));

    observe(&run, 1, "lean", 0.5);
    observe(&run, 2, "densenet", 0.9);
    costs = run_budget(&run).costs;
    assert_true(costs.likely == dense && costs.cheapest == fmin(lean, dense) && lean != dense);
    assert_true(costs.dearest == fmax(cnn, resnet));
    search_free(run.search);
    run_starts_close(&run);
}

/* No rate of this machine decides anything: operations are counted. */
static void test_without_a_clock(void **state)
{
    const struct job steps = job_of((struct job_budget){.steps = {2, {500, 900}}}),
                     models = job_of((struct job_budget){.models = {2, {5, 9}}});
    struct run run = run_of(&steps);
    (void)state;
    struct budget_state budget = run_budget(&run);
    assert_int_equal(budget.kind, BUDGET_STEPS);
    assert_true(budget.total == 900 && budget.began == 200 && budget.spent == 290);
    assert_true(budget.speed.rates.flops == 1.0 && isinf(budget.speed.rates.bytes));
    assert_true(budget.speed.measured == 1.0 && budget.speed.evaluation == 0.0 &&
                budget.speed.slowdown == 1.0);
    assert_true(budget.costs.dearest ==
                fmax(cost_of_start("resnet", 1.0, INFINITY), cost_of_start("cnn", 1.0, INFINITY)));
    assert_true(isnan(run_seconds_left(&run)));

    run.job = &models;
    budget = run_budget(&run);
    assert_int_equal(budget.kind, BUDGET_MODELS);
    assert_true(budget.total == 9 && budget.began == 0 && budget.spent == 5);
    assert_true(isnan(run_seconds_left(&run)));
    search_free(run.search);
    run_starts_close(&run);
}

/* Seconds of the model's clock become steps; what the machine does decides nothing. */
static void test_model_clock(void **state)
{
    const struct job job = job_of((struct job_budget){.seconds = {2, {100, 1e9}}, .clock = JOB_CLOCK_MODEL}),
                     steps = job_of((struct job_budget){.steps = {2, {500, 900}}, .clock = JOB_CLOCK_MODEL});
    const double cost = cost_of_start("cnn", 1e11, 2e10);
    struct run run = run_of(&job);
    struct candidate candidate = {.parent = 0, .batch = 16, .steps = 31, .recipe = recipe_usual()};
    (void)state;
    make_start("cnn", &candidate.graph);
    run.model_seconds = 40.0;
    run.batches.team = 2;
    run.data.sample_count[SPLIT_VALIDATION] = 100;
    assert_true(run_time(&run) == 40.0);
    const struct budget_state budget = run_budget(&run);
    assert_true(budget.spent == 40.0 && budget.began == 30.0);
    run.model_seconds_coming = 5.0;
    assert_true(run_budget(&run).spent == 45.0);
    run.model_seconds_coming = 0.0;
    assert_true(budget.speed.rates.flops == 1e11 && budget.speed.rates.bytes == 2e10 &&
                budget.speed.measured == 1.0);
    assert_true(budget.speed.evaluation == 0.0 && budget.speed.slowdown == 1.0 &&
                budget.speed.overhead == 0.0);
    assert_true(run_seconds_left(&run) == 1e9 - 40.0);

    /* 31 steps of 16 images are an epoch; both workers train meanwhile, or both devices share the final fit. */
    assert_true(fabs(run_model_seconds(&run, &candidate, candidate.steps) / (cost * (31 * 16 + 50) / 2) -
                     1.0) < 1e-12);
    assert_true(isinf(run_seconds_limit(&run, &candidate, 0.0)));
    assert_int_equal(run_steps_limit(&run, &candidate),
                     3 * 15); /* three epochs by search.epochs, of 32 images a step */
    candidate.final = true;
    assert_true(fabs(run_model_seconds(&run, &candidate, candidate.steps) / (cost * (31 * 16 + 50) / 2) -
                     1.0) < 1e-12);
    run.model_seconds = 1e9 - 10.0;
    const double reserve = budget_reserve(&budget);
    /* It is for the test of the cheapest start, its validation images with it, which is half of a training's work, by
     * both; no margin is needed. */
    assert_true(fabs(run_model_test_seconds(&run, &candidate.graph, 400.0) / (cost * 400 / 4) - 1.0) < 1e-12);
    assert_true(fabs(reserve / (fmin(cost, cost_of_start("resnet", 1e11, 2e10)) * 500 / 4) - 1.0) < 1e-12);
    const uint32_t limit = run_steps_limit(&run, &candidate);
    candidate.batch = 64;
    candidate.steps = limit;
    assert_true(run_model_seconds(&run, &candidate, candidate.steps) <= 10.0 - reserve);
    candidate.steps = limit + 1;
    assert_true(run_model_seconds(&run, &candidate, candidate.steps) > 10.0 - reserve);

    /* Of a network that is much dearer than what is likely, the test is kept for that network. */
    graph_free(&candidate.graph);
    make_start("densenet", &candidate.graph);
    const double test = run_model_test_seconds(&run, &candidate.graph, 500.0);
    assert_true(test > 2.0 * reserve);
    run.model_seconds = 1e9 - 10.0 * test;
    candidate.steps = run_steps_limit(&run, &candidate);
    assert_true(run_model_seconds(&run, &candidate, candidate.steps) <= 9.0 * test);
    candidate.steps++;
    assert_true(run_model_seconds(&run, &candidate, candidate.steps) > 9.0 * test);

    run.job = &steps; /* other budgets do not ask it */
    assert_int_equal(run_steps_limit(&run, &candidate), 900 - 290);
    assert_true(isinf(run_seconds_limit(&run, &candidate, 0.0)));
    graph_free(&candidate.graph);
    search_free(run.search);
    run_starts_close(&run);
}

/* By the wall clock seconds are seconds. */
static void test_limits(void **state)
{
    const struct job job = job_of((struct job_budget){.seconds = {2, {100, 1e9}}});
    struct run run = run_of(&job);
    const struct recipe usual = recipe_usual();
    const struct candidate child = {.parent = 0, .recipe = usual}, start = {.parent = -1, .recipe = usual},
                           longer = {.parent = 0, .recipe = {.budget = 4.0}};
    struct candidate final = {.parent = 0, .final = true, .recipe = usual};
    (void)state;
    const struct budget_state budget = run_budget(&run);
    assert_int_equal(run_steps_limit(&run, &child), 45);
    assert_int_equal(run_steps_limit(&run, &start), 90);
    assert_int_equal(run_steps_limit(&run, &longer), 180);
    assert_true(run_steps_limit(&run, &final) == UINT32_MAX);
    assert_true(run_seconds_limit(&run, &child, 0.0) == budget_candidate_seconds(&budget, 1.0, 0.0));
    assert_true(run_seconds_limit(&run, &start, 0.0) == budget_candidate_seconds(&budget, 2.0, 0.0));
    assert_true(run_seconds_limit(&run, &longer, 0.0) == budget_candidate_seconds(&budget, 4.0, 0.0));
    /* The final fit's follows the clock, and keeps the test of its own network. */
    struct budget_state ending = budget;
    make_start("cnn", &final.graph);
    ending.costs.likely = cost_of_start("cnn", 1e9, 1e8);
    const double limit = run_seconds_limit(&run, &final, 5.0);
    assert_true(limit <= budget_final_seconds(&ending, 5.0) &&
                limit > budget_final_seconds(&ending, 5.0) - 60.0);
    graph_free(&final.graph);
    search_free(run.search);
    run_starts_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seconds),         cmocka_unit_test(test_costs),
        cmocka_unit_test(test_without_a_clock), cmocka_unit_test(test_model_clock),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What networks may cost: starting networks are made narrower until they are within, nothing above is proposed, and
 * limits that nothing is within are refused by name. */
#include "host/search/limits.h"

#include "host/net/cost_fit.h"
#include "host/net/start.h"
#include "tests/support/phases_request.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 10, CANDIDATES = 8 };

static const struct shape IMAGE = {0, 3, 32, 32};

static struct job_search job_of(enum job_strategy strategy, int32_t width)
{
    return (struct job_search){.strategy = strategy,
                               .starts = {.count = 2, .items = {"air", "res9"}},
                               .width = width,
                               .morphs = {.count = 3, .items = {"deepen", "widen", "add_skip"}},
                               .max_morphs = 2,
                               .beta = 2.5,
                               .skip_weight = 1.0};
}

static struct search_setup setup_of(const struct job_search *job)
{
    static struct job_train train; /* of which nothing is asked */
    return (struct search_setup){.job = job, .seed = 1, .image = IMAGE, .classes = CLASSES, .train = &train};
}

static struct cost cost_of(const char *name, int32_t width)
{
    struct graph graph;
    struct error err;
    assert_int_equal(start_make(&graph, name, width, IMAGE, CLASSES, &err), ST_OK);
    const struct cost cost = cost_of_graph(&graph);
    graph_free(&graph);
    return cost;
}

/* Exactly the widest width: one parameter less, or one operation, and the next narrower one comes. */
static void test_narrower(void **state)
{
    const struct job_search job = job_of(JOB_STRATEGY_GREEDY, 0);
    const struct search_setup setup = setup_of(&job);
    const struct cost of_24 = cost_of("res9", 24);
    const struct cost_rates latency = cost_fit_prior(1e10, 1e9, 1);
    struct search_limits limits = {.max_seconds_per_image = INFINITY};
    struct graph graph;
    struct error err;
    int32_t width;
    (void)state;
    assert_int_equal(start_make(&graph, "res9", 24, IMAGE, CLASSES, &err), ST_OK);
    const double latency_24 = cost_seconds(&graph, &latency);
    graph_free(&graph);
    assert_int_equal(search_start_within(&setup, &limits, 1, &width, &graph, &err), ST_OK);
    assert_int_equal(width, 0);
    assert_int_equal(cost_of_graph(&graph).parameters, cost_of("res9", 0).parameters);
    graph_free(&graph);
    for (int less = 0; less <= 1; less++)
        for (int kind = 0; kind < 3; kind++) {
            limits = (struct search_limits){.max_seconds_per_image = INFINITY};
            if (kind == 0)
                limits.max_parameters = of_24.parameters - less;
            else if (kind == 1)
                limits.max_flops = of_24.forward_flops - less;
            else
                limits.max_latency = latency_24 * (less ? 0.999 : 1.001);
            limits.latency = latency; /* without a limit it says nothing */
            assert_int_equal(search_start_within(&setup, &limits, 1, &width, &graph, &err), ST_OK);
            assert_int_equal(width, less ? 16 : 24);
            assert_int_equal(cost_of_graph(&graph).parameters, cost_of("res9", width).parameters);
            assert_true(search_fits(&limits, &graph));
            graph_free(&graph);
        }
    limits = (struct search_limits){.max_seconds_per_image = INFINITY, .max_parameters = 10};
    assert_int_equal(search_start_within(&setup, &limits, 1, &width, &graph, &err), ST_NONE);
}

/* A width that the job gives stays. */
static void test_given_width(void **state)
{
    const struct job_search job = job_of(JOB_STRATEGY_GREEDY, 32);
    const struct search_setup setup = setup_of(&job);
    const struct search_limits limits = {.max_seconds_per_image = INFINITY,
                                         .max_parameters = cost_of("res9", 32).parameters - 1};
    struct graph graph;
    struct error err;
    int32_t width;
    (void)state;
    assert_int_equal(search_start_within(&setup, &limits, 1, &width, &graph, &err), ST_NONE);
    assert_int_equal(search_check_limits(&setup, &limits, &err), ST_OK); /* air is smaller */
    assert_int_equal(search_start_within(&setup, &limits, 0, &width, &graph, &err), ST_OK);
    assert_int_equal(width, 32);
    graph_free(&graph);
}

static void test_refused(void **state)
{
    const struct job_search job = job_of(JOB_STRATEGY_PHASES, 0);
    const struct search_setup setup = setup_of(&job);
    const struct cost smallest = cost_of("air", 8);
    struct search_limits limits = {.max_seconds_per_image = INFINITY,
                                   .max_parameters = smallest.parameters,
                                   .max_flops = smallest.forward_flops};
    struct error err;
    char expected[200];
    (void)state;
    assert_int_equal(search_check_limits(&setup, &limits, &err), ST_OK);
    limits.max_parameters--;
    assert_int_equal(search_check_limits(&setup, &limits, &err), ST_RANGE);
    snprintf(
        expected, sizeof(expected),
        "search.max_parameters: found %lld, expected %lld or more: the smallest of search.starts, air 8 wide",
        (long long)limits.max_parameters, (long long)smallest.parameters);
    assert_memory_equal(err.message, expected, strlen(expected));
    limits.max_flops = 1000.0; /* farther away */
    assert_int_equal(search_check_limits(&setup, &limits, &err), ST_RANGE);
    assert_memory_equal(err.message, "search.max_flops: found 1000, ", 30);
    limits.max_latency = 1e-9; /* of what is not known yet nothing is too slow */
    assert_int_equal(search_check_limits(&setup, &limits, &err), ST_RANGE);
    assert_memory_equal(err.message, "search.max_flops: found 1000, ", 30);
    limits.latency = cost_fit_prior(1e10, 1e9, 1);
    assert_int_equal(search_check_limits(&setup, &limits, &err), ST_RANGE);
    assert_memory_equal(err.message, "search.max_latency_ms: found 1e-06, ", 36);
    assert_non_null(strstr(err.message, " ms an image"));
}

/* By every strategy, and at the end: nothing above. */
static void test_strategies(void **state)
{
    static const enum job_strategy strategies[] = {JOB_STRATEGY_BAYESIAN, JOB_STRATEGY_GREEDY,
                                                   JOB_STRATEGY_RANDOM, JOB_STRATEGY_PHASES,
                                                   JOB_STRATEGY_NONE};
    const struct cost most = cost_of("air", 24);
    (void)state;
    for (size_t s = 0; s < sizeof(strategies) / sizeof(strategies[0]); s++) {
        const struct job_search job = job_of(strategies[s], 0);
        const struct search_setup setup = setup_of(&job);
        struct search_request request = phases_request(40.0);
        struct search *search;
        struct proposal proposal;
        struct error err;
        request.limits.max_flops = most.forward_flops;
        request.limits.max_parameters = most.parameters;
        assert_int_equal(search_new(&setup, &search, &err), ST_OK);
        for (; request.id < CANDIDATES && search_has_candidates(search); request.id++) {
            if (search_propose(search, &request, &proposal, &err) != ST_OK)
                break;
            assert_true(search_fits(&request.limits, &proposal.graph));
            struct search_trial trial = trial_of_proposal(request.id, &proposal);
            trial.epochs = 1.0;
            assert_int_equal(search_observe(search, &trial, 0.5 + 0.01 * request.id, 1.0, &err), ST_OK);
            proposal_free(&proposal);
        }
        if (search_propose_final(search, &request, &proposal, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_true(search_fits(&request.limits, &proposal.graph));
        proposal_free(&proposal);
        search_free(search);
    }
}

/* A budget that pays for one training only goes on to the next start where the first is above in all widths. */
static void test_short_budget(void **state)
{
    const struct job_search job = {.strategy = JOB_STRATEGY_PHASES,
                                   .starts = {.count = 2, .items = {"densenet", "air"}}};
    const struct search_setup setup = setup_of(&job);
    struct search_request request = phases_request(1.0);
    struct search *search;
    struct proposal proposal;
    struct error err;
    (void)state;
    request.limits.max_parameters = cost_of("air", 8).parameters;
    assert_true(cost_of("densenet", 8).parameters > request.limits.max_parameters);
    assert_int_equal(search_new(&setup, &search, &err), ST_OK);
    assert_int_equal(search_propose_final(search, &request, &proposal, &err), ST_OK);
    assert_int_equal(proposal.start, 1);
    proposal_free(&proposal);
    search_free(search);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_narrower),     cmocka_unit_test(test_given_width),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_strategies),
        cmocka_unit_test(test_short_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Search strategies: proposals are functions of what was observed, and keep what search.h promises. No
 * network is trained here: scores are made up. */
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/search/strategy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Those of the table that search: all before "none". */
#define STRATEGY(constant, word, meaning) JOB_STRATEGY_##constant,
static const enum job_strategy STRATEGIES[] = {SPEC_STRATEGIES(STRATEGY)};
enum { STRATEGY_COUNT = JOB_STRATEGY_PHASES, HISTORY = 14, CLASSES = 4 };

static const struct shape IMAGE = {0, 1, 12, 12};

static const struct search_limits NO_LIMITS = {.max_seconds_per_image = INFINITY};

static struct job_search job_of(enum job_strategy strategy, double random_share)
{
    return (struct job_search){
        .strategy = strategy,
        .morphs = {.count = 5, .items = {"deepen", "widen", "add_skip", "concat_skip", "kernel"}},
        .max_morphs = 2,
        .beta = 2.5,
        .skip_weight = 1.0,
        .random_share = random_share,
        .neighbours = 4,
        .population = 8,
        .policy_rate = 0.01,
        .policy_batch = 2,
        .policy_entropy = 0.005,
        .tournament = 3};
}

static struct search_setup setup_of(const struct job_search *job)
{
    return (struct search_setup){.job = job, .seed = 3, .image = IMAGE, .classes = CLASSES};
}

static struct search *new_search(enum job_strategy strategy, double random_share)
{
    struct error err;
    struct search *search;
    const struct job_search job = job_of(strategy, random_share);
    const struct search_setup setup = setup_of(&job);
    assert_int_equal(search_new(&setup, &search, &err), ST_OK);
    return search;
}

/* A child's, or with parent -1 that of a network from fresh weights. */
static struct search_trial trial_of(int32_t id, int32_t parent, const struct graph *graph)
{
    return (struct search_trial){.id = id,
                                 .parent = parent,
                                 .start = -1,
                                 .graph = graph,
                                 .recipe = recipe_usual(),
                                 .prediction = prediction_none()};
}

static enum status pend(struct search *search, int32_t id, const struct proposal *proposal, double mean,
                        struct error *err)
{
    struct search_trial trial = trial_of(id, proposal->parent, &proposal->graph);
    trial.prediction.mean = mean;
    return search_pend(search, &trial, err);
}

/* A model trained further is a network that is known. */
static bool is_further(const struct proposal *proposal)
{
    return proposal->parent >= 0 && proposal->morph_count == 0;
}

static void observe_loss(struct search *search, int32_t id, int32_t parent, const struct graph *graph,
                         double score, double loss)
{
    struct error err;
    const struct search_trial trial = trial_of(id, parent, graph);
    assert_int_equal(search_observe(search, &trial, score, loss, &err), ST_OK);
}

static void observe(struct search *search, int32_t id, int32_t parent, const struct graph *graph,
                    double score)
{
    observe_loss(search, id, parent, graph, score, 1.0 - score);
}

static void observe_start(struct search *search, double score)
{
    struct graph start = {0};
    struct error err;
    assert_int_equal(start_make(&start, "lean", 8, IMAGE, CLASSES, &err), ST_OK);
    observe(search, 0, -1, &start, score);
    graph_free(&start);
}

static enum status ask(const struct search *search, int32_t id, const struct search_limits *limits,
                       struct proposal *proposal, struct error *err)
{
    const struct search_request request = {.id = id, .limits = *limits};
    return search_propose(search, &request, proposal, err);
}

static void propose(struct search *search, int32_t id, const struct search_limits *limits,
                    struct proposal *proposal)
{
    struct error err;
    if (ask(search, id, limits, proposal, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* A score that depends on nothing but the id; every fifth one has failed. */
static double score_of(int32_t id)
{
    return id % 5 == 4 ? NAN
                       : 0.5 + 0.4 * (double)random_unit(random_draw(1, RANDOM_TEST, (uint64_t)id, 0).v[0]);
}

/* The start and proposals 1 .. HISTORY - 1 with their scores. */
static struct search *search_with_history(enum job_strategy strategy)
{
    struct search *search = new_search(strategy, 0.2);
    observe_start(search, 0.5);
    for (int32_t id = 1; id < HISTORY; id++) {
        struct proposal proposal;
        propose(search, id, &NO_LIMITS, &proposal);
        observe(search, id, proposal.parent, &proposal.graph, score_of(id));
        proposal_free(&proposal);
    }
    return search;
}

static void assert_same_proposal(const struct proposal *a, const struct proposal *b)
{
    assert_int_equal(a->parent, b->parent);
    assert_int_equal(a->morph_count, b->morph_count);
    for (int32_t i = 0; i < a->morph_count; i++) {
        assert_string_equal(a->operations[i], b->operations[i]);
        assert_memory_equal(&a->morphs[i], &b->morphs[i], sizeof(a->morphs[i]));
    }
    assert_true(graph_fingerprint(&a->graph) == graph_fingerprint(&b->graph));
    assert_true(a->prediction.mean == b->prediction.mean ||
                (isnan(a->prediction.mean) && isnan(b->prediction.mean)));
}

/* Pending models are not proposed again, are no parents, and what is predicted of them counts until it is known. */
static void test_pending(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct search *search = search_with_history(STRATEGIES[s]),
                      *plain = search_with_history(STRATEGIES[s]);
        struct proposal pending[4], other;
        struct error err;
        for (int32_t i = 0; i < 4; i++) {
            const int32_t id = HISTORY + i;
            propose(search, id, &NO_LIMITS, &pending[i]);
            for (int32_t j = 0; j < i; j++)
                assert_true(graph_fingerprint(&pending[i].graph) != graph_fingerprint(&pending[j].graph));
            assert_int_equal(pend(search, id, &pending[i], pending[i].prediction.mean, &err), ST_OK);
            assert_false(search_find(search, id)->is_parent);
            assert_true(isnan(search_find(search, id)->score));
        }
        assert_int_equal(search_count(search), HISTORY + 4);
        /* Results, the last ones first: known at last, it is as if they had been observed in the order of their ids. */
        for (int32_t i = 3; i >= 0; i--)
            observe(search, HISTORY + i, pending[i].parent, &pending[i].graph, score_of(HISTORY + i));
        for (int32_t i = 0; i < 4; i++)
            observe(plain, HISTORY + i, pending[i].parent, &pending[i].graph, score_of(HISTORY + i));
        assert_int_equal(search_count(search), HISTORY + 4);
        proposal_free(&pending[0]);
        propose(search, HISTORY + 4, &NO_LIMITS, &pending[0]);
        propose(plain, HISTORY + 4, &NO_LIMITS, &other);
        assert_same_proposal(&pending[0], &other);
        proposal_free(&other);
        for (int32_t i = 0; i < 4; i++)
            proposal_free(&pending[i]);
        search_free(search);
        search_free(plain);
    }
}

/* Without a parent there are changes of what is in training, all of them different, from fresh weights, and only for
 * devices that would wait; without that there is nothing, and with a parent they are its children. */
static void test_fill(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct search *search = new_search(STRATEGIES[s], 0.2);
        struct search_request request = {.id = 1, .fill = true, .limits = NO_LIMITS};
        struct proposal proposal, start = {.parent = -1};
        struct error err;
        assert_int_equal(search_propose(search, &request, &proposal, &err), ST_NONE);
        assert_int_equal(start_make(&start.graph, "lean", 8, IMAGE, CLASSES, &err), ST_OK);
        assert_int_equal(pend(search, 0, &start, NAN, &err), ST_OK);
        assert_int_equal(ask(search, 1, &NO_LIMITS, &proposal, &err), ST_NONE);
        for (; request.id < 6; request.id++) {
            assert_int_equal(search_propose(search, &request, &proposal, &err), ST_OK);
            assert_int_equal(proposal.parent, -1);
            assert_int_equal(proposal.morph_count, 0);
            assert_in_range(proposal.operation_count, 1, 2);
            assert_false(search_knows(search, &proposal.graph));
            assert_int_equal(pend(search, request.id, &proposal, NAN, &err), ST_OK);
            proposal_free(&proposal);
        }
        observe(search, 3, -1, &search_find(search, 3)->graph, 0.5);
        assert_int_equal(search_propose(search, &request, &proposal, &err), ST_OK);
        assert_int_equal(proposal.parent, 3);
        assert_true(proposal.morph_count > 0);
        proposal_free(&proposal);
        proposal_free(&start);
        search_free(search);
    }
}

/* The starting networks come first, in their order, each once; those that are left out don't. Asking is free of
 * effects. */
static void test_starts(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct job_search job = job_of(STRATEGIES[s], 0.2);
        job.starts = (struct job_strings){.count = 4, .items = {"lean", "cnn", "resnet", "densenet"}};
        job.width = 8;
        const struct search_setup setup = setup_of(&job);
        struct search *search;
        struct proposal proposal, again;
        struct error err;
        assert_int_equal(search_new(&setup, &search, &err), ST_OK);
        for (int32_t start = 0; start < 3; start++) {
            struct graph graph = {0};
            propose(search, start, &NO_LIMITS, &proposal);
            propose(search, start + 1, &NO_LIMITS, &again);
            assert_same_proposal(&proposal, &again);
            assert_int_equal(proposal.start, start);
            assert_int_equal(proposal.parent, -1);
            assert_int_equal(proposal.morph_count, 0);
            assert_int_equal(proposal.operation_count, 1);
            assert_memory_equal(proposal.operations[0], "start ", 6);
            assert_string_equal(proposal.operations[0] + 6, job.starts.items[start]);
            assert_int_equal(start_make(&graph, job.starts.items[start], 8, IMAGE, CLASSES, &err), ST_OK);
            assert_true(graph_fingerprint(&graph) == graph_fingerprint(&proposal.graph));
            graph_free(&graph);
            if (start == 1) { /* it was pending when its result came, or it was not */
                search_leave_out(search, start);
            } else {
                struct search_trial trial = trial_of(start, -1, &proposal.graph);
                trial.start = start;
                if (start == 0)
                    assert_int_equal(search_pend(search, &trial, &err), ST_OK);
                else
                    assert_int_equal(search_observe(search, &trial, 0.5, 1.0, &err), ST_OK);
            }
            proposal_free(&proposal);
            proposal_free(&again);
        }
        propose(search, 3, &NO_LIMITS, &proposal);
        assert_int_equal(proposal.start, 3);
        search_leave_out(search, 3);
        proposal_free(&proposal);
        propose(search, 3, &NO_LIMITS, &proposal);
        assert_int_equal(proposal.start, -1);
        assert_int_equal(proposal.parent, 2);
        proposal_free(&proposal);
        search_free(search);
    }
}

/* The first proposal from `id` on that the surrogate made, no random one; its id is returned. */
static int32_t propose_predicted(struct search *search, int32_t id, struct proposal *proposal)
{
    propose(search, id, &NO_LIMITS, proposal);
    while (isnan(proposal->prediction.mean)) {
        proposal_free(proposal);
        propose(search, ++id, &NO_LIMITS, proposal);
    }
    return id;
}

/* A prediction far above all scores draws the surrogate's predictions for similar networks up. */
static void test_predictions_count(void **state)
{
    (void)state;
    struct search *high = search_with_history(JOB_STRATEGY_BAYESIAN),
                  *none = search_with_history(JOB_STRATEGY_BAYESIAN);
    struct proposal pending, first, second;
    struct error err;
    int32_t id = propose_predicted(high, HISTORY, &pending);
    assert_int_equal(pend(high, id, &pending, 5.0, &err), ST_OK);
    assert_int_equal(pend(none, id, &pending, NAN, &err), ST_OK);
    id = propose_predicted(high, id + 1, &first);
    propose(none, id, &NO_LIMITS, &second); /* the id decides who proposes */
    assert_true(first.prediction.mean > second.prediction.mean);
    proposal_free(&pending);
    proposal_free(&first);
    proposal_free(&second);
    search_free(high);
    search_free(none);
}

/* A resumed run observes the same models anew and must propose the same; and asking is free of effects. */
static void test_functions_of_history(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct search *grown = search_with_history(STRATEGIES[s]);
        struct search *resumed = new_search(STRATEGIES[s], 0.2);
        assert_int_equal(search_count(grown), HISTORY);
        for (int32_t i = 0; i < HISTORY; i++) {
            const struct search_model *model = search_at(grown, i);
            observe_loss(resumed, model->id, model->parent, &model->graph, model->score, model->loss);
        }
        int differ = 0;
        for (int32_t id = HISTORY; id < HISTORY + 6; id++) {
            struct proposal first, again, other, next;
            propose(grown, id, &NO_LIMITS, &first);
            propose(grown, id, &NO_LIMITS, &again);
            propose(resumed, id, &NO_LIMITS, &other);
            propose(grown, id + 1, &NO_LIMITS, &next);
            assert_same_proposal(&first, &again);
            assert_same_proposal(&first, &other);
            differ += graph_fingerprint(&first.graph) != graph_fingerprint(&next.graph);
            proposal_free(&first);
            proposal_free(&again);
            proposal_free(&other);
            proposal_free(&next);
        }
        assert_true(differ > 0); /* another id draws other numbers */
        search_free(grown);
        search_free(resumed);
    }
}

/* Every proposal is a new network, made from a kept parent by the morphs it names. */
static void test_proposals_are_what_they_say(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct search *search = search_with_history(STRATEGIES[s]);
        for (int32_t i = 1; i < HISTORY; i++) {
            const struct search_model *model = search_at(search, i);
            const bool further = model->fingerprint == search_find(search, model->parent)->fingerprint;
            for (int32_t j = 0; j < i && !further; j++)
                assert_true(model->fingerprint != search_at(search, j)->fingerprint);
        }
        for (int32_t id = HISTORY; id < HISTORY + 10; id++) {
            struct proposal proposal;
            struct graph graph = {0};
            struct error err;
            propose(search, id, &NO_LIMITS, &proposal);
            const struct search_model *parent = search_find(search, proposal.parent);
            assert_non_null(parent);
            assert_true(parent->is_parent);
            assert_false(isnan(parent->score));
            assert_in_range(proposal.morph_count, is_further(&proposal) ? 0 : 1, 2);
            assert_int_equal(graph_copy(&graph, &parent->graph, &err), ST_OK);
            for (int32_t i = 0; i < proposal.morph_count; i++) {
                struct graph child = {0};
                struct remap_list remaps = {0};
                assert_int_equal(morph_apply(&proposal.morphs[i], &graph, 0, &child, &remaps, &err), ST_OK);
                remap_list_free(&remaps);
                graph_free(&graph);
                graph = child;
            }
            assert_true(graph_fingerprint(&graph) == graph_fingerprint(&proposal.graph));
            graph_free(&graph);
            proposal_free(&proposal);
        }
        search_free(search);
    }
}

/* A parent above the limits has no children within them, unless layers may be taken out: then these are proposed. */
static void test_shrinks_to_the_limits(void **state)
{
    (void)state;
    for (int smaller = 0; smaller < 2; smaller++) {
        struct job_search job = job_of(JOB_STRATEGY_RANDOM, 0.2);
        struct graph start = {0};
        struct search *search;
        struct proposal proposal;
        struct error err;
        if (smaller)
            job.morphs.items[job.morphs.count++] = "remove";
        const struct search_setup setup = setup_of(&job);
        assert_int_equal(search_new(&setup, &search, &err), ST_OK);
        assert_int_equal(start_make(&start, "res9", 8, IMAGE, CLASSES, &err), ST_OK);
        observe(search, 0, -1, &start, 0.5);
        const struct search_limits limits = {.max_seconds_per_image = INFINITY,
                                             .max_parameters = cost_of_graph(&start).parameters - 1};
        assert_int_equal(ask(search, 1, &limits, &proposal, &err), smaller ? ST_OK : ST_NONE);
        if (smaller) {
            assert_true(cost_of_graph(&proposal.graph).parameters <= limits.max_parameters);
            assert_int_equal(proposal.morphs[0].kind, MORPH_REMOVE);
            proposal_free(&proposal);
        }
        graph_free(&start);
        search_free(search);
    }
}

/* With a share of 1 every strategy is chance; with 0 greedy only ever takes the best parent. */
static void test_random_share(void **state)
{
    enum { ASKED = 200 };
    struct search *chance = search_with_history(JOB_STRATEGY_RANDOM);
    struct search *mixed[3] = {new_search(JOB_STRATEGY_GREEDY, 1.0), new_search(JOB_STRATEGY_GREEDY, 0.5),
                               new_search(JOB_STRATEGY_GREEDY, 0.0)};
    int other_parent[3] = {0};
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int32_t i = 0; i < HISTORY; i++) {
            const struct search_model *model = search_at(chance, i);
            observe_loss(mixed[k], model->id, model->parent, &model->graph, model->score, model->loss);
        }
    int32_t best = search_best(chance, &NO_LIMITS)->id;
    for (int32_t id = HISTORY; id < HISTORY + ASKED; id++) {
        struct proposal expected;
        propose(chance, id, &NO_LIMITS, &expected);
        for (int k = 0; k < 3; k++) {
            struct proposal proposal;
            propose(mixed[k], id, &NO_LIMITS, &proposal);
            other_parent[k] += proposal.parent != best;
            if (k == 0)
                assert_same_proposal(&proposal, &expected);
            proposal_free(&proposal);
        }
        proposal_free(&expected);
    }
    /* one of eight parents is the best: 7/8 of the random half go elsewhere, with five deviations of room */
    double expected = 0.5 * 7.0 / 8.0, deviation = sqrt(expected * (1 - expected) / ASKED);
    assert_true(fabs(other_parent[1] / (double)ASKED - expected) < 5 * deviation);
    assert_int_equal(other_parent[2], 0);
    search_free(chance);
    for (int k = 0; k < 3; k++)
        search_free(mixed[k]);
}

static void test_limits(void **state)
{
    const struct cost_rates rates = cost_rates_of(1e9, 1e9);
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct search *search = search_with_history(STRATEGIES[s]);
        const struct graph *start = &search_at(search, 0)->graph;
        int64_t parameters = cost_of_graph(start).parameters;
        double seconds = cost_seconds(start, &rates);
        const struct search_limits by_parameters = {.max_parameters = parameters + parameters / 4,
                                                    .max_seconds_per_image = INFINITY};
        const struct search_limits by_seconds = {.max_seconds_per_image = 1.2 * seconds, .rates = rates};
        const struct search_limits too_small = {.max_parameters = 10, .max_seconds_per_image = INFINITY};
        struct proposal proposal;
        struct error err = {0};
        int excluded = 0;
        for (int32_t i = 0; i < HISTORY; i++)
            excluded += !search_admits(&by_seconds, &search_at(search, i)->graph) ||
                        !search_admits(&by_parameters, &search_at(search, i)->graph);
        assert_true(excluded > 0); /* the limits bite */
        for (int32_t id = HISTORY; id < HISTORY + 10; id++) {
            propose(search, id, &by_parameters, &proposal);
            assert_true(cost_of_graph(&proposal.graph).parameters <= by_parameters.max_parameters);
            proposal_free(&proposal);
            propose(search, id, &by_seconds, &proposal);
            assert_true(cost_seconds(&proposal.graph, &rates) <= 1.2 * seconds);
            proposal_free(&proposal);
        }
        assert_int_equal(ask(search, HISTORY, &too_small, &proposal, &err), ST_NONE);
        assert_true(strlen(err.message) > 0);
        assert_null(search_best(search, &too_small));
        search_free(search);
    }
}

static void test_best(void **state)
{
    struct search *search = new_search(JOB_STRATEGY_GREEDY, 0.0);
    struct proposal proposal;
    (void)state;
    assert_null(search_best(search, &NO_LIMITS));
    observe_start(search, 0.7);
    propose(search, 1, &NO_LIMITS, &proposal);
    observe_loss(search, 1, 0, &proposal.graph, 0.8, 0.5);
    proposal_free(&proposal);
    propose(search, 2, &NO_LIMITS, &proposal);
    assert_int_equal(proposal.parent, 1);
    observe_loss(search, 2, 1, &proposal.graph, 0.8, 0.4);
    proposal_free(&proposal);
    assert_int_equal(search_best(search, &NO_LIMITS)->id, 2); /* as accurate, with a lower loss */
    propose(search, 3, &NO_LIMITS, &proposal);
    assert_int_equal(proposal.parent, 2);
    observe_loss(search, 3, 2, &proposal.graph, NAN, NAN);
    proposal_free(&proposal);
    assert_int_equal(search_best(search, &NO_LIMITS)->id, 2);
    /* beyond the limits the best is no more */
    const struct search_limits small = {.max_parameters =
                                            cost_of_graph(&search_at(search, 0)->graph).parameters,
                                        .max_seconds_per_image = INFINITY};
    const struct search_model *within = search_best(search, &small);
    assert_non_null(within);
    assert_true(cost_of_graph(&within->graph).parameters <= small.max_parameters);
    search_free(search);
}

/* What failed is neither a parent nor proposed again. */
static void test_failed_models(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct search *search = new_search(STRATEGIES[s], 0.2);
        int further = 0;
        observe_start(search, 0.5);
        for (int32_t id = 1; id <= 30; id++) {
            struct proposal proposal;
            propose(search, id, &NO_LIMITS, &proposal);
            assert_int_equal(proposal.parent, 0);
            further += is_further(&proposal);
            for (int32_t i = 0; i < search_count(search) && !is_further(&proposal); i++)
                assert_true(graph_fingerprint(&proposal.graph) != search_at(search, i)->fingerprint);
            observe(search, id, 0, &proposal.graph, NAN);
            assert_false(search_at(search, id)->is_parent);
            proposal_free(&proposal);
        }
        assert_int_equal(further, STRATEGIES[s] == JOB_STRATEGY_HILL_CLIMB);
        search_free(search);
    }
}

static void test_parents_are_the_best(void **state)
{
    struct search *search = search_with_history(JOB_STRATEGY_RANDOM);
    int parents = 0;
    double worst_parent = INFINITY, best_other = -INFINITY;
    (void)state;
    for (int32_t i = 0; i < HISTORY; i++) {
        const struct search_model *model = search_at(search, i);
        parents += model->is_parent;
        if (model->is_parent)
            worst_parent = fmin(worst_parent, model->score);
        else if (!isnan(model->score))
            best_other = fmax(best_other, model->score);
    }
    assert_int_equal(parents, SEARCH_PARENTS);
    assert_true(worst_parent >= best_other);
    assert_true(isfinite(best_other)); /* some are none */
    assert_null(search_find(search, 999));
    search_free(search);
}

static void test_refusals(void **state)
{
    struct search *search;
    struct proposal proposal;
    struct error err = {0};
    (void)state;
    struct job_search job = job_of(JOB_STRATEGY_GREEDY, 0.2);
    const struct search_setup setup = setup_of(&job);
    job.morphs.items[1] = "widdle";
    assert_int_equal(search_new(&setup, &search, &err), ST_RANGE);
    assert_null(search);
    assert_non_null(strstr(err.message, "widdle"));
    for (int s = 0; s < STRATEGY_COUNT; s++) { /* nothing to grow from */
        search = new_search(STRATEGIES[s], 0.2);
        assert_int_equal(ask(search, 0, &NO_LIMITS, &proposal, &err), ST_NONE);
        search_free(search);
    }
    search_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_predictions_count),
        cmocka_unit_test(test_functions_of_history),
        cmocka_unit_test(test_proposals_are_what_they_say),
        cmocka_unit_test(test_random_share),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_shrinks_to_the_limits),
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_failed_models),
        cmocka_unit_test(test_parents_are_the_best),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

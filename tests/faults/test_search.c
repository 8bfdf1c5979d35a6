/* Searches on made-up results under a lack of memory, at each place: proposals, what is told of them, final fits, and
 * the surrogates behind them. Each ends with ST_MEMORY and its line, or with as many candidates as undisturbed. */
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/search/search.h"
#include "tests/faults/failing.h"
#include "tests/support/phases_request.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { CLASSES = 10 };
static const struct shape IMAGE = {0, 3, 16, 16};
static const struct job_train TRAIN = {
    .learning_rate = 0.2, .weight_decay = 0.01, .translate = JOB_AUTO, .cutout = JOB_AUTO};

struct scene {
    const char *name;
    enum job_strategy strategy;
    double epochs; /* that the budget pays for, of the first start */
    int32_t most;  /* candidates */
    bool race;
    int branches;
};

static const struct scene scenes[] = {
    {"random", JOB_STRATEGY_RANDOM, 100.0, 8, false, 0},
    {"greedy", JOB_STRATEGY_GREEDY, 100.0, 8, false, 0},
    {"bayesian", JOB_STRATEGY_BAYESIAN, 100.0, 12, false, 0},
    {"hill_climb", JOB_STRATEGY_HILL_CLIMB, 100.0, 8, false, 0},
    {"evolution", JOB_STRATEGY_EVOLUTION, 100.0, 8, false, 0},
    {"reinforce", JOB_STRATEGY_REINFORCE, 100.0, 8, false, 0},
    {"grid", JOB_STRATEGY_GRID, 100.0, 8, false, 0},
    {"asha", JOB_STRATEGY_ASHA, 100.0, 12, false, 0},
    {"none", JOB_STRATEGY_NONE, 100.0, 1, false, 0},
    {"phases, a small budget", JOB_STRATEGY_PHASES, 1.0, 40, false, 0},
    {"phases", JOB_STRATEGY_PHASES, 60.0, 60, false, 0},
    {"phases with a race", JOB_STRATEGY_PHASES, 200.0, 60, true, 0},
    {"phases with branches", JOB_STRATEGY_PHASES, 60.0, 60, false, 2},
    {"phases with an evolution", JOB_STRATEGY_PHASES, 4000.0, 90, false, 0},
};

/* Of the graph alone, and of how long it was trained. */
static double error_of(const struct search_model *model, double epochs)
{
    const double size = cost_seconds(&model->graph, &phases_limits.rates);
    return fmin(0.9, 0.05 + 0.1 * pow(1.0 + epochs, -0.4) + 1e-9 / size);
}

static enum status observe(struct search *search, const struct search_request *request, int32_t id,
                           struct error *err)
{
    const struct search_model *model = search_find(search, id);
    const double epochs = model->recipe.budget * request->means.candidate * request->means.candidate_epochs /
                          cost_seconds(&model->graph, &phases_limits.rates);
    struct search_trial trial = trial_of_model(model);
    const double error = id % 7 == 6 ? NAN : error_of(model, epochs);
    trial.epochs = isfinite(epochs) ? epochs : 1.0;
    return search_observe(search, &trial, 1.0 - error, error, err);
}

/* Proposes, and observes the oldest, until nothing comes any more or `most` were trained. */
static enum status climb(const struct scene *scene, struct search *search, struct search_request *request,
                         int32_t *count, struct error *err)
{
    int32_t observed = 0;
    enum status st = ST_OK;
    *count = 0;
    while (st == ST_OK) {
        struct proposal proposal;
        request->id = *count;
        st = *count - observed < 2 && *count < scene->most ? search_propose(search, request, &proposal, err)
                                                           : ST_NONE;
        if (st == ST_OK) {
            const struct search_trial trial = trial_of_proposal((*count)++, &proposal);
            st = search_pend(search, &trial, err);
            proposal_free(&proposal);
        } else if (st == ST_NONE && observed < *count) {
            st = observe(search, request, observed++, err);
        }
    }
    return st == ST_NONE ? ST_OK : st;
}

static enum status search_whole(const struct scene *scene, double cost, int32_t *count, struct error *err)
{
    const struct job_search job = {
        .strategy = scene->strategy,
        .starts = {.count = 2, .items = {"lean", "res9"}},
        .morphs = {.count = 6,
                   .items = {"deepen", "widen", "residual", "squeeze", "widen_stage", "add_skip"}},
        .max_morphs = 2,
        .beta = 2.5,
        .skip_weight = 1.0,
        .neighbours = 3,
        .population = 4,
        .policy_rate = 0.01,
        .policy_batch = 2,
        .policy_entropy = 0.005,
        .tournament = 2,
        .widths = {.count = 2, .items = {8, 16}},
        .depths = {.count = 2, .items = {0, 1}},
        .rungs = 3,
        .eta = 2,
        .random_share = 0.2,
        .width = 8,
        .race = scene->race,
        .branches = scene->branches};
    const struct search_setup setup = {
        .job = &job,
        .seed = 3,
        .image = IMAGE,
        .classes = CLASSES,
        .train = &TRAIN,
        .hyperparameters = {.usual = {.learning_rate = 0.2, .weight_decay = 0.01, .batch = 128}}};
    struct search_request request = phases_request(scene->epochs * cost);
    struct search *search = NULL;
    struct proposal final;
    *count = 0;
    enum status st = search_new(&setup, &search, err);
    if (st == ST_OK && search_has_candidates(search))
        st = climb(scene, search, &request, count, err);
    if (st == ST_OK)
        st = search_propose_final(search, &request, &final, err);
    if (st == ST_OK)
        proposal_free(&final);
    search_free(search);
    return st;
}

static void test_strategies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        int32_t whole, count;
        struct graph graph = {0};
        struct error err = {0};
        assert_int_equal(start_make(&graph, "lean", 8, IMAGE, CLASSES, &err), ST_OK);
        const double cost = cost_seconds(&graph, &phases_limits.rates);
        graph_free(&graph);
        if (search_whole(&scenes[i], cost, &whole, &err) != ST_OK)
            fail_msg("%s: %s", scenes[i].name, err.message);
        failing_begin(2);
        do {
            err = (struct error){0};
            failing_arm();
            const enum status st = search_whole(&scenes[i], cost, &count, &err);
            failing_pause();
            failing_check_end(scenes[i].name, st, &err);
            if (st != ST_OK)
                assert_int_equal(st, ST_MEMORY);
            else if (count != whole)
                fail_msg("%s: %d candidates, expected %d, when this failed: %s", scenes[i].name, (int)count,
                         (int)whole, failing_where());
        } while (failing_more());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strategies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

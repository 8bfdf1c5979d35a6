/* The search of long budgets on made-up laws of learning, with eight devices on a clock of its own: what is trained on
 * which rung, that no device waits, what is found and what it ends with. No network is trained here. */
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/search/evolution.h"
#include "tests/support/phases_request.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 10, DEVICES = 8, MOST = 2000, OWN = 2, LONGER = 3 };

static struct job_search job = {
    .starts = {.count = 2, .items = {"lean", "res9"}},
    .morphs = {.count = 5, .items = {"deepen", "widen", "residual", "squeeze", "widen_stage"}},
    .strategy = JOB_STRATEGY_PHASES,
    .max_morphs = 2,
    .skip_weight = 1.0,
    .random_share = 0.2};
static const struct job_train TRAIN = {
    .learning_rate = 0.2, .weight_decay = 0.01, .translate = JOB_AUTO, .cutout = JOB_AUTO};
static const struct search_setup SETUP = {
    .job = &job,
    .seed = 3,
    .image = {0, 3, 16, 16},
    .classes = CLASSES,
    .train = &TRAIN,
    .hyperparameters = {.usual = {.learning_rate = 0.2, .weight_decay = 0.01, .batch = 128}}};

/* ---- the world ---- */

static double usual_cost(void)
{
    struct graph graph;
    struct error err;
    assert_int_equal(start_make(&graph, "lean", job.width, SETUP.image, CLASSES, &err), ST_OK);
    const double cost = cost_seconds(&graph, &phases_limits.rates);
    graph_free(&graph);
    return cost;
}

static int32_t count_kind(const struct graph *graph, enum layer_kind kind)
{
    int32_t count = 0;
    for (int32_t i = 0; i < graph->count; i++)
        count += graph->layers[i].kind == kind;
    return count;
}

/* Sums and gates help, each less than the one before; so do size and epochs. Chance by weights and batches. */
static double error_of(const struct search_model *model, double epochs, uint64_t luck)
{
    const double size = cost_seconds(&model->graph, &phases_limits.rates) / usual_cost();
    const double parts =
        1.0 + 0.5 * count_kind(&model->graph, LAYER_ADD) + 0.7 * count_kind(&model->graph, LAYER_GATE);
    const double rate = model->recipe.hyperparameters.learning_rate;
    double noise, other;
    random_normal2(random_draw(luck, RANDOM_TEST, model->fingerprint, (uint32_t)(epochs * 16.0)), &noise,
                   &other);
    const double error = (0.03 + 0.05 * pow(size, -0.35) + 0.06 * pow(epochs / 16.0, -0.45)) *
                         pow(parts, -0.15) * (isnan(rate) ? 1.0 : exp2(0.02 * fabs(log2(rate / 0.2)))) *
                         exp(0.02 * noise);
    return fmin(error, 0.9);
}

/* E epochs on eight devices, of which the search gets 40 % of the time. */
static struct search_request request_of(double epochs)
{
    struct search_request request = phases_request(epochs * usual_cost());
    request.means.workers = DEVICES;
    request.means.candidate_epochs = request.means.epochs / DEVICES;
    return request;
}

static struct search *new_search(void)
{
    struct search *search;
    struct error err;
    assert_int_equal(search_new(&SETUP, &search, &err), ST_OK);
    return search;
}

/* ---- devices ---- */

struct world {
    struct search *search;
    struct search_request request;
    int32_t devices, trained, count;
    int32_t on[DEVICES]; /* ids; -1: waits */
    double until[DEVICES];
    double now, waited; /* shares of the stage; of all devices */
    double shares[MOST];
};

static double share_of(const struct world *world, int32_t id)
{
    return search_find(world->search, id)->recipe.budget * world->request.means.candidate;
}

typedef bool fails(const struct search_model *model);

static void end(struct world *world, int32_t id, fails *fault)
{
    const struct search_model *model = search_find(world->search, id);
    const double epochs = share_of(world, id) * world->request.means.candidate_epochs /
                          cost_seconds(&model->graph, &phases_limits.rates);
    const bool failed = fault != NULL && fault(model);
    const double error = error_of(model, epochs, (uint64_t)model->recipe.fresh + 7);
    struct search_trial trial = trial_of_model(model);
    struct error err;
    trial.epochs = epochs;
    assert_int_equal(search_observe(world->search, &trial, failed ? NAN : 1.0 - error, error, &err), ST_OK);
    world->trained++;
}

/* Gives device k something to do; false: there is nothing. */
static bool give(struct world *world, int32_t k)
{
    struct proposal proposal;
    struct error err;
    world->request.id = world->count;
    world->request.means.left = 1.0 - world->now;
    enum status st = search_propose(world->search, &world->request, &proposal, &err);
    if (st != ST_OK && st != ST_NONE)
        fail_msg("%s", err.message);
    if (st == ST_NONE)
        return false;
    assert_int_equal(proposal.parent, -1);
    assert_int_equal(proposal.morph_count, 0);
    assert_true(world->count < MOST);
    const struct search_trial trial = trial_of_proposal(world->count, &proposal);
    assert_int_equal(search_pend(world->search, &trial, &err), ST_OK);
    world->on[k] = world->count++;
    world->shares[world->on[k]] = share_of(world, world->on[k]);
    world->until[k] = world->now + world->shares[world->on[k]];
    proposal_free(&proposal);
    return true;
}

/* Until nothing comes any more; results are told when they are there. */
static void run(struct world *world, fails *fault)
{
    for (int32_t k = 0; k < world->devices; k++)
        world->on[k] = -1;
    for (;;) {
        int32_t next = -1, busy = 0;
        for (int32_t k = 0; k < world->devices; k++)
            if (world->on[k] < 0)
                (void)give(world, k);
        for (int32_t k = 0; k < world->devices; k++) {
            busy += world->on[k] >= 0;
            if (world->on[k] >= 0 && (next < 0 || world->until[k] < world->until[next]))
                next = k;
        }
        if (next < 0)
            return;
        if (world->count > 0 && evolution_has(search_at(world->search, world->count - 1)))
            world->waited += (world->devices - busy) * (world->until[next] - world->now);
        world->now = world->until[next];
        end(world, world->on[next], fault);
        world->on[next] = -1;
    }
}

static struct world *new_world(double epochs, int32_t devices)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->search = new_search();
    world->request = request_of(epochs);
    world->devices = world->request.means.workers = devices;
    world->request.means.candidate_epochs = world->request.means.epochs / devices;
    return world;
}

static void free_world(struct world *world)
{
    search_free(world->search);
    free(world);
}

static void propose_end(const struct world *world, struct proposal *proposal)
{
    struct error err;
    if (search_propose_final(world->search, &world->request, proposal, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(proposal->parent, -1);
}

/* Its error after all that is left, without chance. */
static double error_at_end(const struct world *world, const struct graph *graph,
                           const struct hyperparameters *set)
{
    const struct search_model model = {.graph = *graph, .recipe = {.hyperparameters = *set}};
    return error_of(&model, 0.6 * world->request.means.epochs / cost_seconds(graph, &phases_limits.rates), 1);
}

/* ---- the tests ---- */

/* The plan of a ladder for more than a thousand epochs. */
static const struct ladder_plan LARGE = {.epochs = 3000.0};

static void test_for_what(void **state)
{
    (void)state;
    assert_false(evolution_is_for(&(struct ladder_plan){.epochs = EVOLUTION_LEAST_EPOCHS}));
    assert_true(evolution_is_for(&(struct ladder_plan){.epochs = EVOLUTION_LEAST_EPOCHS + 1.0}));
    assert_true(evolution_is_for(&(struct ladder_plan){.epochs = 100.0, .too_small = true}));
}

/* Where there is time for it. */
static void test_plan(void **state)
{
    (void)state;
    for (double epochs = 1050.0; epochs < 3e6; epochs *= 1.7)
        for (int32_t devices = 1; devices <= DEVICES; devices += 7) {
            struct search_request request = request_of(epochs);
            request.means.workers = devices;
            request.means.candidate_epochs = request.means.epochs / devices;
            const struct evolution_plan plan =
                evolution_plan_make(&SETUP, &request.means, &LARGE, usual_cost());
            const double whole = epochs / devices;
            const int32_t turns = devices == 1 ? 12 : 2;
            assert_true(plan.rungs >= 2 && plan.epochs[0] <= 1.0 && plan.epochs[0] * 45000 / 128 >= 40.0);
            assert_true(plan.epochs[0] == 1.0 || epochs < 20000.0);
            for (int32_t i = 1; i < plan.rungs; i++)
                assert_true(plan.epochs[i] == 3.0 * plan.epochs[i - 1]);
            assert_true(plan.epochs[plan.rungs - 1] <= 0.5 * plan.long_share * whole);
            assert_true(plan.share + turns * plan.long_share < request.means.search - 0.12 + 1e-9);
        }
    struct search_request request = request_of(3000.0);
    request.means.models = 100;
    assert_int_equal(evolution_plan_make(&SETUP, &request.means, &LARGE, usual_cost()).rungs, 0);
    request.means.models = INT32_MAX;
    request.means.train_images = 2000; /* an epoch of 15 steps says nothing */
    assert_true(evolution_plan_make(&SETUP, &request.means, &LARGE, usual_cost()).epochs[0] >= 2.5);
    request.means.search = 0.15;
    assert_int_equal(evolution_plan_make(&SETUP, &request.means, &LARGE, usual_cost()).rungs, 0);
}

static int32_t rung_of(const struct world *world, const struct evolution_plan *plan, int32_t id)
{
    const struct search_model *model = search_find(world->search, id);
    const double epochs = world->shares[id] * world->request.means.candidate_epochs /
                          cost_seconds(&model->graph, &phases_limits.rates);
    for (int32_t i = 0; i < plan->rungs; i++)
        if (fabs(epochs - plan->epochs[i]) < 1e-6)
            return i;
    return -1;
}

/* E = 3,000 on eight devices: rungs get fewer networks the longer they are; nobody waits while there is something to
 * find out; six longer trainings and six repetitions; and what comes out is better than what the ladder chose. */
static void test_eight_devices(void **state)
{
    struct world *world = new_world(3000.0, DEVICES);
    int32_t rungs[EVOLUTION_MOST_RUNGS] = {0}, longer = 0, repeated = 0, networks = 0;
    struct proposal proposal;
    (void)state;
    run(world, NULL);
    const struct search_model *control = evolution_control(world->search);
    const struct evolution_plan plan = evolution_plan_make(
        &SETUP, &world->request.means, &LARGE, cost_seconds(&control->graph, &phases_limits.rates));
    for (int32_t id = 0; id < world->count; id++) {
        const struct search_model *model = search_find(world->search, id);
        const int32_t rung = rung_of(world, &plan, id);
        if (!evolution_has(model))
            continue;
        if (model->recipe.fresh == OWN) {
            assert_true(rung >= 0);
            rungs[rung]++;
            networks += rung == 0;
            assert_int_equal(model->recipe.batches_of, model == control ? -1 : control->id);
        }
        longer += model->recipe.fresh == LONGER;
        repeated += model->recipe.fresh > LONGER;
    }
    for (int32_t i = 1; i < plan.rungs; i++)
        assert_true(rungs[i] >= 2 && rungs[i] <= rungs[i - 1] / 3 + 2);
    assert_true(networks >= 40);
    assert_int_equal(longer, EVOLUTION_LONG);
    assert_int_equal(repeated, EVOLUTION_BEST * EVOLUTION_REPEATS);
    assert_true(world->now < 0.4);
    assert_true(world->waited < 0.25 * DEVICES * (plan.share + 2.0 * plan.long_share));
    propose_end(world, &proposal);
    const double found = error_at_end(world, &proposal.graph, &proposal.recipe.hyperparameters);
    assert_true(found < 0.97 * error_at_end(world, &control->graph, &control->recipe.hyperparameters));
    assert_non_null(strstr(proposal.operations[0], "over the control in 3"));
    proposal_free(&proposal);
    free_world(world);
}

/* Who is known by more of the search's results goes on alike. */
static void test_resumed(void **state)
{
    struct world *world = new_world(3000.0, 1);
    (void)state;
    run(world, NULL);
    assert_true(world->count > 80);
    for (int32_t known = 20; known < world->count; known += 37) {
        struct search *again = new_search();
        struct search_request request = world->request;
        struct proposal proposal;
        struct error err;
        double now = 0.0;
        for (int32_t id = 0; id < known; id++) {
            const struct search_model *model = search_find(world->search, id);
            const struct search_trial trial = trial_of_model(model);
            assert_int_equal(search_observe(again, &trial, model->score, model->loss, &err), ST_OK);
            now += world->shares[id];
        }
        request.id = known;
        request.means.left = 1.0 - now;
        assert_int_equal(search_propose(again, &request, &proposal, &err), ST_OK);
        const struct search_model *model = search_find(world->search, known);
        assert_true(graph_fingerprint(&proposal.graph) == model->fingerprint);
        assert_true(proposal.recipe.budget == model->recipe.budget);
        assert_int_equal(proposal.recipe.fresh, model->recipe.fresh);
        assert_true(hyperparameters_equal(&SETUP.hyperparameters, &proposal.recipe.hyperparameters,
                                          &model->recipe.hyperparameters));
        proposal_free(&proposal);
        search_free(again);
    }
    free_world(world);
}

static bool fails_with_gates(const struct search_model *model)
{
    return count_kind(&model->graph, LAYER_GATE) > 0;
}

static bool fails_of_evolution(const struct search_model *model)
{
    return evolution_has(model);
}

/* What fails is not gone on with. Where all fails, it ends with what the ladder knows. */
static void test_failures(void **state)
{
    struct world *world = new_world(1500.0, DEVICES);
    struct proposal proposal;
    (void)state;
    run(world, fails_with_gates);
    propose_end(world, &proposal);
    assert_int_equal(count_kind(&proposal.graph, LAYER_GATE), 0);
    assert_non_null(strstr(proposal.operations[0], "over the control"));
    proposal_free(&proposal);
    free_world(world);

    world = new_world(1500.0, DEVICES);
    run(world, fails_of_evolution);
    propose_end(world, &proposal);
    assert_true(proposal.start >= 0);
    assert_non_null(strstr(proposal.operations[1], "expected"));
    proposal_free(&proposal);
    free_world(world);
}

static bool fails_with_sums(const struct search_model *model)
{
    return count_kind(&model->graph, LAYER_ADD) > 0;
}

/* A start that the job makes too small grows, though the budget is not one of a thousand epochs. What fails is not
 * tried in ever new places. */
static void test_too_small(void **state)
{
    (void)state;
    job.width = 8;
    struct world *world = new_world(200.0, 1);
    int32_t networks = 0, failed = 0;
    struct proposal proposal;
    run(world, fails_with_sums);
    const struct search_model *control = evolution_control(world->search);
    assert_non_null(control);
    for (int32_t id = 0; id < world->count; id++) {
        const struct search_model *model = search_find(world->search, id);
        networks += model->recipe.fresh == OWN;
        failed += isnan(model->score);
        assert_true(model->recipe.fresh <= OWN); /* no longer trainings */
    }
    assert_true(networks >= 20 && failed >= 1 && 3 * failed < networks);
    assert_true(world->now < 0.4);
    propose_end(world, &proposal);
    assert_true(cost_of_graph(&proposal.graph).train_flops >
                2.0 * cost_of_graph(&control->graph).train_flops);
    const double found = error_at_end(world, &proposal.graph, &proposal.recipe.hyperparameters);
    assert_true(found < 0.9 * error_at_end(world, &control->graph, &control->recipe.hyperparameters));
    proposal_free(&proposal);
    free_world(world);
    job.width = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_what),      cmocka_unit_test(test_plan),
        cmocka_unit_test(test_eight_devices), cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_failures),      cmocka_unit_test(test_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

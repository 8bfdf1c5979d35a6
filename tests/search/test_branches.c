/* The trunk and its branches on made-up gains: what goes on from where, with which recipe, when a sibling is
 * accepted and when the rounds end. No network is trained here. */
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/search/branches.h"
#include "tests/support/phases_request.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 10, SIBLINGS = 3, ROOT = 0 };

/* With one starting network there is no ladder. */
static const struct job_search JOB = {.starts = {.count = 1, .items = {"lean"}},
                                      .morphs = {.count = 2, .items = {"deepen", "widen"}},
                                      .strategy = JOB_STRATEGY_PHASES,
                                      .width = 8,
                                      .max_morphs = 4,
                                      .branches = SIBLINGS};
static const struct job_train TRAIN = {
    .learning_rate = 0.2, .weight_decay = 0.01, .translate = JOB_AUTO, .cutout = JOB_AUTO};
static const struct search_setup SETUP = {
    .job = &JOB,
    .seed = 3,
    .image = {0, 3, 16, 16},
    .classes = CLASSES,
    .train = &TRAIN,
    .hyperparameters = {.usual = {.learning_rate = 0.2, .weight_decay = 0.01}}};

static struct search_request request_of(double epochs)
{
    struct search_request request = phases_request(epochs);
    request.means.by_cost = false;
    return request;
}

static struct search *new_search(void)
{
    struct search *search;
    struct error err;
    assert_int_equal(search_new(&SETUP, &search, &err), ST_OK);
    return search;
}

/* What a sibling gains; its standard error is 1. NAN: it fails. */
typedef double gains(int32_t round, int32_t sibling);

static double gains_nothing(int32_t round, int32_t sibling)
{
    (void)round;
    return sibling == 0 ? BRANCHES_ERRORS : sibling == 1 ? -9.0 : NAN;
}

/* The second sibling of the first round, the third of the third. */
static double gains_twice(int32_t round, int32_t sibling)
{
    return round == 1 && sibling == 1   ? 2.5
           : round == 1 && sibling == 0 ? 2.25
           : round == 3 && sibling == 2 ? 7.0
                                        : 1.0;
}

/* Of a search by gains. */
struct world {
    gains *gain;
};

static void end(struct search *search, int32_t id, struct search_request *request, void *context)
{
    const struct world *world = context;
    struct branches branches;
    struct error err;
    (void)request;
    branches_look(search, &branches);
    const struct search_model *model = search_find(search, id);
    struct search_trial trial = trial_of_model(model);
    trial.epochs = 1.0;
    trial.gain = branches_is_sibling(&branches, model)
                     ? world->gain(branches.rounds, id - branches.control->id - 1)
                     : 0.0;
    trial.gain_deviation = 1.0;
    assert_int_equal(search_observe(search, &trial, isnan(trial.gain) ? NAN : 0.5, 1.0, &err), ST_OK);
}

static int32_t grow(struct search *search, struct search_request *request, int32_t window, gains *gain)
{
    struct world world = {.gain = gain};
    return phases_climb(search, request, window, end, &world);
}

static enum status propose(const struct search *search, struct search_request *request, int32_t id,
                           struct proposal *proposal)
{
    struct error err;
    request->id = id;
    enum status st = search_propose(search, request, proposal, &err);
    if (st != ST_OK && st != ST_NONE)
        fail_msg("%s", err.message);
    return st;
}

static int32_t control_of(int32_t round)
{
    return ROOT + 1 + (round - 1) * (1 + SIBLINGS);
}

/* Where the trunk goes on at the end. */
static void assert_ends_with(const struct search *search, struct search_request *request, int32_t parent)
{
    struct proposal proposal;
    struct error err;
    assert_int_equal(search_propose_final(search, request, &proposal, &err), ST_OK);
    assert_int_equal(proposal.parent, parent);
    assert_true(proposal.recipe.goes_on);
    assert_int_equal(proposal.recipe.batches_of, ROOT);
    assert_true(proposal.recipe.hyperparameters.warmup == 0.0 && proposal.recipe.hyperparameters.hold == 0.0);
    assert_true(graph_fingerprint(&proposal.graph) == search_find(search, parent)->fingerprint);
    const double rate = search_find(search, parent)->recipe.hyperparameters.learning_rate;
    assert_true(isnan(rate) ? isnan(proposal.recipe.hyperparameters.learning_rate)
                            : proposal.recipe.hyperparameters.learning_rate == rate);
    proposal_free(&proposal);
}

/* ---- the plan ---- */

/* Below 20 epochs there are none; all rounds together take no more than their share, and none is of a few steps. */
static void test_plan(void **state)
{
    (void)state;
    for (double epochs = 5.0; epochs < 2000.0; epochs *= 1.25) {
        struct search_request request = request_of(epochs);
        for (request.means.workers = 1; request.means.workers < 5; request.means.workers++) {
            const struct branches_plan plan = branches_plan_make(&SETUP, &request.means, epochs);
            const double round = plan.share * (1.0 + ceil((double)SIBLINGS / request.means.workers));
            if (epochs < 20.0) {
                assert_int_equal(plan.rounds, 0);
                continue;
            }
            assert_true(plan.rounds >= 2 && plan.siblings == SIBLINGS);
            assert_true(plan.rounds * round < (epochs < 60.0 ? 0.15 : 0.30) + 1e-9);
            assert_true(plan.root + plan.rounds * round < request.means.search);
            assert_true(plan.share * epochs * PHASES_IMAGES / request.means.candidate_batch >= 40.0);
        }
    }
    struct search_request request = request_of(40.0);
    struct job_search without = JOB;
    struct search_setup setup = SETUP;
    without.branches = 0;
    setup.job = &without;
    assert_int_equal(branches_plan_make(&setup, &request.means, 40.0).rounds, 0);
    request.means.models = 50;
    assert_int_equal(branches_plan_make(&SETUP, &request.means, 40.0).rounds, 0);
    request.means.models = INT32_MAX;
    request.means.train_images = 500; /* few steps in so many epochs */
    assert_int_equal(branches_plan_make(&SETUP, &request.means, 40.0).rounds, 0);
}

/* ---- rounds ---- */

/* Root, control and siblings: one thing is different, all else is the same. Two rounds without a gain end them, and the
 * trunk goes on from the last control: its training is not lost. */
static void test_nothing_gains(void **state)
{
    struct search *search = new_search();
    struct search_request request = request_of(100.0);
    (void)state;
    assert_int_equal(grow(search, &request, 1, gains_nothing), control_of(3));
    const struct search_model *root = search_at(search, ROOT);
    assert_int_equal(root->parent, -1);
    assert_false(root->recipe.goes_on);
    assert_true(root->recipe.hyperparameters.warmup == 0.5 && root->recipe.hyperparameters.hold == 0.5);
    for (int32_t round = 1; round <= 2; round++) {
        const struct search_model *control = search_at(search, control_of(round));
        assert_int_equal(control->parent, round == 1 ? ROOT : control_of(1));
        assert_int_equal(control->recipe.compared_with, -1);
        for (int32_t i = 0; i <= SIBLINGS; i++) {
            const struct search_model *model = search_at(search, control_of(round) + i);
            const struct hyperparameters *own = &model->recipe.hyperparameters;
            const bool grown = model->fingerprint != root->fingerprint;
            assert_int_equal(model->parent, control->parent);
            assert_true(model->recipe.goes_on);
            assert_int_equal(model->recipe.batches_of, ROOT);
            assert_true(model->recipe.budget == control->recipe.budget);
            assert_true(own->warmup == 0.0 && own->hold == 0.75);
            if (i > 0)
                assert_int_equal(model->recipe.compared_with, control->id);
            assert_int_equal(grown, i == 1 || i == 2);
            assert_int_equal(!isnan(own->learning_rate), i == 3 && round == 1);
            assert_int_equal(!isnan(own->weight_decay), i == 3 && round == 2);
        }
    }
    assert_true(search_at(search, control_of(1) + 3)->recipe.hyperparameters.learning_rate == 0.4);
    assert_true(search_at(search, control_of(2) + 3)->recipe.hyperparameters.weight_decay == 0.02);
    assert_ends_with(search, &request, control_of(2));
    search_free(search);
}

/* The next round goes on from the sibling with the largest gain, with its network and its hyperparameters; the rounds
 * behind the last gain are counted anew. */
static void test_gains(void **state)
{
    struct search *search = new_search();
    struct search_request request = request_of(100.0);
    (void)state;
    assert_int_equal(grow(search, &request, 1, gains_twice),
                     control_of(5)); /* as many rounds as there may be */
    assert_int_equal(search_at(search, control_of(2))->parent, control_of(1) + 2);
    assert_int_equal(search_at(search, control_of(3))->parent, control_of(2));
    assert_int_equal(search_at(search, control_of(4))->parent, control_of(3) + 3);
    assert_true(search_at(search, control_of(2))->fingerprint ==
                search_at(search, control_of(1) + 2)->fingerprint);
    const struct hyperparameters *last = &search_at(search, control_of(4))->recipe.hyperparameters;
    assert_true(last->learning_rate ==
                search_at(search, control_of(3) + 3)->recipe.hyperparameters.learning_rate);
    assert_true(last->learning_rate == 0.4 && last->hold == 0.75);
    assert_ends_with(search, &request, control_of(4));
    search_free(search);
}

/* A branch varies what the job leaves open, or within what it gives; where that is nothing, all siblings have morphs.
 */
static void test_ranges(void **state)
{
    static const struct job_range fixed = {.kind = JOB_RANGE_FIXED};
    static const struct job_range narrow = {
        .kind = JOB_RANGE_BETWEEN, .min = 0.1, .max = 0.3, .scale = JOB_RANGE_LOG};
    static const struct job_range list = {.kind = JOB_RANGE_LIST,
                                          .values = {.count = 3, .items = {0.2, 0.5, 0.05}}};
    const struct {
        struct job_ranges ranges;
        double rate, decay; /* of the hyperparameter's sibling in both rounds; NAN: the job's */
        double second_rate, second_decay;
    } cases[] = {
        {{.learning_rate = {0}}, 0.4, NAN, NAN, 0.02},
        {{.learning_rate = narrow}, 0.3, NAN, NAN, 0.02},
        {{.learning_rate = list}, 0.5, NAN, NAN, 0.02},
        {{.learning_rate = fixed}, NAN, 0.02, NAN, 0.02},
        {{.learning_rate = list, .weight_decay = fixed}, 0.5, NAN, 0.5, NAN},
        {{.learning_rate = fixed, .weight_decay = fixed}, NAN, NAN, NAN, NAN},
    };
    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct search_setup setup = SETUP;
        struct search_request request = request_of(100.0);
        struct search *search;
        struct error err;
        setup.hyperparameters.ranges = cases[c].ranges;
        assert_int_equal(search_new(&setup, &search, &err), ST_OK);
        /* before the root there may be the ladder's trials of what has a range */
        const int32_t root = grow(search, &request, 1, gains_nothing) - control_of(3);
        for (int32_t round = 1; round <= 2; round++) {
            const struct search_model *model = search_at(search, root + control_of(round) + SIBLINGS);
            const struct hyperparameters *own = &model->recipe.hyperparameters;
            const double rate = round == 1 ? cases[c].rate : cases[c].second_rate,
                         decay = round == 1 ? cases[c].decay : cases[c].second_decay;
            assert_true(isnan(rate) ? isnan(own->learning_rate) : fabs(own->learning_rate - rate) < 1e-12);
            assert_true(isnan(decay) ? isnan(own->weight_decay) : fabs(own->weight_decay - decay) < 1e-12);
            const bool grown = model->fingerprint != search_at(search, root)->fingerprint;
            assert_int_equal(model->recipe.compared_with, root + control_of(round));
            assert_int_equal(grown, isnan(rate) && isnan(decay));
        }
        search_free(search);
    }
}

/* A cheaper network that gains a little now is refused where it would lose at the end. */
static void test_deadline(void **state)
{
    (void)state;
    for (int cheaper = 0; cheaper < 2; cheaper++) {
        struct search *search = new_search();
        struct search_request request = request_of(100.0);
        struct proposal proposal;
        struct graph graph;
        struct error err;
        request.means.by_cost = true;
        assert_int_equal(start_make(&graph, "lean", cheaper ? 8 : 24, SETUP.image, CLASSES, &err), ST_OK);
        for (int32_t id = 0; id <= control_of(1) + SIBLINGS; id++) {
            request.means.epochs = 100.0 * cost_seconds(&graph, &phases_limits.rates);
            assert_int_equal(propose(search, &request, id, &proposal), ST_OK);
            struct search_trial trial = trial_of_proposal(id, &proposal);
            struct graph wide = {0};
            trial.epochs = 1.0;
            trial.gain = -1.0;
            trial.gain_deviation = 1e-4;
            if (id < control_of(1) + 1) { /* the trunk is 16 wide */
                assert_int_equal(start_make(&wide, "lean", 16, SETUP.image, CLASSES, &err), ST_OK);
                trial.graph = &wide;
            } else if (id == control_of(1) + 1) {
                trial.graph = &graph;
                trial.gain = 1e-3;
            }
            assert_int_equal(search_observe(search, &trial, 0.5, 1.0, &err), ST_OK);
            graph_free(&wide);
            proposal_free(&proposal);
        }
        assert_int_equal(propose(search, &request, control_of(2), &proposal), ST_OK);
        assert_int_equal(proposal.parent, cheaper ? control_of(1) : control_of(1) + 1);
        proposal_free(&proposal);
        graph_free(&graph);
        search_free(search);
    }
}

/* ---- whoever comes back, or trains several at a time ---- */

static void test_side_by_side(void **state)
{
    (void)state;
    for (int32_t window = 2; window <= 6; window++) {
        struct search *one = new_search(), *many = new_search();
        struct search_request first = request_of(100.0), second = request_of(100.0);
        const int32_t count = grow(one, &first, 1, gains_twice);
        assert_int_equal(grow(many, &second, window, gains_twice), count);
        for (int32_t i = 0; i < count; i++) {
            assert_int_equal(search_at(one, i)->parent, search_at(many, i)->parent);
            assert_int_equal(search_at(one, i)->recipe.compared_with,
                             search_at(many, i)->recipe.compared_with);
            assert_true(search_at(one, i)->fingerprint == search_at(many, i)->fingerprint);
        }
        search_free(one);
        search_free(many);
    }
}

/* A search that is told all results anew goes on alike at any candidate, and keeps the weights that it goes on from,
 * however many others are better. */
static void test_resumed(void **state)
{
    struct search *whole = new_search();
    struct search_request request = request_of(100.0);
    (void)state;
    const int32_t count = grow(whole, &request, 1, gains_twice);
    for (int32_t known = 0; known < count; known++) {
        struct search *search = new_search();
        struct search_request again = request_of(100.0);
        struct proposal proposal;
        struct error err;
        for (int32_t i = 0; i < known; i++) {
            const struct search_model *model = search_at(whole, i);
            const struct search_trial trial = trial_of_model(model);
            const double score = isnan(model->score) ? NAN : 0.9 - 0.01 * i; /* the later, the worse */
            assert_int_equal(search_observe(search, &trial, score, model->loss, &err), ST_OK);
        }
        assert_int_equal(propose(search, &again, known, &proposal), ST_OK);
        const struct search_model *model = search_at(whole, known);
        assert_int_equal(proposal.parent, model->parent);
        assert_true(graph_fingerprint(&proposal.graph) == model->fingerprint);
        assert_true(proposal.recipe.budget == model->recipe.budget);
        assert_int_equal(proposal.recipe.compared_with, model->recipe.compared_with);
        if (proposal.parent >= 0)
            assert_true(search_find(search, proposal.parent)->is_parent);
        proposal_free(&proposal);
        search_free(search);
    }
    search_free(whole);
}

/* Without a trunk, or without its control, there is nothing to compare with. */
static double fails(int32_t round, int32_t sibling)
{
    (void)round, (void)sibling;
    return NAN;
}

static void test_failures(void **state)
{
    (void)state;
    for (int32_t failed = ROOT; failed <= control_of(1); failed++) {
        struct search *search = new_search();
        struct search_request request = request_of(100.0);
        struct proposal proposal;
        struct error err;
        for (int32_t id = 0; id <= failed; id++) {
            assert_int_equal(propose(search, &request, id, &proposal), ST_OK);
            struct search_trial trial = trial_of_proposal(id, &proposal);
            trial.epochs = 1.0;
            assert_int_equal(search_observe(search, &trial, id == failed ? NAN : 0.5, 1.0, &err), ST_OK);
            proposal_free(&proposal);
        }
        assert_int_equal(propose(search, &request, failed + 1, &proposal), ST_NONE);
        if (failed == ROOT)
            assert_int_equal(search_propose_final(search, &request, &proposal, &err), ST_DIVERGED);
        else
            assert_ends_with(search, &request, ROOT);
        search_free(search);
    }
    struct search *search = new_search(); /* siblings that fail are none that gain */
    struct search_request request = request_of(100.0);
    assert_int_equal(grow(search, &request, 1, fails), control_of(3));
    assert_ends_with(search, &request, control_of(2));
    search_free(search);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),     cmocka_unit_test(test_nothing_gains), cmocka_unit_test(test_gains),
        cmocka_unit_test(test_deadline), cmocka_unit_test(test_side_by_side),  cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a strategy is given and may ask for: a state of its own, results in order, models kept, recipes. No network is
 * trained here; tests/run/test_proposals.c carries the same strategy's proposals out. */
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "tests/support/ladder.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct job_search JOB = {
    .starts = {.count = 2, .items = {"lean", "cnn"}},
    .morphs = {.count = 5, .items = {"deepen", "widen", "add_skip", "concat_skip", "kernel"}},
    .max_morphs = 2,
    .width = 8};
static const struct job_train TRAIN = {.translate = JOB_AUTO, .cutout = JOB_AUTO};
static const struct search_setup SETUP = {
    .job = &JOB, .train = &TRAIN, .seed = 3, .image = {0, 1, 12, 12}, .classes = 4};

static struct search *search_with(const struct search_strategy *strategy)
{
    struct search *search;
    struct error err;
    assert_int_equal(search_new_with(strategy, &SETUP, &search, &err), ST_OK);
    return search;
}

static void propose(const struct search *search, int32_t id, struct proposal *proposal)
{
    const struct search_request request = {.id = id, .limits = {.max_seconds_per_image = INFINITY}};
    struct error err;
    if (search_propose(search, &request, proposal, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* Of a candidate of the ladder: the second start is the better one. */
static double score_of(int32_t id)
{
    return 0.5 + 0.01 * id;
}

static void assert_same_recipe(const struct recipe *a, const struct recipe *b)
{
    assert_true(a->budget == b->budget);
    assert_int_equal(a->batches_of, b->batches_of);
    assert_int_equal(a->goes_on, b->goes_on);
    assert_int_equal(a->compared_with, b->compared_with);
    assert_int_equal(a->fresh, b->fresh);
    assert_int_equal(a->prior, b->prior);
    assert_int_equal(a->policy.count, b->policy.count);
    assert_true(a->shrink == b->shrink || (isnan(a->shrink) && isnan(b->shrink)));
#define SAME(name)                                                                                           \
    assert_true(a->hyperparameters.name == b->hyperparameters.name ||                                        \
                (isnan(a->hyperparameters.name) && isnan(b->hyperparameters.name)));
    RECIPE_HYPERPARAMETERS(SAME)
#undef SAME
}

/* ---- state ---- */

/* What is proposed comes back with the model, and a search that is told all results anew goes on alike at any
 * candidate. */
static void test_state_is_made_of_results(void **state)
{
    struct search *grown = search_with(&ladder_strategy);
    (void)state;
    for (int32_t id = 0; id < LADDER_COUNT; id++) {
        struct search *resumed = search_with(&ladder_strategy);
        struct proposal proposal, other;
        struct error err;
        for (int32_t i = 0; i < id; i++) {
            const struct search_model *model = search_at(grown, i);
            const struct search_trial trial = {.id = i,
                                               .parent = model->parent,
                                               .start = model->start,
                                               .graph = &model->graph,
                                               .recipe = model->recipe,
                                               .prediction = prediction_none()};
            assert_int_equal(search_observe(resumed, &trial, model->score, model->loss, &err), ST_OK);
        }
        propose(grown, id, &proposal);
        propose(resumed, id, &other);
        assert_true(graph_fingerprint(&proposal.graph) == graph_fingerprint(&other.graph));
        assert_int_equal(proposal.parent, other.parent);
        assert_same_recipe(&proposal.recipe, &other.recipe);
        if (id == LADDER_TRUNK)
            assert_int_equal(proposal.parent, 1);
        const struct search_trial trial = trial_of_proposal(id, &proposal);
        assert_int_equal(search_pend(grown, &trial, &err), ST_OK);
        assert_true(search_find(grown, id)->is_pending);
        assert_int_equal(search_observe(grown, &trial, score_of(id), 1.0, &err), ST_OK);
        assert_same_recipe(&search_find(grown, id)->recipe, &proposal.recipe);
        assert_int_equal(search_find(grown, id)->start, proposal.start);
        proposal_free(&proposal);
        proposal_free(&other);
        search_free(resumed);
    }
    search_free(grown);
}

static enum status create_nothing(const struct search_setup *setup, void **state, struct error *err)
{
    (void)setup;
    *state = malloc(1);
    return error_set(err, ST_MEMORY, "no state");
}

static enum status observe_badly(const struct search *search, void *state, const struct search_model *model,
                                 struct error *err)
{
    (void)search, (void)state;
    return model->id == 1 ? error_set(err, ST_IO, "did not see that") : ST_OK;
}

static void test_failures(void **state)
{
    struct search_strategy strategy = ladder_strategy;
    struct proposal proposal;
    struct search *search;
    struct error err;
    (void)state;
    strategy.create = create_nothing;
    assert_int_equal(search_new_with(&strategy, &SETUP, &search, &err), ST_MEMORY);
    assert_null(search);
    strategy = ladder_strategy;
    strategy.observe = observe_badly;
    search = search_with(&strategy);
    for (int32_t id = 0; id < 2; id++) {
        propose(search, id, &proposal);
        const struct search_trial trial = trial_of_proposal(id, &proposal);
        assert_int_equal(search_observe(search, &trial, 0.5, 1.0, &err), id == 0 ? ST_OK : ST_IO);
        proposal_free(&proposal);
    }
    search_free(search);
}

/* ---- models kept ---- */

static int32_t kept; /* an id */

static bool keeps_one(const void *state, const struct search_model *model)
{
    (void)state;
    return model->id == kept;
}

static enum status propose_final(const struct search *search, struct proposal *proposal, struct error *err)
{
    const struct search_request request = {.id = 100, .limits = {.max_seconds_per_image = INFINITY}};
    return search_propose_final(search, &request, proposal, err);
}

/* Without one of its own a strategy ends with the best model and its hyperparameters; "none" has nothing but an end. */
static void test_final_fits(void **state)
{
    struct search *search = search_with(&search_greedy);
    struct search_trial trial = {.id = 3, .parent = -1, .start = -1, .recipe = recipe_usual()};
    struct proposal proposal;
    struct graph graph = {0};
    struct error err;
    (void)state;
    assert_true(search_has_candidates(search));
    assert_int_equal(propose_final(search, &proposal, &err), ST_DIVERGED);
    assert_int_equal(start_make(&graph, "lean", 8, SETUP.image, SETUP.classes, &err), ST_OK);
    trial.graph = &graph;
    trial.recipe.hyperparameters.momentum = 0.75;
    trial.recipe.budget = 3.0;
    assert_int_equal(search_observe(search, &trial, 0.5, 1.0, &err), ST_OK);
    assert_int_equal(propose_final(search, &proposal, &err), ST_OK);
    assert_int_equal(proposal.parent, 3);
    assert_int_equal(proposal.morph_count, 0);
    assert_float_equal(proposal.recipe.hyperparameters.momentum, 0.75, 0.0);
    assert_float_equal(proposal.recipe.budget, 1.0, 0.0);
    assert_true(graph_fingerprint(&proposal.graph) == graph_fingerprint(&graph));
    proposal_free(&proposal);
    search_free(search);

    search = search_with(&search_none);
    assert_false(search_has_candidates(search));
    assert_int_equal(propose_final(search, &proposal, &err), ST_OK);
    assert_int_equal(proposal.parent, -1);
    assert_int_equal(proposal.start, 0);
    proposal_free(&proposal);
    search_free(search);
    graph_free(&graph);
}

/* Beside the best SEARCH_PARENTS the one that the strategy wants; one whose weights are gone does not come back. */
static void test_kept(void **state)
{
    enum { MODELS = SEARCH_PARENTS + 4 };
    struct search_strategy strategy = search_random;
    (void)state;
    strategy.keeps = keeps_one;
    struct search *search = search_with(&strategy);
    kept = 1;
    for (int32_t id = 0; id < MODELS; id++) {
        struct proposal proposal;
        struct error err;
        propose(search, id, &proposal);
        const struct search_trial trial = trial_of_proposal(id, &proposal);
        assert_int_equal(search_observe(search, &trial, score_of(id), 1.0, &err), ST_OK);
        proposal_free(&proposal);
        if (id == MODELS - 2)
            kept = 0; /* gone since id SEARCH_PARENTS */
        for (int32_t i = 0; i <= id; i++)
            assert_int_equal(search_at(search, i)->is_parent,
                             i > id - SEARCH_PARENTS || (i == 1 && id < MODELS - 1));
    }
    search_free(search);
}

/* ---- recipes and proposals ---- */

static void test_recipes(void **state)
{
    const struct job_train job = {
        .batch = 32, .learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.5, .label_smoothing = 0.25};
    struct recipe recipe = recipe_usual();
    (void)state;
    assert_true(recipe.budget == 1.0);
    assert_int_equal(recipe.batches_of, -1);
    struct job_train train = recipe_train(&job, &recipe.hyperparameters, (struct shape){0, 3, 32, 28});
    assert_true(train.learning_rate == 0.1 && train.label_smoothing == 0.25);
    assert_true(train.momentum == 0.9 && train.weight_decay == 0.5);
    recipe.hyperparameters.label_smoothing = 0.0;
    recipe.hyperparameters.learning_rate = 2.0;
    train = recipe_train(&job, &recipe.hyperparameters, (struct shape){0, 3, 32, 28});
    assert_true(train.learning_rate == 2.0 && train.label_smoothing == 0.0);
    assert_true(train.momentum == 0.9 && train.weight_decay == 0.5);
    assert_int_equal(train.batch, 32);
}

/* What "auto" of the augmentation is: by the short side, and of final fits by their epochs; what the job says stays. */
static void test_augmentation(void **state)
{
    const struct shape image = {0, 3, 64, 32};
    struct job_train job = {.batch = 32, .translate = JOB_AUTO, .cutout = JOB_AUTO};
    struct recipe recipe = recipe_usual();
    (void)state;
    struct job_train train = recipe_train(&job, &recipe.hyperparameters, image);
    assert_true(train.translate == 2 && train.cutout == 0);
    train = recipe_train(&job, &recipe.hyperparameters, (struct shape){0, 1, 28, 28});
    assert_true(train.translate == 1 && train.cutout == 0);
    recipe_augment(&job, 24.0, image, &recipe.hyperparameters);
    assert_true(isnan(recipe.hyperparameters.translate) && isnan(recipe.hyperparameters.cutout));
    recipe_augment(&job, 25.0, image, &recipe.hyperparameters);
    train = recipe_train(&job, &recipe.hyperparameters, image);
    assert_true(train.translate == 4 && train.cutout == 8);
    job.translate = 3;
    job.cutout = 0;
    recipe = recipe_usual();
    recipe_augment(&job, 1000.0, image, &recipe.hyperparameters);
    train = recipe_train(&job, &recipe.hyperparameters, image);
    assert_true(train.translate == 3 && train.cutout == 0);
}

static void test_further(void **state)
{
    struct search *search = search_with(&search_random);
    struct proposal proposal, further;
    struct error err;
    (void)state;
    propose(search, 0, &proposal);
    const struct search_trial trial = trial_of_proposal(0, &proposal);
    assert_int_equal(search_observe(search, &trial, 0.5, 1.0, &err), ST_OK);
    assert_int_equal(propose_further(search_at(search, 0), &further, &err), ST_OK);
    assert_int_equal(further.parent, 0);
    assert_int_equal(further.morph_count, 0);
    assert_int_equal(further.start, -1);
    assert_int_equal(further.operation_count, 1);
    assert_true(graph_fingerprint(&further.graph) == graph_fingerprint(&proposal.graph));
    proposal_free(&proposal);
    proposal_free(&further);
    search_free(search);
}

/* ---- hyperparameters by chance ---- */

/* A search of that strategy, with or without a range for the learning rate; `ids` candidates, all of them proposed. */
static struct search *grown(const struct search_strategy *strategy, bool range, int32_t ids)
{
    struct search_setup setup = SETUP;
    struct search *search;
    struct error err;
    setup.hyperparameters.usual.learning_rate = 0.1;
    if (range)
        setup.hyperparameters.ranges.learning_rate =
            (struct job_range){.kind = JOB_RANGE_BETWEEN, .min = 0.01, .max = 1.0, .scale = JOB_RANGE_LOG};
    assert_int_equal(search_new_with(strategy, &setup, &search, &err), ST_OK);
    for (int32_t id = 0; id < ids; id++) {
        struct proposal proposal;
        propose(search, id, &proposal);
        const struct search_trial trial = trial_of_proposal(id, &proposal);
        assert_int_equal(search_observe(search, &trial, 0.5 + 0.01 * (id * 7 % 13), 1.0, &err), ST_OK);
        proposal_free(&proposal);
    }
    return search;
}

/* Where the job has a range children get others than their parents, and their children go on from there; which networks
 * are tried does not depend on it. Without a range all is as the job says. */
static void test_children_vary(void **state)
{
    static const struct search_strategy *const strategies[] = {&search_bayesian, &search_greedy,
                                                               &search_random};
    enum { IDS = 30 };
    (void)state;
    for (int s = 0; s < 3; s++) {
        struct search *with = grown(strategies[s], true, IDS), *without = grown(strategies[s], false, IDS);
        struct search *again = grown(strategies[s], true, IDS);
        int32_t changed = 0, kept = 0, inherited = 0;
        for (int32_t id = 0; id < IDS; id++) {
            const struct search_model *model = search_at(with, id), *plain = search_at(without, id);
            const double rate = model->recipe.hyperparameters.learning_rate;
            assert_true(model->fingerprint == plain->fingerprint);
            assert_same_recipe(&model->recipe, &search_at(again, id)->recipe);
            assert_true(isnan(plain->recipe.hyperparameters.learning_rate));
            assert_true(isnan(rate) || (rate >= 0.01 && rate <= 1.0));
            if (model->parent < 0) {
                assert_true(isnan(rate));
                continue;
            }
            const double before = search_find(with, model->parent)->recipe.hyperparameters.learning_rate;
            const bool same = rate == before || (isnan(rate) && isnan(before));
            changed += !same;
            kept += same;
            inherited += same && !isnan(rate);
        }
        assert_true(changed >= 5 && kept >= 5 && inherited >= 1);
        search_free(with);
        search_free(without);
        search_free(again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children_vary), cmocka_unit_test(test_state_is_made_of_results),
        cmocka_unit_test(test_failures),      cmocka_unit_test(test_final_fits),
        cmocka_unit_test(test_kept),          cmocka_unit_test(test_recipes),
        cmocka_unit_test(test_augmentation),  cmocka_unit_test(test_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

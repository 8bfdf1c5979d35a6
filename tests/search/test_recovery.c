/* Strategies on a made-up objective whose best network is known: whether they come nearer to it than chance, and
 * whether each does what its paper says. No network is trained here. */
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/search/strategy.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct shape IMAGE = {0, 1, 16, 16};
enum { CLASSES = 4, WINDOW = 3 };

/* Of a stage of 100 epochs of any network: two from fresh weights. */
static const struct search_request REQUEST = {.limits = {.max_seconds_per_image = INFINITY},
                                              .means = {.candidate_epochs = 100.0, .candidate = 0.02}};

static struct job_search job_of(void)
{
    return (struct job_search){
        .starts = {.count = 1, .items = {"lean"}},
        .width = 8,
        .morphs = {.count = 6, .items = {"deepen", "widen", "add_skip", "kernel", "residual", "squeeze"}},
        .max_morphs = 2,
        .random_share = 0.2,
        .neighbours = 5,
        .population = 10,
        .tournament = 4,
        .policy_rate = 0.02,
        .policy_batch = 4,
        .policy_entropy = 0.005,
        .widths = {.count = 3, .items = {8, 16, 32}},
        .depths = {.count = 3, .items = {0, 1, 2}},
        .rungs = 3,
        .eta = 3};
}

static struct search *open_search(const struct search_strategy *strategy, const struct job_search *job,
                                  int64_t seed)
{
    const struct search_setup setup = {
        .job = job,
        .seed = seed,
        .image = IMAGE,
        .classes = CLASSES,
        .hyperparameters = {.usual = {.learning_rate = 0.1, .batch = 128, .weight_decay = 0.01}}};
    struct search *search;
    struct error err;
    assert_int_equal(search_new_with(strategy, &setup, &search, &err), ST_OK);
    return search;
}

/* 1 for a network with 90 layers and 200000 parameters: far from the start, which has 24 layers and 35000. */
static double score_of(const struct graph *graph)
{
    const double parameters = (double)cost_of_graph(graph).parameters;
    return 1.0 / (1.0 + 0.3 * fabs(log(parameters / 200e3)) + 0.02 * abs(graph->count - 90));
}

static enum status ask(const struct search *search, int32_t id, struct proposal *proposal)
{
    struct search_request request = REQUEST;
    struct error err;
    request.id = id;
    return search_propose(search, &request, proposal, &err);
}

static void pend(struct search *search, int32_t id, const struct proposal *proposal)
{
    const struct search_trial trial = trial_of_proposal(id, proposal);
    struct error err;
    assert_int_equal(search_pend(search, &trial, &err), ST_OK);
}

static void observe(struct search *search, int32_t id, double score)
{
    const struct search_model *model = search_find(search, id);
    struct search_trial trial = trial_of_model(model);
    struct error err;
    assert_int_equal(search_observe(search, &trial, score, 1.0 - score, &err), ST_OK);
}

/* So many candidates, `window` of them at a time; fewer where nothing comes any more. */
typedef double scores(const struct search *search, const struct search_model *model);
static int32_t run(struct search *search, int32_t count, int32_t window, scores *score)
{
    int32_t id = 0, observed = 0;
    while (observed < count) {
        struct proposal proposal;
        if (id < count && id - observed < window && ask(search, id, &proposal) == ST_OK) {
            pend(search, id++, &proposal);
            proposal_free(&proposal);
        } else if (observed < id) {
            observe(search, observed, score(search, search_find(search, observed)));
            observed++;
        } else {
            break;
        }
    }
    return observed;
}

static double score_graph(const struct search *search, const struct search_model *model)
{
    (void)search;
    return score_of(&model->graph);
}

/* ---- what all have in common ---- */

/* The mean over seeds of the best score. */
static double best_of(const struct search_strategy *strategy, int32_t candidates)
{
    enum { SEEDS = 5 };
    double sum = 0.0;
    for (int64_t seed = 1; seed <= SEEDS; seed++) {
        const struct job_search job = job_of();
        struct search *search = open_search(strategy, &job, seed);
        assert_int_equal(run(search, candidates, WINDOW, score_graph), candidates);
        sum += search_best(search, &REQUEST.limits)->score;
        search_free(search);
    }
    return sum / SEEDS;
}

/* Chance changes any network that was trained, for all are kept. Random, which changes the best ones, is more. */
static bool keeps_all(const void *state, const struct search_model *model)
{
    (void)state, (void)model;
    return true;
}

static void test_beats_chance(void **state)
{
    enum { CANDIDATES = 60 };
    struct search_strategy by_chance = search_random;
    by_chance.keeps = keeps_all;
    const double chance = best_of(&by_chance, CANDIDATES), climb = best_of(&search_hill_climb, CANDIDATES),
                 evolution = best_of(&search_evolution, CANDIDATES),
                 reinforce = best_of(&search_reinforce, CANDIDATES);
    (void)state;
    print_message("chance %.3f, hill_climb %.3f, evolution %.3f, reinforce %.3f\n", chance, climb, evolution,
                  reinforce);
    assert_true(reinforce > chance);
    assert_true(climb > chance);
    assert_true(evolution > chance);
}

/* A search that is told all again, with what is pending, goes on alike. */
static void test_state_is_made_of_results(void **state)
{
    static const struct search_strategy *const strategies[] = {&search_hill_climb, &search_evolution,
                                                               &search_reinforce, &search_asha, &search_grid};
    enum { CANDIDATES = 24 };
    (void)state;
    for (int s = 0; s < 5; s++) {
        struct job_search job = job_of();
        job.starts = (struct job_strings){.count = 2, .items = {"lean", "res9"}};
        struct search *grown = open_search(strategies[s], &job, 5);
        int32_t id = 0, observed = 0;
        while (id < CANDIDATES) {
            struct search *resumed = open_search(strategies[s], &job, 5);
            struct proposal proposal, other;
            for (int32_t i = 0; i < id; i++) {
                const struct search_model *model = search_at(grown, i);
                const struct search_trial trial = trial_of_model(model);
                struct error err;
                assert_int_equal(search_pend(resumed, &trial, &err), ST_OK);
                if (!model->is_pending)
                    assert_int_equal(search_observe(resumed, &trial, model->score, model->loss, &err), ST_OK);
            }
            const enum status st = ask(grown, id, &proposal);
            assert_int_equal(ask(resumed, id, &other), st);
            search_free(resumed);
            if (st == ST_OK) {
                assert_true(graph_fingerprint(&proposal.graph) == graph_fingerprint(&other.graph));
                assert_int_equal(proposal.parent, other.parent);
                assert_true(proposal.recipe.budget == other.recipe.budget);
                assert_memory_equal(&proposal.recipe.policy, &other.recipe.policy,
                                    sizeof(other.recipe.policy));
                assert_memory_equal(&proposal.recipe.hyperparameters, &other.recipe.hyperparameters,
                                    sizeof(other.recipe.hyperparameters));
                pend(grown, id++, &proposal);
                proposal_free(&proposal);
                proposal_free(&other);
            }
            if (st == ST_NONE && observed == id)
                break;
            if (st == ST_NONE || id - observed == WINDOW) {
                const double score = score_graph(grown, search_at(grown, observed));
                observe(grown, observed, observed % 6 == 5 ? NAN : score);
                observed++;
            }
        }
        assert_int_equal(id, strategies[s] == &search_grid ? 2 * 3 * 3 : CANDIDATES);
        search_free(grown);
    }
}

/* ---- hill climbing ---- */

/* One at a time: the steps are as in the paper. */
static void test_hill_climb(void **state)
{
    enum { STEPS = 6, STEP = 5 };
    const struct job_search job = job_of();
    struct search *search = open_search(&search_hill_climb, &job, 7);
    int32_t base = 0;
    (void)state;
    assert_int_equal(run(search, 1 + STEPS * STEP, 1, score_graph), 1 + STEPS * STEP);
    for (int32_t step = 0; step < STEPS; step++) {
        const int32_t first = 1 + step * STEP;
        const struct search_model *best = search_at(search, first);
        for (int32_t i = first; i < first + STEP; i++) {
            const struct search_model *model = search_at(search, i);
            assert_int_equal(model->parent, base);
            assert_true((model->fingerprint == search_find(search, base)->fingerprint) ==
                        (i == first + STEP - 1));
            best = search_is_better(model, best) ? model : best;
        }
        assert_true(best->score >= search_find(search, base)->score); /* it is among them itself */
        base = best->id;
    }
    assert_true(search_find(search, base)->score > 1.2 * search_at(search, 0)->score);
    search_free(search);
}

/* What is worse than all there was is climbed on from, when it is the best of a step; and it is kept until then. */
static double score_worse(const struct search *search, const struct search_model *model)
{
    (void)search;
    return 0.9 - 0.01 * model->id;
}

static void test_hill_climb_goes_down(void **state)
{
    const struct job_search job = job_of();
    struct search *search = open_search(&search_hill_climb, &job, 7);
    (void)state;
    assert_int_equal(run(search, 42, 1, score_worse), 42);
    for (int32_t id = 1; id < 42; id++)
        assert_int_equal(search_at(search, id)->parent, id <= 5 ? 0 : 5 * ((id - 1) / 5) - 4);
    search_free(search);
}

/* While results are out, no device waits: more changes than the step's are tried. */
static void test_hill_climb_waits_for_nobody(void **state)
{
    const struct job_search job = job_of();
    struct search *search = open_search(&search_hill_climb, &job, 7);
    struct proposal proposal;
    int32_t further = 0;
    (void)state;
    assert_int_equal(ask(search, 0, &proposal), ST_OK);
    pend(search, 0, &proposal);
    proposal_free(&proposal);
    observe(search, 0, 0.5);
    for (int32_t id = 1; id <= 12; id++) {
        assert_int_equal(ask(search, id, &proposal), ST_OK);
        assert_int_equal(proposal.parent, 0);
        further += proposal.morph_count == 0;
        pend(search, id, &proposal);
        proposal_free(&proposal);
    }
    assert_int_equal(further, 1);
    for (int32_t id = 1; id <= 12; id++)
        observe(search, id, id == 11 ? 0.7 : 0.6);
    assert_int_equal(ask(search, 13, &proposal), ST_OK);
    assert_int_equal(proposal.parent, 11); /* those beyond count as well */
    proposal_free(&proposal);
    search_free(search);
}

/* ---- evolution ---- */

/* The first is the best by far, and has no children any more when it is too old. */
static double score_first(const struct search *search, const struct search_model *model)
{
    (void)search;
    return model->id == 3 ? 0.99 : 0.1 + 0.001 * (model->id * 7 % 13);
}

static void test_oldest_dies(void **state)
{
    enum { CANDIDATES = 60, POPULATION = 10 };
    const struct job_search job = job_of();
    struct search *search = open_search(&search_evolution, &job, 2);
    int32_t of_best = 0, parents[CANDIDATES] = {0};
    (void)state;
    assert_int_equal(run(search, CANDIDATES, 1, score_first), CANDIDATES);
    for (int32_t id = 1; id < CANDIDATES; id++) {
        const int32_t parent = search_at(search, id)->parent;
        assert_true(parent >= 0 && parent < id);
        if (id < POPULATION)
            assert_int_equal(parent, 0); /* the population is not full: changes of the start */
        else
            assert_true(parent >= id - POPULATION);
        of_best += parent == 3;
        parents[parent]++;
    }
    /* of 4 draws with replacement of 10 the best is among them with 1 - 0.9^4 = 0.34, in 4 tournaments */
    assert_true(of_best >= 1 && of_best <= 4);
    for (int32_t id = 14; id < CANDIDATES; id++)
        assert_int_not_equal(search_at(search, id)->parent, 3);
    search_free(search);
}

/* ---- a learned controller ---- */

/* Of what was done, and not of what came of it; the start stays the best, so that all proposals have as much to
 * gain. */
static double score_said(const struct search *search, const struct search_model *model)
{
    const struct recipe_policy *policy = &model->recipe.policy;
    int32_t residuals = 0, late = 0, changes = 0;
    (void)search;
    for (int32_t at = 0; at + 2 < policy->count; at += 3, changes++) {
        residuals += policy->tokens[at] == MORPH_RESIDUAL;
        late += policy->tokens[at + 1] >= 4;
    }
    return changes == 0 ? 0.95 : 0.4 + 0.3 * residuals / changes + 0.2 * late / changes;
}

/* The mean reward rises, and the entropy falls; without a rate of learning neither does. */
static void test_policy_learns(void **state)
{
    enum { CANDIDATES = 160, PART = 40, SEEDS = 2 };
    double first[2] = {0}, last[2] = {0}, entropies[2] = {0};
    (void)state;
    for (int learns = 0; learns < 2; learns++)
        for (int64_t seed = 1; seed <= SEEDS; seed++) {
            struct job_search job = job_of();
            job.policy_rate = learns ? 0.02 : 1e-6;
            job.max_morphs = 3;
            struct search *search = open_search(&search_reinforce, &job, seed);
            assert_int_equal(run(search, 1 + CANDIDATES, WINDOW, score_said), 1 + CANDIDATES);
            for (int32_t i = 0; i < PART; i++) {
                const struct search_model *early = search_at(search, 1 + i),
                                          *late = search_at(search, 1 + CANDIDATES - PART + i);
                assert_in_range(late->recipe.policy.count, 3, 9);
                assert_int_equal(late->parent, 0);
                first[learns] += pow(early->score, 3.0) / (PART * SEEDS);
                last[learns] += pow(late->score, 3.0) / (PART * SEEDS);
                entropies[learns] +=
                    (late->recipe.policy.entropy - early->recipe.policy.entropy) / (PART * SEEDS);
            }
            search_free(search);
        }
    print_message("mean reward %.3f -> %.3f, without learning %.3f -> %.3f\n", first[1], last[1], first[0],
                  last[0]);
    assert_true(last[1] > first[1] + 0.1 && last[1] > last[0] + 0.1);
    assert_true(entropies[1] < -0.1 && fabs(entropies[0]) < 0.1);
}

/* A journal that was written by nobody: refused, and nothing is read beyond what there is. */
static void test_wrong_tokens(void **state)
{
    static const struct {
        int32_t count, tokens[3];
    } wrong[] = {{3, {MORPH_PRUNE, 0, 0}}, {3, {MORPH_WIDEN, 8, 0}},      {3, {MORPH_WIDEN, 0, -1}},
                 {2, {MORPH_WIDEN, 0, 0}}, {1, {MORPH_KIND_COUNT, 0, 0}}, {1, {400, 0, 0}}};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        for (int with_parent = 0; with_parent < 2; with_parent++) {
            const struct job_search job = job_of();
            struct search *search = open_search(&search_reinforce, &job, 1);
            struct proposal proposal;
            struct error err;
            assert_int_equal(run(search, 1, 1, score_graph), 1);
            assert_int_equal(ask(search, 1, &proposal), ST_OK);
            struct search_trial trial = trial_of_proposal(1, &proposal);
            trial.parent = with_parent ? 0 : -1;
            trial.recipe.policy.count = wrong[i].count;
            memcpy(trial.recipe.policy.tokens, wrong[i].tokens, sizeof(wrong[i].tokens));
            assert_int_equal(search_observe(search, &trial, 0.5, 1.0, &err), ST_FORMAT);
            assert_non_null(strstr(err.message, "policy_tokens: found "));
            proposal_free(&proposal);
            search_free(search);
        }
}

/* ---- grid ---- */

static void test_grid_visits_all(void **state)
{
    struct job_search job = job_of();
    struct proposal proposal;
    (void)state;
    job.starts = (struct job_strings){.count = 2, .items = {"lean", "res9"}};
    job.width = 0;
    struct search *search = open_search(&search_grid, &job, 1);
    assert_int_equal(run(search, 100, WINDOW, score_graph), 18);
    for (int32_t i = 0; i < 18; i++) {
        const struct search_model *model = search_at(search, i);
        assert_int_equal(model->parent, -1);
        assert_int_equal(model->start, i % 3 == 0 ? i / 9 : -1);
        for (int32_t j = 0; j < i; j++)
            assert_true(search_at(search, j)->fingerprint != model->fingerprint);
        if (i % 3 > 0) { /* as many layers more with each depth, and the same in each width */
            const int32_t more = model->graph.count - search_at(search, i - 1)->graph.count;
            assert_true(more >= 6 && more % 6 == 0);
            assert_int_equal(more, search_at(search, i / 9 * 9 + 1)->graph.count -
                                       search_at(search, i / 9 * 9)->graph.count);
        }
        if (i % 9 >= 3)
            assert_true(cost_of_graph(&model->graph).parameters >
                        cost_of_graph(&search_at(search, i - 3)->graph).parameters);
    }
    assert_int_equal(ask(search, 18, &proposal), ST_NONE);
    search_free(search);

    /* The final fit is the best of it; what is above a limit is passed over. */
    struct search_request request = REQUEST;
    struct error err;
    int32_t id = 0;
    search = open_search(&search_grid, &job, 1);
    request.limits.max_parameters = 60000;
    while (search_propose(search, &request, &proposal, &err) == ST_OK) {
        assert_true(cost_of_graph(&proposal.graph).parameters <= 60000);
        pend(search, id, &proposal);
        observe(search, id, score_of(&proposal.graph));
        proposal_free(&proposal);
        request.id = ++id;
    }
    assert_true(id > 0 && id < 18);
    assert_int_equal(search_propose_final(search, &request, &proposal, &err), ST_OK);
    assert_int_equal(proposal.parent, search_best(search, &request.limits)->id);
    proposal_free(&proposal);
    search_free(search);
}

/* ---- successive halving ---- */

static int32_t rung_of(const struct search *search, const struct search_model *model)
{
    int32_t rung = 0;
    for (; model->parent >= 0; rung++)
        model = search_find(search, model->parent);
    return rung;
}

/* The learning rate alone decides: 0.2 is the best one. Longer trainings are better ones. */
static double score_rate(const struct search *search, const struct search_model *model)
{
    const double own = model->recipe.hyperparameters.learning_rate, rate = isnan(own) ? 0.1 : own;
    return 0.5 + 0.1 * rung_of(search, model) - 0.05 * fabs(log(rate / 0.2));
}

/* Of each rung the best third has gone on and nobody else; each has had three times what the rung below has. */
static void test_asha_promotes(void **state)
{
    enum { CANDIDATES = 120 };
    (void)state;
    for (int32_t window = 1; window <= 4; window += 3) {
        const struct job_search job = job_of();
        struct search *search = open_search(&search_asha, &job, 4);
        int32_t on[3] = {0}, gone_on[3] = {0};
        assert_int_equal(run(search, CANDIDATES, window, score_rate), CANDIDATES);
        for (int32_t i = 0; i < CANDIDATES; i++) {
            const struct search_model *model = search_at(search, i);
            const int32_t rung = rung_of(search, model);
            int32_t had = 0, better = 0;
            assert_in_range(rung, 0, 2);
            on[rung]++;
            /* epochs: 2 / 9, 6 / 9 and 2 in all; what has a parent gets half for the same budget */
            const double epochs = model->recipe.budget * (model->parent < 0 ? 2.0 : 1.0);
            assert_float_equal(epochs, rung == 0 ? 2.0 / 9 : rung == 1 ? 4.0 / 9 : 12.0 / 9, 1e-9);
            if (rung == 0)
                continue;
            gone_on[rung - 1]++;
            const struct search_model *parent = search_find(search, model->parent);
            assert_true(model->fingerprint == parent->fingerprint);
            assert_true(model->recipe.hyperparameters.learning_rate ==
                            parent->recipe.hyperparameters.learning_rate ||
                        isnan(parent->recipe.hyperparameters.learning_rate));
            for (int32_t j = 0; j <= i - window; j++) { /* whose results were there for sure */
                const struct search_model *other = search_at(search, j);
                had += rung_of(search, other) == rung - 1;
                better += rung_of(search, other) == rung - 1 && other->score > parent->score;
            }
            assert_true(better < (had + window) / 3);
        }
        assert_true(abs(gone_on[0] - on[0] / 3) <= 2 && abs(gone_on[1] - on[1] / 3) <= 2);
        assert_true(on[0] > 70 && on[1] > 20 && on[2] > 6);
        const struct search_model *best = search_best(search, &REQUEST.limits);
        assert_int_equal(rung_of(search, best), 2);
        assert_true(fabs(log(best->recipe.hyperparameters.learning_rate / 0.2)) < 0.1);
        search_free(search);
    }
}

/* Without anything that may be drawn there are as many draws as starts and widths; the end comes when all is known. */
static void test_asha_ends(void **state)
{
    struct job_search job = job_of();
    const struct search_setup setup = {
        .job = &job,
        .seed = 1,
        .image = IMAGE,
        .classes = CLASSES,
        .hyperparameters = {.usual = {.learning_rate = 0.1},
                            .ranges = {.learning_rate = {.kind = JOB_RANGE_FIXED}}}};
    struct search *search;
    struct error err;
    (void)state;
    assert_int_equal(search_new_with(&search_asha, &setup, &search, &err), ST_OK);
    assert_int_equal(run(search, 100, WINDOW, score_graph), 4); /* three widths, of which one goes on */
    assert_int_equal(rung_of(search, search_at(search, 3)), 1);
    search_free(search);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beats_chance),
        cmocka_unit_test(test_state_is_made_of_results),
        cmocka_unit_test(test_hill_climb),
        cmocka_unit_test(test_hill_climb_goes_down),
        cmocka_unit_test(test_hill_climb_waits_for_nobody),
        cmocka_unit_test(test_oldest_dies),
        cmocka_unit_test(test_policy_learns),
        cmocka_unit_test(test_wrong_tokens),
        cmocka_unit_test(test_grid_visits_all),
        cmocka_unit_test(test_asha_promotes),
        cmocka_unit_test(test_asha_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

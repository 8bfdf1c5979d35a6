/* The race of the strategy "phases" on made-up errors: when there is one, what it trains with which recipe, and what it
 * ends with. No network is trained here. */
#include "host/net/serialise.h"
#include "host/search/race.h"
#include "tests/support/phases_request.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 10, FIRST = 0, GOES_ON, SHRUNK, FRESH, COUNT };

/* With one starting network there is no ladder. */
static struct job_search job;
static const struct job_train TRAIN = {.learning_rate = 0.2, .translate = JOB_AUTO, .cutout = JOB_AUTO};
static const struct search_setup SETUP = {.job = &job,
                                          .seed = 3,
                                          .image = {0, 3, 16, 16},
                                          .classes = CLASSES,
                                          .train = &TRAIN,
                                          .hyperparameters = {.usual = {.learning_rate = 0.2}}};

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
    job = (struct job_search){
        .starts = {.count = 1, .items = {"lean"}}, .strategy = JOB_STRATEGY_PHASES, .width = 8, .race = true};
    assert_int_equal(search_new(&SETUP, &search, &err), ST_OK);
    return search;
}

/* ---- what is trained ---- */

static double share_of(const struct search_model *model, const struct search_means *means)
{
    return model->recipe.budget * means->candidate * (model->parent < 0 ? 1.0 : 0.5);
}

/* Of a search by ids; NAN: it fails. */
struct results {
    const double *errors;
};

static void end(struct search *search, int32_t id, struct search_request *request, void *context)
{
    const struct results *results = context;
    const struct search_model *model = search_find(search, id);
    const double share = share_of(model, &request->means);
    struct search_trial trial = trial_of_model(model);
    struct error err;
    request->means.left -= share;
    trial.epochs = share * request->means.epochs;
    assert_int_equal(search_observe(search, &trial, 1.0 - results->errors[id], 1.0, &err), ST_OK);
}

static int32_t run(struct search *search, struct search_request *request, int32_t window,
                   const double *errors)
{
    struct results results = {.errors = errors};
    return phases_climb(search, request, window, end, &results);
}

static int32_t final_parent(const struct search *search, const struct search_request *request)
{
    struct proposal proposal;
    struct error err;
    if (search_propose_final(search, request, &proposal, &err) != ST_OK)
        fail_msg("%s", err.message);
    const int32_t parent = proposal.parent;
    assert_int_equal(proposal.morph_count, 0);
    assert_false(proposal.recipe.goes_on);
    assert_true(isnan(proposal.recipe.shrink)); /* what it goes on from is */
    proposal_free(&proposal);
    return parent;
}

static const double EVEN[COUNT] = {0.100, 0.095, 0.100, 0.300};

/* ---- the tests ---- */

/* Where more than 100 epochs would be left, and nowhere else; most of the stage is left then. */
static void test_when(void **state)
{
    (void)state;
    for (double epochs = 20.0; epochs < 900.0; epochs *= 1.5) {
        struct search *search = new_search();
        struct search_request request = request_of(epochs);
        const int32_t count = run(search, &request, 1, EVEN);
        const bool races = 0.74 * epochs >= RACE_LEAST_EPOCHS;
        assert_int_equal(count, races ? COUNT : 0);
        assert_true(request.means.left >= 0.7);
        assert_int_equal(final_parent(search, &request) >= 0, races);
        search_free(search);
    }
    struct search *search = new_search();
    struct search_request request = request_of(400.0);
    search_free(search);
    for (int bad = 0; bad < 4; bad++) {
        search = new_search();
        request = request_of(400.0);
        if (bad == 0)
            request.means.models = 40;
        else if (bad == 1)
            request.means.workers = 8;
        else if (bad == 2)
            request.means.search = 0.1;
        else
            job.race = false;
        struct search_setup setup = SETUP;
        struct search *other;
        struct error err;
        setup.job = &job;
        assert_int_equal(search_new(&setup, &other, &err), ST_OK);
        assert_int_equal(run(other, &request, 1, EVEN), 0);
        search_free(other);
        search_free(search);
    }
}

static void assert_recipe(const struct search_model *model, int32_t parent, int32_t fresh, bool shrunk)
{
    assert_int_equal(model->parent, parent);
    assert_int_equal(model->recipe.fresh, fresh);
    assert_true(shrunk ? model->recipe.shrink == RECIPE_SHRINK : isnan(model->recipe.shrink));
    assert_false(model->recipe.goes_on);
    assert_int_equal(model->recipe.compared_with, -1);
    assert_true(model->recipe.hyperparameters.cutout == 4.0); /* of a long training, in all of them */
}

/* The three differ in their weights: same network, same time, same batches. */
static void test_recipes(void **state)
{
    struct search *search = new_search();
    struct search_request request = request_of(400.0);
    (void)state;
    assert_int_equal(run(search, &request, 1, EVEN), COUNT);
    const struct search_model *first = search_at(search, FIRST);
    assert_recipe(first, -1, 0, false);
    assert_recipe(search_at(search, GOES_ON), FIRST, -1, false);
    assert_recipe(search_at(search, SHRUNK), FIRST, 1, true);
    assert_recipe(search_at(search, FRESH), -1, 1, false);
    const double rung = share_of(search_at(search, GOES_ON), &request.means);
    assert_true(rung > 0.01 && rung < 0.2 * share_of(first, &request.means));
    for (int32_t id = GOES_ON; id < COUNT; id++) {
        const struct search_model *model = search_at(search, id);
        assert_true(model->fingerprint == first->fingerprint);
        assert_true(fabs(share_of(model, &request.means) - rung) < 1e-12);
        assert_int_equal(model->recipe.batches_of, id == GOES_ON ? -1 : GOES_ON);
        assert_true(model->is_parent);
    }
    search_free(search);
}

/* What is expected to be the best at the end: from fresh weights only where the first fit has led nowhere. */
static void test_choice(void **state)
{
    static const struct {
        double errors[COUNT];
        int32_t chosen;
    } rows[] = {
        {{0.100, 0.095, 0.100, 0.300}, GOES_ON},
        {{0.100, 0.100, 0.095, 0.300}, SHRUNK},
        {{0.300, 0.310, 0.320, 0.120}, FRESH},
        {{0.100, NAN, 0.120, 0.300}, SHRUNK},
        {{0.100, NAN, NAN, 0.300}, FRESH},
        {{0.100, NAN, NAN, NAN}, FIRST},
        {{NAN, 0.1, 0.1, 0.1}, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct search *search = new_search();
        struct search_request request = request_of(400.0);
        assert_int_equal(run(search, &request, 1, rows[i].errors), isnan(rows[i].errors[FIRST]) ? 1 : COUNT);
        if (isnan(rows[i].errors[FIRST])) { /* nothing could be trained */
            struct proposal proposal;
            struct error err;
            assert_int_equal(search_propose_final(search, &request, &proposal, &err), ST_DIVERGED);
        } else {
            assert_int_equal(final_parent(search, &request), rows[i].chosen);
        }
        search_free(search);
    }
}

/* Two at a time the same are trained; and a search that is told all results anew goes on alike. */
static void test_resumed(void **state)
{
    struct search *one = new_search(), *two = new_search();
    struct search_request first = request_of(400.0), second = request_of(400.0);
    (void)state;
    first.means.workers = second.means.workers = 2;
    assert_int_equal(run(one, &first, 1, EVEN), COUNT);
    assert_int_equal(run(two, &second, 2, EVEN), COUNT);
    for (int32_t known = 0; known <= COUNT; known++) {
        struct search *again = new_search();
        struct search_request request = request_of(400.0);
        struct proposal proposal;
        struct error err;
        request.means.workers = 2;
        for (int32_t id = 0; id < known; id++) {
            const struct search_model *model = search_at(two, id);
            const struct search_trial trial = trial_of_model(model);
            assert_int_equal(search_observe(again, &trial, model->score, model->loss, &err), ST_OK);
            request.means.left -= share_of(model, &request.means);
        }
        request.id = known;
        if (known == COUNT) {
            assert_int_equal(search_propose(again, &request, &proposal, &err), ST_NONE);
            assert_int_equal(final_parent(again, &request), final_parent(one, &first));
        } else {
            assert_int_equal(search_propose(again, &request, &proposal, &err), ST_OK);
            assert_int_equal(proposal.parent, search_at(one, known)->parent);
            assert_true(proposal.recipe.budget == search_at(one, known)->recipe.budget);
            assert_int_equal(proposal.recipe.batches_of, search_at(two, known)->recipe.batches_of);
            assert_int_equal(proposal.recipe.fresh, search_at(one, known)->recipe.fresh);
            proposal_free(&proposal);
        }
        search_free(again);
    }
    search_free(one);
    search_free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when),
        cmocka_unit_test(test_recipes),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_resumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

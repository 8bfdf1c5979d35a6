/* The strategy "phases" on a made-up machine and laws of learning: what it trains, on which rung, and what it ends
 * with. No network is trained here. */
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/search/strategy.h"
#include "tests/support/phases_request.h"
#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 10 };

static struct job_search job;
static const struct job_train TRAIN = {.learning_rate = 0.2, .translate = JOB_AUTO, .cutout = JOB_AUTO};
static struct search_setup SETUP = {.job = &job,
                                    .seed = 3,
                                    .image = {0, 3, 16, 16},
                                    .classes = CLASSES,
                                    .train = &TRAIN,
                                    .hyperparameters = {.usual = {.learning_rate = 0.2}}};

/* ---- the world ---- */

static double usual_cost(int32_t start)
{
    struct graph graph;
    struct error err;
    assert_int_equal(start_make(&graph, job.starts.items[start], job.width, SETUP.image, CLASSES, &err),
                     ST_OK);
    const double cost = cost_seconds(&graph, &phases_limits.rates);
    graph_free(&graph);
    return cost;
}

static double relative_size(const struct search_model *model)
{
    return cost_seconds(&model->graph, &phases_limits.rates) / usual_cost(model->start);
}

/* Above 0 where a learning rate is not the one that is best; 0: all are the same but for what accuracy_of says. */
static double best_rate = 0.0;
static double far_off(double rate)
{
    return best_rate > 0.0 ? 0.2 * fabs(log2(rate * SETUP.hyperparameters.usual.learning_rate / best_rate))
                           : 0.0;
}

/* Accuracy of a network of that size; the second start is a little better, half the learning rate much. */
static double accuracy_of(int32_t start, double size, double rate, double epochs)
{
    const double error =
        (0.02 + 0.05 * pow(size, -0.35) + 0.06 * pow(epochs / 16.0, -0.45)) * pow(2.0, far_off(rate));
    return 1.0 - fmin(0.9, error * (start == 1 ? 0.93 : 1.0) * (best_rate == 0.0 && rate < 1.0 ? 0.8 : 1.0));
}

static struct search *new_search(void)
{
    struct search *search;
    struct error err;
    assert_int_equal(search_new_with(&search_phases, &SETUP, &search, &err), ST_OK);
    return search;
}

static void set_starts(int32_t count)
{
    job = (struct job_search){.starts = {.count = count, .items = {"air", "res9"}},
                              .strategy = JOB_STRATEGY_PHASES};
}

/* So many epochs of the first start. */
static struct search_request request_of(double epochs)
{
    const double whole = epochs * usual_cost(0);
    return phases_request(whole);
}

static double rate_of(const struct search_model *model)
{
    const double rate = model->recipe.hyperparameters.learning_rate;
    return isnan(rate) ? 1.0 : rate / SETUP.hyperparameters.usual.learning_rate;
}

typedef bool fails(const struct search_model *model);

/* Whether it fails. */
struct fault {
    fails *is_in;
};

/* Its result is there. */
static void end(struct search *search, int32_t id, struct search_request *request, void *context)
{
    const struct fault *fault = context;
    const struct search_model *model = search_find(search, id);
    const double share = model->recipe.budget * request->means.candidate;
    const double size = relative_size(model);
    struct search_trial trial = trial_of_model(model);
    struct error err;
    trial.epochs = share * request->means.candidate_epochs /
                   (request->means.by_cost ? size * usual_cost(model->start) : 1.0);
    request->means.left -= share / request->means.workers;
    const bool failed = fault->is_in != NULL && fault->is_in(model);
    const double score = accuracy_of(model->start, size, rate_of(model), trial.epochs);
    assert_int_equal(search_observe(search, &trial, failed ? NAN : score, failed ? NAN : 1.0, &err), ST_OK);
}

static int32_t climb(struct search *search, struct search_request *request, int32_t window, fails *is_in)
{
    struct fault fault = {.is_in = is_in};
    return phases_climb(search, request, window, end, &fault);
}

static void propose_final(const struct search *search, const struct search_request *request,
                          struct proposal *proposal)
{
    struct error err;
    if (search_propose_final(search, request, proposal, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(proposal->parent, -1);
    assert_int_equal(proposal->morph_count, 0);
}

static bool says(const struct proposal *proposal, const char *text)
{
    for (int32_t i = 0; i < proposal->operation_count; i++)
        if (strstr(proposal->operations[i], text) != NULL)
            return true;
    return false;
}

static double size_of(const struct proposal *proposal)
{
    return cost_seconds(&proposal->graph, &phases_limits.rates) / usual_cost(proposal->start);
}

/* ---- the ladder ---- */

/* Four networks, the better two twice as long; from 60 epochs on learning rates and a third rung. */
static void test_rungs(void **state)
{
    (void)state;
    set_starts(2);
    struct search *search = new_search();
    struct search_request request = request_of(40.0);
    assert_int_equal(climb(search, &request, 1, NULL), 6);
    const double first = search_at(search, 0)->recipe.budget;
    for (int32_t i = 0; i < 6; i++) {
        const struct search_model *model = search_at(search, i);
        int32_t same = 0;
        for (int32_t j = 0; j < i; j++)
            same += search_at(search, j)->fingerprint == model->fingerprint;
        assert_int_equal(model->parent, -1);
        assert_int_equal(model->recipe.batches_of, i == 0 ? -1 : 0);
        assert_int_equal(same, i < 4 ? 0 : 1);
        assert_true(fabs(model->recipe.budget - first * (i < 4 ? 1.0 : 2.0)) < 1e-12);
        assert_true(rate_of(model) == 1.0);
    }
    assert_true(request.means.left > 0.88 && request.means.left < 0.95);
    search_free(search);
}

static void test_long_ladder(void **state)
{
    (void)state;
    set_starts(2);
    struct search *search = new_search();
    struct search_request request = request_of(100.0);
    assert_int_equal(climb(search, &request, 1, NULL), 4 + 2 + 2 + 2);
    const double first = search_at(search, 0)->recipe.budget;
    for (int32_t i = 0; i < 10; i++) {
        const double longer = search_at(search, i)->recipe.budget / first;
        assert_true(fabs(longer - (i < 4 ? 1.0 : i < 8 ? 2.0 : 4.0)) < 1e-9);
    }
    assert_true(fabs(rate_of(search_at(search, 6)) - 0.5) < 1e-12);
    assert_true(fabs(rate_of(search_at(search, 7)) - 2.0) < 1e-12);
    assert_true(request.means.left > 0.88);
    struct proposal proposal; /* the better learning rate is found, and kept */
    propose_final(search, &request, &proposal);
    assert_true(fabs(proposal.recipe.hyperparameters.learning_rate - 0.1) < 1e-12);
    proposal_free(&proposal);
    search_free(search);
}

/* ---- ranges ---- */

static void set_rates(const struct job_range *range, double start, double best)
{
    SETUP.hyperparameters.ranges.learning_rate = *range;
    SETUP.hyperparameters.usual.learning_rate = start;
    best_rate = best;
}

static void forget_rates(void)
{
    set_rates(&(struct job_range){0}, 0.2, 0.0);
}

static const struct job_range WIDE = {
    .kind = JOB_RANGE_BETWEEN, .min = 0.0001, .max = 1.0, .scale = JOB_RANGE_LOG};

static double final_rate(const struct search *search, const struct search_request *request)
{
    struct proposal proposal;
    propose_final(search, request, &proposal);
    const double rate = proposal.recipe.hyperparameters.learning_rate;
    proposal_free(&proposal);
    return isnan(rate) ? SETUP.hyperparameters.usual.learning_rate : rate;
}

/* A learning rate that is far better than the one that the search begins with is found, the nearer the longer the
 * budget; by few trainings, in a tenth of it. */
static void test_range(void **state)
{
    static const struct {
        double epochs, nearer; /* doublings */
        int32_t trials;
    } rows[] = {{5.0, 1.7, 2}, {40.0, 1.7, 2}, {100.0, 0.9, 4}, {1100.0, 0.5, 6}};
    (void)state;
    for (double best = 0.0008; best < 1.0; best *= 7.0)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            int32_t trials = 0;
            set_starts(2);
            set_rates(&WIDE, 0.01, best);
            struct search *search = new_search();
            struct search_request request = request_of(rows[i].epochs);
            request.means.search = 0.15; /* which leaves nothing for an evolution */
            const int32_t count = climb(search, &request, 1, NULL);
            for (int32_t j = 0; j < count; j++) {
                bool again = false;
                for (int32_t k = 0; k < j; k++)
                    again = again || rate_of(search_at(search, k)) == rate_of(search_at(search, j));
                trials += !again;
            }
            assert_int_equal(trials, 1 + rows[i].trials);
            assert_true(request.means.left > 0.88);
            assert_true(fabs(log2(final_rate(search, &request) / best)) < rows[i].nearer);
            search_free(search);
        }
    forget_rates();
}

/* What the job fixes is not tried, however long the budget. */
static void test_fixed_rate(void **state)
{
    (void)state;
    set_starts(2);
    set_rates(&(struct job_range){.kind = JOB_RANGE_FIXED}, 0.2, 0.0);
    struct search *search = new_search();
    struct search_request request = request_of(100.0);
    assert_int_equal(climb(search, &request, 1, NULL), 4 + 2 + 2);
    for (int32_t i = 0; i < search_count(search); i++)
        assert_true(rate_of(search_at(search, i)) == 1.0);
    search_free(search);
    forget_rates();
}

/* One start of one width has nothing to be chosen from but its learning rate. */
static void test_one_network(void **state)
{
    (void)state;
    set_starts(1);
    job.width = 16;
    set_rates(&WIDE, 0.01, 0.3);
    struct search *search = new_search();
    struct search_request request = request_of(30.0);
    assert_int_equal(climb(search, &request, 1, NULL), 1 + 2);
    assert_true(fabs(final_rate(search, &request) - 0.1) < 1e-9);
    for (int32_t i = 0; i < 3; i++)
        assert_true(search_at(search, i)->recipe.budget == search_at(search, 0)->recipe.budget);
    search_free(search);
    forget_rates();
}

static bool fails_usual(const struct search_model *model)
{
    return isnan(model->recipe.hyperparameters.learning_rate);
}

/* The learning rate that it begins with is too large for any network. */
static void test_bad_beginning(void **state)
{
    (void)state;
    set_starts(2);
    set_rates(&WIDE, 0.01, 0.001);
    struct search *search = new_search();
    struct search_request request = request_of(40.0);
    climb(search, &request, 1, fails_usual);
    assert_true(fabs(final_rate(search, &request) - 0.001) < 1e-9);
    search_free(search);
    forget_rates();
}

/* Several at a time: the same networks, and no rung before the one below is known. */
static void check_side_by_side(void)
{
    set_starts(2);
    for (int32_t window = 2; window <= 5; window++) {
        struct search *one = new_search(), *many = new_search();
        struct search_request first = request_of(100.0), second = request_of(100.0);
        const int32_t count = climb(one, &first, 1, NULL);
        assert_int_equal(climb(many, &second, window, NULL), count);
        for (int32_t i = 0; i < count; i++) {
            assert_true(search_at(one, i)->fingerprint == search_at(many, i)->fingerprint);
            assert_true(search_at(one, i)->recipe.budget == search_at(many, i)->recipe.budget);
            assert_true(rate_of(search_at(one, i)) == rate_of(search_at(many, i)));
        }
        search_free(one);
        search_free(many);
    }
}

static void test_side_by_side(void **state)
{
    (void)state;
    check_side_by_side();
    set_rates(&WIDE, 0.01, 0.3);
    check_side_by_side();
    forget_rates();
}

/* A search that is told all results anew goes on alike at any candidate. */
static void check_resumed(void)
{
    set_starts(2);
    struct search *whole = new_search();
    struct search_request request = request_of(100.0);
    const int32_t count = climb(whole, &request, 1, NULL);
    for (int32_t known = 0; known < count; known++) {
        struct search *search = new_search();
        struct search_request again = request_of(100.0);
        struct proposal proposal;
        struct error err;
        for (int32_t i = 0; i < known; i++) {
            const struct search_model *model = search_at(whole, i);
            const struct search_trial trial = trial_of_model(model);
            again.means.left -= model->recipe.budget * again.means.candidate;
            assert_int_equal(search_observe(search, &trial, model->score, model->loss, &err), ST_OK);
        }
        again.id = known;
        assert_int_equal(search_propose(search, &again, &proposal, &err), ST_OK);
        const struct search_model *model = search_at(whole, known);
        assert_true(graph_fingerprint(&proposal.graph) == model->fingerprint);
        assert_true(fabs(proposal.recipe.budget - model->recipe.budget) < 1e-12);
        assert_int_equal(proposal.recipe.batches_of, model->recipe.batches_of);
        assert_true(hyperparameters_equal(&SETUP.hyperparameters, &proposal.recipe.hyperparameters,
                                          &model->recipe.hyperparameters));
        proposal_free(&proposal);
        search_free(search);
    }
    search_free(whole);
}

static void test_resumed(void **state)
{
    (void)state;
    check_resumed();
    set_rates(&WIDE, 0.01, 0.3);
    check_resumed();
    forget_rates();
}

/* ---- the end ---- */

/* The best of the short trainings are of narrow networks; what is taken is good at the end. */
static void test_choice(void **state)
{
    (void)state;
    set_starts(2);
    for (double epochs = 5.0; epochs < 1000.0; epochs *= 3.0) {
        struct search *search = new_search();
        struct search_request request = request_of(epochs);
        struct proposal proposal;
        double best = 0.0;
        climb(search, &request, 1, NULL);
        propose_final(search, &request, &proposal);
        for (int32_t i = 0; i < search_count(search); i++) {
            const struct search_model *model = search_at(search, i);
            const double size = relative_size(model);
            best = fmax(best, accuracy_of(model->start, size, rate_of(model),
                                          0.9 * request.means.epochs / (size * usual_cost(model->start))));
        }
        const double size = size_of(&proposal), rate = proposal.recipe.hyperparameters.learning_rate;
        const double found = accuracy_of(proposal.start, size,
                                         isnan(rate) ? 1.0 : rate / SETUP.hyperparameters.usual.learning_rate,
                                         0.9 * request.means.epochs / (size * usual_cost(proposal.start)));
        assert_true(1.0 - found < 1.06 * (1.0 - best));
        assert_true(fabs(proposal.prediction.mean - found) < 3.0 * proposal.prediction.deviation + 0.01);
        assert_true(says(&proposal, "expected") && says(&proposal, " wide"));
        proposal_free(&proposal);
        search_free(search);
    }
}

static void test_too_short(void **state)
{
    (void)state;
    set_starts(2);
    struct search *search = new_search();
    struct search_request request = request_of(1.2);
    struct proposal proposal;
    assert_int_equal(climb(search, &request, 1, NULL), 0);
    propose_final(search, &request, &proposal);
    assert_int_equal(proposal.start, 0);
    assert_true(request.means.epochs / (size_of(&proposal) * usual_cost(0)) >= 5.0);
    assert_true(says(&proposal, "too short for a search: 1.2 epochs of air"));
    proposal_free(&proposal);
    search_free(search);
}

/* The machine turns out to be much slower than it seemed: the size is what can still be trained. */
static void test_slow_machine(void **state)
{
    (void)state;
    set_starts(2);
    struct search *search = new_search();
    struct search_request request = request_of(40.0);
    struct proposal proposal;
    climb(search, &request, 1, NULL);
    request.means.epochs /= 30.0;
    propose_final(search, &request, &proposal);
    assert_true(request.means.epochs / (size_of(&proposal) * usual_cost(proposal.start)) >= 5.0);
    assert_true(says(&proposal, "too short for a search: 1.33 epochs of air"));
    proposal_free(&proposal);
    search_free(search);
}

/* ---- what goes wrong ---- */

static bool is_res9(const struct search_model *model)
{
    return model->start == 1;
}

static bool is_any(const struct search_model *model)
{
    (void)model;
    return true;
}

static void test_failures(void **state)
{
    struct proposal proposal;
    struct error err;
    (void)state;
    set_starts(2);
    struct search *search = new_search();
    struct search_request request = request_of(40.0);
    assert_int_equal(climb(search, &request, 1, is_res9), 5); /* the best of two twice as long */
    propose_final(search, &request, &proposal);
    assert_int_equal(proposal.start, 0);
    proposal_free(&proposal);
    search_free(search);

    search = new_search();
    request = request_of(40.0);
    assert_int_equal(climb(search, &request, 1, is_any), 4);
    assert_int_equal(search_propose_final(search, &request, &proposal, &err), ST_DIVERGED);
    search_free(search);

    search = new_search();
    request.limits.max_parameters = 10;
    assert_int_equal(climb(search, &request, 1, NULL), 0);
    assert_int_equal(search_propose_final(search, &request, &proposal, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "search.max_parameters"));
    search_free(search);
}

/* The measured speed decides, where there is one: a network that is twice as fast as predicted sees twice as much. */
static void test_measured_speed(void **state)
{
    (void)state;
    set_starts(2);
    double accuracy[2];
    for (int fast = 0; fast <= 1; fast++) {
        struct search *search = new_search();
        struct search_request request = request_of(40.0);
        struct proposal proposal;
        struct error err;
        climb(search, &request, 1, NULL);
        request.means.device_seconds = request.means.epochs * PHASES_IMAGES;
        for (int32_t i = 0; i < search_count(search); i++) {
            const struct search_model *model = search_at(search, i);
            const double cost = cost_seconds(&model->graph, &phases_limits.rates);
            const struct search_trial trial = {
                .id = model->id, .epochs = model->epochs, .images_per_second = (fast ? 2.0 : 1.0) / cost};
            assert_int_equal(search_observe(search, &trial, model->score, 1.0, &err), ST_OK);
        }
        propose_final(search, &request, &proposal);
        accuracy[fast] = proposal.prediction.mean;
        proposal_free(&proposal);
        search_free(search);
    }
    assert_true(accuracy[1] > accuracy[0] + 0.002);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rungs),          cmocka_unit_test(test_range),
        cmocka_unit_test(test_fixed_rate),     cmocka_unit_test(test_one_network),
        cmocka_unit_test(test_bad_beginning),  cmocka_unit_test(test_long_ladder),
        cmocka_unit_test(test_side_by_side),   cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_choice),         cmocka_unit_test(test_too_short),
        cmocka_unit_test(test_slow_machine),   cmocka_unit_test(test_failures),
        cmocka_unit_test(test_measured_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

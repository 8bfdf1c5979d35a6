/* Which networks the ladder tries, and for how long, by what the budget pays for. */
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/search/ladder_plan.h"
#include "host/search/ladder_predict.h"
#include "tests/support/phases_request.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { CLASSES = 10 };

static struct job_search job;
static const struct search_setup SETUP = {.job = &job,
                                          .image = {0, 3, 32, 32},
                                          .classes = CLASSES,
                                          .hyperparameters = {.usual = {.learning_rate = 0.2}}};

static struct graph graph_of(const char *start, int32_t width)
{
    struct graph graph;
    struct error err;
    assert_int_equal(start_make(&graph, start, width, SETUP.image, CLASSES, &err), ST_OK);
    return graph;
}

static double cost_by_rates(const char *start, int32_t width, const struct cost_rates *rates)
{
    struct graph graph = graph_of(start, width);
    const double cost = cost_seconds(&graph, rates);
    graph_free(&graph);
    return cost;
}

static double cost_of(const char *start, int32_t width)
{
    return cost_by_rates(start, width, &phases_limits.rates);
}

/* Operations of an image's training. */
static double work_of(const char *start, int32_t width)
{
    struct graph graph = graph_of(start, width);
    const double work = cost_of_graph(&graph).train_flops;
    graph_free(&graph);
    return work;
}

/* One device and seconds that pay for so many epochs of the first start. */
static struct search_request request_of(double epochs)
{
    const double whole = epochs * cost_of(job.starts.items[0], job.width);
    return phases_request(whole);
}

static struct ladder_plan plan_of(const struct search_request *request)
{
    struct ladder_plan plan;
    struct error err;
    if (ladder_plan_make(&SETUP, request, &plan, &err) != ST_OK)
        fail_msg("%s", err.message);
    return plan;
}

static struct ladder_plan plan_for(double epochs)
{
    const struct search_request request = request_of(epochs);
    return plan_of(&request);
}

static void set_starts(int32_t count, const char *first, const char *second)
{
    job = (struct job_search){.starts = {.count = count, .items = {(char *)first, (char *)second}}};
}

static int32_t trainings_of(const struct ladder_plan *plan)
{
    return plan->rungs == 0 ? 0
                            : plan->count + (plan->rungs > 1 ? (plan->count + 1) / 2 : 0) + plan->trials +
                                  (plan->rungs > 2 ? 2 : 0);
}

/* Share of the stage that all rungs take, one training after the other. */
static double whole_share(const struct ladder_plan *plan)
{
    double trainings = plan->count;
    if (plan->rungs > 1)
        trainings += 2.0 * ((plan->count + 1) / 2);
    trainings += 2.0 * plan->trials;
    if (plan->rungs > 2)
        trainings += 4.0 * 2;
    return plan->rungs > 0 ? trainings * plan->share : 0.0;
}

static void test_by_budget(void **state)
{
    static const struct {
        double epochs;
        int32_t count, rungs;
        int32_t trials;
    } rows[] = {{5.0, 3, 1, 0},  {14.0, 3, 1, 0},  {16.0, 4, 2, 0},  {55.0, 4, 2, 0},
                {70.0, 4, 3, 2}, {250.0, 6, 3, 2}, {1100.0, 8, 3, 2}};
    (void)state;
    set_starts(2, "air", "res9");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ladder_plan plan = plan_for(rows[i].epochs);
        int32_t of_first = 0;
        assert_true(fabs(plan.epochs - rows[i].epochs) < 1e-9);
        assert_int_equal(plan.count, rows[i].count);
        assert_int_equal(plan.rungs, rows[i].rungs);
        assert_int_equal(plan.trials, rows[i].trials);
        assert_true(whole_share(&plan) <= 0.1 + 1e-12 && whole_share(&plan) > 0.04);
        for (int32_t n = 0; n < plan.count; n++) {
            const struct ladder_network *network = &plan.networks[n];
            const char *start = job.starts.items[network->start];
            of_first += network->start == 0;
            assert_int_equal(network->width % 8, 0);
            assert_true(network->epochs >= 5.0);
            assert_true(network->epochs <= fmax(60.0, 3.0 * sqrt(2.0 * rows[i].epochs * 16.0)));
            assert_true(fabs(network->size - work_of(start, network->width) / work_of(start, 0)) < 1e-9);
            for (int32_t m = 0; m < n; m++)
                assert_true(plan.networks[m].start != network->start ||
                            plan.networks[m].width != network->width);
        }
        assert_int_equal(of_first, (plan.count + 1) / 2);
    }
}

/* About what the prior finds best: wider with a larger budget. */
static void test_widths_grow(void **state)
{
    double before = 0.0;
    (void)state;
    set_starts(1, "air", NULL);
    for (double epochs = 4.0; epochs < 2000.0; epochs *= 4.0) {
        const struct ladder_plan plan = plan_for(epochs);
        double mean = 0.0;
        for (int32_t n = 0; n < plan.count; n++)
            mean += log(plan.networks[n].size) / plan.count;
        assert_true(mean > before || before == 0.0);
        assert_true(fabs(mean - log(ladder_best_size(epochs, ladder_balance(PHASES_IMAGES)))) < 0.5);
        before = mean;
    }
}

/* Where a device takes longer for a network's bytes than for its operations, wide ones cost less than they are worth.
 */
static void test_cheap_widths(void **state)
{
    (void)state;
    set_starts(1, "air", NULL);
    struct search_request request = request_of(20.0);
    const struct ladder_plan usual = plan_of(&request);
    request.limits.rates = (struct cost_rates){.flops = 1e15, .bytes = 2e10};
    request.means.epochs = request.means.candidate_epochs =
        20.0 * cost_by_rates("air", 0, &request.limits.rates);
    const struct ladder_plan plan = plan_of(&request);
    assert_true(fabs(plan.epochs - usual.epochs) < 1e-6);
    int32_t widest = 0, before = 0;
    for (int32_t n = 0; n < plan.count; n++) {
        const struct ladder_network *network = &plan.networks[n];
        const double share = cost_by_rates("air", network->width, &request.limits.rates) /
                             cost_by_rates("air", 0, &request.limits.rates);
        assert_true(fabs(network->epochs * share - 20.0) < 1e-6);
        assert_true(fabs(network->size - work_of("air", network->width) / work_of("air", 0)) < 1e-9);
        widest = network->width > widest ? network->width : widest;
    }
    for (int32_t n = 0; n < usual.count; n++)
        before = usual.networks[n].width > before ? usual.networks[n].width : before;
    assert_true(widest > before);
}

/* Where the job's width is a small one. */
static void test_too_small(void **state)
{
    (void)state;
    set_starts(2, "air", "res9");
    assert_false(plan_for(800.0).too_small);
    job.width = 8;
    assert_false(plan_for(30.0).too_small);
    assert_true(plan_for(200.0).too_small);
    struct search_request request = request_of(200.0);
    request.means.by_cost = false;
    assert_false(plan_of(&request).too_small);
    job.width = 0;
    request = request_of(800.0);
    request.limits.max_parameters = 40000;
    assert_true(plan_of(&request).too_small);
}

/* No ladder: the widest that gets epochs enough. */
static void test_too_short(void **state)
{
    (void)state;
    set_starts(2, "air", "res9");
    for (double epochs = 0.5; epochs < 3.0; epochs += 0.7) {
        const struct ladder_plan plan = plan_for(epochs);
        assert_int_equal(plan.rungs, 0);
        assert_int_equal(plan.count, 1);
        assert_int_equal(plan.networks[0].start, 0);
        const double least = fmax(0.4 * 16.0, sqrt(16.0 * epochs));
        assert_true(plan.networks[0].epochs >= least);
        const double wider = cost_of("air", plan.networks[0].width + 8);
        assert_true(epochs * cost_of("air", 0) / wider < least);
    }
    /* Not even the narrowest gets them. */
    const struct ladder_plan plan = plan_for(0.001);
    assert_int_equal(plan.networks[0].width, 8);
    assert_int_equal(plan.rungs, 0);
}

/* Steps of the first rung's shortest training. */
static double steps_of(const struct search_means *means, const struct ladder_plan *plan)
{
    double epochs = INFINITY;
    for (int32_t n = 0; n < plan->count; n++)
        epochs = fmin(epochs, plan->networks[n].epochs);
    return (plan->share * epochs * means->train_images - means->validation) / means->candidate_batch;
}

/* From where there is a ladder at all on, the size of the budget decides how much is tried, and never that nothing is
 * tried where less would do. */
static void test_no_gap(void **state)
{
    (void)state;
    set_starts(2, "air", "res9");
    for (int32_t batch = 128; batch <= 256; batch *= 2)
        for (double epochs = 3.0; epochs < 300.0; epochs *= 1.05) {
            struct search_request request = request_of(epochs);
            request.means.candidate_batch = batch;
            request.means.validation = 2500.0;
            const struct ladder_plan plan = plan_of(&request);
            if (plan.rungs == 0)
                fail_msg("%g epochs at a batch of %d: nothing is tried", epochs, (int)batch);
            assert_true(plan.count >= 2);
            assert_true(steps_of(&request.means, &plan) >= 40.0 - 1e-9);
            assert_true(whole_share(&plan) <= 0.1 + 1e-12);
        }
}

/* Between one network fewer and none: those that stay are the nearest of each start. */
static void test_fewer_networks(void **state)
{
    int32_t before = 4;
    (void)state;
    set_starts(2, "air", "res9");
    for (double validation = 0.0; before > 0 && validation < 1e6; validation += 2000.0) {
        struct search_request request = request_of(16.0);
        request.means.validation = validation;
        const struct ladder_plan plan = plan_of(&request);
        const int32_t count = plan.rungs > 0 ? plan.count : 0;
        assert_true(count == before || count == before - 1 || (before == 2 && count == 0));
        assert_true(count < 2 || (plan.networks[0].start == 0 && plan.networks[count - 1].start == 1));
        before = count;
    }
    assert_int_equal(before, 0);
}

/* A GPU that trains 78,000 images a second: 53 epochs in 45 s, and more than half a second for each trial beside its
 * training. All of it counts, so that the ladder takes no more than its part. */
static void test_what_trials_cost(void **state)
{
    static const struct {
        double seconds, beside;
    } rows[] = {{45.0, 0.0}, {45.0, 0.3}, {45.0, 0.6}, {45.0, 1.2}, {90.0, 0.6}, {600.0, 0.6}, {20.0, 0.6}};
    (void)state;
    set_starts(2, "air", "res9");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (int32_t workers = 1; workers <= 2; workers++) {
            const double speed = 78000.0, whole = rows[i].seconds - 3.0;
            struct search_request request = request_of(whole * speed / PHASES_IMAGES);
            request.means.beside = rows[i].beside / whole;
            request.means.validation = 0.4 * request.means.validation_images;
            request.means.candidate_batch = 512;
            request.means.workers = workers;
            const struct ladder_plan plan = plan_of(&request);
            const double trainings = trainings_of(&plan);
            const double seconds = (whole_share(&plan) * whole + trainings * rows[i].beside) / workers;
            assert_true(workers == 2 || seconds <= 0.12 * whole + 1e-9);
            assert_true(seconds <= 0.16 * whole); /* an odd one has a device for itself */
            if (plan.rungs > 0)
                assert_true(steps_of(&request.means, &plan) >= 40.0 - 1e-9);
            else
                assert_true(2.0 * (rows[i].beside + 60.0 * 512 / speed) > 0.12 * whole);
        }
    struct search_request request = request_of(42.0 * 78000.0 / PHASES_IMAGES);
    assert_int_equal(plan_of(&request).rungs, 3);
    request.means.beside = 0.6 / 42.0;
    const struct ladder_plan dear = plan_of(&request);
    assert_true(dear.rungs >= 1 && dear.rungs < 3 && dear.count >= 3);
}

/* One network to choose from is no choice; trainings of a few steps say nothing. */
static void test_nothing_to_try(void **state)
{
    (void)state;
    set_starts(1, "res9", NULL);
    job.width = 16;
    struct ladder_plan plan = plan_for(30.0);
    assert_int_equal(plan.count, 1);
    assert_int_equal(plan.rungs, 0);
    assert_int_equal(plan.networks[0].width, 16);
    set_starts(2, "res9", "lean");
    job.width = 16;
    plan = plan_for(30.0);
    assert_int_equal(plan.count, 2);
    assert_int_equal(plan.rungs, 2);
    struct search_request request = request_of(30.0);
    request.means.candidate_batch = 8192;
    assert_int_equal(plan_of(&request).rungs, 0);
    request.means.candidate_batch = 1000; /* one rung can be long enough where two can't */
    assert_int_equal(plan_of(&request).rungs, 1);
    request = request_of(30.0);
    request.means.search = 0.0;
    assert_int_equal(plan_of(&request).rungs, 0);
}

static void test_limits(void **state)
{
    struct search_request request;
    struct ladder_plan plan;
    struct error err;
    (void)state;
    set_starts(2, "air", "res9");
    request = request_of(100.0);
    request.limits.max_parameters = 300000;
    plan = plan_of(&request);
    int32_t networks[2] = {0}; /* the widest of each, though they get more epochs than they need */
    for (int32_t n = 0; n < plan.count; n++) {
        struct graph graph = graph_of(job.starts.items[plan.networks[n].start], plan.networks[n].width);
        networks[plan.networks[n].start]++;
        assert_true(cost_of_graph(&graph).parameters <= 300000);
        graph_free(&graph);
    }
    assert_true(networks[0] > 0 && networks[1] > 0);
    request.limits.max_parameters = 10;
    assert_int_equal(ladder_plan_make(&SETUP, &request, &plan, &err), ST_NONE);
    job.width = 12;
    assert_int_equal(ladder_plan_make(&SETUP, &request, &plan, &err), ST_RANGE);
}

/* Side by side they take less time, and so may be longer, but not longer than is worth it. */
static void test_devices(void **state)
{
    struct search_request request;
    (void)state;
    set_starts(2, "air", "res9");
    request = request_of(70.0);
    const struct ladder_plan one = plan_of(&request);
    request.means.workers = 2;
    const struct ladder_plan two = plan_of(&request);
    request.means.workers = 64;
    const struct ladder_plan many = plan_of(&request);
    assert_true(two.share > 1.5 * one.share);
    assert_true(many.share >= two.share && many.share <= 1.0 / 64.0);
}

/* Models are counted: as many as there are, the last with the usual training. */
static void test_models(void **state)
{
    (void)state;
    set_starts(2, "air", "res9");
    for (int32_t models = 1; models <= 20; models++) {
        struct search_request request = request_of(20.0);
        request.means.by_cost = false;
        request.means.epochs = request.means.candidate_epochs = 20.0;
        request.means.models = models;
        request.means.candidate = 0.2;
        request.limits.max_seconds_per_image = 4.0 * cost_of("air", 0);
        const struct ladder_plan plan = plan_of(&request);
        assert_int_equal(plan.rungs, models < 4 ? 0 : models < 6 ? 1 : 2);
        if (plan.rungs > 0)
            assert_true(fabs(plan.share * (1 << (plan.rungs - 1)) - 0.2) < 1e-12);
        for (int32_t n = 0; n < plan.count; n++)
            assert_true(plan.networks[n].epochs == 20.0);
    }
}

/* A network's own test is taken from its final fit, not that of another one: where it takes as long as most of what
 * there is, smaller networks get more than their cost says. */
static void test_the_test(void **state)
{
    struct search_request request = request_of(4.0);
    (void)state;
    set_starts(1, "air", NULL);
    request.means.test = 2.0;
    const double usual = cost_of("air", 0), narrow = cost_of("air", 24);
    const double epochs = ladder_epochs(&request.means, usual, 1.0);
    assert_true(fabs(epochs - 2.0) < 1e-9);
    assert_true(fabs(ladder_epochs(&request.means, narrow, 1.0) - (4.0 * usual / narrow - 2.0)) < 1e-9);
    assert_true(fabs(ladder_epochs(&request.means, narrow, 0.5) - (2.0 * usual / narrow - 2.0)) < 1e-9);
    assert_true(ladder_epochs(&request.means, usual, 0.1) > 0.0); /* it could not even be tested */
    const struct ladder_plan plan = plan_of(&request);
    assert_true(fabs(plan.epochs - epochs) < 1e-12);
    for (int32_t n = 0; n < plan.count; n++)
        assert_true(fabs(plan.networks[n].epochs -
                         (4.0 * usual / cost_of("air", plan.networks[n].width) - 2.0)) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_budget),      cmocka_unit_test(test_widths_grow),
        cmocka_unit_test(test_cheap_widths),   cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_too_short),      cmocka_unit_test(test_nothing_to_try),
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_devices),
        cmocka_unit_test(test_models),         cmocka_unit_test(test_no_gap),
        cmocka_unit_test(test_fewer_networks), cmocka_unit_test(test_what_trials_cost),
        cmocka_unit_test(test_the_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

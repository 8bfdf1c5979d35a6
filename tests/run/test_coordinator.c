/* How a search ends when its strategy has nothing to propose, and when it fails. No network is trained here. */
#include "host/net/start.h"
#include "host/run/coordinator.h"
#include "host/run/run_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STRATEGY(constant, word, meaning) JOB_STRATEGY_##constant,
static const enum job_strategy STRATEGIES[] = {SPEC_STRATEGIES(STRATEGY)};
static const struct shape IMAGE = {0, 1, 12, 12};
enum { STRATEGY_COUNT = JOB_STRATEGY_PHASES, CLASSES = 4 }; /* those that grow networks */

/* Searches on from `parent`, the one network that was trained; *shown, to be freed, is what the user saw. */
static enum status search_from(enum job_strategy strategy, const struct graph *parent, char **shown,
                               struct error *err)
{
    struct job job = {
        .search = {.strategy = strategy,
                   .starts = {.count = 1, .items = {"lean"}},
                   .morphs = {.count = 5, .items = {"deepen", "widen", "add_skip", "concat_skip", "kernel"}},
                   .max_morphs = 2,
                   .beta = 2.5,
                   .skip_weight = 1.0,
                   .neighbours = 4,
                   .population = 8,
                   .policy_rate = 0.01,
                   .policy_batch = 2,
                   .policy_entropy = 0.005,
                   .tournament = 3},
        .budget = {.models = {.count = 1, .items = {10}}}};
    struct engine_history history = {0};
    struct run run = {.job = &job,
                      .data = {.channels = 1, .height = 12, .width = 12, .classes = CLASSES},
                      .devices = {.count = 1, .workers = 1},
                      .history = &history,
                      .window = 1,
                      .models = 1,
                      .next_id = 1};
    const struct search_setup setup = {.job = &job.search, .seed = 1, .image = IMAGE, .classes = CLASSES};
    const struct search_trial trial = {
        .parent = -1, .graph = parent, .recipe = recipe_usual(), .prediction = prediction_none()};
    size_t length = 0;
    FILE *out = open_memstream(shown, &length);
    assert_non_null(out);
    pthread_mutex_init(&run.lock, NULL);
    display_open(&run.display, out, 0);
    assert_int_equal(search_new(&setup, &run.search, err), ST_OK);
    assert_int_equal(search_observe(run.search, &trial, 0.5, 1.0, err), ST_OK);
    assert_int_equal(run_starts_open(&run, err), ST_OK);
    enum status st = coordinator_search(&run, err);
    assert_int_equal(run.next_id, 1); /* nothing was proposed */
    search_free(run.search);
    run_starts_close(&run);
    display_close(&run.display);
    fclose(out);
    pthread_mutex_destroy(&run.lock);
    return st;
}

/* A network with which every morph goes wrong: the next layer gets an id that is in use. Such an error is no "nothing
 * fits". */
static void test_a_mistake_ends_the_run(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct graph parent = {0};
        struct error err = {0};
        char *shown = NULL;
        assert_int_equal(start_make(&parent, "lean", 8, IMAGE, CLASSES, &err), ST_OK);
        parent.next_id = 3;
        assert_int_equal(search_from(STRATEGIES[s], &parent, &shown, &err), ST_RANGE);
        assert_non_null(strstr(err.message, "a change of model 0: layer "));
        assert_null(strstr(shown, "ends early"));
        free(shown);
        graph_free(&parent);
    }
}

/* The image and the logits leave no room for anything. */
static void test_nothing_fits(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGY_COUNT; s++) {
        struct layer last = {
            .kind = LAYER_DENSE, .input_count = 1, .out_channels = CLASSES, .stride = 1, .groups = 1};
        struct graph parent = {0};
        struct error err = {0};
        char *shown = NULL;
        assert_int_equal(graph_new(&parent, IMAGE.c, IMAGE.h, IMAGE.w, &err), ST_OK);
        assert_int_equal(graph_append(&parent, last, NULL, &err), ST_OK);
        assert_int_equal(graph_infer(&parent, &err), ST_OK);
        assert_int_equal(search_from(STRATEGIES[s], &parent, &shown, &err), ST_OK);
        assert_non_null(strstr(shown, "nothing new within the limits: the search ends early"));
        free(shown);
        graph_free(&parent);
    }
}

static void test_candidates_faults(void **state)
{
    (void)state;
    for (int st = ST_NONE; st <= ST_BUSY; st++)
        assert_int_equal(candidate_is_at_fault((enum status)st),
                         st == ST_MEMORY || st == ST_DIVERGED || st == ST_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mistake_ends_the_run),
        cmocka_unit_test(test_nothing_fits),
        cmocka_unit_test(test_candidates_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

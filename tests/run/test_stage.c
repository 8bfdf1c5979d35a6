/* One stage of a run: what it journals, in which order, where it leaves the run; and one whose candidates all fail. */
#include "host/run/stage.h"

#include "host/run/engine.h"
#include "host/search/strategy.h"
#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The journal's events but epochs, plans and morphs, one word each. */
static char *events_of(const struct tiny_job *tiny)
{
    struct journal_lines lines;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    tiny_job_journal(tiny, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        const char *event = lines.lines[i].event;
        if (strcmp(event, "epoch") != 0 && strcmp(event, "plan") != 0 && strcmp(event, "morph") != 0)
            fprintf(out, "%s ", event);
    }
    journal_lines_free(&lines);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_stages(void **state)
{
    static const char *const stages[] = {"budget.models=[1,2]", NULL};
    static struct run run;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, stages);
    tiny_job_open_run(&tiny, &run);
    assert_int_equal(run.stage, 0);
    if (stage_run(&run, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(run.stage, 1);
    assert_false(run.stage_open);
    assert_int_equal(run.models, 1);
    assert_int_equal(run.next_id, 2); /* one and its final fit */
    assert_int_equal(run.final.id, 1);
    assert_int_equal(run.final.parent, 0);
    assert_true(run.best_id == 0 || run.best_id == 1);
    assert_int_equal(run.published_id, run.best_id);
    char *events = events_of(&tiny);
    assert_string_equal(events, "run stage candidate model candidate model test ");
    free(events);
    const uint32_t steps = run.steps_done;
    if (stage_run(&run, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(run.stage, 2);
    assert_int_equal(run.models, 2);
    assert_int_equal(run.next_id, 4);
    assert_int_equal(run.stage_steps, steps);
    assert_true(run.steps_done > steps);
    events = events_of(&tiny);
    assert_string_equal(
        events, "run stage candidate model candidate model test stage candidate model candidate model test ");
    free(events);
    run_close(&run);
    tiny_job_close(&tiny);
}

static enum status refuse_to_prepare(struct device *device, const struct program *program,
                                     struct device_program **prepared, struct error *err)
{
    (void)device;
    (void)program;
    *prepared = NULL;
    return error_set(err, ST_UNSUPPORTED, "not on this device");
}

/* A device that can't do these networks: a failure of each candidate, told; the stage has nothing to fit or to test. */
static void check_nothing_could_be_trained(const char *const *overrides, const char *message)
{
    static struct run run;
    struct device_ops ops = cpu_device_ops;
    struct tiny_job tiny;
    struct error err;
    ops.program_prepare = refuse_to_prepare;
    tiny_job_open(&tiny, overrides);
    tiny_job_open_run(&tiny, &run);
    run.ops = run.devices.ops = &ops;
    assert_int_equal(stage_run(&run, &err), ST_DIVERGED);
    assert_non_null(strstr(err.message, message));
    assert_int_equal(tiny_job_events(&tiny, "failed"), 1);
    assert_int_equal(tiny_job_events(&tiny, "test"), 0);
    assert_int_equal(run.best_id, -1);
    run_close(&run);
    tiny_job_close(&tiny);
}

static void test_nothing_could_be_trained(void **state)
{
    static const char *const without_search[] = {"search.strategy=none", NULL};
    (void)state;
    check_nothing_could_be_trained(
        NULL, "none of the 1 candidates could be trained, the last one because: not on this device");
    check_nothing_could_be_trained(
        without_search, "the final fit could not be trained, and nothing was before it, the last one "
                        "because: not on this device");
}

/* Stages of one network without a search; the second goes on from the first one's weights, and misses them when they
 * are gone. */
static void test_no_search(void **state)
{
    static const char *const overrides[] = {"search.strategy=none", "budget.models=[1,2,3]", NULL};
    static struct run run;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, overrides);
    tiny_job_open_run(&tiny, &run);
    for (int32_t stage = 0; stage < 2; stage++) {
        if (stage_run(&run, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(run.final.id, stage);
        assert_int_equal(run.final.parent, -1);
        assert_int_equal(run.models, 0);
        assert_int_equal(run.next_id, stage + 1);
        assert_true(run.best_id >= 0 && run.best_id <= stage);
    }
    assert_int_equal(run.steps_done, 2 * 9); /* 1.5 epochs of 6 steps each */
    char *events = events_of(&tiny);
    assert_string_equal(events, "run stage candidate model test stage candidate model test ");
    free(events);
    char *path = run_model_path(&run, 1);
    assert_int_equal(remove(path), 0);
    assert_int_equal(stage_run(&run, &err), ST_IO);
    assert_non_null(strstr(err.message, path));
    free(path);
    run_close(&run);
    tiny_job_close(&tiny);
}

/* The last stage's final fit trains on the validation images too. When a stage is added, its final fit leaves those
 * weights alone: they could not be validated any more. */
static void test_joined(void **state)
{
    static const char *const overrides[] = {"search.strategy=none", "budget.models=1", "train.final_epochs=8",
                                            NULL};
    static struct run run;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, overrides);
    tiny_job_open_run(&tiny, &run);
    if (stage_run(&run, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(run.final.id, 0);
    assert_true(run.final.joined);
    tiny.job.budget.models = (struct job_numbers){.count = 2, .items = {1, 2}};
    char *path = run_model_path(&run, 0);
    assert_int_equal(remove(path), 0);
    free(path);
    run.best_id = -1; /* so that the second one is tested, for which the first one's file is not needed */
    run.best_accuracy = -1.0;
    if (stage_run(&run, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(run.final.id, 1);
    assert_int_equal(run.best_id, 1);
    assert_true(run.final.joined);
    run_close(&run);
    tiny_job_close(&tiny);
}

static enum status propose_afresh(const struct search *search, void *strategy_state,
                                  const struct search_request *request, struct proposal *proposal,
                                  struct error *err)
{
    (void)strategy_state;
    enum status st = propose_best(search, &request->limits, proposal, err);
    if (st == ST_OK) {
        proposal_make_fresh(proposal);
        proposal->recipe.hyperparameters.learning_rate = 0.0125;
    }
    return st;
}

/* A strategy may end with the best network from fresh weights and a recipe of its own: the best model's are not asked
 * for. */
static void test_final_fit_of_the_strategy(void **state)
{
    static const char *const overrides[] = {"budget.models=1", NULL};
    static struct run run;
    struct search_strategy strategy = search_random;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    strategy.propose_final = propose_afresh;
    tiny_job_open(&tiny, overrides);
    tiny_job_open_run(&tiny, &run);
    search_free(run.search);
    const struct search_setup setup = {
        .job = &tiny.job.search, .seed = 5, .image = {0, 1, 8, 8}, .classes = TINY_JOB_CLASSES};
    assert_int_equal(search_new_with(&strategy, &setup, &run.search, &err), ST_OK);
    if (stage_run(&run, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(run.final.id, 1);
    assert_int_equal(run.final.parent, -1);
    char *history = tiny_job_history(&tiny);
    const char *final = strstr(history, "\"event\":\"candidate\",\"id\":1,\"parent\":-1");
    assert_non_null(final);
    assert_non_null(strstr(final, "\"operations\":[\"final fit\"],\"final\":true,\"learning_rate\":0.0125"));
    free(history);
    run_close(&run);
    tiny_job_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_no_search),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_final_fit_of_the_strategy),
        cmocka_unit_test(test_nothing_could_be_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

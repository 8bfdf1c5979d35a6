/* The baseline: that it is what there would be without a search, that it leaves the search alone, what it takes of each
 * kind of budget, and what becomes of it when the run is stopped, resumed, given more or killed. */
#include "host/run/baseline.h"

#include "host/base/file.h"
#include "host/model/model_file.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/run/engine.h"
#include "host/run/run_budget.h"
#include "host/run/testing.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A number of the event of that kind, the `nth` from 0; NAN: there is none, or it is null. */
static double number(const struct tiny_job *tiny, const char *event, int nth, const char *field)
{
    struct journal_lines lines;
    double found = NAN;
    tiny_job_journal(tiny, &lines);
    for (size_t i = 0; i < lines.count; i++)
        if (strcmp(lines.lines[i].event, event) == 0 && nth-- == 0)
            found = cJSON_GetNumberValue(cJSON_GetObjectItem(lines.lines[i].json, field));
    journal_lines_free(&lines);
    return found;
}

/* All but their ids. */
static void assert_same_model(const struct tiny_job *a, int32_t id_a, const struct tiny_job *b, int32_t id_b)
{
    const struct tiny_job *const jobs[] = {a, b};
    const int32_t ids[] = {id_a, id_b};
    struct model models[2];
    struct error err;
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof(name), "models/%d.safetensors", (int)ids[i]);
        char *path = file_join(jobs[i]->run, name);
        if (model_load(path, &models[i], &err) != ST_OK)
            fail_msg("%s", err.message);
        free(path);
    }
    const struct weight_table *table = &models[0].table;
    assert_true(graph_fingerprint(&models[0].graph) == graph_fingerprint(&models[1].graph));
    assert_memory_equal(models[0].values, models[1].values, table->total * sizeof(float));
    for (int i = 0; i < 2; i++)
        model_free(&models[i]);
}

/* ---- what it is ---- */

/* Two stages, the last of which trains on the validation images too: the same models as without a search, bit by bit,
 * and the search is as it is without a baseline. `more`: what the job says of the baseline; `alone_with`: of the only
 * network. */
static void check_like_none(const char *const more[2], const char *const alone_with[2])
{
    const char *const with[] = {"budget.models=[]", "budget.steps=[20,44]", more[0], more[1], NULL};
    const char *const none[] = {"budget.models=[]", "budget.steps=[20,44]", "search.strategy=none",
                                alone_with[0],      alone_with[1],          NULL};
    static const char *const without[] = {"budget.models=[]", "budget.steps=[20,44]", NULL};
    struct tiny_job compared, alone, searched;
    tiny_job_open(&compared, with);
    tiny_job_open(&alone, none);
    tiny_job_open(&searched, without);
    tiny_job_run(&compared);
    tiny_job_run(&alone);
    tiny_job_run(&searched);
    assert_int_equal(tiny_job_events(&compared, "baseline"), 2);
    assert_int_equal(tiny_job_events(&alone, "baseline"), 0);
    for (int stage = 0; stage < 2; stage++) {
        assert_same_model(&compared, (int32_t)number(&compared, "baseline", stage, "id"), &alone, stage);
        if (number(&alone, "test", stage, "id") ==
            stage) /* without a search the best of the stages is tested */
            assert_true(number(&compared, "baseline", stage, "loss") ==
                        number(&alone, "test", stage, "loss"));
        const double better = number(&compared, "baseline", stage, "better"),
                     worse = number(&compared, "baseline", stage, "worse");
        const double gained =
            number(&compared, "test", stage, "accuracy") - number(&compared, "baseline", stage, "accuracy");
        assert_true(fabs((better - worse) / TINY_JOB_TEST - gained) < 1e-12);
        if (stage == 0)
            assert_true(number(&compared, "test", 0, "loss") == number(&searched, "test", 0, "loss"));
    }
    tiny_job_close(&compared);
    tiny_job_close(&alone);
    tiny_job_close(&searched);
}

/* The first of search.starts, and a network by name, which is none of these. */
static void test_like_none(void **state)
{
    static const char *const first[] = {"baseline.start=first", NULL}, *const usual[] = {NULL, NULL};
    static const char *const named[] = {"baseline.start=cnn", "baseline.width=16"}, *const only[] = {
                                                                                        "search.starts=cnn",
                                                                                        "search.width=16"};
    (void)state;
    check_like_none(first, usual);
    check_like_none(named, only);
}

/* A network that is above the limits is refused before anything is trained. */
static void test_limits(void **state)
{
    static const char *const overrides[] = {"baseline.start=cnn", "baseline.width=512",
                                            "search.max_parameters=50000", NULL};
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, overrides);
    assert_int_equal(engine_run(&tiny.job, tiny.run, -1, &tiny.history, &err), ST_RANGE);
    assert_memory_equal(err.message, "baseline.start: search.max_parameters: found 50000, expected ", 60);
    assert_false(tiny_job_has(&tiny, JOURNAL_NAME));
    tiny_job_close(&tiny);
}

/* By the model's clock, too, it has as many steps as without a search. */
static void test_model_clock(void **state)
{
    static const char *const with[] = {"budget.models=[]", "budget.seconds=[1,3]", "budget.clock=model",
                                       "baseline.start=first", NULL};
    static const char *const none[] = {"budget.models=[]", "budget.seconds=[1,3]", "budget.clock=model",
                                       "search.strategy=none", NULL};
    static struct run runs[2];
    struct tiny_job tiny[2];
    uint32_t steps[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct shape image = {0, 1, 8, 8};
        struct candidate candidate = {
            .id = 7, .parent = -1, .final = true, .baseline = i == 0, .recipe = recipe_usual(), .batch = 8};
        struct error err;
        tiny_job_open(&tiny[i], i == 0 ? with : none);
        tiny_job_open_run(&tiny[i], &runs[i]);
        assert_int_equal(start_make(&candidate.graph, "lean", 8, image, TINY_JOB_CLASSES, &err), ST_OK);
        runs[i].stage_tested = i == 0;
        runs[i].model_seconds = i == 0 ? 0.9375 : 0.0; /* the search's */
        baseline_begin(&runs[i], 0.9375);
        steps[i] = run_steps_limit(&runs[i], &candidate);
        graph_free(&candidate.graph);
        run_close(&runs[i]);
        tiny_job_close(&tiny[i]);
    }
    assert_true(steps[0] > 1000);
    assert_int_equal(steps[0], steps[1]);
}

/* With a budget in models it gets the steps of the search and its final fit. */
static void test_models(void **state)
{
    static const char *const overrides[] = {"baseline.start=first", "train.use_validation=false", NULL};
    struct tiny_job tiny;
    double steps = 0.0;
    (void)state;
    tiny_job_open(&tiny, overrides);
    tiny_job_run(&tiny);
    for (int i = 0; i <= TINY_JOB_MODELS; i++)
        steps += number(&tiny, "model", i, "steps");
    assert_true(number(&tiny, "model", TINY_JOB_MODELS + 1, "steps") == steps);
    assert_true(number(&tiny, "baseline", 0, "spent") == steps);
    assert_true(number(&tiny, "baseline", 0, "id") == TINY_JOB_MODELS + 1);
    assert_true(number(&tiny, "candidate", TINY_JOB_MODELS + 1, "baseline_of") ==
                number(&tiny, "test", 0, "id"));
    assert_true(number(&tiny, "test", 0, "models") == TINY_JOB_MODELS);
    tiny_job_close(&tiny);
}

/* ---- seconds ---- */

/* A stage's baseline has as long as the stage, without what opening the run took; those of earlier stages are no part
 * of a later stage's time; the time that is left counts its own. */
static void test_seconds(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.seconds=[1000,3000]",
                                            "baseline.start=first", NULL};
    static struct run run;
    struct tiny_job tiny;
    (void)state;
    tiny_job_open(&tiny, overrides);
    tiny_job_open_run(&tiny, &run);
    run.stage_open = true;
    run.opened = 3.0;
    run.clock_base = 990.0;
    struct budget_state state_then = run_budget(&run);
    assert_true(fabs(run_seconds_left(&run) - 10.0) < 5.0);
    run.stage_tested = true;
    struct budget_state baseline = baseline_budget(&run);
    assert_true(baseline.total == 1000.0 && baseline.spent == 3.0 && baseline.began == 0.0);
    assert_true(baseline.final_share == 1.0);
    baseline_begin(&run, 995.0);
    run.clock_base = 1495.0;
    assert_true(fabs(baseline_budget(&run).spent - 503.0) < 5.0);
    assert_true(fabs(run_seconds_left(&run) - 497.0) < 5.0);

    struct candidate candidate = {.id = 4, .parent = -1, .baseline = true};
    baseline_end(&run, &candidate, 1000.0, 1995.0);
    run.stage_tested = false;
    run.stage = 1;
    run.stage_began = run.clock_base = 1995.0;
    assert_true(run.aside == 1000.0 && run.next_id == 5 && run.baseline.last.id == 4);
    state_then = run_budget(&run);
    assert_true(state_then.total - state_then.began == 2005.0); /* as if there had been none: 995 to 3000 */
    run.stage_tested = true;
    baseline = baseline_budget(&run); /* goes on from the earlier one */
    assert_true(baseline.total == 3000.0 && baseline.spent == 1000.0);
    run.baseline.last.joined = true; /* that can't be gone on from */
    assert_true(baseline_budget(&run).spent == 3.0);
    run_close(&run);
    tiny_job_close(&tiny);
}

/* ---- what happens to it ---- */

/* Killed twice while it trains: the run ends well, with a baseline that is none. */
static void test_failed(void **state)
{
    static const char *const overrides[] = {"baseline.start=first", NULL};
    static const char restarts[] = "3 signal 9 (Killed)\n3 signal 9 (Killed)\n";
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    char *whole;
    size_t length, begun = 0;
    (void)state;
    tiny_job_open(&tiny, overrides);
    tiny_job_run(&tiny);
    char *journal = file_join(tiny.run, JOURNAL_NAME), *path = file_join(tiny.run, "restarts.txt");
    assert_int_equal(file_read(journal, &whole, &length, &err), ST_OK);
    tiny_job_journal(&tiny, &lines);
    for (size_t i = 0; i < lines.count; i++)
        if (strcmp(lines.lines[i].event, "candidate") == 0)
            begun = lines.lines[i].end; /* the last one's is the baseline's */
    assert_int_equal(file_write_atomic(journal, whole, begun, &err), ST_OK);
    assert_int_equal(file_write_atomic(path, restarts, strlen(restarts), &err), ST_OK);
    tiny_job_run(&tiny);
    assert_int_equal(tiny_job_events(&tiny, "failed"), 1);
    assert_int_equal(tiny_job_events(&tiny, "baseline"), 1);
    assert_true(isnan(number(&tiny, "baseline", 0, "accuracy")));
    assert_true(tiny_job_has(&tiny, "report.txt"));
    journal_lines_free(&lines);
    free(whole);
    free(journal);
    free(path);
    tiny_job_close(&tiny);
}

/* The stage's budget is raised before its baseline is done, at any of its lines, or behind it: the stage goes on, and
 * so it has a baseline of the larger budget. */
static void test_raised(void **state)
{
    static const char *const overrides[] = {"budget.models=[]", "budget.steps=20", "baseline.start=first",
                                            NULL};
    static const char *const raised[] = {"budget.models=[]", "budget.steps=30", "baseline.start=first", NULL};
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    char *whole;
    size_t length, cuts = 0;
    bool tested = false;
    (void)state;
    tiny_job_open(&tiny, overrides);
    tiny_job_run(&tiny);
    char *journal = file_join(tiny.run, JOURNAL_NAME);
    assert_int_equal(file_read(journal, &whole, &length, &err), ST_OK);
    tiny_job_journal(&tiny, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        tested = tested || strcmp(lines.lines[i].event, "test") == 0;
        if (!tested)
            continue;
        const bool done = strcmp(lines.lines[i].event, "baseline") == 0;
        assert_int_equal(file_write_atomic(journal, whole, lines.lines[i].end, &err), ST_OK);
        tiny_job_change(&tiny, raised);
        tiny_job_run(&tiny);
        assert_int_equal(tiny_job_events(&tiny, "test"), 2);
        assert_int_equal(tiny_job_events(&tiny, "baseline"), 1 + done);
        assert_true(number(&tiny, "baseline", done, "spent") == 30.0);
        assert_true(number(&tiny, "model", tiny_job_events(&tiny, "model") - 1, "steps") == 30.0);
        tiny_job_change(&tiny, overrides);
        cuts++;
    }
    assert_true(cuts >= 5);
    journal_lines_free(&lines);
    free(whole);
    free(journal);
    tiny_job_close(&tiny);
}

/* ---- what was right ---- */

static void test_right(void **state)
{
    static const uint8_t right[] = {1, 0, 1, 0, 1, 1, 1, 1, 0, 1};
    uint8_t back[10];
    struct error err;
    (void)state;
    char *text = testing_right_text(right, 10);
    assert_string_equal(text, "af4");
    assert_int_equal(testing_right_of(text, 10, back, &err), ST_OK);
    assert_memory_equal(back, right, 10);
    free(text);
    text = testing_right_text(right, 0);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(testing_right_of("af", 10, back, &err), ST_FORMAT);
    assert_int_equal(testing_right_of("afG", 10, back, &err), ST_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_none), cmocka_unit_test(test_models), cmocka_unit_test(test_model_clock),
        cmocka_unit_test(test_seconds),   cmocka_unit_test(test_failed), cmocka_unit_test(test_raised),
        cmocka_unit_test(test_right),     cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

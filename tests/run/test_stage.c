/* One stage of a run: what it journals, in which order, where it leaves the run; and one whose candidates all fail. */
#include "host/run/stage.h"

#include "host/base/clock.h"
#include "host/run/engine.h"
#include "host/run/resume.h"
#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void open_run(struct run *run, struct tiny_job *tiny)
{
    struct error err;
    if (run_open(run, &tiny->job, tiny->run, -1, clock_seconds(), &err) != ST_OK)
        fail_msg("%s", err.message);
    run->history = &tiny->history;
    if (resume_run(run, &err) != ST_OK)
        fail_msg("%s", err.message);
    run->sharing.workers = run->window = 1;
}

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
    open_run(&run, &tiny);
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
static void test_nothing_could_be_trained(void **state)
{
    static struct run run;
    struct device_ops ops = cpu_device_ops;
    struct tiny_job tiny;
    struct error err;
    (void)state;
    ops.program_prepare = refuse_to_prepare;
    tiny_job_open(&tiny, NULL);
    open_run(&run, &tiny);
    run.ops = run.devices.ops = &ops;
    assert_int_equal(stage_run(&run, &err), ST_DIVERGED);
    assert_non_null(strstr(err.message, "none of the 1 candidates could be trained"));
    assert_int_equal(tiny_job_events(&tiny, "failed"), 1);
    assert_int_equal(tiny_job_events(&tiny, "test"), 0);
    assert_int_equal(run.best_id, -1);
    run_close(&run);
    tiny_job_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_nothing_could_be_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Whole runs of a tiny job: from nothing to the report; again; with a larger budget; and resumed from each event at
 * which an engine may have been killed, which ends as if nothing had been. */
#include "host/run/engine.h"

#include "host/base/file.h"
#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_run(void **state)
{
    static const char *const files[] = {"model.safetensors", "report.txt", "report.json",
                                        "models/2.safetensors"};
    struct tiny_job tiny;
    struct journal_lines lines;
    (void)state;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (!tiny_job_has(&tiny, files[i]))
            fail_msg("no %s", files[i]);
    tiny_job_journal(&tiny, &lines);
    assert_string_equal(lines.lines[0].event, "run");
    assert_string_equal(lines.lines[lines.count - 1].event, "test");
    journal_lines_free(&lines);
    assert_int_equal(tiny_job_events(&tiny, "stage"), 1);
    assert_int_equal(tiny_job_events(&tiny, "candidate"), TINY_JOB_MODELS + 1); /* and the final fit */
    assert_int_equal(tiny_job_events(&tiny, "model"), TINY_JOB_MODELS + 1);
    assert_int_equal(tiny_job_events(&tiny, "test"), 1);
    assert_true(tiny.history.working);
    for (int k = 0; k < DEVICES_MOST; k++)
        assert_int_equal(tiny.history.training[k], -1);
    tiny_job_close(&tiny);
}

/* Nothing is done twice; the report is made again. */
static void test_finished(void **state)
{
    struct tiny_job tiny;
    struct error err;
    char *before, *after;
    size_t length, length_after;
    (void)state;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    char *journal = file_join(tiny.run, JOURNAL_NAME), *report = file_join(tiny.run, "report.txt");
    assert_int_equal(file_read(journal, &before, &length, &err), ST_OK);
    assert_int_equal(remove(report), 0);
    tiny_job_run(&tiny);
    assert_int_equal(file_read(journal, &after, &length_after, &err), ST_OK);
    assert_int_equal(length, length_after);
    assert_memory_equal(before, after, length);
    assert_true(tiny_job_has(&tiny, "report.txt"));
    free(before);
    free(after);
    free(journal);
    free(report);
    tiny_job_close(&tiny);
}

static void test_larger_budget(void **state)
{
    static const char *const raised[] = {"budget.models=3", NULL};
    struct tiny_job tiny;
    (void)state;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    char *before = tiny_job_history(&tiny);
    tiny_job_change(&tiny, raised);
    tiny_job_run(&tiny);
    char *after = tiny_job_history(&tiny);
    assert_memory_equal(before, after, strlen(before));
    assert_int_equal(tiny_job_events(&tiny, "stage"), 2);
    assert_int_equal(tiny_job_events(&tiny, "candidate"), TINY_JOB_MODELS + 1 + 2);
    assert_int_equal(tiny_job_events(&tiny, "test"), 2);
    free(before);
    free(after);
    tiny_job_close(&tiny);
}

/* A run that nothing happened to, and what it left. */
struct finished {
    struct tiny_job tiny;
    struct journal_lines lines;
    char *journal, *published; /* paths */
    char *text, *model, *history;
    size_t length, model_length;
};

static void finish(struct finished *whole, const char *const *overrides)
{
    struct error err;
    tiny_job_open(&whole->tiny, overrides);
    tiny_job_run(&whole->tiny);
    whole->history = tiny_job_history(&whole->tiny);
    whole->journal = file_join(whole->tiny.run, JOURNAL_NAME);
    whole->published = file_join(whole->tiny.run, "model.safetensors");
    assert_int_equal(file_read(whole->journal, &whole->text, &whole->length, &err), ST_OK);
    assert_int_equal(file_read(whole->published, &whole->model, &whole->model_length, &err), ST_OK);
    tiny_job_journal(&whole->tiny, &whole->lines);
}

static void finished_free(struct finished *whole)
{
    journal_lines_free(&whole->lines);
    free(whole->text);
    free(whole->model);
    free(whole->history);
    free(whole->journal);
    free(whole->published);
    tiny_job_close(&whole->tiny);
}

/* What is in its folder by now, after something happened at that line of the journal, is what was there. */
static void assert_same_run(const struct finished *whole, size_t line)
{
    struct error err;
    char *history = tiny_job_history(&whole->tiny), *model;
    size_t length;
    if (strcmp(history, whole->history) != 0)
        fail_msg("line %zu: found\n%sexpected\n%s", line, history, whole->history);
    assert_int_equal(file_read(whole->published, &model, &length, &err), ST_OK);
    assert_int_equal(length, whole->model_length);
    assert_memory_equal(model, whole->model, length);
    free(model);
    free(history);
}

/* Cuts the journal behind each of its lines in turn, as a kill there would have left it (without the checkpoints). */
static int resume_everywhere(const char *const *overrides)
{
    struct finished whole;
    struct error err;
    int resumed = 0;
    finish(&whole, overrides);
    for (size_t i = 0; i + 1 < whole.lines.count; i++) {
        const struct journal_line *line = &whole.lines.lines[i];
        if (strcmp(line->event, "epoch") == 0)
            continue; /* as behind the next line before it: it is forgotten */
        assert_int_equal(file_write_atomic(whole.journal, whole.text, line->end, &err), ST_OK);
        assert_int_equal(remove(whole.published), 0);
        tiny_job_run(&whole.tiny);
        assert_same_run(&whole, i + 1);
        resumed++;
    }
    finished_free(&whole);
    return resumed;
}

static void test_resumed(void **state)
{
    static const char *const baseline[] = {"budget.models=[]", "budget.steps=[8,14]", "baseline.start=first",
                                           NULL};
    (void)state;
    assert_true(resume_everywhere(NULL) >= 3 * (TINY_JOB_MODELS + 1));
    assert_true(resume_everywhere(baseline) >= 14);
}

/* A flipped bit in each line of the journal in turn: what stands before is kept, the rest done again, to the same
 * end. */
static void test_salvaged(void **state)
{
    struct finished whole;
    struct error err;
    size_t kept, dropped;
    (void)state;
    finish(&whole, NULL);
    struct tiny_job *tiny = &whole.tiny;
    for (size_t i = 1; i + 1 < whole.lines.count; i++) {
        char *flipped = &whole.text[whole.lines.lines[i].end - 30];
        *flipped ^= 1;
        assert_int_equal(file_write_atomic(whole.journal, whole.text, whole.length, &err), ST_OK);
        *flipped ^= 1;
        assert_int_equal(engine_run(&tiny->job, tiny->run, -1, &tiny->history, &err), ST_FORMAT);
        assert_int_equal(journal_salvage(whole.journal, &kept, &dropped, &err), ST_OK);
        assert_int_equal(kept, i);
        assert_int_equal(dropped, whole.lines.count - i);
        assert_true(tiny_job_has(tiny, JOURNAL_DAMAGED_NAME));
        tiny_job_run(tiny);
        assert_same_run(&whole, i + 1);
    }
    finished_free(&whole);
}

/* Models that are gone or damaged and needed: an error that says what helps, and with that the run is done again from
 * there, to the same end. */
static void test_lost_models(void **state)
{
    struct finished whole;
    struct error err;
    char name[64];
    size_t begun = 0;
    (void)state;
    finish(&whole, NULL);
    struct tiny_job *tiny = &whole.tiny;
    for (size_t i = 0; i < whole.lines.count; i++) /* up to the final fit's beginning */
        if (strcmp(whole.lines.lines[i].event, "candidate") == 0)
            begun = i;
    for (int how = 0; how < 2; how++) {
        for (int id = 0; id <= TINY_JOB_MODELS; id++) {
            snprintf(name, sizeof(name), "models/%d.safetensors", id);
            char *path = file_join(tiny->run, name);
            if (how == 0)
                assert_int_equal(remove(path), 0);
            else
                assert_int_equal(truncate(path, 1000), 0);
            free(path);
        }
        assert_int_equal(file_write_atomic(whole.journal, whole.text, whole.lines.lines[begun - 1].end, &err),
                         ST_OK);
        tiny->history.salvage = false;
        assert_int_not_equal(engine_run(&tiny->job, tiny->run, -1, &tiny->history, &err), ST_OK);
        if (strstr(err.message, "--salvage") == NULL || strstr(err.message, "models/") == NULL)
            fail_msg("found %s", err.message);
        tiny->history.salvage = true;
        tiny_job_run(tiny);
        assert_same_run(&whole, begun + 1);
    }
    finished_free(&whole);
}

/* The second candidate was in training when the engine was killed; what is told of earlier times. */
static void kill_the_second(const char *told, int failed)
{
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    char *whole;
    size_t length, begun = 0;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    char *journal = file_join(tiny.run, JOURNAL_NAME);
    assert_int_equal(file_read(journal, &whole, &length, &err), ST_OK);
    tiny_job_journal(&tiny, &lines);
    for (size_t i = 0; begun == 0; i++) /* the second candidate's beginning */
        if (strcmp(lines.lines[i].event, "candidate") == 0 &&
            cJSON_GetNumberValue(cJSON_GetObjectItem(lines.lines[i].json, "id")) > 0.5)
            begun = lines.lines[i].end;
    assert_int_equal(file_write_atomic(journal, whole, begun, &err), ST_OK);
    char *restarts = file_join(tiny.run, "restarts.txt");
    assert_int_equal(file_write_atomic(restarts, told, strlen(told), &err), ST_OK);
    tiny.history.training[0] = 1;
    tiny.history.restarts = 1;
    strcpy(tiny.history.cause, "signal 9 (Killed)");
    tiny_job_run(&tiny);
    assert_int_equal(tiny_job_events(&tiny, "failed"), failed);
    assert_int_equal(tiny_job_events(&tiny, "model"), TINY_JOB_MODELS + 1 - failed);
    assert_int_equal(tiny_job_events(&tiny, "test"), 1);
    journal_lines_free(&lines);
    free(whole);
    free(journal);
    free(restarts);
    tiny_job_close(&tiny);
}

/* A candidate with which that happened twice is given up, and the run goes on; damaged lines tell of nobody. */
static void test_killed_twice(void **state)
{
    (void)state;
    kill_the_second("1 signal 9 (Killed)\n", 1);
    kill_the_second("1\n1signal 9 (Killed)\n", 0);
}

static void test_refused(void **state)
{
    static const char *const others[][2] = {{"dataset.validation=0.5", NULL},
                                            {"train.batch=64", NULL},
                                            {"budget.models=1", NULL},
                                            {"budget.steps=50", NULL}};
    static const enum status expected[] = {ST_FORMAT, ST_RANGE, ST_RANGE, ST_RANGE};
    static const char *const what[] = {"the run began on 48 + 16 + 16 images", "train.batch", "budget.models",
                                       "steps"};
    struct tiny_job tiny;
    struct error err;
    (void)state;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    char *before = tiny_job_history(&tiny);
    for (int i = 0; i < 4; i++) {
        tiny_job_change(&tiny, others[i]);
        assert_int_equal(engine_run(&tiny.job, tiny.run, -1, &tiny.history, &err), expected[i]);
        if (strstr(err.message, what[i]) == NULL)
            fail_msg("found \"%s\", expected %s", err.message, what[i]);
    }
    char *after = tiny_job_history(&tiny);
    assert_string_equal(before, after);
    free(before);
    free(after);
    tiny_job_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),           cmocka_unit_test(test_finished),
        cmocka_unit_test(test_larger_budget), cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_salvaged),      cmocka_unit_test(test_lost_models),
        cmocka_unit_test(test_killed_twice),  cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

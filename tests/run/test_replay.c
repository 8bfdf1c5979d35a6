/* Journals with right checksums that tell of what can't have been: a run that is to be gone on with refuses each with a
 * line of its own, and where the line stands. */
#include "host/base/file.h"
#include "host/report/history.h"
#include "host/run/engine.h"
#include "host/run/resume.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_mutate.h"
#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

static const char *const with_baseline[] = {"baseline.start=first", NULL};

/* A finished run and its journal. */
struct finished {
    struct tiny_job tiny;
    char *journal;
    size_t length;
};

static void finish(struct finished *finished)
{
    struct error err;
    tiny_job_open(&finished->tiny, with_baseline);
    tiny_job_run(&finished->tiny);
    char *path = file_join(finished->tiny.run, JOURNAL_NAME);
    assert_int_equal(file_read(path, &finished->journal, &finished->length, &err), ST_OK);
    free(path);
}

static void close_finished(struct finished *finished)
{
    free(finished->journal);
    tiny_job_close(&finished->tiny);
}

static enum status go_on(struct tiny_job *tiny, struct error *err)
{
    static struct run run;
    enum status st = run_open(&run, &tiny->job, tiny->run, -2, &tiny->history, err);
    if (st == ST_OK)
        st = resume_run(&run, err);
    run_close(&run);
    return st;
}

/* The journal whose `nth` line (from 0) of that event has `to` for `from`, of the same length, with right checksums. */
static void change(struct finished *finished, const char *event, int nth, const char *from, const char *to)
{
    struct fuzz_bytes bytes = fuzz_copy(finished->journal, finished->length);
    char name[64], *line = (char *)bytes.bytes;
    snprintf(name, sizeof(name), "\"event\":\"%s\"", event);
    line = strstr(line, name);
    while (nth-- > 0 && line != NULL)
        line = strstr(line + 1, name);
    char *at = line != NULL ? strstr(line, from) : NULL;
    if (at == NULL)
        fail_msg("no %s in a line of %s", from, event);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    fuzz_repair_journal(&bytes);
    data_files_write(finished->tiny.run, JOURNAL_NAME, bytes.bytes, bytes.length, false);
    free(bytes.bytes);
}

static void check_told(enum status st, const struct error *err, enum status expected, const char *told)
{
    if (st != expected || strstr(err->message, told) == NULL)
        fail_msg("%s \"%s\", expected %s \"%s\"", status_name(st), err->message, status_name(expected), told);
}

static void test_changed(void **state)
{
    static const struct {
        const char *event;
        int nth;
        const char *from, *to, *told;
    } cases[] = {
        {"run", 0, "\"fingerprint\":\"", "\"fingerprint\":\"", NULL}, /* which changes nothing */
        {"run", 0, "\"format\":2", "\"format\":9", "the journal's format is 9, written by nasrun "},
        {"candidate", 1, "\"id\":1", "\"id\":0",
         "found the beginning of candidate 0, expected that of another"},
        {"candidate", 1, "\"parent\":0", "\"parent\":7", "found candidate 1 of parent 7, expected a parent"},
        {"model", 1, "\"id\":1", "\"id\":7",
         "found the end of candidate 7, expected that of one in training"},
        {"baseline", 0, "\"id\":3", "\"id\":1", "found the baseline 1, expected one in training"},
    };
    struct finished finished;
    struct error err;
    (void)state;
    finish(&finished);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        change(&finished, cases[i].event, cases[i].nth, cases[i].from, cases[i].to);
        const enum status st = go_on(&finished.tiny, &err);
        check_told(st, &err, cases[i].told != NULL ? ST_FORMAT : ST_OK,
                   cases[i].told != NULL ? cases[i].told : "");
    }
    close_finished(&finished);
}

/* Lines are missing, and the others numbered anew. */
static void test_missing(void **state)
{
    static const struct {
        const char *event;
        int nth;
        const char *told;
    } cases[] = {
        {"run", 0, "its first event is stage, expected run"},
        {"model", 2, "found the stage's test, expected the end of candidate 2 first"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct finished finished;
        struct journal journal;
        struct journal_lines lines;
        struct error err;
        bool keep[256];
        int nth = cases[i].nth;
        finish(&finished);
        tiny_job_journal(&finished.tiny, &lines);
        assert_true(lines.count < 256);
        for (size_t k = 0; k < lines.count; k++)
            keep[k] = strcmp(lines.lines[k].event, cases[i].event) != 0 || nth-- != 0;
        char *path = file_join(finished.tiny.run, JOURNAL_NAME);
        assert_int_equal(journal_open(path, &journal, &err), ST_OK);
        assert_int_equal(journal_keep(&journal, &lines, keep, &err), ST_OK);
        journal_close(&journal);
        journal_lines_free(&lines);
        const enum status st = go_on(&finished.tiny, &err);
        check_told(st, &err, ST_FORMAT, cases[i].told);
        free(path);
        close_finished(&finished);
    }
}

/* Another job than the one that began, and other data. */
static void test_other_budget(void **state)
{
    static const char *const less[] = {"baseline.start=first", "budget.models=1", NULL};
    static const char *const seconds[] = {"baseline.start=first", "budget.models=[]", "budget.seconds=5",
                                          NULL};
    struct finished finished;
    struct error err;
    (void)state;
    finish(&finished);
    tiny_job_change(&finished.tiny, less);
    enum status st = go_on(&finished.tiny, &err);
    check_told(st, &err, ST_RANGE, "the job's budget.models for this stage is 1, expected 2 or more");
    tiny_job_change(&finished.tiny, seconds);
    st = go_on(&finished.tiny, &err);
    check_told(st, &err, ST_RANGE, "the run's budget is not in seconds as the job's is");
    tiny_job_change(&finished.tiny, with_baseline);
    static const uint8_t labels[TINY_JOB_IMAGES] = {2, 0, 1, 1};
    data_files_idx_labels(finished.tiny.folder, "train-labels-idx1-ubyte", labels, TINY_JOB_IMAGES, false);
    st = go_on(&finished.tiny, &err);
    check_told(st, &err, ST_FORMAT, "the run began on 48 + 16 + 16 images for training, validation and test");
    close_finished(&finished);
}

/* A report of a baseline whose stage has no test; a model that is lost, of nobody that began. */
static void test_others(void **state)
{
    struct finished finished;
    struct history history;
    struct error err;
    (void)state;
    finish(&finished);
    change(&finished, "baseline", 0, "\"stage\":0", "\"stage\":1");
    enum status st = history_load(finished.tiny.run, &history, &err);
    history_free(&history);
    check_told(st, &err, ST_FORMAT, "no test of stage 1 before it");
    st = resume_forget_from(finished.tiny.run, 77, &err);
    check_told(st, &err, ST_FORMAT, "no beginning of candidate 77, whose model is lost");
    close_finished(&finished);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_other_budget),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

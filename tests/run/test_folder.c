/* The run folder: where it is, whose it is, what a fresh start removes and what it does not. */
#include "host/run/folder.h"

#include "host/base/file.h"
#include "host/journal/event_write.h"
#include "host/run/own_files.h"
#include "tests/support/data_files.h"
#include "tests/support/spec_scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char *folder, *run; /* of each test; the run's folder is in it */

static int open_folder(void **state)
{
    (void)state;
    folder = data_files_folder();
    run = file_join(folder, "runs/a");
    return run == NULL;
}

static int close_folder(void **state)
{
    (void)state;
    data_files_remove(folder);
    free(run);
    return 0;
}

static bool is_there(const char *name)
{
    char *path = file_join(run, name);
    const bool there = file_exists(path);
    free(path);
    return there;
}

static void make_job(const char *name, const char *more)
{
    char text[512];
    snprintf(text, sizeof(text),
             "dataset = { path = \"%s\"; };\noutput = { dir = \"%s\"; };\nbudget = { models = 1; };\n%s",
             folder, run, more);
    data_files_write_text(folder, name, text);
}

static enum status read_job(const char *name, const char *override, struct job *job, char **found,
                            struct error *err)
{
    char *path = file_join(folder, name), *overrides[] = {(char *) override};
    const struct options options = {
        .job = path, .overrides = overrides, .override_count = override != NULL ? 1 : 0};
    struct error note;
    const enum status st = folder_read_job(&options, job, found, &note, err);
    assert_string_equal(note.message, "");
    free(path);
    return st;
}

/* Reads the job, prepares its folder and holds it. */
static enum status take(const char *name, const char *override, enum folder_start start, int *lock,
                        struct error *err)
{
    struct job job = {0};
    struct error note;
    char *found = NULL;
    *err = (struct error){0};
    enum status st = read_job(name, override, &job, &found, err);
    if (st == ST_OK)
        st = folder_prepare(found, &job, start, lock, &note, err);
    assert_true(st != ST_OK || *lock >= 0);
    spec_free(&job);
    free(found);
    return st;
}

static enum status prepare(const char *name, const char *override, bool fresh, struct error *err)
{
    int lock;
    const enum status st = take(name, override, fresh ? FOLDER_FRESH : FOLDER_GO_ON, &lock, err);
    if (st == ST_OK)
        close(lock);
    else
        assert_int_equal(strchr(err->message, '\n') != NULL, 0);
    return st;
}

/* The first line of a run of the job a.cfg with that override; `told`: it says the job, as those of older versions
 * do not. */
static void begin_journal(const char *override, bool told)
{
    struct error err;
    struct job job;
    struct journal journal;
    char *path = file_join(run, JOURNAL_NAME), *found;
    assert_int_equal(read_job("a.cfg", override, &job, &found, &err), ST_OK);
    char *text = told ? spec_run_text(&job) : NULL;
    const struct event_run event = {.version = "0.1.0",
                                    .format = EVENT_FORMAT,
                                    .seed = job.seed,
                                    .job = text,
                                    .dataset = {.fingerprint = "", .image = {1, 1, 1}, .policy = ""},
                                    .libraries = {.blas = "", .cjson = ""}};
    assert_int_equal(journal_open(path, &journal, &err), ST_OK);
    if (event_write_run(&journal, &event, 0.0, &err) != ST_OK)
        fail_msg("%s", err.message);
    journal_close(&journal);
    spec_free(&job);
    free(text);
    free(path);
    free(found);
}

static char *content_of(const char *name)
{
    struct error err;
    char *path = file_join(run, name), *text;
    size_t length;
    assert_int_equal(file_read(path, &text, &length, &err), ST_OK);
    free(path);
    return text;
}

static void assert_content(const char *name, const char *expected)
{
    char *text = content_of(name);
    assert_string_equal(text, expected);
    free(text);
}

static void test_job_names_its_folder(void **state)
{
    struct job job = {0};
    struct error err;
    char *found = NULL;
    (void)state;
    make_job("a.cfg", "");
    assert_int_equal(read_job("a.cfg", NULL, &job, &found, &err), ST_OK);
    assert_string_equal(found, run);
    assert_string_equal(job.dataset.path, folder);
    spec_free(&job);
    free(found);

    /* The command line's word counts. */
    job = (struct job){0};
    assert_int_equal(read_job("a.cfg", "output.dir=elsewhere", &job, &found, &err), ST_OK);
    assert_string_equal(found, "elsewhere");
    spec_free(&job);
    free(found);

    job = (struct job){0};
    assert_int_equal(read_job("b.cfg", NULL, &job, &found, &err), ST_IO);
    assert_non_null(strstr(err.message, "b.cfg"));
    spec_free(&job);
    free(found);
}

static enum status read_resumed(const char *where, const char *override, struct job *job, struct error *note,
                                struct error *err)
{
    char *found = NULL, *overrides[] = {(char *) override};
    const struct options options = {
        .resume = where, .overrides = overrides, .override_count = override != NULL ? 1 : 0};
    const enum status st = folder_read_job(&options, job, &found, note, err);
    if (st == ST_OK)
        assert_string_equal(found, where);
    free(found);
    return st;
}

/* The folder's own job with all that it was told, and that folder, wherever it lies now. */
static void test_resumed(void **state)
{
    struct job job = {0};
    struct error err, note;
    char *moved = file_join(folder, "moved");
    (void)state;
    make_job("a.cfg", "seed = 11;\n");
    assert_int_equal(prepare("a.cfg", "train.warmup=0.25", false, &err), ST_OK);
    assert_true(is_there("job.cfg"));
    assert_int_equal(rename(run, moved), 0);
    assert_int_equal(read_resumed(moved, "train.batch=16", &job, &note, &err), ST_OK);
    assert_string_equal(note.message, "");
    assert_int_equal(job.seed, 11);
    assert_true(job.train.warmup > 0.249 && job.train.warmup < 0.251);
    assert_int_equal(job.train.batch, 16);
    spec_free(&job);
    free(moved);
}

/* The journal says the job as well: a job.cfg that is gone, damaged or another's is passed over with a word, larger
 * budgets and another place of the data in it are not. */
static void test_resumed_by_the_journal(void **state)
{
    static const char *const damaged[] = {"", "seed = = 1;", "\001\002", "seed = 7;", NULL};
    struct job job = {0};
    struct error err, note;
    (void)state;
    make_job("a.cfg", "seed = 11;\n");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
    begin_journal(NULL, true);
    char *good = content_of("job.cfg"), *path = file_join(run, "job.cfg");
    for (int i = 0; i < 5; i++) {
        if (damaged[i] != NULL)
            data_files_write_text(run, "job.cfg", damaged[i]);
        else
            assert_int_equal(unlink(path), 0);
        if (read_resumed(run, "train.warmup=0.25", &job, &note, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_non_null(strstr(note.message, "job.cfg"));
        assert_non_null(strstr(note.message, "taken from the journal"));
        assert_int_equal(job.seed, 11);
        assert_true(job.train.warmup > 0.249 && job.train.warmup < 0.251);
        spec_free(&job);
        /* The job file's user is not even told, and job.cfg is as it was again. */
        assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
        assert_content("job.cfg", good);
    }
    assert_int_equal(prepare("a.cfg", "budget.models=3", false, &err), ST_OK);
    assert_int_equal(read_resumed(run, NULL, &job, &note, &err), ST_OK);
    assert_string_equal(note.message, "");
    assert_true(job.budget.models.items[0] == 3.0);
    spec_free(&job);
    /* Data that were moved away: named, and good again by an override. */
    make_job("a.cfg", "seed = 11;\n");
    assert_int_equal(prepare("a.cfg", "dataset.path=/", false, &err), ST_OK);
    assert_int_equal(read_resumed(run, NULL, &job, &note, &err), ST_OK);
    assert_string_equal(job.dataset.path, "/");
    spec_free(&job);
    free(good);
    free(path);
}

static void test_same_job_again(void **state)
{
    struct error err;
    (void)state;
    for (int told = 0; told < 2; told++) {
        make_job("a.cfg", "");
        assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
        /* Without a journal nothing has begun: another job may have the folder. */
        assert_int_equal(prepare("a.cfg", "seed=2", false, &err), ST_OK);
        begin_journal("seed=2", told == 1);
        assert_int_equal(prepare("a.cfg", "seed=2", false, &err), ST_OK);
        assert_int_equal(prepare("a.cfg", "seed=3", false, &err), ST_RANGE);
        assert_non_null(strstr(err.message, "holds the run of another job"));
        assert_non_null(strstr(err.message, "seed"));
        assert_non_null(strstr(err.message, "--fresh"));
        /* Refused, nothing was changed. */
        assert_int_equal(prepare("a.cfg", "seed=2", false, &err), ST_OK);
        assert_true(is_there(JOURNAL_NAME));
        assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_OK);
    }
}

static void test_in_use(void **state)
{
    struct error err, other;
    int lock;
    (void)state;
    make_job("a.cfg", "");
    for (int begun = 0; begun < 2; begun++) {
        assert_int_equal(take("a.cfg", NULL, FOLDER_GO_ON, &lock, &err), ST_OK);
        char *before = content_of("job.cfg");
        assert_int_equal(prepare("a.cfg", NULL, false, &other), ST_BUSY);
        assert_int_equal(prepare("a.cfg", "seed=3", false, &other), ST_BUSY);
        assert_int_equal(prepare("a.cfg", "seed=3", true, &other), ST_BUSY);
        assert_non_null(strstr(other.message, "another nasrun"));
        assert_content("job.cfg", before);
        assert_int_equal(is_there(JOURNAL_NAME), begun);
        free(before);
        /* A process that was forked holds it for itself. */
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            char byte;
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) != 0);
        }
        close(ends[0]);
        close(lock);
        assert_int_equal(prepare("a.cfg", NULL, false, &other), ST_BUSY);
        close(ends[1]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_OK);
        assert_false(is_there(JOURNAL_NAME));
        begin_journal(NULL, true);
    }
}

enum { STARTS = 40, STARTERS = 4 };

/* Starts at once, each with a seed of its own, on a new folder: one gets it, and job.cfg is that one's. */
static void test_started_at_once(void **state)
{
    (void)state;
    make_job("a.cfg", "");
    for (int i = 0; i < STARTS; i++) {
        struct error err;
        struct job job;
        char *found;
        int ready[2], begin[2], done[2];
        char results[STARTERS], byte = 0;
        pid_t children[STARTERS];
        assert_true(pipe(ready) == 0 && pipe(begin) == 0 && pipe(done) == 0);
        for (int k = 0; k < STARTERS; k++) {
            children[k] = fork();
            assert_true(children[k] >= 0);
            if (children[k] != 0)
                continue;
            char seed[32];
            int lock;
            snprintf(seed, sizeof(seed), "seed=%d", k + 1);
            close(begin[1]);
            (void)!read(begin[0], &byte, 1); /* all at once: at the end of the pipe */
            const enum status st = take("a.cfg", seed, FOLDER_GO_ON, &lock, &err);
            byte = st == ST_OK ? (char)(k + 1) : st == ST_BUSY ? 0 : (char)-1;
            (void)!write(ready[1], &byte, 1);
            close(done[1]);
            (void)!read(done[0], &byte, 1); /* the winner holds it until all have tried */
            _exit(0);
        }
        close(begin[0]);
        close(begin[1]);
        for (int k = 0; k < STARTERS; k++)
            assert_int_equal(read(ready[0], &results[k], 1), 1);
        close(done[0]);
        close(done[1]);
        int winner = 0;
        for (int k = 0; k < STARTERS; k++) {
            assert_int_equal(waitpid(children[k], NULL, 0), children[k]);
            assert_true(results[k] >= 0);
            if (results[k] > 0) {
                assert_int_equal(winner, 0);
                winner = results[k];
            }
        }
        close(ready[0]);
        close(ready[1]);
        assert_int_not_equal(winner, 0);
        char *path = file_join(run, "job.cfg");
        const struct options options = {.job = path};
        struct error note;
        assert_int_equal(folder_read_job(&options, &job, &found, &note, &err), ST_OK);
        assert_int_equal(job.seed, winner);
        spec_free(&job);
        free(found);
        assert_int_equal(unlink(path), 0);
        free(path);
    }
}

/* What is removed by its name, and what has nearly that name. */
static void test_fresh(void **state)
{
    static const char *const removed[] = {
        JOURNAL_NAME,           "restarts.txt",     "model.safetensors",        "report.txt",
        "report.json",          "checkpoint-3.bin", "models/1.safetensors",     "plots/progress.png",
        "report-0.txt",         "report-12.json",   "plots/confusion-1.png",    "plots/learning.png",
        "checkpoint-7.bin.tmp", "report.txt.3.tmp", "models/2.safetensors.tmp", "plots/confusion.png",
        "journal.jsonl.tmp"};
    static const char *const kept[] = {"notes.txt",
                                       "report-0.txt.mine",
                                       ".hidden",
                                       "mine/checkpoint-1.bin",
                                       "checkpoint-7.bin.backup",
                                       "checkpoint-07.bin",
                                       "checkpoint--1.bin",
                                       "checkpoint-.bin",
                                       "models/best.safetensors",
                                       "models/1.safetensors.bak",
                                       "models/notes.txt",
                                       "plots/mine.png",
                                       "report-a.txt",
                                       "report-1.txt.tmp.mine",
                                       "model.safetensors.old",
                                       "xreport.txt",
                                       "models/deep/1.safetensors"};
    struct error err;
    (void)state;
    make_job("a.cfg", "");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
    begin_journal(NULL, true);
    for (size_t i = 1; i < sizeof(removed) / sizeof(removed[0]); i++)
        data_files_write_text(run, removed[i], "x");
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        data_files_write_text(run, kept[i], "x");
    /* A journal that is broken behind its first line is no reason against starting over, nor is another job. */
    char *journal = content_of(JOURNAL_NAME), *broken = malloc(strlen(journal) + 64);
    assert_non_null(broken);
    sprintf(broken, "%s{\"seq\":0}\nno journal at all\n{}\n", journal);
    data_files_write_text(run, JOURNAL_NAME, broken);
    assert_int_equal(prepare("a.cfg", "seed=5", true, &err), ST_OK);
    for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++)
        if (is_there(removed[i]))
            fail_msg("%s is there", removed[i]);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (!is_there(kept[i]))
            fail_msg("%s is not there any more", kept[i]);
    assert_true(is_there("job.cfg"));
    free(journal);
    free(broken);
}

/* A journal.jsonl that is none of nasrun's, of whatever length, and all beside it stay as they are, without a lock
 * among them. */
static void test_foreign_journal(void **state)
{
    static const char *const foreign[] = {
        "x",
        "\n",
        "{}\n",
        "{\"event\":\"run\"}\n",
        "a line\nand another\n",
        "no end",
        "{\"seq\":0,\"time\":0,\"event\":\"morph\",\"crc\":\"00000000\"}\n",
        "{\"seq\":0,\"time\":0.25,\"event\":\"walk\",\"crc\":\"00000000\"}\n"};
    static const char *const theirs[] = {"checkpoint-1.bin", "models/1.safetensors", "plots/learning.png",
                                         "report.txt"};
    struct error err;
    (void)state;
    make_job("a.cfg", "");
    for (size_t k = 0; k < sizeof(theirs) / sizeof(theirs[0]); k++)
        data_files_write_text(run, theirs[k], "theirs");
    for (size_t i = 0; i < 2 * sizeof(foreign) / sizeof(foreign[0]); i++) {
        data_files_write_text(run, JOURNAL_NAME, foreign[i / 2]);
        assert_int_equal(prepare("a.cfg", NULL, i % 2 == 1, &err), ST_FORMAT);
        assert_non_null(strstr(err.message, "journal.jsonl: is no journal of nasrun"));
        assert_non_null(strstr(err.message, "choose another output.dir"));
        assert_content(JOURNAL_NAME, foreign[i / 2]);
        for (size_t k = 0; k < sizeof(theirs) / sizeof(theirs[0]); k++)
            assert_content(theirs[k], "theirs");
        assert_false(is_there("job.cfg"));
        assert_false(is_there("lock"));
    }
    /* A good one at the end of a link is somebody's own, too. */
    char *path = file_join(run, JOURNAL_NAME), *elsewhere = file_join(folder, "elsewhere");
    assert_int_equal(unlink(path), 0);
    for (size_t k = 0; k < sizeof(theirs) / sizeof(theirs[0]); k++) {
        char *name = file_join(run, theirs[k]);
        assert_int_equal(unlink(name), 0);
        free(name);
    }
    begin_journal(NULL, true);
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_FORMAT);
    assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "symbolic link"));
    assert_true(file_exists(elsewhere));
    free(path);
    free(elsewhere);
}

/* Without a journal, files of nasrun's names are others'. */
static void test_no_journal(void **state)
{
    static const char *const theirs[] = {"model.safetensors", "report.txt",           "checkpoint-1.bin",
                                         "restarts.txt",      "models/1.safetensors", "plots/learning.png"};
    struct error err;
    (void)state;
    make_job("a.cfg", "");
    for (size_t i = 0; i < 2 * sizeof(theirs) / sizeof(theirs[0]); i++) {
        const char *name = theirs[i / 2];
        char *path = file_join(run, name);
        data_files_write_text(run, name, "theirs");
        if (i == 1) /* an empty one is none */
            data_files_write_text(run, JOURNAL_NAME, "");
        assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_RANGE);
        assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_RANGE);
        assert_non_null(strstr(err.message, name));
        assert_non_null(strstr(err.message, "move it away"));
        assert_content(name, "theirs");
        assert_false(is_there("job.cfg"));
        assert_int_equal(unlink(path), 0);
        free(path);
    }
    /* The job that a user wrote. */
    data_files_write_text(run, "job.cfg", "# mine\nseed = 1;\n");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "job.cfg: was not written by a run"));
    assert_content("job.cfg", "# mine\nseed = 1;\n");
}

/* Nothing is written or removed through a link. */
static void test_links(void **state)
{
    static const char *const places[] = {"models", "plots"};
    static const char *const inside[] = {"models/1.safetensors", "plots/learning.png"};
    struct error err;
    (void)state;
    make_job("a.cfg", "");
    for (int i = 0; i < 2; i++) {
        char *place = file_join(run, places[i]), *target = file_join(folder, places[i]),
             *theirs = file_join(folder, inside[i]);
        assert_int_equal(file_make_folder(run, &err), ST_OK);
        data_files_write_text(folder, inside[i], "theirs");
        assert_int_equal(symlink(target, place), 0);
        assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_RANGE);
        assert_non_null(strstr(err.message, places[i]));
        begin_journal(NULL, true);
        assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_RANGE);
        assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_RANGE);
        assert_non_null(strstr(err.message, "symbolic link"));
        assert_true(is_there(JOURNAL_NAME));
        assert_true(file_exists(theirs));
        assert_int_equal(unlink(place), 0);
        assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_OK);
        free(place);
        free(target);
        free(theirs);
    }
    /* Files that are links are replaced or removed themselves. */
    char *target = file_join(folder, "target"), *job = file_join(run, "job.cfg"),
         *aside = file_join(run, "job.cfg.tmp"), *model = file_join(run, "model.safetensors"), *text;
    size_t length;
    data_files_write_text(folder, "target", "theirs");
    assert_int_equal(unlink(job), 0);
    begin_journal(NULL, true);
    assert_int_equal(symlink(target, job), 0);
    assert_int_equal(symlink(target, aside), 0);
    assert_int_equal(symlink(target, model), 0);
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_OK);
    assert_int_equal(prepare("a.cfg", NULL, true, &err), ST_OK);
    assert_false(is_there("model.safetensors"));
    assert_int_equal(file_read(target, &text, &length, &err), ST_OK);
    assert_string_equal(text, "theirs");
    /* The lock is not taken through one either. */
    char *lock = file_join(run, "lock");
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(symlink(target, lock), 0);
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_IO);
    free(text);
    free(target);
    free(job);
    free(aside);
    free(model);
    free(lock);
}

static void test_checkpoint_names(void **state)
{
    (void)state;
    assert_int_equal(own_checkpoint("checkpoint-7.bin"), 7);
    assert_int_equal(own_checkpoint("checkpoint-0.bin"), 0);
    assert_int_equal(own_checkpoint("checkpoint-12.bin.tmp"), 12);
    assert_int_equal(own_checkpoint("checkpoint-7.bin.backup"), -1);
    assert_int_equal(own_checkpoint("checkpoint-07.bin"), -1);
    assert_int_equal(own_checkpoint("checkpoint-99999999999.bin"), -1);
    assert_int_equal(own_checkpoint("checkpoint-"), -1);
}

/* Where a file is in the way. */
static void test_no_folder(void **state)
{
    struct error err;
    (void)state;
    make_job("a.cfg", "");
    data_files_write_text(folder, "runs", "a file");
    assert_int_equal(prepare("a.cfg", NULL, false, &err), ST_IO);
    assert_non_null(strstr(err.message, "runs"));
}

static void test_report(void **state)
{
    char *text = NULL, expected[512];
    size_t length;
    (void)state;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    folder_show_report(run, out); /* there is none */
    assert_int_equal(fflush(out), 0);
    assert_int_equal(length, 0);
    data_files_write_text(run, "report.txt", "all is well\n");
    folder_show_report(run, out);
    assert_int_equal(fclose(out), 0);
    snprintf(expected, sizeof(expected),
             "\nall is well\n\nreport: %s/report.txt   plots: %s/plots/   model: %s/model.safetensors\n", run,
             run, run);
    assert_string_equal(text, expected);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_job_names_its_folder, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_resumed, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_same_job_again, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_in_use, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_resumed_by_the_journal, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_started_at_once, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_fresh, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_foreign_journal, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_no_journal, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_links, open_folder, close_folder),
        cmocka_unit_test(test_checkpoint_names),
        cmocka_unit_test_setup_teardown(test_no_folder, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_report, open_folder, close_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

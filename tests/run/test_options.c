/* The command line of nasrun: what it asks for, what excludes what, which words are overrides and which the job
 * file. */
#include "host/run/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after what it needs */
#include <cmocka.h>

enum { WORDS_MAX = 16, TEXT_MAX = 256 };

/* A command line and its words, which what is read from it points into. */
struct reading {
    char text[TEXT_MAX];
    char *words[WORDS_MAX + 1];
    struct options options;
    struct error err;
    enum status st;
};

static void read_line(struct reading *r, const char *line)
{
    char *rest = r->text;
    int count = 1;

    memset(r, 0, sizeof(*r));
    r->words[0] = "nasrun";
    snprintf(r->text, sizeof(r->text), "%s", line);
    for (char *word; count < WORDS_MAX && (word = strtok_r(rest, " ", &rest)) != NULL;)
        r->words[count++] = word;
    r->st = options_parse(count, r->words, &r->options, &r->err);
}

static void expect_refused(const char *line, const char *message)
{
    struct reading r;
    read_line(&r, line);
    assert_int_equal(r.st, ST_RANGE);
    assert_string_equal(r.err.message, message);
}

static void test_actions(void **state)
{
    static const struct {
        const char *line;
        enum action action;
    } cases[] = {
        {"job.cfg", ACTION_RUN},
        {"job.cfg --check", ACTION_CHECK},
        {"--plan job.cfg", ACTION_PLAN},
        {"--devices", ACTION_DEVICES},
        {"--pretrained", ACTION_PRETRAINED},
        {"--print-spec", ACTION_PRINT_SPEC},
        {"--version", ACTION_VERSION},
        {"--help", ACTION_HELP},
        {"-h", ACTION_HELP},
        {"-vh", ACTION_HELP},
        {"--resume=runs/a", ACTION_RUN},
        {"--salvage --resume=runs/a", ACTION_RUN},
    };
    struct reading r;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_line(&r, cases[i].line);
        assert_int_equal(r.st, ST_OK);
        assert_int_equal(r.options.action, cases[i].action);
    }
}

static void test_options(void **state)
{
    struct reading r;
    (void)state;

    read_line(&r, "-q job.cfg --fresh budget.seconds=5 -v seed=3");
    assert_int_equal(r.st, ST_OK);
    assert_string_equal(r.options.job, "job.cfg");
    assert_null(r.options.resume);
    assert_true(r.options.fresh);
    assert_false(r.options.salvage);
    assert_int_equal(r.options.verbosity, 1);
    assert_int_equal(r.options.override_count, 2);
    assert_string_equal(r.options.overrides[0], "budget.seconds=5");
    assert_string_equal(r.options.overrides[1], "seed=3");

    /* The last of -v and -q counts. */
    read_line(&r, "-vq --resume=runs/a=b budget.models=[1,2]");
    assert_int_equal(r.st, ST_OK);
    assert_string_equal(r.options.resume, "runs/a=b");
    assert_null(r.options.job);
    assert_int_equal(r.options.verbosity, -1);
    assert_int_equal(r.options.override_count, 1);

    read_line(&r, "--resume runs/a");
    assert_int_equal(r.st, ST_OK);
    assert_string_equal(r.options.resume, "runs/a");
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("", "expected a job file, see nasrun --help");
    expect_refused("--check", "expected a job file, see nasrun --help");
    expect_refused("budget.seconds=5", "expected a job file, see nasrun --help");
    expect_refused("a.cfg b.cfg", "found two job files, a.cfg and b.cfg, expected one");
    expect_refused("a.cfg --resume=r", "found a job file and --resume, expected one of them");
    expect_refused("--fresh --resume=r", "--fresh and --resume exclude each other");
    expect_refused("--fresh --salvage job.cfg", "--fresh and --salvage exclude each other");
    expect_refused("a.cfg --resume", "--resume: expected DIR behind it, see nasrun --help");
    expect_refused("a.cfg --verbos=3", "--verbose: expected no value, see nasrun --help");
    expect_refused("a.cfg -x", "unknown option -x, see nasrun --help");
    expect_refused("a.cfg --faster", "unknown option --faster, see nasrun --help");
}

static void make_file(const char *name)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fclose(file);
}

/* In a folder of its own, with files whose names have the form of overrides. */
static void test_words_with_equals(void **state)
{
    char folder[] = "/tmp/nasrun-options-XXXXXX", *before = getcwd(NULL, 0);
    struct reading r;
    (void)state;

    assert_non_null(before);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    make_file("a=b.cfg");
    make_file("seed=1");

    /* No key and such a file: the job. */
    read_line(&r, "a=b.cfg seed=2");
    assert_string_equal(r.options.job, "a=b.cfg");
    assert_int_equal(r.options.override_count, 1);
    /* A key stays a key, whatever files there are; with its folder the file is the job. */
    read_line(&r, "./seed=1 seed=1");
    assert_string_equal(r.options.job, "./seed=1");
    assert_int_equal(r.options.override_count, 1);
    assert_string_equal(r.options.overrides[0], "seed=1");
    /* No key and no file: an unknown key, for the reader of the job to refuse. */
    read_line(&r, "a=b.cfg budgt.seconds=3 c=d");
    assert_string_equal(r.options.job, "a=b.cfg");
    assert_int_equal(r.options.override_count, 2);
    /* What cannot be a key is a file, there or not. */
    read_line(&r, "elsewhere/a=b.cfg");
    assert_string_equal(r.options.job, "elsewhere/a=b.cfg");
    assert_int_equal(r.options.override_count, 0);
    read_line(&r, "=x");
    assert_string_equal(r.options.job, "=x");

    assert_int_equal(unlink("a=b.cfg"), 0);
    assert_int_equal(unlink("seed=1"), 0);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(rmdir(folder), 0);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_words_with_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

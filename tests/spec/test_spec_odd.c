/* Odd job files: what stands at the end of a file, texts where none belongs, lists that are too long, and values that
 * several keys share the rules of. Each with its exact message. */
#include "tests/support/spec_scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after what it needs */
#include <cmocka.h>

#define GOOD "dataset = { path = \".\"; };\n"
#define HEAD "@/job.cfg:2: "
#define FOUR "1, 2, 3, 4, "
#define MANY                                                                                                 \
    "5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, "    \
    "31, 32"
#define WEIGHT "a weight from 0 to 1000000 behind the \"=\""
#define LONG   "a_name_of_sixty_four_characters_is_nobodys_typing_error_however_"

static const struct odd {
    const char *text, *overrides[SPEC_SCRATCH_OVERRIDES], *message; /* NULL: right; "@": the job's folder */
} odd[] = {
    /* the ends of files, and their beginnings */
    {GOOD "seed = 1; # to the end", {0}, NULL},
    {GOOD "seed = 1; // to the end", {0}, NULL},
    {GOOD "/* one * two ** */ seed = 1;", {0}, NULL},
    {"\xef\xbb\xbf" GOOD, {0}, NULL},
    {GOOD "/* one *", {0}, HEAD "found a comment /* without an end, expected */"},
    {GOOD "seed = \"a\\", {0}, HEAD "found a text without an end, expected \""},
    {"\xef\xbb",
     {0},
     "@/job.cfg:1: syntax error: found '?"
     "?'"},
    {"\xef\xbb\xbe" GOOD,
     {0},
     "@/job.cfg:1: syntax error: found '\xef\xbb\xbe"
     "dataset = { path = \".\"; };'"},
    {"\"a\"", {0}, "@/job.cfg:1: syntax error: found a text in quotes, expected it behind = or in a list"},
    /* types and names */
    {GOOD "search = { strategy = 3; };",
     {0},
     HEAD "search.strategy: found 3, expected one of \"bayesian\", \"greedy\", \"random\", \"hill_climb\", "
          "\"evolution\", \"reinforce\", \"phases\", \"grid\", \"asha\", \"none\""},
    {GOOD "train = { batch = false; };",
     {0},
     HEAD "train.batch: found false, expected \"auto\" or a whole number from 1 to 8192"},
    {GOOD LONG " = 1;",
     {0},
     HEAD "unknown key 'a_name_of_sixty_four_characters_is_nobodys_typing_error_however_', expected a key of "
          "the reference (nasrun --print-spec)"},
    {GOOD "devices = \"cpu:12345\";",
     {0},
     HEAD "devices: found \"cpu:12345\", expected one or more of \"auto\", \"cuda\", \"cuda:N\", \"cpu\", "
          "\"cpu:N\", \"ref\", \"ref:N\""},
    {GOOD "devices = \"cpu:1x\";",
     {0},
     HEAD "devices: found \"cpu:1x\", expected one or more of \"auto\", \"cuda\", \"cuda:N\", \"cpu\", "
          "\"cpu:N\", \"ref\", \"ref:N\""},
    {GOOD "devices = \"ref\";",
     {"search.workers_per_device=2"},
     "command line: search.workers_per_device=2: found 2 on \"ref\", expected 1 or \"auto\": only a GPU has "
     "several"},
    {GOOD "devices = \"cpu:1\";",
     {"search.workers_per_device=2"},
     "command line: search.workers_per_device=2: found 2 on \"cpu:1\", expected 1 or \"auto\": only a GPU "
     "has several"},
    /* lists and ranges */
    {GOOD "train = { average = [0.5, 0.75]; };", {0}, NULL},
    {GOOD "train = { batch = [" FOUR MANY "]; };", {0}, NULL},
    {GOOD "train = { batch = [" FOUR MANY ", 33]; };",
     {0},
     HEAD "train.batch: found a list of 33, expected at most 32"},
    {GOOD "search = { starts = [" FOUR MANY ", 33]; };",
     {0},
     HEAD "search.starts: found a list of 33, expected at most 32"},
    {GOOD "train = { learning_rate = { min = 0.1; }; };",
     {0},
     HEAD
     "train.learning_rate: found a range without max, expected { min = ...; max = ...; scale = \"log\"; }"},
    {GOOD "train = { learning_rate = { max = 0.1; }; };",
     {0},
     HEAD
     "train.learning_rate: found a range without min, expected { min = ...; max = ...; scale = \"log\"; }"},
    {GOOD "train = { learning_rate = { }; };",
     {0},
     HEAD
     "train.learning_rate: found a range without min, expected { min = ...; max = ...; scale = \"log\"; }"},
    {GOOD "train = { learning_rate = { min = 0.1; max = 1.0; scale = 3; }; };",
     {0},
     HEAD "train.learning_rate: found the scale 3, expected \"log\" or \"linear\""},
    {GOOD "train = { class_weights = [\"a=0\", \"b=1e6\"]; };", {0}, NULL},
    {GOOD "train = { class_weights = [\"a=1\", \"balanced\"]; };",
     {0},
     HEAD "train.class_weights: found \"balanced\" among others, expected it alone"},
    {GOOD "train = { class_weights = \"a=x\"; };",
     {0},
     HEAD "train.class_weights: found \"a=x\", expected " WEIGHT},
    {GOOD "train = { class_weights = \"a=-1\"; };",
     {0},
     HEAD "train.class_weights: found \"a=-1\", expected " WEIGHT},
    {GOOD "train = { class_weights = \"a=1000001\"; };",
     {0},
     HEAD "train.class_weights: found \"a=1000001\", expected " WEIGHT},
    {GOOD "train = { class_weights = \"a=nan\"; };",
     {0},
     HEAD "train.class_weights: found \"a=nan\", expected " WEIGHT},
    {GOOD "train = { class_weights = \"=1\"; };",
     {0},
     HEAD
     "train.class_weights: found \"=1\", expected one or more of \"none\", \"balanced\", \"CLASS=WEIGHT\""},
    {GOOD "train = { class_weights = \"a=\"; };",
     {0},
     HEAD
     "train.class_weights: found \"a=\", expected one or more of \"none\", \"balanced\", \"CLASS=WEIGHT\""},
    /* a ~ that a shell would not replace either */
    {GOOD "output = { dir = \"~x/run\"; };", {0}, NULL},
    {GOOD "output = { dir = \"~/run\"; };",
     {0},
     HEAD "output.dir: found \"~/run\", expected \"/home/NAME/run\", for ~ is known to shells alone"},
};

static void test_odd(void **state)
{
    const struct spec_scratch *scratch = *state;
    assert_int_equal(unsetenv("HOME"), 0);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        const struct odd *c = &odd[i];
        char expected[ERROR_LENGTH];
        struct job job;
        struct error err = {0};
        if (c->message == NULL) {
            if (spec_scratch_read(scratch, c->text, c->overrides, &job, &err) != ST_OK)
                fail_msg("case %zu: %s\nfound    %s", i, c->text, err.message);
            spec_free(&job);
            continue;
        }
        const bool located = c->message[0] == '@';
        snprintf(expected, sizeof(expected), "%s%s", located ? scratch->folder : "", c->message + located);
        assert_int_not_equal(spec_scratch_read(scratch, c->text, c->overrides, &job, &err), ST_OK);
        if (strcmp(err.message, expected) != 0)
            fail_msg("case %zu: %s\nfound    %s\nexpected %s", i, c->text, err.message, expected);
        assert_null(job.file); /* nothing is left to free */
    }
}

/* Names that are keys, and words that only begin or end like one. */
static void test_names(void **state)
{
    (void)state;
    assert_true(spec_is_key("train.batch=1", 11));
    assert_false(spec_is_key("train.batch=1", 10));
    assert_false(spec_is_key("train.batch=1", 12));
    assert_false(spec_is_key("batch", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, spec_scratch_open, spec_scratch_close);
}

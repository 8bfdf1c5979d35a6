/* Command lines: options in every form that getopt_long knows, wrong ones, words, and the texts made from the table. */
#include "host/base/command.h"
#include "host/base/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after what it needs */
#include <cmocka.h>

enum { LOUD = 1, PLACE, WORDS_MAX = 16 };

static const char *const uses[] = {"[OPTION ...] WORD ...", NULL};
static const struct command_option options[] = {
    {LOUD, 'l', "loud", NULL, WORDS_NONE, "say it loudly"},
    {PLACE, 'p', "place", "DIR", WORDS_FOLDERS, "say it there"},
    {0},
};
static const struct command_example examples[] = {{0}};
static const struct command_status statuses[] = {
    {COMMAND_DONE, "said"}, {COMMAND_UNFINISHED, "not all is said"}, {0}};
static const struct command command = {.name = "say",
                                       .purpose = "says words",
                                       .uses = uses,
                                       .options = options,
                                       .least = 1,
                                       .most = 2,
                                       .description = "Says them.",
                                       .examples = examples,
                                       .statuses = statuses};

/* Reads a line; what it means as one text, or the message. The words are changed in their order only. */
static void read_line(const char *text, char meaning[ERROR_LENGTH])
{
    char copy[ERROR_LENGTH], *words[WORDS_MAX + 1] = {"say"}, *rest = copy;
    struct command_line line;
    struct error err;
    int count = 1;
    size_t end = 0;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word; count < WORDS_MAX && (word = strtok_r(rest, " ", &rest)) != NULL;)
        words[count++] = word;
    meaning[0] = '\0';
    command_begin(&line, &command, count, words);
    do {
        if (command_next(&line, &err) != ST_OK) {
            snprintf(meaning, ERROR_LENGTH, "%s", err.message);
            return;
        }
        if (line.option != COMMAND_END)
            end += (size_t)snprintf(meaning + end, ERROR_LENGTH - end, "%d%s%s ", line.option,
                                    line.value != NULL ? "=" : "", line.value != NULL ? line.value : "");
    } while (line.option != COMMAND_END);
    for (int i = 0; i < line.word_count; i++)
        end += (size_t)snprintf(meaning + end, ERROR_LENGTH - end, "%s ", line.words[i]);
}

static void test_lines(void **state)
{
    static const char *const cases[][2] = {
        {"a", "a "},
        {"a -l", "1 a "},
        {"-la b", "unknown option -a, see say --help"},
        {"-lph a", "1 2=h a "},
        {"-lh", "expected: say [OPTION ...] WORD ...; see say --help"},
        {"--place=x a b", "2=x a b "},
        {"a --place x b", "2=x a b "},
        {"-px a", "2=x a "},
        {"--loud --version a", "1 1001 a "},
        {"--lo a", "1 a "},
        {"-- -l", "-l "},
        {"- a=b", "- a=b "},
        {"a b c", "c: not expected; see say --help"},
        {"", "expected: say [OPTION ...] WORD ...; see say --help"},
        {"a -p", "--place: expected DIR behind it, see say --help"},
        {"a --place", "--place: expected DIR behind it, see say --help"},
        {"--loud=3 a", "--loud: expected no value, see say --help"},
        {"--help=me a", "--help: expected no value, see say --help"},
        {"a --noise", "unknown option --noise, see say --help"},
        {"a --noise=3", "unknown option --noise=3, see say --help"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char meaning[ERROR_LENGTH];
        read_line(cases[i][0], meaning);
        assert_string_equal(meaning, cases[i][1]);
    }
}

static void test_texts(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    command_print_help(&command, out);
    command_print_version(&command, out);
    fclose(out);
    assert_string_equal(
        text, "say: says words\n\n  say [OPTION ...] WORD ...\n\n"
              "  -l, --loud       say it loudly\n"
              "  -p, --place=DIR  say it there\n"
              "  -h, --help       say how the program is used\n"
              "      --version    say which version this is\n"
              "\nSays them.\n\nExit status:\n   0  said\n  75  not all is said\nsay " NASRUN_VERSION "\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "host/run/options.h"

#include "host/base/file.h"
#include "spec/spec.h"

#include <limits.h>
#include <string.h>

enum {
    OPTION_RESUME = 1,
    OPTION_FRESH,
    OPTION_SALVAGE,
    OPTION_CHECK,
    OPTION_PLAN,
    OPTION_DEVICES,
    OPTION_PRETRAINED,
    OPTION_PRINT_SPEC,
    OPTION_VERBOSE,
    OPTION_QUIET,
};

static const char *const uses[] = {"[OPTION ...] JOB.cfg [KEY=VALUE ...]",
                                   "[OPTION ...] --resume=DIR [KEY=VALUE ...]", NULL};

static const struct command_option option_table[] = {
    {OPTION_RESUME, 0, "resume", "DIR", WORDS_FOLDERS, "go on with the run in that folder"},
    {OPTION_FRESH, 0, "fresh", NULL, WORDS_NONE,
     "start over: removes what an earlier run left in the folder"},
    {OPTION_SALVAGE, 0, "salvage", NULL, WORDS_NONE,
     "go on with a damaged run: what comes before the damage is kept, the rest done again"},
    {OPTION_PLAN, 0, "plan", NULL, WORDS_NONE, "say what the run would take, without training"},
    {OPTION_CHECK, 0, "check", NULL, WORDS_NONE, "read and check the job file"},
    {OPTION_DEVICES, 0, "devices", NULL, WORDS_NONE, "list the devices that a job can run on"},
    {OPTION_PRETRAINED, 0, "pretrained", NULL, WORDS_NONE,
     "list the trained networks that \"pretrained\" in search.starts stands for the first of"},
    {OPTION_PRINT_SPEC, 0, "print-spec", NULL, WORDS_NONE,
     "every key of a job file: type, unit, range, default, meaning"},
    {OPTION_VERBOSE, 'v', "verbose", NULL, WORDS_NONE, "say more"},
    {OPTION_QUIET, 'q', "quiet", NULL, WORDS_NONE, "say nothing but errors and the final report"},
    {0},
};

static const struct command_example examples[] = {
    {"nasrun --plan photos.cfg", "the data, the speed of this machine, what the budget buys"},
    {"nasrun photos.cfg budget.seconds=600", "run for ten minutes; the report is in runs/photos"},
    {"nasrun --resume=runs/photos", "go on where it was stopped"},
    {0},
};

static const struct command_status statuses[] = {
    {COMMAND_DONE, "done; with --check: the job is fine"},
    {COMMAND_ERROR, "an error, told in one line"},
    {COMMAND_UNFINISHED, "stopped by a signal, saved and not finished: the same command goes on"},
    {0},
};

const struct command nasrun_command = {
    .name = "nasrun",
    .purpose = "searches the best image classifier that a budget buys",
    .uses = uses,
    .options = option_table,
    .most = INT_MAX,
    .first = WORDS_JOBS,
    .others = WORDS_KEYS,
    .description =
        "JOB.cfg says where the images are and what the run may take. The same command again goes on with "
        "it.\n"
        "KEY=VALUE overrides the job file: budget.seconds=120 output.dir=runs/x. A job file whose name has\n"
        "such a form is named with its folder: ./seed=1.\n"
        "\n"
        "Ctrl-C saves and stops, and so do SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU. A second one stops "
        "at\n"
        "once, without saving.",
    .examples = examples,
    .statuses = statuses,
};

static bool looks_like_key(const char *text, size_t length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    return length > 0 && strspn(text, letters) >= length;
}

static bool is_override(const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL)
        return false;
    size_t length = (size_t)(equals - word);
    return spec_is_key(word, length) || (!file_exists(word) && looks_like_key(word, length));
}

static void take_option(const struct command_line *line, struct options *options)
{
    switch (line->option) {
    case OPTION_RESUME:
        options->resume = line->value;
        break;
    case OPTION_FRESH:
        options->fresh = true;
        break;
    case OPTION_SALVAGE:
        options->salvage = true;
        break;
    case OPTION_CHECK:
        options->action = ACTION_CHECK;
        break;
    case OPTION_PLAN:
        options->action = ACTION_PLAN;
        break;
    case OPTION_DEVICES:
        options->action = ACTION_DEVICES;
        break;
    case OPTION_PRETRAINED:
        options->action = ACTION_PRETRAINED;
        break;
    case OPTION_PRINT_SPEC:
        options->action = ACTION_PRINT_SPEC;
        break;
    case OPTION_VERBOSE:
        options->verbosity = 1;
        break;
    case OPTION_QUIET:
        options->verbosity = -1;
        break;
    case COMMAND_VERSION:
        options->action = ACTION_VERSION;
        break;
    case COMMAND_HELP:
        options->action = ACTION_HELP;
        break;
    }
}

static enum status take_words(const struct command_line *line, struct options *options, struct error *err)
{
    options->overrides = line->words;
    for (int i = 0; i < line->word_count; i++) {
        if (is_override(line->words[i]))
            options->overrides[options->override_count++] = line->words[i];
        else if (options->job == NULL)
            options->job = line->words[i];
        else
            return error_set(err, ST_RANGE, "found two job files, %s and %s, expected one", options->job,
                             line->words[i]);
    }
    return ST_OK;
}

enum status options_parse(int count, char **arguments, struct options *options, struct error *err)
{
    struct command_line line;
    enum status st;

    *options = (struct options){0};
    command_begin(&line, &nasrun_command, count, arguments);
    while ((st = command_next(&line, err)) == ST_OK && line.option != COMMAND_END)
        take_option(&line, options);
    if (st == ST_OK)
        st = take_words(&line, options, err);
    if (st != ST_OK)
        return st;
    bool needs_job =
        options->action == ACTION_RUN || options->action == ACTION_CHECK || options->action == ACTION_PLAN;
    if (needs_job && options->job == NULL && options->resume == NULL)
        return error_set(err, ST_RANGE, "expected a job file, see nasrun --help");
    if (options->job != NULL && options->resume != NULL)
        return error_set(err, ST_RANGE, "found a job file and --resume, expected one of them");
    if (options->fresh && options->resume != NULL)
        return error_set(err, ST_RANGE, "--fresh and --resume exclude each other");
    if (options->fresh && options->salvage)
        return error_set(err, ST_RANGE, "--fresh and --salvage exclude each other");
    return ST_OK;
}

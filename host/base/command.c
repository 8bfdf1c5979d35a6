#include "host/base/command.h"

#include "host/base/version.h"

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

enum {
    OPTIONS_MAX = 32,
    LONG_BASE =
        UCHAR_MAX + 1, /* getopt_long's value of option i is LONG_BASE + i, so that it is never a letter */
    NAME_MAX_LENGTH = 64,
};

const struct command_option command_common_options[] = {
    {COMMAND_HELP, 'h', "help", NULL, WORDS_NONE, "say how the program is used"},
    {COMMAND_VERSION, 0, "version", NULL, WORDS_NONE, "say which version this is"},
    {0},
};

const struct command_option *command_option_at(const struct command *command, int i)
{
    const struct command_option *option = command->options;
    while (option->name != NULL && i > 0) {
        option++;
        i--;
    }
    if (option->name != NULL)
        return option;
    option = command_common_options;
    while (option->name != NULL && i > 0) {
        option++;
        i--;
    }
    return option->name != NULL ? option : NULL;
}

void command_begin(struct command_line *line, const struct command *command, int count, char **arguments)
{
    *line = (struct command_line){.command = command, .count = count, .arguments = arguments};
    optind = 0; /* glibc's way to say: from the start */
    opterr = 0;
}

static const struct command_option *option_of_letter(const struct command *command, int letter)
{
    const struct command_option *option;
    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++)
        if (option->letter != 0 && option->letter == letter)
            return option;
    return NULL;
}

static enum status refuse_option(const struct command_line *line, int found, struct error *err)
{
    const char *name = line->command->name;
    const struct command_option *option = optopt >= LONG_BASE
                                              ? command_option_at(line->command, optopt - LONG_BASE)
                                              : option_of_letter(line->command, optopt);

    if (found == ':')
        return error_set(err, ST_RANGE, "--%s: expected %s behind it, see %s --help", option->name,
                         option->argument, name);
    if (option != NULL)
        return error_set(err, ST_RANGE, "--%s: expected no value, see %s --help", option->name, name);
    if (optopt != 0)
        return error_set(err, ST_RANGE, "unknown option -%c, see %s --help", optopt, name);
    return error_set(err, ST_RANGE, "unknown option %s, see %s --help", line->arguments[optind - 1], name);
}

static enum status take_words(struct command_line *line, struct error *err)
{
    const struct command *command = line->command;

    line->option = COMMAND_END;
    line->words = line->arguments + optind;
    line->word_count = line->count - optind;
    if (line->word_count < command->least)
        return error_set(err, ST_RANGE, "expected: %s %s; see %s --help", command->name, command->uses[0],
                         command->name);
    if (line->word_count > command->most)
        return error_set(err, ST_RANGE, "%s: not expected; see %s --help", line->words[command->most],
                         command->name);
    return ST_OK;
}

enum status command_next(struct command_line *line, struct error *err)
{
    struct option names[OPTIONS_MAX + 1] = {0};
    char letters[2 + 2 * OPTIONS_MAX] = ":";
    const struct command_option *option;
    size_t end = 1;

    for (int i = 0; i < OPTIONS_MAX && (option = command_option_at(line->command, i)) != NULL; i++) {
        names[i] = (struct option){.name = option->name,
                                   .has_arg = option->argument != NULL ? required_argument : no_argument,
                                   .val = LONG_BASE + i};
        if (option->letter != 0)
            letters[end++] = option->letter;
        if (option->letter != 0 && option->argument != NULL)
            letters[end++] = ':';
    }
    int found = getopt_long(line->count, line->arguments, letters, names, NULL);
    if (found == -1)
        return take_words(line, err);
    if (found == '?' || found == ':')
        return refuse_option(line, found, err);
    option = found >= LONG_BASE ? command_option_at(line->command, found - LONG_BASE)
                                : option_of_letter(line->command, found);
    line->option = option->id;
    line->value = option->argument != NULL ? optarg : NULL;
    return ST_OK;
}

/* "-v, --verbose" or "    --resume=DIR". Its length. */
static int option_text(const struct command_option *option, char text[NAME_MAX_LENGTH])
{
    char letter[] = {'-', option->letter, ',', ' ', '\0'};
    return snprintf(text, NAME_MAX_LENGTH, "%s--%s%s%s", option->letter != 0 ? letter : "    ", option->name,
                    option->argument != NULL ? "=" : "", option->argument != NULL ? option->argument : "");
}

void command_print_help(const struct command *command, FILE *out)
{
    const struct command_option *option;
    char text[NAME_MAX_LENGTH];
    int widest = 0;

    fprintf(out, "%s: %s\n\n", command->name, command->purpose);
    for (int i = 0; command->uses[i] != NULL; i++)
        fprintf(out, "  %s %s\n", command->name, command->uses[i]);
    fputc('\n', out);
    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++) {
        int width = option_text(option, text);
        widest = width > widest ? width : widest;
    }
    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++) {
        option_text(option, text);
        fprintf(out, "  %-*s  %s\n", widest, text, option->meaning);
    }
    fprintf(out, "\n%s\n\nExit status:\n", command->description);
    for (const struct command_status *end = command->statuses; end->meaning != NULL; end++)
        fprintf(out, "  %2d  %s\n", end->status, end->meaning);
}

void command_print_version(const struct command *command, FILE *out)
{
    fprintf(out, "%s %s\n", command->name, NASRUN_VERSION);
}

#include "tools/common/arguments.h"

#include "host/base/crash.h"
#include "host/base/streams.h"

#include <stdio.h>
#include <string.h>

bool arguments_read(const struct command *command, int count, char **arguments, arguments_option *take,
                    void *context, struct command_line *line, int *status)
{
    struct error err;
    enum status st;

    *status = COMMAND_ERROR;
    if (!streams_secure(command->name))
        return false;
    crash_tell_memory(command->name);
    *status = COMMAND_DONE;
    command_begin(line, command, count, arguments);
    while ((st = command_next(line, &err)) == ST_OK && line->option < COMMAND_HELP &&
           line->option != COMMAND_END) {
        st = take(context, line, &err);
        if (st != ST_OK)
            break;
    }
    if (st != ST_OK) {
        fprintf(stderr, "%s: %s\n", command->name, err.message);
        *status = COMMAND_ERROR;
        return false;
    }
    if (line->option == COMMAND_HELP)
        command_print_help(command, stdout);
    else if (line->option == COMMAND_VERSION)
        command_print_version(command, stdout);
    return line->option == COMMAND_END;
}

enum status arguments_read_word(const struct command_line *line, const char *name, const char *const *words,
                                int count, int *which, struct error *err)
{
    char expected[128] = "";
    for (int i = 0; i < count; i++) {
        if (strcmp(line->value, words[i]) == 0) {
            *which = i;
            return ST_OK;
        }
        const size_t used = strlen(expected);
        snprintf(expected + used, sizeof(expected) - used, "%s%s",
                 i == 0          ? ""
                 : i < count - 1 ? ", "
                                 : " or ",
                 words[i]);
    }
    return error_set(err, ST_RANGE, "--%s: found \"%.40s\", expected %s", name, line->value, expected);
}

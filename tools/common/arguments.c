#include "tools/common/arguments.h"

bool arguments_read(const struct command *command, int count, char **arguments, struct command_line *line,
                    int *status)
{
    struct error err;

    *status = 0;
    command_begin(line, command, count, arguments);
    if (command_next(line, &err) != ST_OK) {
        fprintf(stderr, "%s: %s\n", command->name, err.message);
        *status = 2;
        return false;
    }
    if (line->option == COMMAND_HELP)
        command_print_help(command, stdout);
    else if (line->option == COMMAND_VERSION)
        command_print_version(command, stdout);
    return line->option == COMMAND_END;
}

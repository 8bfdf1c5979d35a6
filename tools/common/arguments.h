/* What the command lines of all tools have in common. */
#ifndef NASRUN_TOOLS_COMMON_ARGUMENTS_H
#define NASRUN_TOOLS_COMMON_ARGUMENTS_H

#include "host/base/command.h"

#include <stdbool.h>

/* Reads the command line of a tool that has no options but those of all programs. True when the tool may start: then
 * line->words are there. Otherwise it has said what was asked for, or in one line what is wrong, and ends with
 * *status. */
bool arguments_read(const struct command *command, int count, char **arguments, struct command_line *line,
                    int *status);

#endif

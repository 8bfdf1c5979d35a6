/* What the command lines of all tools have in common. */
#ifndef NASRUN_TOOLS_COMMON_ARGUMENTS_H
#define NASRUN_TOOLS_COMMON_ARGUMENTS_H

#include "host/base/command.h"

#include <stdbool.h>

/* Takes an option of the tool's own, the `option` of a line; an error when its value is wrong. */
typedef enum status arguments_option(void *context, const struct command_line *line, struct error *err);

/* Reads a tool's command line; its own options, if it has any, go to `take` with `context`. True when the tool may
 * start: then line->words are there. Otherwise it has said what was asked for, or in one line what is wrong, and ends
 * with *status. */
bool arguments_read(const struct command *command, int count, char **arguments, arguments_option *take,
                    void *context, struct command_line *line, int *status);

/* Which of words[count] the line's value is, for an option of that name: ST_RANGE, which names all, when it is none. */
enum status arguments_read_word(const struct command_line *line, const char *name, const char *const *words,
                                int count, int *which, struct error *err);

#endif

/* The command lines of the tools: what tools/manual makes the manual pages and completions from, with nasrun's. */
#ifndef NASRUN_TOOLS_COMMON_COMMANDS_H
#define NASRUN_TOOLS_COMMON_COMMANDS_H

#include "host/base/command.h"

extern const struct command nasplot_command, nasreport_command, naspredict_command, nasexport_command;

#endif

/* What the command lines of all tools have in common: --help, and a run folder in front. */
#ifndef NASRUN_TOOLS_COMMON_ARGUMENTS_H
#define NASRUN_TOOLS_COMMON_ARGUMENTS_H

#include <stdbool.h>

/* True when the tool may start: there are `least` to `most` arguments and the first is no option. Otherwise
 * `usage` has been printed, for --help to standard output, and the tool ends with *status. */
bool arguments_fit(int count, char *const *arguments, int least, int most, const char *usage, int *status);

#endif

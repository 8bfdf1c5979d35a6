/* Folders that are thrown away, beside the system's other temporary ones. */
#ifndef NASRUN_TOOLS_SCRATCH_H
#define NASRUN_TOOLS_SCRATCH_H

#include "host/base/error.h"

/* Makes a new one, in TMPDIR or /tmp, whose name begins with the program's; NULL on error. */
enum status scratch_open(const char *program, char **folder, struct error *err);

/* Removes it with all that is in it, and frees its name; NULL is allowed. */
void scratch_close(char *folder);

#endif

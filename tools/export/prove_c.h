/* A C file is compiled by the system's compiler and run, in a folder of its own, which is removed. */
#ifndef NASRUN_TOOLS_EXPORT_PROVE_C_H
#define NASRUN_TOOLS_EXPORT_PROVE_C_H

#include "tools/export/proof.h"

/* `text` is what was written from `evaluation`, with that name. Where there is no compiler (`cc`), what it was written
 * from is evaluated instead, and the outcome says so. ST_FORMAT when it does not compile, does not run, or differs. */
enum status prove_c(struct proof *proof, const struct evaluation *evaluation, const char *name,
                    const char *text, struct outcome *outcome, struct error *err);

#endif

/* The files that nasrun writes into a run folder, by their names: nothing else there is ever removed. */
#ifndef NASRUN_RUN_OWN_FILES_H
#define NASRUN_RUN_OWN_FILES_H

#include "host/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Where in the run folder: in itself, in models/, in plots/. */
enum own_place { OWN_TOP, OWN_MODELS, OWN_PLOTS, OWN_PLACES };

/* Whether a file of that name there is one that nasrun writes; what a crash leaves of one counts (file.h). Numbers are
 * as nasrun writes them: "checkpoint-7.bin", not "checkpoint-07.bin". The lock is not among them. */
bool own_name(enum own_place place, const char *name);

/* The candidate whose checkpoint a file of that name is, whole or left by a crash; -1: of none. */
int32_t own_checkpoint(const char *name);

/* Refuses a run folder in which models/ or plots/ is not a folder of its own: ST_RANGE for a symbolic link. `folder` is
 * an open descriptor, `path` what messages call it. */
enum status own_check_folders(int folder, const char *path, struct error *err);

/* Refuses a folder that holds files of nasrun's names, but for job.cfg and an empty journal: ST_RANGE. Without an event
 * nobody knows whose they are. */
enum status own_check_empty(int folder, const char *path, struct error *err);

/* Removes all files that nasrun writes, the journal as the last. Links are removed themselves, never what they lead
 * to. */
enum status own_remove(int folder, const char *path, struct error *err);

#endif

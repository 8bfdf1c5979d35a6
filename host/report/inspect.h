/* All candidates of a run, as its journal tells of them. */
#ifndef NASRUN_REPORT_INSPECT_H
#define NASRUN_REPORT_INSPECT_H

#include "host/base/error.h"

#include <cjson/cJSON.h>
#include <stdint.h>

/* An array of objects in the order of their beginnings, the caller's to delete:
 *
 *     id, parent    parent null: from fresh weights
 *     stage         from 0
 *     kind          "candidate", "final fit", "baseline"
 *     state         "trained", "failed", "unfinished"
 *     operations    what made it of its parent, in words
 *     hyperparameters    an object of those that are not the job's
 *     accuracy, loss     on the validation images; null: unknown, as the figures below
 *     parameters, flops, layers    of its network; flops of a forward pass
 *     steps, epochs      that it was trained
 *     hash          of its file in models/; null: unknown
 *
 * ST_FORMAT, ST_IO as history_load. */
enum status inspect_run(const char *run_folder, cJSON **models, struct error *err);

/* Whether somebody could train it again to the same bytes: ST_OK, or the reason why not. A clock that decided how long
 * it trained (ST_UNSUPPORTED), no model of that id (ST_RANGE). *hash is the model's then, malloc'd. */
enum status inspect_can_repeat(const char *run_folder, int64_t id, char **hash, struct error *err);

/* The hash that the journal has of that model's file; malloc'd, NULL while it has none. */
char *inspect_hash(const char *run_folder, int64_t id);

#endif

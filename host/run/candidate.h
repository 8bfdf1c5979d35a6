/* Candidates: from a proposal to a trained, journalled model, or a journalled failure. */
#ifndef NASRUN_RUN_CANDIDATE_H
#define NASRUN_RUN_CANDIDATE_H

#include "host/run/run.h"

/* Trains starting network `name` as the next candidate, or journals that it is above the budget's limits. A
 * failure of the candidate itself (divergence, memory, a morph refused) is journalled and ST_OK; other errors
 * end the run. */
enum status candidate_start(struct run *run, const char *name, struct error *err);

/* Asks the strategy, inherits the parent's weights, trains. *found is false when the strategy has nothing to
 * propose. */
enum status candidate_child(struct run *run, bool *found, struct error *err);

/* Trains the winner's network to the end, from its weights, or from those of an earlier final fit of the same
 * network. */
enum status candidate_final(struct run *run, struct error *err);

/* Goes on with the training that the journal and the checkpoint left unfinished. */
enum status candidate_resume(struct run *run, struct error *err);

/* Evaluates what model.safetensors holds on the test set and journals it. */
enum status candidate_test(struct run *run, struct error *err);

#endif

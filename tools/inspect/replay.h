/* Deriving a model again, by the engine itself, in a folder that is thrown away. */
#ifndef NASRUN_TOOLS_INSPECT_REPLAY_H
#define NASRUN_TOOLS_INSPECT_REPLAY_H

#include "host/base/error.h"

#include <stdint.h>

enum { REPLAY_HASH_LENGTH = 32 };

/* Copies the run's journal, up to where that model begins, and its models into a folder beside the system's other
 * temporary ones; lets the engine go on there until the model is trained; and takes the hash of the new file. Models
 * before it whose files are gone are trained again first. The run itself is only read. What goes wrong in the engine is
 * told in its last line. */
enum status replay_model(const char *run_folder, int32_t id, char hash[REPLAY_HASH_LENGTH],
                         struct error *err);

#endif

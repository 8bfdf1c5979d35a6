/* What the file of a model holds. */
#ifndef NASRUN_TOOLS_INSPECT_WEIGHTS_H
#define NASRUN_TOOLS_INSPECT_WEIGHTS_H

#include "host/base/error.h"

#include <cjson/cJSON.h>
#include <stdint.h>

/* An object for each tensor, in the order of the file, in an array that is the caller's to delete:
 *
 *     name      as in the file: "layers.3.weight"
 *     layer     the layer's kind
 *     shape     out, in, kernel height, kernel width; vectors have one number
 *     values    how many there are
 *     trained   false: running statistics, and what is frozen
 *     norm      the root of the sum of their squares
 *
 * Of models/ID.safetensors, or of model.safetensors where that is model ID; null where neither is kept. `hash`, unless
 * it is NULL, is what the journal has of models/ID.safetensors: ST_FORMAT when the file is another.
 *
 * `thresholds`, of images with several labels, is an object of each class's number, the caller's to delete: those of
 * model.safetensors where that is model ID, as they are found by a stage's test; else NULL. */
enum status weights_json(const char *run_folder, int64_t id, const char *hash, cJSON **weights,
                         cJSON **thresholds, struct error *err);

#endif

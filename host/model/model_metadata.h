/* What a model file's header says beside the tensors: its `__metadata__`, as model_file.h has it. */
#ifndef NASRUN_MODEL_MODEL_METADATA_H
#define NASRUN_MODEL_MODEL_METADATA_H

#include "host/model/model_file.h"

/* Adds `__metadata__` to the header. False when out of memory. */
bool model_metadata_write(cJSON *header, const struct graph *graph, const struct model_about *about);

/* Takes graph and about from the header; the model is zeroed before, and to be freed on any status. ST_FORMAT when
 * something is missing or is not what was expected. */
enum status model_metadata_read(const cJSON *header, struct model *model, struct error *err);

/* Takes the names of `wanted` classes from a JSON array into `about`, which has none yet. ST_FORMAT when it is none of
 * so many strings. On any status about->classes are there to be freed (model_free). */
enum status model_take_class_names(struct model_about *about, const cJSON *names, int32_t wanted,
                                   struct error *err);
/* Takes a threshold for each of about->classes, from 0 to 1, from a JSON array into `about`, which has none yet.
 * ST_FORMAT when it is none of so many such numbers. To be freed on any status (model_free). */
enum status model_take_label_thresholds(struct model_about *about, const cJSON *values, struct error *err);
/* A number for each of 1 to 4 channels as a JSON array; NULL when out of memory. The caller deletes it. */
cJSON *model_channels_json(const float *values, int32_t channels);
/* The thresholds of labels as a JSON array, in the same way. They are read as the same numbers. */
cJSON *model_thresholds_json(const double *values, int32_t classes);

#endif

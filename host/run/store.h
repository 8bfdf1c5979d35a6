/* The run folder's model files: one for each model that may still have children, and the best one's copy. */
#ifndef NASRUN_RUN_STORE_H
#define NASRUN_RUN_STORE_H

#include "host/run/run.h"

/* Writes models/ID.safetensors. values[weight table's total of graph]. */
enum status store_save(struct run *run, int32_t id, const struct graph *graph, const float *values,
                       double validation_accuracy, struct error *err);

/* Reads models/ID.safetensors. Graph and values are the caller's to free. */
enum status store_load(const struct run *run, int32_t id, struct graph *graph, float **values,
                       struct error *err);

/* Notes a model as the run's best if it is: by accuracy, of equals by loss, of those the earlier. True if so;
 * store_publish is to follow. */
bool store_note_best(struct run *run, int32_t id, double accuracy, double loss);

/* Copies models/ID.safetensors to model.safetensors. */
enum status store_publish(const struct run *run, int32_t id, struct error *err);

/* Deletes the files of models that are no parents any more; the published model's and the last final fit's
 * stay. */
void store_prune(const struct run *run);

#endif

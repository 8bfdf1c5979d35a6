/* The run folder's model files: one for each model that may still have children, and the best one's copy. */
#ifndef NASRUN_RUN_STORE_H
#define NASRUN_RUN_STORE_H

#include "host/run/candidate.h"

/* The hash of a model's file, from the journal or as it was written; with the run's lock held. */
enum status store_note_hash(struct run *run, int32_t id, enum run_file file, const char *hash,
                            struct error *err);
const char *store_hash(const struct run *run, int32_t id, enum run_file file); /* NULL: not known */

/* Writes models/ID.safetensors and notes its hash. values[weight table's total of graph]. */
enum status store_save(struct run *run, int32_t id, const struct graph *graph, const float *values,
                       double validation_accuracy, struct error *err);

/* Reads models/ID.safetensors. Graph and values are the caller's to free. A file that is gone, or damaged by its hash,
 * is an error and noted in run->lost_id. */
enum status store_load(struct run *run, int32_t id, struct graph *graph, float **values, struct error *err);

/* The folder that these files are in. */
enum status store_make_folder(const struct run *run, struct error *err);

/* Writes models/ID.losses, the loss on each validation image, and notes its hash. */
enum status store_save_losses(struct run *run, int32_t id, const float *losses, struct error *err);

/* Compares losses on the validation images with those of model `with`, image by image: the mean of its less these, and
 * that mean's standard error; NAN both with less than two images. Its file may be lost or damaged, as in store_load. */
enum status store_compare(struct run *run, int32_t with, const float *losses, double *gain, double *deviation,
                          struct error *err);

/* Notes a model as the run's best if it is: by accuracy, of equals by loss, of those the earlier. A final fit that has
 * gone on with the validation images is given what it gained there, as no figure tells it. */
void store_note_best(struct run *run, const struct candidate *candidate);

/* Copies the best model's file to model.safetensors, once, with its temperatures where they are known. */
enum status store_publish_best(struct run *run, struct error *err);

/* Notes what a test found of its model, with these thresholds of labels [classes], which are copied; NULL: images have
 * one class. */
enum status store_note_calibration(struct run *run, const struct run_calibration *found,
                                   const double *label_thresholds, struct error *err);

/* The best model's temperatures, and thresholds as above, are known: it is published with them, whatever was before. */
enum status store_calibrate(struct run *run, float temperature, float plain_temperature,
                            const double *label_thresholds, struct error *err);

/* Of a run whose last stage is over: writes model.safetensors again when it is gone or damaged. */
enum status store_check_published(struct run *run, struct error *err);

/* Deletes the files, of all kinds, of models that are no parents any more, and drops them from the weight cache; those
 * stay that are published, or a final fit's, or parents of the `count` candidates that are not observed yet, or those
 * candidates' own. */
void store_prune(const struct run *run, struct candidate *const *coming, int32_t count);

#endif

/* The answers of a stage's model: how sure they should be, and predictions.csv. */
#ifndef NASRUN_RUN_ANSWERS_H
#define NASRUN_RUN_ANSWERS_H

#include "host/report/metrics.h"
#include "host/report/predictions.h"
#include "host/report/scores.h"
#include "host/run/testing.h"

struct answers {
    float temperature, plain_temperature; /* host/device/temperature.h: of all views, of one */
    int32_t calibrated_by;                /* unseen validation images */
    struct scores before, after;          /* on the test images, without and with the temperature */
    char predictions_hash[FILE_HASH_LENGTH];
    /* Where images have several labels; else NULL and zeros. */
    double *label_thresholds;    /* [classes], of the unseen validation images' calibrated answers */
    int32_t *threshold_images;   /* [classes]: how many of these images have the label */
    struct label_results labels; /* on the test images, calibrated, at the thresholds */
};

/* Fits the temperatures, then the thresholds of labels, to the unseen validation images, applies them to all answers,
 * and writes predictions.csv and,
 * where there are several stages, predictions-<stage>.csv. Those of the stage before are kept under that name.
 * answers_free ends it, on errors too. */
enum status answers_keep(const struct run *run, struct testing *testing, struct answers *answers,
                         struct error *err);

void answers_free(struct answers *answers);

/* What a row of predictions.csv takes in memory while the file is written; with `sets` where images have several
 * labels. */
size_t answers_row_bytes(int32_t classes, bool sets);

/* Writes splits.csv, unless it is there: which image is in which split, a row each.
 *
 *     image,hash,split,class
 *     photos/cat/1.jpg,xxh3:0123456789abcdef,train,cat
 *
 * Training, then validation, then test images, in the order in which nasrun has them; the columns are those of
 * predictions.csv, with `labels` in the place of `class` where images have several. */
#define SPLITS_NAME "splits.csv"
enum status answers_write_splits(const struct run *run, struct error *err);

#endif

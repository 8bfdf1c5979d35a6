/* Thresholds: how probable a class has to be for its answers to be as often right as is wanted or, with several labels
 * an image, to be given at all, by the answers to validation images that were not trained on. */
#ifndef NASRUN_REPORT_THRESHOLDS_H
#define NASRUN_REPORT_THRESHOLDS_H

#include "host/report/predictions.h"
#include "host/report/scores.h"

/* thresholds[classes]: for each class the least probability from which on its answers in `views` views reach the
 * precision, a share of them that is right; INFINITY where none does, or the class was never answered. It is what held
 * for those images: of a class with few of them it says little. With several labels each class is an answer to each
 * image, right where the image has it. ST_RANGE when there are no such images. */
enum status thresholds_fit(const struct predictions *predictions, int32_t views, double precision,
                           double *thresholds, struct error *err);

/* thresholds[classes], with several labels: for each class the one of the largest F1 among those that divide these
 * answers differently, in the middle between two neighbouring probabilities, the least of which has 0 for its
 * neighbour. Of equal ones it is that nearest to LABELS_THRESHOLD, of two as near the higher; LABELS_THRESHOLD for a
 * class that no image has. images[classes]: how many have it. ST_MEMORY only. */
enum status thresholds_of_labels(const struct answered *answered, double *thresholds, int32_t *images,
                                 struct error *err);

#endif

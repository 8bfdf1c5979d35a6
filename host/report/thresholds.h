/* Thresholds: how probable a class has to be for its answers to be as often right as is wanted, by the answers to
 * validation images that were not trained on. */
#ifndef NASRUN_REPORT_THRESHOLDS_H
#define NASRUN_REPORT_THRESHOLDS_H

#include "host/report/predictions.h"

/* thresholds[classes]: for each class the least probability from which on its answers in `views` views reach the
 * precision, a share of them that is right; INFINITY where none does, or the class was never answered. It is what held
 * for those images: of a class with few of them it says little. ST_RANGE when there are no such images. */
enum status thresholds_fit(const struct predictions *predictions, int32_t views, double precision,
                           double *thresholds, struct error *err);

#endif

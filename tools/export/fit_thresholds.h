/* Thresholds of classes for a precision, by the answers of what is exported itself to validation images. */
#ifndef NASRUN_TOOLS_EXPORT_FIT_THRESHOLDS_H
#define NASRUN_TOOLS_EXPORT_FIT_THRESHOLDS_H

#include "tools/export/proof.h"

/* values[classes], INFINITY where no probability is enough. Asked about are the validation images that were not trained
 * on, as the run's predictions.csv tells. ST_RANGE, ST_NONE when there are none, or the run's data are not there. */
enum status fit_thresholds(struct proof *proof, const char *run_folder, const struct evaluation *evaluation,
                           double precision, double *values, struct error *err);

#endif

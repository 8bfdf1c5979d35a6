/* Metrics of a classifier from its confusion counts, by scikit-learn's definitions: a ratio whose denominator
 * is 0 is 0. */
#ifndef NASRUN_REPORT_METRICS_H
#define NASRUN_REPORT_METRICS_H

#include "host/base/error.h"

#include <stdint.h>

struct class_metrics {
    double precision; /* of the samples predicted as the class, the share that are */
    double recall;    /* of the samples of the class, the share predicted as it */
    double f1;        /* the harmonic mean of both */
    int64_t support;  /* samples of the class */
};

struct metrics {
    int32_t classes;
    int64_t correct, samples;
    double accuracy;
    struct class_metrics *of_class; /* [classes] */
    struct class_metrics macro;     /* means over the classes that occur or are answered; support is `samples` */
    struct class_metrics weighted;  /* means weighted by support */
};

/* counts[true class * classes + predicted class], none negative. ST_MEMORY only. */
enum status metrics_from_confusion(struct metrics *metrics, int32_t classes, const int64_t *counts,
                                   struct error *err);
void metrics_free(struct metrics *metrics); /* a zeroed struct is allowed */

#endif

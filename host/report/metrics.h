/* Metrics of a classifier from its confusion counts or, with several labels an image, its counts of labels, by scikit-learn's definitions: a ratio whose denominator
 * is 0 is 0. */
#ifndef NASRUN_REPORT_METRICS_H
#define NASRUN_REPORT_METRICS_H

#include "host/report/scores.h"

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
    /* Means over the classes that occur or are answered, as scikit-learn's; support is `samples`. */
    struct class_metrics macro;
    struct class_metrics weighted; /* means weighted by support */
    /* With several labels: of all classes' counts together; means over the images. Else all zeros. */
    struct class_metrics micro, by_image;
};

/* counts[true class * classes + predicted class], none negative. ST_MEMORY only. */
enum status metrics_from_confusion(struct metrics *metrics, int32_t classes, const int64_t *counts,
                                   struct error *err);

/* What answers to images of several labels come to, a class being given from its threshold on. */
struct label_results {
    int64_t *counts;               /* [classes * LABELS_COUNTS], as labels.h has them; the caller's */
    int64_t exact;                 /* images whose labels are given and no others */
    struct class_metrics by_image; /* means over the images, without support; zeros without any */
};
/* thresholds[classes]; results->counts are set before. */
void label_results_count(const struct answered *answered, const double *thresholds,
                         struct label_results *results);

/* Of such results, at one threshold or another. Here `correct`, and with it the accuracy, are `exact`, macro averages
 * are over all classes, and the averages' support is the labels'. */
enum status metrics_from_labels(struct metrics *metrics, int32_t classes, const struct label_results *results,
                                struct error *err);
void metrics_free(struct metrics *metrics); /* a zeroed struct is allowed */

#endif

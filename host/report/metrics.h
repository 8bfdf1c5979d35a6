/* Metrics of a classifier from its confusion counts or, with several labels an image, its counts of labels, by
 * scikit-learn's definitions: a ratio whose denominator is 0 is 0. */
#ifndef NASRUN_REPORT_METRICS_H
#define NASRUN_REPORT_METRICS_H

#include "host/report/scores.h"

struct class_metrics {
    double precision; /* of the samples predicted as the class, the share that are */
    double recall;    /* of the samples of the class, the share predicted as it */
    double f1;        /* the harmonic mean of both */
    int64_t support;  /* samples of the class */
};

/* Of answers of several labels. */
struct label_metrics {
    double hamming; /* loss: of the images and classes, the share that is answered wrongly */
    double micro_f1, macro_f1;
};

struct metrics {
    int32_t classes;
    int64_t correct, samples;
    double accuracy;
    struct class_metrics *of_class; /* [classes] */
    /* Means over the classes that occur or are answered, as scikit-learn's; support is `samples`. */
    struct class_metrics macro;
    struct class_metrics weighted; /* means weighted by support */
    /* With several labels: of all classes' counts together; means over the images; images whose labels are given
     * exactly, where `correct` are those at LABELS_THRESHOLD; and both ways of giving labels beside each other. Else
     * all zeros. */
    struct class_metrics micro, by_image;
    int64_t exact;
    struct label_metrics labels, labels_at_half;
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

/* Of such results. counts_at_half[classes * LABELS_COUNTS]: of answers that are given from LABELS_THRESHOLD on, and
 * `correct` the images that these answer exactly, which make the accuracy. Macro averages are over all classes, the
 * averages' support is the labels'. ST_MEMORY only. */
enum status metrics_from_labels(struct metrics *metrics, int32_t classes, const struct label_results *results,
                                const int64_t *counts_at_half, int64_t correct, struct error *err);
void metrics_free(struct metrics *metrics); /* a zeroed struct is allowed */

#endif

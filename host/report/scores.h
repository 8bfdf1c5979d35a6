/* How good probabilities are: their losses, whether they are as sure as they may be, and how well they put images in
 * order. All by scikit-learn's definitions where it has one. */
#ifndef NASRUN_REPORT_SCORES_H
#define NASRUN_REPORT_SCORES_H

#include "host/base/error.h"
#include "host/base/labels.h"

#include <stdbool.h>
#include <stdint.h>

enum { SCORES_BINS = 15, SCORES_TOP = 5 };

/* What a model answers to images, and what they show. */
struct answered {
    const float *probabilities; /* [rows * classes] */
    int32_t rows, classes;
    const int32_t *labels;     /* [rows] */
    const uint8_t *label_sets; /* labels.h; NULL: each image is of one class */
};

/* Images by the probability of their answer, in SCORES_BINS bins of equal width. */
struct scores_bin {
    int64_t images, right;
    double probability; /* their sum */
};
/* Puts an image into its bin. */
void scores_count(struct scores_bin bins[SCORES_BINS], double probability, bool right);
/* Expected calibration error (Guo et al. 2017): mean over the images of how far a bin's accuracy is from its mean
 * probability; NAN without any. */
double scores_calibration_error(const struct scores_bin bins[SCORES_BINS]);

struct scores {
    /* Mean of -log(probability of the true class); with sets, mean over the images of the classes' sum of
     * -log(probability of what is true of the class). */
    double loss;
    /* As above, of the answers; with sets, of each class for each image, right where the image has it. */
    double calibration_error;
    /* Share of images whose class is among the SCORES_TOP most probable; NAN with no more classes, and with sets. */
    double top;
};
/* Without rows all are NAN. */
struct scores scores_of(const struct answered *answered);

/* An image by its probability of a class. */
struct ranked {
    float probability;
    bool is_one; /* of the class */
};
/* In falling order of their probability. */
void ranked_sort(struct ranked *images, int32_t count);

/* A class against all others. */
struct ranking {
    double roc_auc;           /* area under the receiver operating characteristic; ties count half */
    double average_precision; /* sum over the thresholds of precision times what recall gains there */
};
struct rankings {
    struct ranking *of_class; /* [classes]; NAN where all images are of the class, or none is */
    struct ranking macro,
        weighted; /* means over the others, these weighted by their images; NAN without any */
};
/* ST_MEMORY only. */
enum status rankings_make(struct rankings *rankings, const struct answered *answered, struct error *err);
void rankings_free(struct rankings *rankings); /* a zeroed one is allowed */

/* Wilson's interval of 95 % for `right` of `all`; 0 to 1 without any. */
void scores_interval(int64_t right, int64_t all, double *low, double *high);

#endif

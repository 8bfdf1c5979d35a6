/* Twelve images with any of four labels, and what a model answers to them: scikit-learn's figures for these stand in
 * the tests. Failures end the test. */
#ifndef NASRUN_TESTS_SUPPORT_TWELVE_IMAGES_H
#define NASRUN_TESTS_SUPPORT_TWELVE_IMAGES_H

#include "host/report/predictions.h"
#include "host/report/scores.h"

enum { TWELVE_IMAGES = 12, TWELVE_CLASSES = 4, TWELVE_SETS = 5 };

extern const uint8_t twelve_sets[TWELVE_SETS * TWELVE_CLASSES];
extern const int32_t twelve_labels[TWELVE_IMAGES];
/* Probabilities from which a label is given. */
extern const double twelve_given_from[TWELVE_CLASSES];
extern const char *const twelve_names[TWELVE_CLASSES];

/* The answers, [TWELVE_IMAGES * TWELVE_CLASSES], written into `probabilities`. */
struct answered twelve_answered(float *probabilities);

/* The same as predictions: of the last two images those of validation images. rows[TWELVE_IMAGES] and `probabilities`
 * are the caller's, label_sets is the caller's to free. */
struct predictions twelve_predictions(struct predicted_image *rows, float *probabilities);

#endif

/* Temperature: how sure a network's answers are is corrected by one number, the temperature (Guo et al. 2017, "On
 * Calibration of Modern Neural Networks", arXiv 1706.04599): its logits are divided by it before the softmax. From
 * probabilities p that is p^(1/T), made to sum to 1; views (views.h) average logarithms of probabilities, so that it
 * holds behind them as well. The order of an image's classes stays. Where images have any number of labels (labels.h),
 * each probability is one of its own: its logit log(p / (1 - p)) is divided, and behind it is the sigmoid. */
#ifndef NASRUN_DEVICE_TEMPERATURE_H
#define NASRUN_DEVICE_TEMPERATURE_H

#include <stdbool.h>
#include <stdint.h>

/* What temperatures may be. */
#define TEMPERATURE_LEAST 0.05
#define TEMPERATURE_MOST  20.0

/* probabilities[rows * classes], each row by itself, with `sets` each by itself, become those at that temperature; 1
 * leaves the bytes as they are. */
void temperature_apply(float *probabilities, int32_t rows, int32_t classes, float temperature, bool sets);

/* The temperature by which the answers fit these images best: probabilities[rows * classes], labels[rows], whose sets
 * `label_sets` are, or NULL. It has the least sum of log losses (labels_loss) and (log T)^2 / 2. The latter, a guess
 * that T is near 1, is nothing beside a hundred images, and gives few images, or some that are all answered right, a
 * temperature as well. Without rows it is 1. */
float temperature_fit(const float *probabilities, int32_t rows, int32_t classes, const int32_t *labels,
                      const uint8_t *label_sets);

#endif

/* Labels: what an image shows. Either each image is of one class, or it has any number of labels, which are classes
 * too: a set of them, which may be empty. Sets that occur are numbered, so that both are one number an image. */
#ifndef NASRUN_BASE_LABELS_H
#define NASRUN_BASE_LABELS_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A label is given from this probability on, where no threshold of its own is known. */
#define LABELS_THRESHOLD 0.5f

/* What is counted of a class where images have any number of labels, as scikit-learn's multilabel_confusion_matrix has
 * it: images without and with the label, by the answer. */
enum {
    LABELS_TRUE_NEGATIVE,
    LABELS_FALSE_POSITIVE,
    LABELS_FALSE_NEGATIVE,
    LABELS_TRUE_POSITIVE,
    LABELS_COUNTS
};

/* `label_sets` [sets x classes]: 1 where the set has the class, else 0; NULL: labels are classes. */
static inline bool labels_have(const uint8_t *label_sets, int32_t classes, int32_t label, int32_t class)
{
    return label_sets != NULL ? label_sets[(size_t)label * (size_t)classes + (size_t) class] != 0
                              : label == class;
}

/* The class that an image is taken for by answer[classes]: the most probable, of equals the first. */
static inline int32_t labels_class(const float *answer, int32_t classes)
{
    int32_t best = 0;
    for (int32_t k = 1; k < classes; k++)
        if (answer[k] > answer[best])
            best = k;
    return best;
}

/* Whether an image of that label is answered rightly by probabilities answer[classes]: the most probable class, of
 * equals the first, is the label; with sets, exactly the set's classes reach the threshold. */
static inline bool labels_are_right(const uint8_t *label_sets, int32_t classes, int32_t label,
                                    const float *answer)
{
    if (label_sets == NULL)
        return labels_class(answer, classes) == label;
    for (int32_t k = 0; k < classes; k++)
        if ((answer[k] >= LABELS_THRESHOLD) != labels_have(label_sets, classes, label, k))
            return false;
    return true;
}

/* Logarithms of a probability and of what it leaves to 1, finite for all floats: 0 is taken for the least normal one,
 * and 1 for what lies halfway between the largest below 1 and 1. */
static inline double labels_log_chance(float probability)
{
    return log(fmax((double)probability, (double)FLT_MIN));
}
static inline double labels_log_rest(float probability)
{
    return log1p(-fmin((double)probability, 1.0 - 0x1p-25));
}

/* Of a class with an answer of its own: sigmoid(logit) is the probability. From -87.3 to 17.3. */
static inline double labels_logit(float probability)
{
    return labels_log_chance(probability) - labels_log_rest(probability);
}

/* What the answer to an image of that label costs: the cross-entropy; with sets, the sum of the binary ones of its
 * classes. */
static inline double labels_loss(const uint8_t *label_sets, int32_t classes, int32_t label,
                                 const float *answer)
{
    double loss = 0.0;
    if (label_sets == NULL)
        return -labels_log_chance(answer[label]);
    for (int32_t k = 0; k < classes; k++)
        loss -= labels_have(label_sets, classes, label, k) ? labels_log_chance(answer[k])
                                                           : labels_log_rest(answer[k]);
    return loss;
}

#endif

/* Views: at the test an image is looked at several times, as it is, shifted and mirrored, and the answers are averaged.
 * How many views there are says which:
 *
 *     1   the image
 *     2   and its mirror image
 *     3   the image, and shifted by a pixel along the diagonal both ways, what comes in being the edge reflected
 *     6   these three, and their mirror images
 *
 * The image weighs as much as both shifts together; what is mirrored weighs as what is not (Jordan 2024,
 * arXiv 2404.00498, section 3.7: 6 views). */
#ifndef NASRUN_DEVICE_VIEWS_H
#define NASRUN_DEVICE_VIEWS_H

#include "host/device/augment.h"

#include <stdbool.h>
#include <stddef.h>

enum { VIEWS_MOST = 6 };

struct views {
    int32_t count;
    struct augment_view items[VIEWS_MOST]; /* the first is the image as it is */
    float weights[VIEWS_MOST];             /* their sum is 1 */
};

/* Whether `count` is one of those above. */
bool views_are_known(int32_t count);
struct views views_of(int32_t count);

/* Adds one view's part to sums[count], which are zeros before the first: the logarithms of its probabilities, times its
 * weight. They differ from logits by the same amount in all of an image's classes, which views_finish divides out, so
 * that this is the average of logits. With `sets`, where each class is an answer of its own, it is that of the logits
 * themselves (labels_logit). */
void views_add(float *sums, const float *probabilities, size_t count, float weight, bool sets);

/* The sums of all views become probabilities: sums[rows * classes], each row by itself; with sets each of them. */
void views_finish(float *sums, int32_t rows, int32_t classes, bool sets);

#endif

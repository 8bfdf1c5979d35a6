/* Folded networks run on the processor by plain loops over one image's values in the plan's arena, EVALUATE_LANES
 * images side by side: in float32, or with the codes of a quantisation in whole numbers, exactly. That is what exports
 * are written from and compared with; devices are faster, but show nothing of what is between, and know no codes.
 *
 * The images' groups are shared by OpenMP's threads; results do not depend on how many there are. */
#ifndef NASRUN_INFERENCE_EVALUATE_H
#define NASRUN_INFERENCE_EVALUATE_H

#include "host/inference/plan.h"
#include "host/inference/quantise.h"

enum { EVALUATE_LANES = 16 };

struct evaluation {
    const struct model *folded;
    const struct plan *plan;
    const struct quantisation *quantisation; /* NULL: float32 */
};

/* probabilities[count * classes] of pixels[count], each channels x height x width: one view's, calibrated by
 * about.plain_temperature; with about.label_thresholds of each class by itself. `ranges` [layers], NULL: not asked for,
 * are widened by all that layers yield in float32. */
enum status evaluate_images(const struct evaluation *evaluation, const uint8_t *pixels, int32_t count,
                            float *probabilities, struct value_range *ranges, struct error *err);

#endif

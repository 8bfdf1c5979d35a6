/* One layer of evaluate.h, for EVALUATE_LANES images side by side. */
#ifndef NASRUN_INFERENCE_EVALUATE_LAYER_H
#define NASRUN_INFERENCE_EVALUATE_LAYER_H

#include "host/inference/evaluate.h"

/* Values lie as [height][width][channels][EVALUATE_LANES]; codes are whole numbers in the same floats. */
struct evaluate_layer {
    const struct evaluation *evaluation;
    int32_t index;
    const float *kernels; /* [table.total]: values, or codes */
    float *arena;         /* [plan->arena * EVALUATE_LANES], 32-byte aligned */
    float *patch;         /* [plan_patch * EVALUATE_LANES], the same */
};

/* Any layer but the first. */
void evaluate_layer(const struct evaluate_layer *work);

#endif

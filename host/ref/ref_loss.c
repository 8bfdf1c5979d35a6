/* Softmax cross-entropy with label smoothing (Szegedy et al. 2016), focal and weighted by class, its gradient, and the
 * metrics. */
#include "host/device/focal.h"
#include "host/ref/ref.h"

#include <math.h>

/* The largest logit, of equals the first. */
static int32_t largest(const double *logits, int32_t classes)
{
    int32_t best = 0;
    for (int32_t k = 1; k < classes; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

/* log of the sum of exponentials; shifted by the largest, so that nothing overflows. */
static double log_sum(const double *logits, int32_t classes, double shift)
{
    double sum = 0;
    for (int32_t k = 0; k < classes; k++)
        sum += exp(logits[k] - shift);
    return shift + log(sum);
}

/* Of a class, with label smoothing. */
static double target(bool is_label, double smoothing, int32_t classes)
{
    return (is_label ? 1 - smoothing : 0) + smoothing / classes;
}

enum status ref_run_loss(const struct op_call *call)
{
    const double *all_logits = ref_input(call, LOSS_IN_LOGITS), *labels = ref_input(call, LOSS_IN_LABELS);
    double *metrics = ref_output(call, LOSS_OUT_METRICS),
           *probabilities = ref_output(call, LOSS_OUT_PROBABILITIES),
           *dlogits = ref_output(call, LOSS_OUT_DLOGITS);
    struct shape shape = op_input_shape(call, LOSS_IN_LOGITS);
    const double smoothing = (double)call->op->loss.smoothing, focal = (double)call->op->loss.focal;
    const float *weights = call->op->loss.weighted ? call->prepared->binding.dataset->class_weights : NULL;
    for (int32_t n = 0; n < shape.n; n++) {
        size_t row = (size_t)n * (size_t)shape.c;
        const double *logits = all_logits + row;
        bool valid = n < call->step->valid;
        int32_t label = (int32_t)labels[n], best = largest(logits, shape.c);
        double normaliser = log_sum(logits, shape.c, logits[best]), loss = 0, slope = 0;
        double weight = weights ? (double)weights[label] : 1;
        for (int32_t k = 0; k < shape.c; k++) {
            loss += target(k == label, smoothing, shape.c) * focal_loss(logits[k] - normaliser, focal);
            slope += target(k == label, smoothing, shape.c) * focal_slope(logits[k] - normaliser, focal);
        }
        for (int32_t k = 0; k < shape.c; k++) {
            double log_p = logits[k] - normaliser;
            if (probabilities)
                probabilities[row + (size_t)k] = exp(log_p);
            if (dlogits)
                dlogits[row + (size_t)k] =
                    valid ? weight *
                                (exp(log_p) * slope -
                                 target(k == label, smoothing, shape.c) * focal_slope(log_p, focal)) /
                                call->step->valid
                          : 0;
        }
        if (valid) {
            metrics[METRIC_LOSS] += weight * loss;
            metrics[METRIC_CORRECT] += best == label;
            metrics[METRIC_SAMPLES] += 1;
        }
    }
    return ST_OK;
}

/* Softmax cross-entropy with label smoothing (Szegedy et al. 2016), focal and weighted by class, its gradient, and the
 * metrics; with sets of labels the binary cross-entropies of all classes. */
#include "host/device/focal.h"
#include "host/base/labels.h"
#include "host/ref/ref.h"

#include <math.h>

/* An image's row, and what is wanted of it. */
struct row {
    const double *logits;
    double *probabilities, *dlogits; /* NULL: not wanted */
    int32_t classes, label, valid;   /* valid: rows of the step; 0: this is none of them */
    double smoothing, focal;
    const float *weights;      /* NULL: all 1 */
    const uint8_t *label_sets; /* NULL: labels are classes */
};

/* What a row adds to the metrics. */
struct score {
    double loss;
    bool correct;
};

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

static struct score score_class(const struct row *row)
{
    const double *logits = row->logits;
    int32_t classes = row->classes, label = row->label, best = largest(logits, classes);
    double normaliser = log_sum(logits, classes, logits[best]), loss = 0, slope = 0;
    double weight = row->weights ? (double)row->weights[label] : 1;
    for (int32_t k = 0; k < classes; k++) {
        loss += target(k == label, row->smoothing, classes) * focal_loss(logits[k] - normaliser, row->focal);
        slope +=
            target(k == label, row->smoothing, classes) * focal_slope(logits[k] - normaliser, row->focal);
    }
    for (int32_t k = 0; k < classes; k++) {
        double log_p = logits[k] - normaliser;
        if (row->probabilities)
            row->probabilities[k] = exp(log_p);
        if (row->dlogits)
            row->dlogits[k] = row->valid
                                  ? weight *
                                        (exp(log_p) * slope - target(k == label, row->smoothing, classes) *
                                                                  focal_slope(log_p, row->focal)) /
                                        row->valid
                                  : 0;
    }
    return (struct score){weight * loss, best == label};
}

/* Each class is one of two, itself or not. */
static struct score score_set(const struct row *row)
{
    struct score score = {0, true};
    for (int32_t k = 0; k < row->classes; k++) {
        bool has = labels_have(row->label_sets, row->classes, row->label, k);
        double wanted = target(has, row->smoothing, 2), weight = row->weights ? (double)row->weights[k] : 1;
        struct focal_logs logs = focal_logs_of(row->logits[k]);
        score.loss += focal_binary_loss(logs, wanted, weight, row->focal);
        score.correct = score.correct && (row->logits[k] >= 0) == has;
        if (row->probabilities)
            row->probabilities[k] = exp(logs.chance);
        if (row->dlogits)
            row->dlogits[k] =
                row->valid ? focal_binary_slope(logs, wanted, weight, row->focal) / row->valid : 0;
    }
    return score;
}

enum status ref_run_loss(const struct op_call *call)
{
    const double *logits = ref_input(call, LOSS_IN_LOGITS), *labels = ref_input(call, LOSS_IN_LABELS);
    double *metrics = ref_output(call, LOSS_OUT_METRICS),
           *probabilities = ref_output(call, LOSS_OUT_PROBABILITIES),
           *dlogits = ref_output(call, LOSS_OUT_DLOGITS);
    const struct device_dataset *dataset = call->prepared->binding.dataset;
    const struct prog_op *op = call->op;
    struct shape shape = op_input_shape(call, LOSS_IN_LOGITS);
    for (int32_t n = 0; n < shape.n; n++) {
        size_t at = (size_t)n * (size_t)shape.c;
        bool valid = n < call->step->valid;
        struct row row = {.logits = logits + at,
                          .probabilities = probabilities ? probabilities + at : NULL,
                          .dlogits = dlogits ? dlogits + at : NULL,
                          .classes = shape.c,
                          .label = (int32_t)labels[n],
                          .valid = valid ? call->step->valid : 0,
                          .smoothing = (double)op->loss.smoothing,
                          .focal = (double)op->loss.focal,
                          .weights = op->loss.weighted ? dataset->class_weights : NULL,
                          .label_sets = op->loss.sets ? dataset->label_sets : NULL};
        struct score score = op->loss.sets ? score_set(&row) : score_class(&row);
        if (valid) {
            metrics[METRIC_LOSS] += score.loss;
            metrics[METRIC_CORRECT] += score.correct;
            metrics[METRIC_SAMPLES] += 1;
        }
    }
    return ST_OK;
}

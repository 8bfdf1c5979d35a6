/* Softmax cross-entropy with label smoothing, focal and weighted by class, its gradient and the metrics; with sets of
 * labels the binary cross-entropies of all classes. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"
#include "host/device/focal.h"
#include "host/base/labels.h"

#include <math.h>

/* What a row adds to the metrics. */
struct row_score {
    double loss, correct;
};

size_t cpu_kernel_loss_scratch(int32_t rows)
{
    return (size_t)rows * sizeof(struct row_score);
}

/* What a row is scored by: the logit of class k. */
static double logit(const struct cpu_loss *loss, int32_t row, int32_t k)
{
    return (double)cpu_value(loss->type, loss->logits, (size_t)row * (size_t)loss->padded + (size_t)k);
}

/* Where the row's go; NULL: nowhere. */
static float *probabilities_of(const struct cpu_loss *loss, int32_t row)
{
    return loss->probabilities ? loss->probabilities + (size_t)row * (size_t)loss->classes : NULL;
}

/* The same of its dlogits, zeros so far; NULL where they stay zeros as well. */
static void *begin_dlogits(const struct cpu_loss *loss, int32_t row)
{
    if (!loss->dlogits)
        return NULL;
    void *dlogits = cpu_write_to(loss->type, loss->dlogits, (size_t)row * (size_t)loss->padded);
    memset(dlogits, 0, (size_t)loss->padded * cpu_type_size(loss->type));
    return row < loss->valid ? dlogits : NULL;
}

/* The row's score; probabilities and dlogits where wanted. log p[k] = z[k] - largest - log(total). */
static struct row_score score_row(const struct cpu_loss *loss, int32_t row)
{
    const int32_t classes = loss->classes, label = loss->labels[row];
    const double smoothing = (double)loss->smoothing;
    int32_t first = 0; /* of the largest */
    for (int32_t k = 1; k < classes; k++)
        if (logit(loss, row, k) > logit(loss, row, first))
            first = k;
    const double largest = logit(loss, row, first);
    double total = 0.0, sum = 0.0;
    for (int32_t k = 0; k < classes; k++) {
        total += exp(logit(loss, row, k) - largest);
        sum += logit(loss, row, k) - largest;
    }
    const double log_total = log(total), spread = smoothing / classes;
    const double log_label = logit(loss, row, label) - largest - log_total;
    const double gamma = (double)loss->focal;
    const double weight = loss->class_weights != NULL ? (double)loss->class_weights[label] : 1.0;
    struct row_score score = {
        .loss = -(1.0 - smoothing) * log_label - spread * (sum - classes * log_total),
        .correct = first == label ? 1.0 : 0.0,
    };
    double slope = 1.0; /* of all classes together; the targets' sum is 1 */
    if (gamma > 0.0) {
        score.loss = slope = 0.0;
        for (int32_t k = 0; k < classes; k++) {
            const double log_p = logit(loss, row, k) - largest - log_total;
            const double target = spread + (k == label ? 1.0 - smoothing : 0.0);
            score.loss += target * focal_loss(log_p, gamma);
            slope += target * focal_slope(log_p, gamma);
        }
    }
    score.loss *= weight;
    float *probabilities = probabilities_of(loss, row);
    void *dlogits = begin_dlogits(loss, row);
    if (!probabilities && !dlogits)
        return score;
    for (int32_t k = 0; k < classes; k++) {
        const double p = exp(logit(loss, row, k) - largest) / total;
        if (probabilities)
            probabilities[k] = (float)p;
        if (dlogits) {
            double d = p - spread - (k == label ? 1.0 - smoothing : 0.0);
            if (gamma > 0.0)
                d = p * slope - (spread + (k == label ? 1.0 - smoothing : 0.0)) *
                                    focal_slope(logit(loss, row, k) - largest - log_total, gamma);
            cpu_set_value(loss->type, dlogits, (size_t)k, (float)(weight * d * (1.0 / loss->valid)));
        }
    }
    return score;
}

/* The same of a row whose label is a set. */
static struct row_score score_set(const struct cpu_loss *loss, int32_t row)
{
    const double smoothing = (double)loss->smoothing, gamma = (double)loss->focal;
    float *probabilities = probabilities_of(loss, row);
    void *dlogits = begin_dlogits(loss, row);
    struct row_score score = {.correct = 1.0};
    for (int32_t k = 0; k < loss->classes; k++) {
        const bool has = labels_have(loss->label_sets, loss->classes, loss->labels[row], k);
        const double target = 0.5 * smoothing + (has ? 1.0 - smoothing : 0.0);
        const double weight = loss->class_weights != NULL ? (double)loss->class_weights[k] : 1.0;
        const struct focal_logs logs = focal_logs_of(logit(loss, row, k));
        score.loss += focal_binary_loss(logs, target, weight, gamma);
        if ((logit(loss, row, k) >= 0.0) != has)
            score.correct = 0.0;
        if (probabilities)
            probabilities[k] = (float)exp(logs.chance);
        if (dlogits)
            cpu_set_value(loss->type, dlogits, (size_t)k,
                          (float)(focal_binary_slope(logs, target, weight, gamma) * (1.0 / loss->valid)));
    }
    return score;
}

void cpu_kernel_loss(const struct cpu_loss *loss)
{
    struct row_score *scores = loss->scratch;
#pragma omp parallel for schedule(static)
    for (int32_t r = 0; r < loss->rows; r++)
        scores[r] = loss->label_sets != NULL ? score_set(loss, r) : score_row(loss, r);
    for (int32_t r = 0; r < loss->valid; r++) {
        loss->metrics[METRIC_LOSS] += scores[r].loss;
        loss->metrics[METRIC_CORRECT] += scores[r].correct;
    }
    loss->metrics[METRIC_SAMPLES] += loss->valid;
}

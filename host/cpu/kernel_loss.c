/* Softmax cross-entropy with label smoothing, its gradient and the metrics. */
#include "host/cpu/kernels.h"

#include <math.h>
#include <string.h>

/* What a row adds to the metrics. */
struct row_score {
    double loss, correct;
};

size_t cpu_kernel_loss_scratch(int32_t rows)
{
    return (size_t)rows * sizeof(struct row_score);
}

/* The row's score; probabilities and dlogits (times `share`) where wanted. log p[k] = z[k] - largest -
 * log(total). */
static struct row_score score_row(int32_t classes, int32_t label, float smoothing, double share,
                                  const float *z, float *probabilities, float *dlogits)
{
    int32_t first = 0; /* of the largest */
    for (int32_t k = 1; k < classes; k++)
        if (z[k] > z[first])
            first = k;
    const double largest = (double)z[first];
    double total = 0.0, sum = 0.0;
    for (int32_t k = 0; k < classes; k++) {
        total += exp((double)z[k] - largest);
        sum += (double)z[k] - largest;
    }
    const double log_total = log(total), spread = (double)smoothing / classes;
    const double log_label = (double)z[label] - largest - log_total;
    struct row_score score = {
        .loss = -(1.0 - (double)smoothing) * log_label - spread * (sum - classes * log_total),
        .correct = first == label ? 1.0 : 0.0,
    };
    if (!probabilities && !dlogits)
        return score;
    for (int32_t k = 0; k < classes; k++) {
        const double p = exp((double)z[k] - largest) / total;
        if (probabilities)
            probabilities[k] = (float)p;
        if (dlogits)
            dlogits[k] = (float)((p - spread - (k == label ? 1.0 - (double)smoothing : 0.0)) * share);
    }
    return score;
}

void cpu_kernel_loss(const struct cpu_loss *loss)
{
    struct row_score *scores = loss->scratch;
    const size_t classes = (size_t)loss->classes, padded = (size_t)loss->padded;
#pragma omp parallel for schedule(static)
    for (int32_t r = 0; r < loss->rows; r++) {
        float *gradient = loss->dlogits ? loss->dlogits + (size_t)r * padded : NULL;
        if (gradient)
            memset(gradient, 0, padded * sizeof *gradient);
        scores[r] = score_row(loss->classes, loss->labels[r], loss->smoothing, 1.0 / loss->valid,
                              loss->logits + (size_t)r * padded,
                              loss->probabilities ? loss->probabilities + (size_t)r * classes : NULL,
                              r < loss->valid ? gradient : NULL);
    }
    for (int32_t r = 0; r < loss->valid; r++) {
        loss->metrics[METRIC_LOSS] += scores[r].loss;
        loss->metrics[METRIC_CORRECT] += scores[r].correct;
    }
    loss->metrics[METRIC_SAMPLES] += loss->valid;
}

#include "host/report/metrics.h"

#include <stdlib.h>

static double ratio(double part, double whole)
{
    return whole == 0 ? 0 : part / whole;
}

/* Adds `share` of one class to a mean. */
static void add_share(struct class_metrics *mean, const struct class_metrics *of_class, double share)
{
    mean->precision += share * of_class->precision;
    mean->recall += share * of_class->recall;
    mean->f1 += share * of_class->f1;
}

static void divide(struct class_metrics *sum, double by)
{
    sum->precision = ratio(sum->precision, by);
    sum->recall = ratio(sum->recall, by);
    sum->f1 = ratio(sum->f1, by);
}

enum status metrics_from_confusion(struct metrics *metrics, int32_t classes, const int64_t *counts,
                                   struct error *err)
{
    size_t n = (size_t)classes, occurring = 0;

    *metrics = (struct metrics){.classes = classes, .of_class = calloc(n, sizeof(*metrics->of_class))};
    if (metrics->of_class == NULL)
        return error_memory(err, "metrics", n * sizeof(*metrics->of_class));
    for (size_t k = 0; k < n; k++) {
        int64_t predicted = 0, support = 0, correct = counts[k * n + k];
        for (size_t other = 0; other < n; other++) {
            support += counts[k * n + other];
            predicted += counts[other * n + k];
        }
        struct class_metrics *m = &metrics->of_class[k];
        *m = (struct class_metrics){.precision = ratio((double)correct, (double)predicted),
                                    .recall = ratio((double)correct, (double)support),
                                    .f1 = ratio(2.0 * (double)correct, (double)(support + predicted)),
                                    .support = support};
        metrics->correct += correct;
        metrics->samples += support;
        /* As scikit-learn: over the labels that occur in the images or in the answers. */
        occurring += support + predicted > 0;
        add_share(&metrics->macro, m, 1);
        add_share(&metrics->weighted, m, (double)support);
    }
    divide(&metrics->macro, (double)occurring);
    divide(&metrics->weighted, (double)metrics->samples);
    metrics->macro.support = metrics->weighted.support = metrics->samples;
    metrics->accuracy = ratio((double)metrics->correct, (double)metrics->samples);
    return ST_OK;
}

void metrics_free(struct metrics *metrics)
{
    free(metrics->of_class);
    *metrics = (struct metrics){0};
}

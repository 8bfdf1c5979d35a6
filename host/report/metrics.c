#include "host/report/metrics.h"

#include <stdlib.h>
#include <string.h>

static double ratio(double part, double whole)
{
    return whole == 0 ? 0 : part / whole;
}

/* Of what is answered as the class `found` is right. */
static struct class_metrics metrics_of(int64_t found, int64_t answered, int64_t support)
{
    return (struct class_metrics){.precision = ratio((double)found, (double)answered),
                                  .recall = ratio((double)found, (double)support),
                                  .f1 = ratio(2.0 * (double)found, (double)(support + answered)),
                                  .support = support};
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
        *m = metrics_of(correct, predicted, support);
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

/* ---- several labels ---- */

void label_results_count(const struct answered *answered, const double *thresholds,
                         struct label_results *results)
{
    const int32_t classes = answered->classes;
    memset(results->counts, 0, (size_t)classes * LABELS_COUNTS * sizeof(*results->counts));
    results->exact = 0;
    results->by_image = (struct class_metrics){0};
    for (int32_t row = 0; row < answered->rows; row++) {
        const float *answer = answered->probabilities + (size_t)row * (size_t)classes;
        int64_t found = 0, given = 0, support = 0;
        for (int32_t k = 0; k < classes; k++) {
            const bool has = labels_have(answered->label_sets, classes, answered->labels[row], k),
                       gives = (double)answer[k] >= thresholds[k];
            results->counts[(size_t)k * LABELS_COUNTS + (has ? LABELS_FALSE_NEGATIVE : LABELS_TRUE_NEGATIVE) +
                            gives]++;
            found += has && gives;
            given += gives;
            support += has;
        }
        const struct class_metrics image = metrics_of(found, given, support);
        results->exact += found == given && found == support;
        add_share(&results->by_image, &image, 1);
    }
    divide(&results->by_image, answered->rows);
}

/* Of one class's counts. */
static struct class_metrics metrics_of_label(const int64_t *counts)
{
    return metrics_of(counts[LABELS_TRUE_POSITIVE],
                      counts[LABELS_TRUE_POSITIVE] + counts[LABELS_FALSE_POSITIVE],
                      counts[LABELS_TRUE_POSITIVE] + counts[LABELS_FALSE_NEGATIVE]);
}

/* Of all classes; *sum becomes their counts together. */
static struct label_metrics label_metrics_of(int32_t classes, const int64_t *counts,
                                             int64_t sum[LABELS_COUNTS])
{
    struct label_metrics found = {0};
    memset(sum, 0, LABELS_COUNTS * sizeof(*sum));
    for (int32_t k = 0; k < classes; k++) {
        for (int i = 0; i < LABELS_COUNTS; i++)
            sum[i] += counts[(size_t)k * LABELS_COUNTS + (size_t)i];
        found.macro_f1 += metrics_of_label(counts + (size_t)k * LABELS_COUNTS).f1 / classes;
    }
    const double wrong = (double)(sum[LABELS_FALSE_POSITIVE] + sum[LABELS_FALSE_NEGATIVE]),
                 right = (double)(sum[LABELS_TRUE_POSITIVE] + sum[LABELS_TRUE_NEGATIVE]);
    found.hamming = ratio(wrong, wrong + right);
    found.micro_f1 = metrics_of_label(sum).f1;
    return found;
}

enum status metrics_from_labels(struct metrics *metrics, int32_t classes, const struct label_results *results,
                                const int64_t *counts_at_half, int64_t correct, struct error *err)
{
    const size_t n = (size_t)classes;
    int64_t sum[LABELS_COUNTS];
    *metrics = (struct metrics){.classes = classes, .of_class = calloc(n, sizeof(*metrics->of_class))};
    if (metrics->of_class == NULL)
        return error_memory(err, "metrics", n * sizeof(*metrics->of_class));
    metrics->labels_at_half = label_metrics_of(classes, counts_at_half, sum);
    metrics->labels = label_metrics_of(classes, results->counts, sum);
    metrics->micro = metrics_of_label(sum);
    for (size_t k = 0; k < n; k++) {
        struct class_metrics *m = &metrics->of_class[k];
        *m = metrics_of_label(results->counts + k * LABELS_COUNTS);
        add_share(&metrics->macro, m, 1);
        add_share(&metrics->weighted, m, (double)m->support);
    }
    divide(&metrics->macro, classes);
    divide(&metrics->weighted, (double)metrics->micro.support);
    metrics->by_image = results->by_image;
    metrics->macro.support = metrics->weighted.support = metrics->by_image.support = metrics->micro.support;
    metrics->samples = (sum[0] + sum[1] + sum[2] + sum[3]) / classes;
    metrics->correct = correct;
    metrics->exact = results->exact;
    metrics->accuracy = ratio((double)metrics->correct, (double)metrics->samples);
    return ST_OK;
}

void metrics_free(struct metrics *metrics)
{
    free(metrics->of_class);
    *metrics = (struct metrics){0};
}

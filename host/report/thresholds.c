#include "host/report/thresholds.h"

#include <math.h>
#include <stdlib.h>

/* ---- of a precision ---- */

/* An answer to a validation image. */
struct given {
    int32_t class;
    float probability;
    bool right;
};

/* By class, in each the surest first. */
static int compare_given(const void *a, const void *b)
{
    const struct given *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    return x->probability > y->probability ? -1 : x->probability < y->probability;
}

/* Whether the row is one by which thresholds are found. */
static bool is_wanted(const struct predicted_image *row, int32_t views)
{
    return row->validation && !row->trained && row->views == views;
}

/* How many answers there are, at most. */
static size_t answers_of(const struct predictions *predictions, int32_t views)
{
    size_t images = 0;
    for (int32_t i = 0; i < predictions->count; i++)
        images += is_wanted(&predictions->rows[i], views);
    return predictions->label_sets != NULL ? images * (size_t)predictions->classes : images;
}

static size_t collect(const struct predictions *predictions, int32_t views, struct given *all)
{
    size_t count = 0;
    for (int32_t i = 0; i < predictions->count; i++) {
        const struct predicted_image *row = &predictions->rows[i];
        const float *probabilities = predictions->probabilities + (size_t)i * (size_t)predictions->classes;
        if (!is_wanted(row, views))
            continue;
        if (predictions->label_sets == NULL)
            all[count++] = (struct given){.class = row->predicted,
                                          .probability = probabilities[row->predicted],
                                          .right = row->predicted == row->truth};
        else
            for (int32_t k = 0; k < predictions->classes; k++)
                all[count++] = (struct given){
                    .class = k,
                    .probability = probabilities[k],
                    .right = labels_have(predictions->label_sets, predictions->classes, row->truth, k)};
    }
    return count;
}

enum status thresholds_fit(const struct predictions *predictions, int32_t views, double precision,
                           double *thresholds, struct error *err)
{
    const size_t most = answers_of(predictions, views) + 1;
    struct given *all = malloc(most * sizeof(*all));
    if (all == NULL)
        return error_memory(err, "answers", most * sizeof(*all));
    const size_t count = collect(predictions, views, all);
    qsort(all, count, sizeof(*all), compare_given);
    for (int32_t k = 0; k < predictions->classes; k++)
        thresholds[k] = INFINITY;
    int64_t right = 0, answered = 0;
    for (size_t i = 0; i < count; i++) {
        const struct given *at = &all[i];
        const bool first = i == 0 || at[-1].class != at->class;
        right = (first ? 0 : right) + at->right;
        answered = (first ? 0 : answered) + 1;
        /* answers that are equally sure stand and fall together */
        const bool last = i + 1 == count || at[1].class != at->class || at[1].probability < at->probability;
        if (last && (double)right / (double)answered >= precision)
            thresholds[at->class] = (double)at->probability;
    }
    free(all);
    return count > 0 ? ST_OK
                     : error_set(err, ST_RANGE,
                                 "found no answers in %d views to validation images that were not trained on",
                                 (int)views);
}

/* ---- of labels ---- */

/* Whether one threshold is nearer to the usual one than another. */
static bool is_nearer(double threshold, double than)
{
    return fabs(threshold - (double)LABELS_THRESHOLD) < fabs(than - (double)LABELS_THRESHOLD);
}

/* Of images in falling order of their probability, `all` of which, more than none, have the label. F1 is twice what is
 * found over what is given and what there is: two of them are compared without a division. */
static double best_f1(const struct ranked *images, int32_t count, int64_t all)
{
    int64_t found = 0, most_found = 0, most_whole = 1;
    double best = (double)LABELS_THRESHOLD;
    for (int32_t i = 0; i < count; i++) {
        const double probability = (double)images[i].probability,
                     next = i + 1 < count ? (double)images[i + 1].probability : 0.0;
        found += images[i].is_one;
        if (next == probability) /* these are given together, or can't be told from what is never given */
            continue;
        const int64_t whole = i + 1 + all, gain = found * most_whole - most_found * whole;
        const double threshold = (probability + next) / 2.0;
        if (gain > 0 || (gain == 0 && found > 0 && is_nearer(threshold, best))) {
            most_found = found;
            most_whole = whole;
            best = threshold;
        }
    }
    return best;
}

enum status thresholds_of_labels(const struct answered *answered, double *thresholds, int32_t *images,
                                 struct error *err)
{
    const size_t classes = (size_t)answered->classes;
    struct ranked *ranked = malloc(((size_t)answered->rows + 1) * sizeof(*ranked));
    if (ranked == NULL)
        return error_memory(err, "thresholds", (size_t)answered->rows * sizeof(*ranked));
    for (int32_t k = 0; k < answered->classes; k++) {
        images[k] = 0;
        for (int32_t row = 0; row < answered->rows; row++) {
            ranked[row] = (struct ranked){
                answered->probabilities[(size_t)row * classes + (size_t)k],
                labels_have(answered->label_sets, answered->classes, answered->labels[row], k)};
            images[k] += ranked[row].is_one;
        }
        ranked_sort(ranked, answered->rows);
        thresholds[k] = images[k] > 0 ? best_f1(ranked, answered->rows, images[k]) : (double)LABELS_THRESHOLD;
    }
    free(ranked);
    return ST_OK;
}

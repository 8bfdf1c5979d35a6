#include "host/report/thresholds.h"

#include <math.h>
#include <stdlib.h>

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

static int32_t collect(const struct predictions *predictions, int32_t views, struct given *all)
{
    int32_t count = 0;
    for (int32_t i = 0; i < predictions->count; i++) {
        const struct predicted_image *row = &predictions->rows[i];
        const float *probabilities = predictions->probabilities + (size_t)i * (size_t)predictions->classes;
        if (row->validation && !row->trained && row->views == views)
            all[count++] = (struct given){.class = row->predicted,
                                          .probability = probabilities[row->predicted],
                                          .right = row->predicted == row->truth};
    }
    return count;
}

enum status thresholds_fit(const struct predictions *predictions, int32_t views, double precision,
                           double *thresholds, struct error *err)
{
    const size_t most = (size_t)predictions->count + 1;
    struct given *all = malloc(most * sizeof(*all));
    if (all == NULL)
        return error_memory(err, "answers", most * sizeof(*all));
    const int32_t count = collect(predictions, views, all);
    qsort(all, (size_t)count, sizeof(*all), compare_given);
    for (int32_t k = 0; k < predictions->classes; k++)
        thresholds[k] = INFINITY;
    int64_t right = 0, answered = 0;
    for (int32_t i = 0; i < count; i++) {
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

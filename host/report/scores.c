#include "host/report/scores.h"

#include "host/report/verdict.h"

#include <math.h>
#include <stdlib.h>

/* ---- of all classes together ---- */

void scores_count(struct scores_bin bins[SCORES_BINS], double probability, bool right)
{
    const int number = (int)ceil(probability * SCORES_BINS) - 1; /* an upper end belongs to its bin */
    struct scores_bin *bin = &bins[number < 0 ? 0 : number < SCORES_BINS ? number : SCORES_BINS - 1];
    bin->images++;
    bin->right += right;
    bin->probability += probability;
}

double scores_calibration_error(const struct scores_bin bins[SCORES_BINS])
{
    double sum = 0.0;
    int64_t images = 0;
    for (int i = 0; i < SCORES_BINS; i++) {
        sum += fabs((double)bins[i].right - bins[i].probability);
        images += bins[i].images;
    }
    return images > 0 ? sum / (double)images : NAN;
}

/* How many classes come before the label, of equals the first. */
static int32_t place_of(const float *answer, int32_t classes, int32_t label)
{
    int32_t place = 0;
    for (int32_t k = 0; k < classes; k++)
        place += answer[k] > answer[label] || (answer[k] == answer[label] && k < label);
    return place;
}

/* Of an image with several labels: a place in the bins for each class. */
static void count_labels(const struct answered *answered, int32_t row, struct scores_bin bins[SCORES_BINS])
{
    const int32_t classes = answered->classes;
    const float *answer = answered->probabilities + (size_t)row * (size_t)classes;
    for (int32_t k = 0; k < classes; k++)
        scores_count(bins, (double)answer[k],
                     labels_have(answered->label_sets, classes, answered->labels[row], k));
}

struct scores scores_of(const struct answered *answered)
{
    struct scores_bin bins[SCORES_BINS] = {{0}};
    const int32_t rows = answered->rows, classes = answered->classes;
    const bool several = answered->label_sets != NULL;
    double loss = 0.0;
    int32_t top = 0;
    if (rows == 0)
        return (struct scores){NAN, NAN, NAN};
    for (int32_t row = 0; row < rows; row++) {
        const float *answer = answered->probabilities + (size_t)row * (size_t)classes;
        const int32_t label = answered->labels[row], best = labels_class(answer, classes);
        loss += labels_loss(answered->label_sets, classes, label, answer);
        if (several) {
            count_labels(answered, row, bins);
            continue;
        }
        scores_count(bins, (double)answer[best], best == label);
        top += place_of(answer, classes, label) < SCORES_TOP;
    }
    return (struct scores){.loss = loss / rows,
                           .calibration_error = scores_calibration_error(bins),
                           .top = classes > SCORES_TOP && !several ? (double)top / rows : NAN};
}

/* ---- of each class ---- */

static int compare_ranked(const void *a, const void *b)
{
    const float x = ((const struct ranked *)a)->probability, y = ((const struct ranked *)b)->probability;
    return x > y ? -1 : x < y;
}

void ranked_sort(struct ranked *images, int32_t count)
{
    qsort(images, (size_t)count, sizeof(*images), compare_ranked);
}

/* Of images in falling order of their probability, `all` of which are of the class. Those with the same probability
 * are one threshold. */
static struct ranking rank(const struct ranked *images, int32_t count, int32_t all)
{
    const double others = (double)(count - all);
    double found = 0.0, false_ones = 0.0;
    struct ranking ranking = {0};
    for (int32_t from = 0, to = 0; from < count; from = to) {
        double of_class = 0.0;
        for (; to < count && images[to].probability == images[from].probability; to++)
            of_class += images[to].is_one;
        const double of_others = (double)(to - from) - of_class;
        ranking.roc_auc += of_others * (found + 0.5 * of_class) / (all * others);
        found += of_class;
        false_ones += of_others;
        ranking.average_precision += of_class / all * (found / (found + false_ones));
    }
    return ranking;
}

static void add(struct ranking *mean, const struct ranking *of_class, double weight)
{
    mean->roc_auc += weight * of_class->roc_auc;
    mean->average_precision += weight * of_class->average_precision;
}

static void divide(struct ranking *sum, double by)
{
    sum->roc_auc = by > 0.0 ? sum->roc_auc / by : NAN;
    sum->average_precision = by > 0.0 ? sum->average_precision / by : NAN;
}

enum status rankings_make(struct rankings *rankings, const struct answered *answered, struct error *err)
{
    const int32_t rows = answered->rows, classes = answered->classes;
    struct ranked *images = malloc(((size_t)rows + 1) * sizeof(*images));
    double known = 0.0, weights = 0.0;
    *rankings = (struct rankings){.of_class = calloc((size_t)classes, sizeof(*rankings->of_class))};
    if (images == NULL || rankings->of_class == NULL) {
        free(images);
        rankings_free(rankings);
        return error_memory(err, "rankings", (size_t)rows * sizeof(*images));
    }
    for (int32_t k = 0; k < classes; k++) {
        struct ranking *ranking = &rankings->of_class[k];
        int32_t all = 0;
        for (int32_t row = 0; row < rows; row++) {
            images[row] =
                (struct ranked){answered->probabilities[(size_t)row * (size_t)classes + (size_t)k],
                                labels_have(answered->label_sets, classes, answered->labels[row], k)};
            all += images[row].is_one;
        }
        if (all == 0 || all == rows) {
            *ranking = (struct ranking){NAN, NAN};
            continue;
        }
        ranked_sort(images, rows);
        *ranking = rank(images, rows, all);
        known += 1.0;
        weights += all;
        add(&rankings->macro, ranking, 1.0);
        add(&rankings->weighted, ranking, all);
    }
    divide(&rankings->macro, known);
    divide(&rankings->weighted, weights);
    free(images);
    return ST_OK;
}

void rankings_free(struct rankings *rankings)
{
    free(rankings->of_class);
    *rankings = (struct rankings){0};
}

/* ---- intervals ---- */

void scores_interval(int64_t right, int64_t all, double *low, double *high)
{
    const double n = (double)all, z = VERDICT_WITHIN;
    *low = 0.0;
    *high = 1.0;
    if (all <= 0)
        return;
    const double share = (double)right / n;
    const double centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    const double half = z / (1.0 + z * z / n) * sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n));
    *low = fmax(centre - half, *low);
    *high = fmin(centre + half, *high);
}

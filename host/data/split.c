/* Which images are for training, validation and test. Splits that the files give stand as they are; missing
 * ones are held out of the training images, class by class, at random but repeatably. */
#include "host/base/random.h"
#include "host/data/data_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The training images sorted by class: those of class c are pool[start[c]] to pool[start[c + 1] - 1]. */
struct weight_cache {
    int32_t *images;
    int32_t *start;             /* classes + 1 */
    int32_t *held[SPLIT_COUNT]; /* of each class, how many are held out; none for training */
    int32_t total[SPLIT_COUNT]; /* over all classes */
};

struct fraction { /* what rounding down left over, for one class */
    double rest;
    int32_t class;
};

static int compare_fractions(const void *a, const void *b)
{
    const struct fraction *x = a, *y = b;
    if (x->rest != y->rest)
        return x->rest > y->rest ? -1 : 1;
    return x->class < y->class ? -1 : x->class > y->class;
}

struct slot { /* a training image and where in [0, 1) of the training list it belongs */
    double place;
    int32_t image;
};

static int compare_slots(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

static int compare_images(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts the training images by class and shuffles each class. */
static enum status fill_pool(struct weight_cache *pool, int64_t seed, const struct data_build *build,
                             struct error *err)
{
    const struct dataset *set = &build->set;
    size_t classes = (size_t)set->classes;
    pool->images = malloc(((size_t)set->count + 1) * sizeof(*pool->images));
    pool->start = calloc(classes + 2, sizeof(*pool->start));
    pool->held[SPLIT_VALIDATION] = calloc(classes + 1, sizeof(int32_t));
    pool->held[SPLIT_TEST] = calloc(classes + 1, sizeof(int32_t));
    if (pool->images == NULL || pool->start == NULL || pool->held[SPLIT_VALIDATION] == NULL ||
        pool->held[SPLIT_TEST] == NULL)
        return error_memory(err, "splits", (unsigned long long)set->count * sizeof(*pool->images));
    /* Counting sort: start[c + 2] counts, start[c + 1] runs, and ends where class c + 1 starts. */
    for (int32_t i = 0; i < set->count; i++)
        if (build->given[i] == SPLIT_TRAIN)
            pool->start[set->labels[i] + 2]++;
    for (size_t c = 2; c < classes + 2; c++)
        pool->start[c] += pool->start[c - 1];
    for (int32_t i = 0; i < set->count; i++)
        if (build->given[i] == SPLIT_TRAIN)
            pool->images[pool->start[set->labels[i] + 1]++] = i;
    for (int32_t c = 0; c < set->classes; c++) {
        struct random_sequence sequence = {
            .seed = (uint64_t)seed, .stream = RANDOM_SPLIT, .part = (uint32_t)c};
        int32_t *images = pool->images + pool->start[c];
        for (int32_t left = pool->start[c + 1] - pool->start[c]; left > 1; left--) {
            int32_t at = (int32_t)random_next_below(&sequence, (uint32_t)left);
            int32_t last = images[left - 1];
            images[left - 1] = images[at];
            images[at] = last;
        }
    }
    return ST_OK;
}

/* Decides how many images of each class `split` takes: `share` of what is left in the pool, in whole numbers
 * whose sum is right too (largest remainders), and never the last image of a class. */
static enum status hold_out(struct weight_cache *pool, enum data_split split, double share, int32_t classes,
                            struct error *err)
{
    int32_t total = 0, given = 0;
    struct fraction *fractions = malloc((size_t)classes * sizeof(*fractions));
    if (fractions == NULL)
        return error_memory(err, "splits", (unsigned long long)classes * sizeof(*fractions));
    for (int32_t c = 0; c < classes; c++) {
        int32_t left = pool->start[c + 1] - pool->start[c] - pool->held[SPLIT_TEST][c];
        int32_t whole = (int32_t)floor(share * left);
        total += left;
        pool->held[split][c] = whole;
        given += whole;
        /* A class with one image left over has none to give. */
        fractions[c] = (struct fraction){.rest = left - whole > 1 ? share * left - whole : -1, .class = c};
    }
    int32_t wanted = (int32_t)(share * total + 0.5);
    if (wanted == 0 && share > 0)
        wanted = 1;
    qsort(fractions, (size_t)classes, sizeof(*fractions), compare_fractions);
    for (int32_t i = 0; i < classes && given < wanted && fractions[i].rest >= 0; i++) {
        pool->held[split][fractions[i].class]++;
        given++;
    }
    pool->total[split] = given;
    free(fractions);
    return ST_OK;
}

/* The list of one split other than training, in the order of the files. */
static enum status list_split(const struct data_build *build, const struct weight_cache *pool,
                              enum data_split split, struct dataset *set, struct error *err)
{
    int32_t count = 0;
    int32_t *samples = malloc(((size_t)set->count + 1) * sizeof(*samples));
    if (samples == NULL)
        return error_memory(err, "splits", (unsigned long long)set->count * sizeof(*samples));
    for (int32_t i = 0; i < set->count; i++)
        if (build->given[i] == split)
            samples[count++] = i;
    for (int32_t c = 0; c < set->classes && pool->total[split] > 0; c++) {
        int32_t from = pool->start[c] + (split == SPLIT_VALIDATION ? pool->held[SPLIT_TEST][c] : 0);
        for (int32_t i = 0; i < pool->held[split][c]; i++)
            samples[count++] = pool->images[from + i];
    }
    if (pool->total[split] > 0)
        qsort(samples, (size_t)count, sizeof(*samples), compare_images);
    set->samples[split] = samples;
    set->sample_count[split] = count;
    return ST_OK;
}

/* The training list. Image k of the n of its class is placed at random inside [k / n, (k + 1) / n), so that
 * each prefix holds every class's share but for one image, and neighbours are in no fixed order. */
static enum status list_training(const struct weight_cache *pool, int64_t seed, struct dataset *set,
                                 struct error *err)
{
    int32_t count = 0;
    struct slot *slots = malloc(((size_t)set->count + 1) * sizeof(*slots));
    int32_t *samples = malloc(((size_t)set->count + 1) * sizeof(*samples));
    if (slots == NULL || samples == NULL) {
        free(slots);
        free(samples);
        return error_memory(err, "splits", (unsigned long long)set->count * sizeof(*slots));
    }
    for (int32_t c = 0; c < set->classes; c++) {
        int32_t held = pool->held[SPLIT_TEST][c] + pool->held[SPLIT_VALIDATION][c];
        int32_t from = pool->start[c] + held, n = pool->start[c + 1] - from;
        /* The parts above 2^31 belong to the order inside classes, those below to the choice of images. */
        struct random_sequence sequence = {
            .seed = (uint64_t)seed, .stream = RANDOM_SPLIT, .part = (uint32_t)c | 0x80000000u};
        for (int32_t k = 0; k < n; k++)
            slots[count++] = (struct slot){.place = (k + (double)random_next_unit(&sequence)) / n,
                                           .image = pool->images[from + k]};
    }
    qsort(slots, (size_t)count, sizeof(*slots), compare_slots);
    for (int32_t i = 0; i < count; i++)
        samples[i] = slots[i].image;
    free(slots);
    set->samples[SPLIT_TRAIN] = samples;
    set->sample_count[SPLIT_TRAIN] = count;
    return ST_OK;
}

/* At least two classes, and none that can't be learned. */
static enum status check_classes(const struct data_build *build, const struct weight_cache *pool,
                                 struct error *err)
{
    const struct dataset *set = &build->set;
    int32_t present = 0, last = 0;
    for (int32_t c = 0; c < set->classes; c++) {
        if (pool->start[c + 1] == pool->start[c])
            continue;
        present++;
        last = c;
    }
    if (present == 0)
        return error_set(err, ST_FORMAT, "%s: no training images, expected some of each class",
                         build->source);
    if (present == 1 && (build->numbered || set->classes == 1))
        return error_set(err, ST_FORMAT, "%s: one class only (\"%s\"), expected at least 2", build->source,
                         set->class_names[last]);
    for (int32_t i = 0; i < set->count; i++) {
        int32_t c = set->labels[i];
        if (pool->start[c + 1] == pool->start[c])
            return error_set(err, ST_FORMAT,
                             "%s: class \"%s\" has no training images but some for validation or test",
                             build->source, set->class_names[c]);
    }
    for (int32_t c = 0; c < set->classes && !build->numbered; c++)
        if (pool->start[c + 1] == pool->start[c])
            return error_set(err, ST_FORMAT, "%s: class \"%s\" has no images left, all were left out",
                             build->source, set->class_names[c]);
    return ST_OK;
}

enum status data_split(const struct job_dataset *job, int64_t seed, struct data_build *build,
                       struct error *err)
{
    struct weight_cache pool = {0};
    struct dataset *set = &build->set;
    bool is_given[SPLIT_COUNT] = {false};

    for (int32_t i = 0; i < set->count; i++)
        is_given[build->given[i]] = true;
    enum status st = fill_pool(&pool, seed, build, err);
    if (st == ST_OK)
        st = check_classes(build, &pool, err);
    if (st == ST_OK && !is_given[SPLIT_TEST])
        st = hold_out(&pool, SPLIT_TEST, job->test, set->classes, err);
    if (st == ST_OK && !is_given[SPLIT_VALIDATION])
        st = hold_out(&pool, SPLIT_VALIDATION, job->validation, set->classes, err);
    if (st == ST_OK)
        st = list_split(build, &pool, SPLIT_TEST, set, err);
    if (st == ST_OK)
        st = list_split(build, &pool, SPLIT_VALIDATION, set, err);
    if (st == ST_OK)
        st = list_training(&pool, seed, set, err);
    free(pool.images);
    free(pool.start);
    free(pool.held[SPLIT_VALIDATION]);
    free(pool.held[SPLIT_TEST]);
    return st;
}

/* Which images are for training, validation and test. Splits that the files give stand as they are; missing
 * ones are held out of the training images, class by class, at random but repeatably. An image with several labels
 * counts for the rarest of them, so that rare labels are divided as evenly as classes are; images without any are
 * like one class more. Within a class, sets of labels are divided evenly too. */
#include "host/base/labels.h"
#include "host/base/random.h"
#include "host/data/data_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The training images sorted by class: those of class c are images[start[c]] to images[start[c + 1] - 1]. */
struct class_images {
    int32_t classes;
    int32_t *of_label; /* of each set the class that its images count for; NULL: labels are classes */
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

struct spread { /* a training image and where it belongs among others, for the training list in [0, 1) */
    double position;
    int32_t image;
};

static int compare_spread(const void *a, const void *b)
{
    const struct spread *x = a, *y = b;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

static int compare_images(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* The class that the image counts for. */
static int32_t class_of(const struct class_images *by_class, const struct dataset *set, int32_t image)
{
    const int32_t label = set->labels[image];
    return by_class->of_label != NULL ? by_class->of_label[label] : label;
}

/* Of each class the images that the files give for training: [set->classes]; NULL when out of memory. */
static int32_t *count_trained(const struct data_build *build, struct error *err)
{
    const struct dataset *set = &build->set;
    int32_t *of_label = calloc((size_t)data_label_count(set) + 1, sizeof(*of_label));
    if (of_label == NULL) {
        error_memory(err, "splits", (unsigned long long)data_label_count(set) * sizeof(*of_label));
        return NULL;
    }
    for (int32_t i = 0; i < set->count; i++)
        of_label[set->labels[i]] += build->given[i] == SPLIT_TRAIN;
    int32_t *counts = data_classes_of_labels(set, of_label, err);
    free(of_label);
    return counts;
}

static enum status choose_rarest(struct class_images *by_class, const struct dataset *set,
                                 const int32_t *trained, struct error *err)
{
    by_class->classes = set->classes;
    if (set->label_sets == NULL)
        return ST_OK;
    by_class->classes++;
    by_class->of_label = malloc(((size_t)set->label_set_count + 1) * sizeof(*by_class->of_label));
    if (by_class->of_label == NULL)
        return error_memory(err, "splits", (unsigned long long)set->label_set_count * sizeof(int32_t));
    for (int32_t label = 0; label < set->label_set_count; label++) {
        int32_t rarest = set->classes;
        for (int32_t c = 0; c < set->classes; c++)
            if (labels_have(set->label_sets, set->classes, label, c) &&
                (rarest == set->classes || trained[c] < trained[rarest]))
                rarest = c;
        by_class->of_label[label] = rarest;
    }
    return ST_OK;
}

static void shuffle(int32_t *images, int32_t count, struct random_sequence *sequence)
{
    for (int32_t left = count; left > 1; left--) {
        int32_t at = (int32_t)random_next_below(sequence, (uint32_t)left);
        int32_t last = images[left - 1];
        images[left - 1] = images[at];
        images[at] = last;
    }
}

/* Brings shuffled images into an order in which each stretch has about its share of each set: they are sorted by set,
 * and taken in the order of the golden ratio's multiples modulo 1, which lie evenly wherever one begins and ends. Sets
 * that are alike have numbers close together, so that those that occur once are divided evenly, too. */
static enum status spread_sets(int32_t *images, int32_t count, const struct dataset *set,
                               struct random_sequence *sequence, struct error *err)
{
    static const double golden = 0.6180339887498949;
    const double offset = (double)random_next_unit(sequence);
    struct spread *spread = malloc(((size_t)count + 1) * sizeof(*spread));
    if (spread == NULL)
        return error_memory(err, "splits", (unsigned long long)count * sizeof(*spread));
    for (int32_t i = 0; i < count; i++)
        spread[i] =
            (struct spread){.position = (double)set->labels[images[i]] * count + i, .image = images[i]};
    qsort(spread, (size_t)count, sizeof(*spread), compare_spread);
    for (int32_t i = 0; i < count; i++)
        spread[i].position = fmod(offset + golden * i, 1.0);
    qsort(spread, (size_t)count, sizeof(*spread), compare_spread);
    for (int32_t i = 0; i < count; i++)
        images[i] = spread[i].image;
    free(spread);
    return ST_OK;
}

/* Sorts the training images by class and shuffles each class. */
static enum status fill_classes(struct class_images *by_class, int64_t seed, const struct data_build *build,
                                struct error *err)
{
    const struct dataset *set = &build->set;
    const size_t classes = (size_t)by_class->classes;
    by_class->images = malloc(((size_t)set->count + 1) * sizeof(*by_class->images));
    by_class->start = calloc(classes + 2, sizeof(*by_class->start));
    by_class->held[SPLIT_VALIDATION] = calloc(classes + 1, sizeof(int32_t));
    by_class->held[SPLIT_TEST] = calloc(classes + 1, sizeof(int32_t));
    if (by_class->images == NULL || by_class->start == NULL || by_class->held[SPLIT_VALIDATION] == NULL ||
        by_class->held[SPLIT_TEST] == NULL)
        return error_memory(err, "splits", (unsigned long long)set->count * sizeof(*by_class->images));
    /* Counting sort: start[c + 2] counts, start[c + 1] runs, and ends where class c + 1 starts. */
    for (int32_t i = 0; i < set->count; i++)
        if (build->given[i] == SPLIT_TRAIN)
            by_class->start[class_of(by_class, set, i) + 2]++;
    for (size_t c = 2; c < classes + 2; c++)
        by_class->start[c] += by_class->start[c - 1];
    for (int32_t i = 0; i < set->count; i++)
        if (build->given[i] == SPLIT_TRAIN)
            by_class->images[by_class->start[class_of(by_class, set, i) + 1]++] = i;
    for (int32_t c = 0; c < by_class->classes; c++) {
        struct random_sequence sequence = {
            .seed = (uint64_t)seed, .stream = RANDOM_SPLIT, .part = (uint32_t)c};
        int32_t *images = by_class->images + by_class->start[c];
        const int32_t count = by_class->start[c + 1] - by_class->start[c];
        shuffle(images, count, &sequence);
        if (by_class->of_label != NULL && spread_sets(images, count, set, &sequence, err) != ST_OK)
            return err->status;
    }
    return ST_OK;
}

/* Decides how many images of each class `split` takes: `share` of what is left of the class, in whole numbers
 * whose sum is right too (largest remainders), and never the last image of a class. */
static enum status hold_out(struct class_images *by_class, enum data_split split, double share,
                            const struct data_build *build, struct error *err)
{
    const int32_t classes = by_class->classes;
    int32_t total = 0, given = 0;
    struct fraction *fractions = malloc((size_t)classes * sizeof(*fractions));
    if (fractions == NULL)
        return error_memory(err, "splits", (unsigned long long)classes * sizeof(*fractions));
    for (int32_t c = 0; c < classes; c++) {
        int32_t left = by_class->start[c + 1] - by_class->start[c] - by_class->held[SPLIT_TEST][c];
        int32_t whole = (int32_t)floor(share * left);
        total += left;
        by_class->held[split][c] = whole;
        given += whole;
        /* A class with one image left over has none to give. */
        fractions[c] = (struct fraction){.rest = left - whole > 1 ? share * left - whole : -1, .class = c};
    }
    int32_t wanted = (int32_t)(share * total + 0.5);
    if (wanted == 0 && share > 0)
        wanted = 1;
    qsort(fractions, (size_t)classes, sizeof(*fractions), compare_fractions);
    for (int32_t i = 0; i < classes && given < wanted && fractions[i].rest >= 0; i++) {
        by_class->held[split][fractions[i].class]++;
        given++;
    }
    by_class->total[split] = given;
    free(fractions);
    if (given == 0 && share > 0)
        return error_set(
            err, ST_FORMAT,
            "%s: no image is left for %s, %d images in %d classes: expected a class with at least 2 beside "
            "those held out before, or files for it",
            build->source, split == SPLIT_TEST ? "the test" : "validation", total, build->set.classes);
    return ST_OK;
}

/* The list of one split other than training, in the order of the files. */
static enum status list_split(const struct data_build *build, const struct class_images *by_class,
                              enum data_split split, struct dataset *set, struct error *err)
{
    int32_t count = 0;
    int32_t *samples = malloc(((size_t)set->count + 1) * sizeof(*samples));
    if (samples == NULL)
        return error_memory(err, "splits", (unsigned long long)set->count * sizeof(*samples));
    for (int32_t i = 0; i < set->count; i++)
        if (build->given[i] == split)
            samples[count++] = i;
    for (int32_t c = 0; c < by_class->classes && by_class->total[split] > 0; c++) {
        int32_t from = by_class->start[c] + (split == SPLIT_VALIDATION ? by_class->held[SPLIT_TEST][c] : 0);
        for (int32_t i = 0; i < by_class->held[split][c]; i++)
            samples[count++] = by_class->images[from + i];
    }
    if (by_class->total[split] > 0)
        qsort(samples, (size_t)count, sizeof(*samples), compare_images);
    set->samples[split] = samples;
    set->sample_count[split] = count;
    return ST_OK;
}

/* The training list. Image k of the n of its class gets a random position inside [k / n, (k + 1) / n), so that
 * each prefix holds every class's share but for one image, and neighbours are in no fixed order. */
static enum status list_training(const struct class_images *by_class, int64_t seed, struct dataset *set,
                                 struct error *err)
{
    int32_t count = 0;
    struct spread *spread = malloc(((size_t)set->count + 1) * sizeof(*spread));
    int32_t *samples = malloc(((size_t)set->count + 1) * sizeof(*samples));
    if (spread == NULL || samples == NULL) {
        free(spread);
        free(samples);
        return error_memory(err, "splits", (unsigned long long)set->count * sizeof(*spread));
    }
    for (int32_t c = 0; c < by_class->classes; c++) {
        int32_t held = by_class->held[SPLIT_TEST][c] + by_class->held[SPLIT_VALIDATION][c];
        int32_t from = by_class->start[c] + held, n = by_class->start[c + 1] - from;
        /* The parts above 2^31 belong to the order inside classes, those below to the choice of images. */
        struct random_sequence sequence = {
            .seed = (uint64_t)seed, .stream = RANDOM_SPLIT, .part = (uint32_t)c | 0x80000000u};
        for (int32_t k = 0; k < n; k++)
            spread[count++] = (struct spread){.position = (k + (double)random_next_unit(&sequence)) / n,
                                              .image = by_class->images[from + k]};
    }
    qsort(spread, (size_t)count, sizeof(*spread), compare_spread);
    for (int32_t i = 0; i < count; i++)
        samples[i] = spread[i].image;
    free(spread);
    set->samples[SPLIT_TRAIN] = samples;
    set->sample_count[SPLIT_TRAIN] = count;
    return ST_OK;
}

/* At least two classes, and none that can't be learned. */
static enum status check_classes(const struct data_build *build, const int32_t *trained, struct error *err)
{
    const struct dataset *set = &build->set;
    int32_t present = 0, last = 0;
    for (int32_t c = 0; c < set->classes; c++) {
        if (trained[c] == 0)
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
    for (int32_t i = 0; set->label_sets == NULL && i < set->count; i++)
        if (trained[set->labels[i]] == 0)
            return error_set(err, ST_FORMAT,
                             "%s: class \"%s\" has no training images but some for validation or test",
                             build->source, set->class_names[set->labels[i]]);
    /* Labels that no image has are known by a list's header; then they are in no set. */
    for (int32_t label = 0; set->label_sets != NULL && label < set->label_set_count; label++)
        for (int32_t c = 0; c < set->classes; c++)
            if (trained[c] == 0 && labels_have(set->label_sets, set->classes, label, c))
                return error_set(err, ST_FORMAT,
                                 "%s: label \"%s\" has no training images but some for validation or test",
                                 build->source, set->class_names[c]);
    return ST_OK;
}

static enum status list_splits(const struct job_dataset *job, int64_t seed, struct data_build *build,
                               struct class_images *by_class, struct error *err)
{
    struct dataset *set = &build->set;
    bool is_given[SPLIT_COUNT] = {false};

    for (int32_t i = 0; i < set->count; i++)
        is_given[build->given[i]] = true;
    int32_t *trained = count_trained(build, err);
    enum status st = trained != NULL ? check_classes(build, trained, err) : ST_MEMORY;
    if (st == ST_OK)
        st = choose_rarest(by_class, set, trained, err);
    free(trained);
    if (st == ST_OK)
        st = fill_classes(by_class, seed, build, err);
    if (st != ST_OK)
        return st;
    if (!is_given[SPLIT_TEST])
        st = hold_out(by_class, SPLIT_TEST, job->test, build, err);
    if (st == ST_OK && !is_given[SPLIT_VALIDATION])
        st = hold_out(by_class, SPLIT_VALIDATION, job->validation, build, err);
    if (st != ST_OK)
        return st;
    st = list_split(build, by_class, SPLIT_TEST, set, err);
    if (st == ST_OK)
        st = list_split(build, by_class, SPLIT_VALIDATION, set, err);
    return st == ST_OK ? list_training(by_class, seed, set, err) : st;
}

enum status data_split(const struct job_dataset *job, int64_t seed, struct data_build *build,
                       struct error *err)
{
    struct class_images by_class = {0};
    enum status st = list_splits(job, seed, build, &by_class, err);
    free(by_class.of_label);
    free(by_class.images);
    free(by_class.start);
    free(by_class.held[SPLIT_VALIDATION]);
    free(by_class.held[SPLIT_TEST]);
    return st;
}

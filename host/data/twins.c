/* Images that occur twice: pixel by pixel, by a hash of their content, and nearly, by a perceptual hash. The latter
 * (dHash) has a bit for each of 64 places, whether it gets brighter to the right there; cut down, scaled, recoloured or
 * compressed anew an image keeps nearly all of them. Those whose hashes differ in a few bits are compared as a whole.
 *
 * Small and grey images (icons, digits, clothes, X-rays) look alike by nature: only colour images from 32 pixels a side
 * are compared like this. Of the 10,000 test images of CIFAR-10 91 are told to be nearly among its 45,000 training
 * images; of 40 pairs that are as near, looked at, each was one. */
#include "host/base/file.h"
#include "host/base/text.h"
#include "host/data/data_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEAR_SIDE = 32, /* pixels, at least */
    NEAR_BITS = 6,  /* that may differ */
    HASH_ROWS = 8,
    HASH_COLUMNS = 9, /* of brightness: 8 differences a row */
    /* Hashes that differ in 4 bits are equal in two bands of six at least, those with more often are. They are
     * sorted by each two bands, and each is compared with those that come next. */
    BANDS = 6,
    COMPARED = 32
};
/* The least correlation of two images, over all pixels. */
static const double NEAR_CORRELATION = 0.9;

static const char *const split_names[SPLIT_COUNT] = {"training", "validation", "test"};

struct twins {
    const struct dataset *set;
    FILE *log;
    uint8_t *split;                          /* of each image */
    int32_t pairs[SPLIT_COUNT][SPLIT_COUNT]; /* [a][b]: images of b that are in a, too */
    int32_t labels;                          /* images that occur under several */
    int32_t example[2], labels_example[2];   /* two images of those; with counts of 0 none */
    uint8_t *near;                           /* of each image: bit a: it is in split a; bit OTHER_LABEL */
};
enum { OTHER_LABEL = SPLIT_COUNT };

static const uint8_t *pixels_of(const struct dataset *set, int32_t image)
{
    return set->pixels + (size_t)image * data_image_bytes(set);
}

/* ---- what is said ---- */

/* The image's file; of packed formats its number. */
static const char *name_of(const struct twins *twins, int32_t image, char *text, size_t size)
{
    if (twins->set->paths == NULL)
        snprintf(text, size, "image %d", (int)image);
    else
        text_shown(twins->set->paths[image], text, size);
    return text;
}

static void say(const struct twins *twins, const char *exactly, const char *how)
{
    char one[300], other[300];
    name_of(twins, twins->example[0], one, sizeof(one));
    name_of(twins, twins->example[1], other, sizeof(other));
    for (int a = 0; a < SPLIT_COUNT; a++)
        for (int b = a + 1; b < SPLIT_COUNT; b++)
            if (twins->pairs[a][b] > 0)
                fprintf(
                    twins->log,
                    "warning: %d of %d %s images are %s%s images, too%s: results look better than they are\n",
                    twins->pairs[a][b], twins->set->sample_count[b], split_names[b], exactly, split_names[a],
                    how);
    if (twins->example[0] != twins->example[1])
        fprintf(twins->log, "warning: for example %s and %s\n", one, other);
    if (twins->labels == 0)
        return;
    name_of(twins, twins->labels_example[0], one, sizeof(one));
    name_of(twins, twins->labels_example[1], other, sizeof(other));
    fprintf(twins->log, "warning: %d images occur %sunder more than one %s%s, for example %s and %s\n",
            twins->labels, exactly, twins->set->label_sets != NULL ? "set of labels" : "label", how, one,
            other);
}

/* ---- the same pixels ---- */

struct content {
    uint64_t hash;
    int32_t image;
};

static int compare_contents(const void *a, const void *b)
{
    const struct content *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

/* Images of one content: adds those to a pair of splits that are in both, and those that have another label than the
 * first. */
static void count_group(struct twins *twins, const struct content *group, size_t count)
{
    const int32_t *labels = twins->set->labels;
    int32_t in[SPLIT_COUNT] = {0};
    size_t other_split = 0, other_label = 0;
    for (size_t i = 0; i < count; i++) {
        in[twins->split[group[i].image]]++;
        if (twins->split[group[i].image] != twins->split[group[0].image])
            other_split = i;
        if (labels[group[i].image] != labels[group[0].image])
            other_label = i;
    }
    for (int a = 0; a < SPLIT_COUNT; a++)
        for (int b = a + 1; b < SPLIT_COUNT; b++)
            twins->pairs[a][b] += in[a] > 0 ? in[b] : 0;
    if (other_split > 0) {
        twins->example[0] = group[0].image;
        twins->example[1] = group[other_split].image;
    }
    if (other_label > 0) {
        twins->labels += (int32_t)count;
        twins->labels_example[0] = group[0].image;
        twins->labels_example[1] = group[other_label].image;
    }
}

static enum status tell_same(struct twins *twins, struct error *err)
{
    const struct dataset *set = twins->set;
    struct content *contents = malloc((size_t)set->count * sizeof(*contents));
    if (contents == NULL)
        return error_memory(err, "hashes", (unsigned long long)set->count * sizeof(*contents));
    for (int32_t i = 0; i < set->count; i++)
        contents[i] = (struct content){.hash = set->hashes[i], .image = i};
    qsort(contents, (size_t)set->count, sizeof(*contents), compare_contents);
    for (size_t from = 0, to = 0; from < (size_t)set->count; from = to) {
        while (to < (size_t)set->count && contents[to].hash == contents[from].hash)
            to++;
        if (to - from > 1)
            count_group(twins, contents + from, to - from);
    }
    free(contents);
    say(twins, "", ", pixel by pixel");
    return ST_OK;
}

/* ---- nearly the same ---- */

/* Sum and number of the values in cell (row, column), all channels. */
static void sum_cell(const struct dataset *set, const uint8_t *pixels, int32_t row, int32_t column,
                     int64_t *sum, int64_t *count)
{
    const int32_t top = row * set->height / HASH_ROWS, bottom = (row + 1) * set->height / HASH_ROWS;
    const int32_t left = column * set->width / HASH_COLUMNS, right = (column + 1) * set->width / HASH_COLUMNS;
    *sum = 0;
    *count = (int64_t)(bottom - top) * (right - left);
    for (int32_t c = 0; c < set->channels; c++)
        for (int32_t y = top; y < bottom; y++)
            for (int32_t x = left; x < right; x++)
                *sum +=
                    pixels[((size_t)c * (size_t)set->height + (size_t)y) * (size_t)set->width + (size_t)x];
}

static uint64_t look_of(const struct dataset *set, const uint8_t *pixels)
{
    uint64_t hash = 0;
    for (int32_t row = 0; row < HASH_ROWS; row++) {
        int64_t before, before_count, sum, count;
        sum_cell(set, pixels, row, 0, &before, &before_count);
        for (int32_t column = 1; column < HASH_COLUMNS; column++) {
            sum_cell(set, pixels, row, column, &sum, &count);
            hash = hash << 1 | (sum * before_count > before * count);
            before = sum;
            before_count = count;
        }
    }
    return hash;
}

static double correlation(const uint8_t *a, const uint8_t *b, size_t count)
{
    int64_t sum_a = 0, sum_b = 0, aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < count; i++) {
        sum_a += a[i];
        sum_b += b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
        ab += a[i] * b[i];
    }
    const double n = (double)count, mean_a = (double)sum_a / n, mean_b = (double)sum_b / n;
    const double variances = ((double)aa / n - mean_a * mean_a) * ((double)bb / n - mean_b * mean_b);
    return variances > 0.0 ? ((double)ab / n - mean_a * mean_b) / sqrt(variances) : 0.0;
}

static bool is_near(const struct twins *twins, const struct content *a, const struct content *b)
{
    if (__builtin_popcountll(a->hash ^ b->hash) > NEAR_BITS)
        return false;
    const struct dataset *set = twins->set;
    const size_t bytes = data_image_bytes(set);
    const uint8_t *x = pixels_of(set, a->image), *y = pixels_of(set, b->image);
    return memcmp(x, y, bytes) != 0 && correlation(x, y, bytes) >= NEAR_CORRELATION;
}

/* Notes it where the two are of different splits or labels and look alike. */
static void compare_pair(struct twins *twins, const struct content *a, const struct content *b)
{
    const uint8_t *split = twins->split;
    const bool labels = twins->set->labels[a->image] != twins->set->labels[b->image];
    const struct content *later = split[a->image] > split[b->image] ? a : b, *earlier = later == a ? b : a;
    const bool splits = split[a->image] != split[b->image];
    if ((!splits && !labels) || !is_near(twins, a, b))
        return;
    if (splits) {
        if (twins->example[0] == twins->example[1]) {
            twins->example[0] = earlier->image;
            twins->example[1] = later->image;
        }
        twins->near[later->image] |= (uint8_t)(1 << split[earlier->image]);
    }
    if (labels) {
        if (twins->labels_example[0] == twins->labels_example[1]) {
            twins->labels_example[0] = a->image;
            twins->labels_example[1] = b->image;
        }
        twins->near[a->image] |= 1 << OTHER_LABEL;
        twins->near[b->image] |= 1 << OTHER_LABEL;
    }
}

/* The bits of two bands. */
static uint64_t bands_mask(int one, int other)
{
    uint64_t mask = 0;
    for (int bit = 0; bit < 64; bit++)
        if (bit % BANDS == one || bit % BANDS == other)
            mask |= UINT64_C(1) << bit;
    return mask;
}

struct sorted { /* by the bits of two bands, then by all */
    uint64_t key;
    struct content content;
};

static int compare_sorted(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return compare_contents(&x->content, &y->content);
}

static void compare_all(struct twins *twins, struct sorted *sorted)
{
    const int32_t count = twins->set->count;
    for (int one = 0; one < BANDS; one++)
        for (int other = one + 1; other < BANDS; other++) {
            const uint64_t mask = bands_mask(one, other);
            for (int32_t i = 0; i < count; i++)
                sorted[i].key = sorted[i].content.hash & mask;
            qsort(sorted, (size_t)count, sizeof(*sorted), compare_sorted);
            for (int32_t i = 0; i < count; i++)
                for (int32_t k = i + 1; k < count && k <= i + COMPARED && sorted[k].key == sorted[i].key; k++)
                    compare_pair(twins, &sorted[i].content, &sorted[k].content);
        }
}

static enum status tell_near(struct twins *twins, int32_t threads, struct error *err)
{
    const struct dataset *set = twins->set;
    struct sorted *sorted = malloc((size_t)set->count * sizeof(*sorted));
    if (sorted == NULL)
        return error_memory(err, "hashes", (unsigned long long)set->count * sizeof(*sorted));
#pragma omp parallel for num_threads(data_threads(threads)) schedule(static)
    for (int32_t i = 0; i < set->count; i++)
        sorted[i].content = (struct content){.hash = look_of(set, pixels_of(set, i)), .image = i};
    compare_all(twins, sorted);
    free(sorted);
    for (int32_t i = 0; i < set->count; i++) {
        for (int a = 0; a < SPLIT_COUNT; a++)
            twins->pairs[a][twins->split[i]] += twins->near[i] >> a & 1;
        twins->labels += twins->near[i] >> OTHER_LABEL & 1;
    }
    say(twins, "nearly ", ", but for scale, colours or compression");
    return ST_OK;
}

enum status data_tell_twins(const struct dataset *set, int32_t threads, FILE *log, struct error *err)
{
    struct twins twins = {.set = set,
                          .log = log,
                          .split = calloc((size_t)set->count, 1),
                          .near = calloc((size_t)set->count, 1)};
    enum status st = ST_OK;
    if (twins.split == NULL || twins.near == NULL) {
        st = error_memory(err, "splits", (unsigned long long)set->count);
        goto out;
    }
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (int32_t i = 0; i < set->sample_count[split]; i++)
            twins.split[set->samples[split][i]] = (uint8_t)split;
    st = tell_same(&twins, err);
    if (st != ST_OK || set->channels != 3 || set->height < NEAR_SIDE || set->width < NEAR_SIDE)
        goto out;
    twins = (struct twins){.set = set, .log = log, .split = twins.split, .near = twins.near};
    st = tell_near(&twins, threads, err);
out:
    free(twins.split);
    free(twins.near);
    return st;
}

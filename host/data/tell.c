/* What a user should know of the data before a run is begun: the classes with their counts, and what speaks against a
 * good result. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <string.h>

enum { NAMES_SHOWN = 10, FEW_IMAGES = 10, IMBALANCE = 10, FLAT_RANGE = 2 };
static const char *const split_names[SPLIT_COUNT] = {"training", "validation", "test"};

/* Images of each class in the split, or in all of them (SPLIT_COUNT). */
static int32_t *count_classes(const struct dataset *set, int split, struct error *err)
{
    int32_t *counts = calloc((size_t)set->classes + 1, sizeof(*counts));
    if (counts == NULL) {
        error_memory(err, "classes", (unsigned long long)set->classes * sizeof(*counts));
        return NULL;
    }
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int32_t i = 0; (split == SPLIT_COUNT || s == split) && i < set->sample_count[s]; i++)
            counts[set->labels[set->samples[s][i]]]++;
    return counts;
}

/* A name as a terminal may have it, and not at any length. */
static const char *shown_name(const char *name, char *text, size_t size)
{
    struct error line;
    error_set(&line, ST_OK, "%s", name);
    size_t length = strlen(line.message);
    if (length < size) {
        memcpy(text, line.message, length + 1);
        return text;
    }
    length = size - 4;
    while (length > 0 && ((unsigned char)line.message[length] & 0xc0) == 0x80) /* not within a character */
        length--;
    memcpy(text, line.message, length);
    memcpy(text + length, "...", 4);
    return text;
}

/* "cat: 20, dog: 20, ...": the first classes that have `least` to `most` images. Returns how many there are in all. */
static int32_t list_classes(const struct dataset *set, const int32_t *counts, int32_t least, int32_t most,
                            char *text, size_t size)
{
    char name[40];
    int32_t found = 0;
    size_t used = 0;
    text[0] = '\0';
    for (int32_t c = 0; c < set->classes; c++) {
        if (counts[c] < least || counts[c] > most)
            continue;
        if (found++ < NAMES_SHOWN && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s: %d", found > 1 ? ", " : "",
                                     shown_name(set->class_names[c], name, sizeof(name)), counts[c]);
    }
    if (found > NAMES_SHOWN && used < size)
        snprintf(text + used, size - used, ", ... %d more", found - NAMES_SHOWN);
    return found;
}

enum status data_class_line(const struct dataset *set, char text[DATA_LINE_LENGTH], struct error *err)
{
    int32_t *counts = count_classes(set, SPLIT_COUNT, err);
    if (counts == NULL)
        return err->status;
    list_classes(set, counts, 0, INT32_MAX, text, DATA_LINE_LENGTH);
    free(counts);
    return ST_OK;
}

/* ---- counts ---- */

static enum status tell_counts(const struct dataset *set, FILE *log, struct error *err)
{
    char text[DATA_LINE_LENGTH], name[40], other[40];
    int32_t *counts = count_classes(set, SPLIT_COUNT, err), *tested = count_classes(set, SPLIT_TEST, err);
    if (counts == NULL || tested == NULL) {
        free(counts);
        free(tested);
        return err->status;
    }
    int32_t least = -1, most = -1, lacking = 0;
    for (int32_t c = 0; c < set->classes; c++) {
        if (counts[c] > 0 && (least < 0 || counts[c] < counts[least]))
            least = c;
        if (counts[c] > 0 && (most < 0 || counts[c] > counts[most]))
            most = c;
    }
    int32_t few = list_classes(set, counts, 1, FEW_IMAGES - 1, text, sizeof(text));
    if (few > 0)
        fprintf(log, "warning: fewer than %d images in %d of %d classes: %s\n", FEW_IMAGES, few, set->classes,
                text);
    if (least >= 0 && counts[most] / IMBALANCE > counts[least])
        fprintf(log,
                "warning: class \"%s\" has %d images, \"%s\" %d: see the averages and each class's recall "
                "rather than the "
                "accuracy\n",
                shown_name(set->class_names[most], name, sizeof(name)), counts[most],
                shown_name(set->class_names[least], other, sizeof(other)), counts[least]);
    for (int32_t c = 0; c < set->classes; c++) {
        lacking += tested[c] == 0;
        counts[c] = tested[c] == 0 ? counts[c] : -1;
    }
    list_classes(set, counts, 0, INT32_MAX, text, sizeof(text));
    if (lacking > 0 && lacking < set->classes)
        fprintf(log, "warning: no test images in %d of %d classes: %s in all\n", lacking, set->classes, text);
    free(counts);
    free(tested);
    return ST_OK;
}

/* ---- pixels ---- */

struct twin { /* an image by its content */
    uint64_t hash;
    int32_t image;
    int32_t label;
    uint8_t split;
};

static int compare_twins(const void *a, const void *b)
{
    const struct twin *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

/* Images of one content, twins[from] to twins[to - 1]: adds those to a pair of splits that are in both, and those to
 * *labels that have another label than the first. */
static void count_group(const struct twin *twins, size_t from, size_t to,
                        int32_t pairs[SPLIT_COUNT][SPLIT_COUNT], int32_t *labels)
{
    int32_t in[SPLIT_COUNT] = {0};
    bool differ = false;
    for (size_t i = from; i < to; i++) {
        in[twins[i].split]++;
        differ |= twins[i].label != twins[from].label;
    }
    for (int a = 0; a < SPLIT_COUNT; a++)
        for (int b = a + 1; b < SPLIT_COUNT; b++)
            pairs[a][b] += in[a] > 0 ? in[b] : 0;
    *labels += differ ? (int32_t)(to - from) : 0;
}

static enum status tell_twins(const struct dataset *set, FILE *log, struct error *err)
{
    const size_t bytes = (size_t)set->channels * (size_t)set->height * (size_t)set->width;
    int32_t pairs[SPLIT_COUNT][SPLIT_COUNT] = {{0}}, labels = 0;
    size_t count = 0;
    struct twin *twins = malloc(((size_t)set->count + 1) * sizeof(*twins));
    if (twins == NULL)
        return error_memory(err, "hashes", (unsigned long long)set->count * sizeof(*twins));
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (int32_t i = 0; i < set->sample_count[split]; i++) {
            const int32_t image = set->samples[split][i];
            twins[count++] = (struct twin){.hash = file_hash(0, set->pixels + (size_t)image * bytes, bytes),
                                           .image = image,
                                           .label = set->labels[image],
                                           .split = (uint8_t)split};
        }
    qsort(twins, count, sizeof(*twins), compare_twins);
    for (size_t from = 0, to = 0; from < count; from = to) {
        while (to < count && twins[to].hash == twins[from].hash)
            to++;
        if (to - from > 1)
            count_group(twins, from, to, pairs, &labels);
    }
    free(twins);
    for (int a = 0; a < SPLIT_COUNT; a++)
        for (int b = a + 1; b < SPLIT_COUNT; b++)
            if (pairs[a][b] > 0)
                fprintf(log,
                        "warning: %d of %d %s images are %s images, too, pixel by pixel: results look better "
                        "than "
                        "they are\n",
                        pairs[a][b], set->sample_count[b], split_names[b], split_names[a]);
    if (labels > 0)
        fprintf(log, "warning: %d images occur under more than one label, pixel by pixel\n", labels);
    return ST_OK;
}

/* Images in which nothing can be seen; true: most of them. */
static bool tell_flat(const struct dataset *set, FILE *log)
{
    const size_t bytes = (size_t)set->channels * (size_t)set->height * (size_t)set->width;
    const size_t plane = (size_t)set->height * (size_t)set->width;
    int32_t flat = 0;
    for (int32_t i = 0; i < set->count; i++) {
        int range = 0;
        for (int32_t c = 0; c < set->channels; c++) {
            const uint8_t *pixels = set->pixels + (size_t)i * bytes + (size_t)c * plane;
            int low = 255, high = 0;
            for (size_t k = 0; k < plane; k++) {
                low = pixels[k] < low ? pixels[k] : low;
                high = pixels[k] > high ? pixels[k] : high;
            }
            range = high - low > range ? high - low : range;
        }
        flat += range <= FLAT_RANGE;
    }
    const bool most = flat > set->count / 2;
    if (most)
        fprintf(log,
                "warning: %d of %d images are of one colour all over, or nearly: 16 bits are scaled from 0 "
                "to 65535, "
                "and white on a transparent ground is white on white\n",
                flat, set->count);
    for (int32_t c = 0; c < set->channels; c++)
        if (set->deviation[c] == DATA_CONSTANT)
            fprintf(log, "warning: channel %d has one value in all training images, %.0f\n", c,
                    255.0 * (double)set->mean[c]);
    return most;
}

enum status data_tell(const struct dataset *set, FILE *log, struct error *err)
{
    if (log == NULL)
        return ST_OK;
    enum status st = tell_counts(set, log, err);
    if (st == ST_OK && !tell_flat(set, log)) /* which are the same all over */
        st = tell_twins(set, log, err);
    return st;
}

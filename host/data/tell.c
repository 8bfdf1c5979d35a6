/* What a user should know of the data before a run is begun: the classes with their counts, and what speaks against a
 * good result. */
#include "host/base/text.h"
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <string.h>

enum { NAMES_SHOWN = 10, IMBALANCE = 10, FLAT_RANGE = 2 };

int32_t *data_count_classes(const struct dataset *set, int split, struct error *err)
{
    int32_t *of_label = calloc((size_t)data_label_count(set) + 1, sizeof(*of_label));
    if (of_label == NULL) {
        error_memory(err, "classes", (unsigned long long)data_label_count(set) * sizeof(*of_label));
        return NULL;
    }
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int32_t i = 0; (split == SPLIT_COUNT || s == split) && i < set->sample_count[s]; i++)
            of_label[set->labels[set->samples[s][i]]]++;
    int32_t *counts = data_classes_of_labels(set, of_label, err);
    free(of_label);
    return counts;
}

/* How many images have no label at all. */
static int32_t count_bare(const struct dataset *set)
{
    int32_t bare = 0;
    for (int32_t i = 0; i < set->count; i++) {
        const uint8_t *has = set->label_sets + (size_t)set->labels[i] * (size_t)set->classes;
        bare += memchr(has, 1, (size_t)set->classes) == NULL;
    }
    return bare;
}

/* A name as a terminal may have it, and not at any length. */
static const char *shown_name(const char *name, char *text, size_t size)
{
    if (strlen(name) < size)
        return text_shown(name, text, size);
    text_shown(name, text, size - 3);
    return strcat(text, "...");
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
    int32_t *counts = data_count_classes(set, SPLIT_COUNT, err);
    if (counts == NULL)
        return err->status;
    list_classes(set, counts, 0, INT32_MAX, text, DATA_LINE_LENGTH);
    int64_t given = 0;
    for (int32_t c = 0; c < set->classes; c++)
        given += counts[c];
    const size_t used = strlen(text);
    if (set->label_sets != NULL)
        snprintf(text + used, DATA_LINE_LENGTH - used, "; %.2f labels an image, %d images without any",
                 (double)given / set->count, (int)count_bare(set));
    free(counts);
    return ST_OK;
}

static struct data_sizes sizes_of(const struct dataset *set, const int32_t *counts)
{
    struct data_sizes sizes = {.least_class = -1};
    for (int32_t c = 0; c < set->classes; c++) {
        if (counts[c] == 0)
            continue;
        if (sizes.least_class < 0 || counts[c] < sizes.least) {
            sizes.least = counts[c];
            sizes.least_class = c;
        }
        if (counts[c] > sizes.most) {
            sizes.most = counts[c];
            sizes.most_class = c;
        }
        sizes.few += counts[c] < DATA_FEW;
    }
    return sizes;
}

enum status data_class_sizes(const struct dataset *set, struct data_sizes *sizes, struct error *err)
{
    int32_t *counts = data_count_classes(set, SPLIT_COUNT, err);
    if (counts == NULL)
        return err->status;
    *sizes = sizes_of(set, counts);
    free(counts);
    return ST_OK;
}

/* ---- counts ---- */

/* Of images with any number of labels a list's header may name some that none has, or that few have. */
static enum status tell_untrained(const struct dataset *set, FILE *log, struct error *err)
{
    char text[DATA_LINE_LENGTH];
    int32_t *counts = data_count_classes(set, SPLIT_TRAIN, err);
    if (counts == NULL)
        return err->status;
    const int32_t lacking = list_classes(set, counts, 0, 0, text, sizeof(text));
    if (lacking > 0)
        fprintf(log, "warning: no training images in %d of %d classes, which can't be learned: %s\n", lacking,
                set->classes, text);
    free(counts);
    return ST_OK;
}

static enum status tell_counts(const struct dataset *set, FILE *log, struct error *err)
{
    char text[DATA_LINE_LENGTH], name[40], other[40];
    int32_t *counts = data_count_classes(set, SPLIT_COUNT, err),
            *tested = data_count_classes(set, SPLIT_TEST, err);
    if (counts == NULL || tested == NULL) {
        free(counts);
        free(tested);
        return err->status;
    }
    const struct data_sizes sizes = sizes_of(set, counts);
    const int32_t least = sizes.least_class, most = sizes.most_class;
    int32_t lacking = 0, few = list_classes(set, counts, 1, DATA_FEW - 1, text, sizeof(text));
    if (few > 0)
        fprintf(log, "warning: fewer than %d images in %d of %d classes: %s\n", DATA_FEW, few, set->classes,
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

/* Images in which nothing can be seen; true: most of them. */
static bool tell_flat(const struct dataset *set, FILE *log)
{
    const size_t bytes = data_image_bytes(set);
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

/* ---- all of them ---- */

static enum status audit_all(const struct data_build *build, int32_t threads, FILE *log, struct error *err)
{
    enum status st = build->set.label_sets != NULL ? tell_untrained(&build->set, log, err) : ST_OK;
    if (st == ST_OK)
        st = tell_counts(&build->set, log, err);
    if (st == ST_OK && !tell_flat(&build->set, log)) /* which are the same all over */
        st = data_tell_twins(&build->set, threads, log, err);
    return st;
}

/* The warnings in what was said; what only gives an example of the one before is none. */
static int32_t count_warnings(const char *said)
{
    static const char WARNING[] = "warning: ", EXAMPLE[] = "warning: for example ";
    int32_t count = 0;
    for (const char *line = said; *line != '\0';) {
        const char *end = strchr(line, '\n');
        count += strncmp(line, WARNING, strlen(WARNING)) == 0 && strncmp(line, EXAMPLE, strlen(EXAMPLE)) != 0;
        line = end != NULL ? end + 1 : line + strlen(line);
    }
    return count;
}

static enum status refuse(const struct data_build *build, const char *said, int32_t warnings,
                          struct error *err)
{
    const char *first = strchr(said, ' ') + 1; /* behind "warning:" */
    return error_set(err, ST_FORMAT,
                     "%s: found %d warnings, the first: %.*s; expected none, or dataset.audit = \"warn\"",
                     build->source, (int)warnings, (int)strcspn(first, "\n"), first);
}

enum status data_tell(const struct data_build *build, enum job_audit audit, const struct data_way *way,
                      struct error *err)
{
    char *said = NULL;
    size_t length = 0;
    if (audit == JOB_AUDIT_OFF || (audit == JOB_AUDIT_WARN && way->log == NULL))
        return ST_OK;
    FILE *log = open_memstream(&said, &length);
    if (log == NULL)
        return error_memory(err, "warnings", 0);
    enum status st = audit_all(build, way->threads, log, err);
    if (fclose(log) != 0 && st == ST_OK)
        st = error_memory(err, "warnings", length);
    if (st == ST_OK && way->log != NULL)
        fputs(said, way->log);
    const int32_t warnings = st == ST_OK ? count_warnings(said) : 0;
    if (audit == JOB_AUDIT_STOP && warnings > 0)
        st = refuse(build, said, warnings, err);
    free(said);
    return st;
}

/* The way from a job's dataset section to a dataset: which format, which reader, and what follows for all of
 * them. */
#include "host/data/dataset.h"

#include "host/base/file.h"
#include "host/base/limits.h"
#include "host/data/data_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* What betrays a packed format inside a folder, the first match winning. */
static const struct {
    const char *pattern;
    enum job_format format;
} signs[] = {
    {"*idx3-ubyte", JOB_FORMAT_IDX},          {"*idx3-ubyte.gz", JOB_FORMAT_IDX},
    {"data_batch_*.bin", JOB_FORMAT_CIFAR10}, {"data_batch_*.bin.gz", JOB_FORMAT_CIFAR10},
    {"train.bin", JOB_FORMAT_CIFAR100},       {"train.bin.gz", JOB_FORMAT_CIFAR100},
};
enum { SIGN_COUNT = sizeof(signs) / sizeof(signs[0]) };
/* So many of its first names tell whether a folder inside is one of a packed format. */
enum { INNER_NAMES = 64 };

size_t data_image_bytes(const struct dataset *set)
{
    return (size_t)set->channels * (size_t)set->height * (size_t)set->width;
}

int data_threads(int32_t threads)
{
    const int all = omp_get_max_threads(), limit = (int)limits_cpus("");
    if (threads > 0)
        return threads;
    return limit > 0 && limit < all ? limit : all;
}

/* The best sign among the folder's first `most` names; SIGN_COUNT: none. */
static int find_sign(DIR *folder, int32_t most)
{
    int best = SIGN_COUNT;
    for (const struct dirent *entry = readdir(folder); entry != NULL && most > 0;
         entry = readdir(folder), most--)
        for (int i = 0; i < best; i++)
            if (fnmatch(signs[i].pattern, entry->d_name, 0) == 0)
                best = i;
    return best;
}

/* A folder without any sign holds class folders, unless a folder in it has one: then the path is one level too high. */
static enum status detect_in_folder(const char *path, enum job_format *format, struct error *err)
{
    enum status st = ST_OK;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return error_system(err, errno, "%s", path);
    const int best = find_sign(folder, INT32_MAX);
    *format = best < SIGN_COUNT ? signs[best].format : JOB_FORMAT_FOLDER;
    rewinddir(folder);
    for (const struct dirent *entry = readdir(folder); best == SIGN_COUNT && entry != NULL && st == ST_OK;
         entry = readdir(folder)) {
        if (entry->d_name[0] == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
            continue;
        const int fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *inner = fd >= 0 ? fdopendir(fd) : NULL;
        const int sign = inner != NULL ? find_sign(inner, INNER_NAMES) : SIGN_COUNT;
        if (sign < SIGN_COUNT)
            st = error_set(err, ST_FORMAT,
                           "%s: its folder %s holds files of format \"%s\", expected them here; "
                           "dataset.path is probably %s/%s",
                           path, entry->d_name, job_format_text(signs[sign].format), path, entry->d_name);
        if (inner != NULL)
            closedir(inner);
        else if (fd >= 0)
            close(fd);
    }
    closedir(folder);
    return st;
}

static bool is_list_name(const char *path)
{
    static const char *const ends[] = {".csv", ".tsv", ".txt", ".lst"};
    const char *end = strrchr(path, '.');
    for (size_t i = 0; end != NULL && i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strcasecmp(end, ends[i]) == 0)
            return true;
    return false;
}

/* The job's format, or the one that the path looks like; also checks that the path is of the kind the format
 * needs. */
static enum status choose_format(const struct job_dataset *job, enum job_format *format, struct error *err)
{
    struct stat about;
    if (stat(job->path, &about) != 0)
        return error_system(err, errno, "%s", job->path);
    bool is_folder = S_ISDIR(about.st_mode);

    if (job->format == JOB_FORMAT_AUTO) {
        if (is_folder)
            return detect_in_folder(job->path, format, err);
        if (!is_list_name(job->path))
            return error_set(err, ST_FORMAT, "%s: is a file that is no .csv, expected a folder or a CSV file",
                             job->path);
        *format = JOB_FORMAT_CSV;
        return ST_OK;
    }
    *format = job->format;
    if (*format == JOB_FORMAT_CSV && is_folder)
        return error_set(err, ST_FORMAT, "%s: is a folder, expected a CSV file for format \"csv\"",
                         job->path);
    if (*format != JOB_FORMAT_CSV && !is_folder)
        return error_set(err, ST_FORMAT, "%s: is a file, expected a folder for format \"%s\"", job->path,
                         job_format_text(job->format));
    return ST_OK;
}

/* The job's numbers that this room depends on, checked before any file is opened. */
static enum status check_settings(const struct job_dataset *job, struct error *err)
{
    if (job->resize.count != 0 && job->resize.count != 2)
        return error_set(err, ST_RANGE, "dataset resize: %d numbers, expected [height, width]",
                         job->resize.count);
    for (int i = 0; i < job->resize.count; i++)
        if (!(job->resize.items[i] >= 1 && job->resize.items[i] <= IMAGE_MAX_SIDE))
            return error_set(err, ST_RANGE, "dataset resize: a side of %g pixels, expected 1 to %d",
                             job->resize.items[i], IMAGE_MAX_SIDE);
    if (!(job->validation >= 0 && job->validation < 1) || !(job->test >= 0 && job->test < 1))
        return error_set(err, ST_RANGE,
                         "dataset shares held out: validation %g, test %g, expected 0 up to below 1",
                         job->validation, job->test);
    return ST_OK;
}

/* Puts the images that stay together: those of a class with images for training. */
static void keep_trained(const struct data_list *list, const int32_t *trained, int32_t *kept,
                         struct dataset *set)
{
    const size_t bytes = data_image_bytes(set);
    int32_t count = 0;
    for (int32_t i = 0; i < set->count; i++) {
        if (trained[list->items[kept[i]].label] == 0)
            continue;
        if (count < i)
            memcpy(set->pixels + (size_t)count * bytes, set->pixels + (size_t)i * bytes, bytes);
        kept[count++] = kept[i];
    }
    set->skipped += set->count - count;
    set->count = count;
}

/* Under "skip" a class without training images is left out, with what it has for validation and test. */
static enum status leave_out_classes(struct data_list *list, int32_t *kept, struct dataset *set,
                                     int32_t *classes_left, struct error *err)
{
    enum status st = ST_OK;
    const int32_t classes = list->class_count;
    int32_t *trained = calloc((size_t)classes, sizeof(*trained)), left = 0;
    if (trained == NULL)
        return error_memory(err, "classes", (unsigned long long)classes * sizeof(*trained));
    for (int32_t i = 0; i < set->count; i++)
        trained[list->items[kept[i]].label] += list->items[kept[i]].split == SPLIT_TRAIN;
    keep_trained(list, trained, kept, set);
    for (int32_t c = 0; c < classes && st == ST_OK; c++) {
        const struct data_class class = list->classes[c];
        if (trained[c] == 0) {
            error_set(err, ST_FORMAT, "%s: class \"%s\" has no training images", list->source, class.name);
            st = data_list_problem(list, err);
        }
        const bool stays = trained[c] > 0;
        trained[c] = left; /* its label from here on */
        list->classes[c] = list->classes[left];
        list->classes[left] = class;
        left += stays;
    }
    for (int32_t i = 0; i < set->count; i++)
        list->items[kept[i]].label = trained[list->items[kept[i]].label];
    free(trained);
    *classes_left = left;
    return st;
}

/* Class names, labels, splits and paths of the images that came out of the list, which gives names and paths away. */
static enum status label_from_list(struct data_list *list, int32_t *kept, struct data_build *build,
                                   struct error *err)
{
    struct dataset *set = &build->set;
    int32_t classes = list->class_count;
    enum status st = !list->skip     ? ST_OK
                     : list->several ? data_list_drop_labels(list, kept, set->count, &classes, err)
                                     : leave_out_classes(list, kept, set, &classes, err);
    if (st != ST_OK)
        return st;
    set->labels = malloc(((size_t)set->count + 1) * sizeof(*set->labels));
    build->given = malloc((size_t)set->count + 1);
    set->class_names = calloc((size_t)classes + 1, sizeof(*set->class_names));
    set->paths = calloc((size_t)set->count + 1, sizeof(*set->paths));
    if (set->labels == NULL || build->given == NULL || set->class_names == NULL || set->paths == NULL)
        return error_memory(err, "labels", (unsigned long long)set->count * sizeof(*set->paths));
    for (int32_t i = 0; i < set->count; i++) {
        set->paths[i] = list->items[kept[i]].path;
        list->items[kept[i]].path = NULL;
        set->labels[i] = list->items[kept[i]].label;
        build->given[i] = list->items[kept[i]].split;
    }
    set->classes = classes;
    for (int32_t i = 0; i < classes; i++) {
        set->class_names[i] = list->classes[i].name;
        list->classes[i].name = NULL;
    }
    return list->several ? data_list_sets(list, kept, set, err) : ST_OK;
}

/* Whether unreadable images are left out. */
static bool skips(enum job_on_error on_error)
{
    switch (on_error) {
    case JOB_ON_ERROR_STOP:
        return false;
    case JOB_ON_ERROR_SKIP:
        return true;
    }
    abort(); /* the schema allows no other */
}

/* Whether images have any number of labels. */
static bool is_several(enum job_labels labels)
{
    switch (labels) {
    case JOB_LABELS_ONE:
        return false;
    case JOB_LABELS_SEVERAL:
        return true;
    }
    abort(); /* the schema allows no other */
}

/* The formats of single files: list, then the cache or the decoder. */
static enum status read_files(const struct job_dataset *job, enum job_format format,
                              const struct data_way *way, struct data_build *build, struct error *err)
{
    FILE *log = way->log;
    struct data_list list = {
        .source = job->path, .skip = skips(job->on_error), .several = is_several(job->labels), .way = way};
    bool use_cache = job->cache != NULL && job->cache[0] != '\0', found = false;
    int32_t *kept = NULL;
    uint64_t key = 0;

    enum status st =
        format == JOB_FORMAT_CSV ? data_list_csv(job, &list, err) : data_list_folder(job, &list, err);
    if (st == ST_OK)
        st = data_list_finish(&list, err);
    if (st == ST_OK)
        st = data_list_tell(&list, err);
    if (st != ST_OK)
        goto out;
    if (use_cache) {
        key = data_cache_key(job, &list);
        st = data_cache_load(job, &list, key, &build->set, &kept, &found, err);
        if (st != ST_OK)
            goto out;
    }
    if (!found) {
        st = data_decode(job, &list, way->threads, build, &kept, err);
        if (st != ST_OK)
            goto out;
        struct error unwritten; /* a cache that can't be written costs time, not the run */
        if (use_cache && data_cache_store(job, &list, key, &build->set, kept, &unwritten) != ST_OK &&
            log != NULL)
            fprintf(log, "warning: the dataset cache is not written: %s\n", unwritten.message);
    } else if (build->set.skipped > list.skipped && log != NULL) {
        fprintf(log, "warning: %s: %d files left out when they were decoded for the cache\n", job->path,
                build->set.skipped - list.skipped);
    }
    st = label_from_list(&list, kept, build, err);
out:
    free(kept);
    data_list_free(&list);
    return st;
}

enum status data_load(const struct job_dataset *job, int64_t seed, const struct data_way *way,
                      struct dataset *dataset, struct error *err)
{
    struct data_build build = {.source = job->path};
    enum job_format format = JOB_FORMAT_IDX;

    *dataset = (struct dataset){0};
    enum status st = check_settings(job, err);
    if (st == ST_OK)
        st = choose_format(job, &format, err);
    if (st == ST_OK && is_several(job->labels) && format != JOB_FORMAT_CSV)
        st = error_set(err, ST_RANGE,
                       "%s: dataset.labels is \"several\" for format \"%s\", expected a CSV file", job->path,
                       job_format_text(format));
    if (st != ST_OK)
        goto out;
    switch (format) {
    case JOB_FORMAT_AUTO: /* choose_format() made it one of the others */
        abort();
    case JOB_FORMAT_IDX:
        st = data_read_idx(job, &build, err);
        break;
    case JOB_FORMAT_CIFAR10:
        st = data_read_cifar(job, 10, &build, err);
        break;
    case JOB_FORMAT_CIFAR100:
        st = data_read_cifar(job, 100, &build, err);
        break;
    case JOB_FORMAT_FOLDER:
    case JOB_FORMAT_CSV:
        st = read_files(job, format, way, &build, err);
        break;
    }
    if (st == ST_OK &&
        (format == JOB_FORMAT_IDX || format == JOB_FORMAT_CIFAR10 || format == JOB_FORMAT_CIFAR100))
        st = data_conform(job, way->threads, &build.set, err);
    if (st == ST_OK)
        st = data_split(job, seed, &build, err);
    if (st != ST_OK)
        goto out;
    data_measure(&build.set, way->threads);
    data_measure_patches(&build.set);
    data_fingerprint(&build.set);
    st = data_hash_images(&build.set, way->threads, err);
    if (st == ST_OK)
        st = data_tell(&build, job->audit, way, err);
    if (st != ST_OK)
        goto out;
    *dataset = build.set;
    build.set = (struct dataset){0};
out:
    data_build_free(&build);
    return st;
}

const char *data_image_name(const struct dataset *dataset, int32_t image, char *text, size_t size)
{
    if (dataset->paths != NULL)
        return dataset->paths[image];
    snprintf(text, size, "%d", (int)image);
    return text;
}

void data_free(struct dataset *dataset)
{
    free(dataset->pixels);
    free(dataset->labels);
    free(dataset->label_sets);
    free(dataset->hashes);
    for (int32_t i = 0; dataset->paths != NULL && i < dataset->count; i++)
        free(dataset->paths[i]);
    free(dataset->paths);
    for (int32_t i = 0; dataset->class_names != NULL && i < dataset->classes; i++)
        free(dataset->class_names[i]);
    free(dataset->class_names);
    for (int split = 0; split < SPLIT_COUNT; split++)
        free(dataset->samples[split]);
    *dataset = (struct dataset){0};
}

void data_build_free(struct data_build *build)
{
    data_free(&build->set);
    free(build->given);
    build->given = NULL;
}

enum status data_number_classes(struct dataset *set, struct error *err)
{
    char text[16];
    set->class_names = calloc((size_t)set->classes, sizeof(*set->class_names));
    if (set->class_names == NULL)
        return error_memory(err, "class names", (unsigned long long)set->classes * sizeof(*set->class_names));
    for (int32_t i = 0; i < set->classes; i++) {
        snprintf(text, sizeof(text), "%d", i);
        set->class_names[i] = strdup(text);
        if (set->class_names[i] == NULL)
            return error_memory(err, "class names", sizeof(text));
    }
    return ST_OK;
}

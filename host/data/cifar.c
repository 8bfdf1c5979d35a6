/* CIFAR-10 and CIFAR-100, binary version (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label
 * byte (CIFAR-100: coarse and fine) and 3 x 32 x 32 pixels, plane after plane. CIFAR-10 comes as
 * data_batch_1.bin and so on, CIFAR-100 as train.bin. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <string.h>

enum { CIFAR_SIDE = 32, CIFAR_IMAGE = 3 * CIFAR_SIDE * CIFAR_SIDE, COARSE_CLASSES = 20 };
/* How far behind the last batch another one is looked for. */
enum { BATCHES_AHEAD = 10 };

struct cifar_reader {
    struct data_build *build;
    int32_t classes;
    size_t capacity; /* images that fit into what is allocated */
};

/* Makes room for at least `count` images. */
static enum status reserve(struct cifar_reader *reader, size_t count, struct error *err)
{
    struct dataset *set = &reader->build->set;
    if (count <= reader->capacity)
        return ST_OK;
    if (count > INT32_MAX)
        return error_set(err, ST_UNSUPPORTED, "%s: more than %d images", reader->build->source, INT32_MAX);
    uint8_t *pixels = realloc(set->pixels, count * CIFAR_IMAGE);
    if (pixels != NULL)
        set->pixels = pixels;
    int32_t *labels = realloc(set->labels, count * sizeof(*labels));
    if (labels != NULL)
        set->labels = labels;
    uint8_t *given = realloc(reader->build->given, count);
    if (given != NULL)
        reader->build->given = given;
    if (pixels == NULL || labels == NULL || given == NULL)
        return error_memory(err, "images", (unsigned long long)count * CIFAR_IMAGE);
    reader->capacity = count;
    return ST_OK;
}

/* One record; `number` counts from 0 in the file. */
static enum status read_record(struct cifar_reader *reader, struct data_pack *pack, int32_t number,
                               enum data_split split, struct error *err)
{
    struct dataset *set = &reader->build->set;
    uint8_t label[2];
    size_t label_bytes = reader->classes == 100 ? 2 : 1;
    enum status st = reserve(reader, (size_t)set->count + 1, err);
    if (st != ST_OK)
        return st;
    st = data_pack_read(pack, label, label_bytes, "a label", err);
    if (st == ST_OK)
        st = data_pack_read(pack, set->pixels + (size_t)set->count * CIFAR_IMAGE, CIFAR_IMAGE, "an image",
                            err);
    if (st != ST_OK)
        return error_prefix(err, "record %d", number);
    if (label_bytes == 2 && label[0] >= COARSE_CLASSES)
        return error_set(err, ST_FORMAT, "%s: coarse label %d in record %d, expected 0 to %d", pack->path,
                         label[0], number, COARSE_CLASSES - 1);
    if (label[label_bytes - 1] >= reader->classes)
        return error_set(err, ST_FORMAT, "%s: label %d in record %d, expected 0 to %d", pack->path,
                         label[label_bytes - 1], number, reader->classes - 1);
    set->labels[set->count] = label[label_bytes - 1];
    reader->build->given[set->count] = (uint8_t)split;
    set->count++;
    return ST_OK;
}

static enum status read_records(struct cifar_reader *reader, const char *path, enum data_split split,
                                struct error *err)
{
    struct data_pack pack;
    int64_t record = CIFAR_IMAGE + (reader->classes == 100 ? 2 : 1);
    int32_t number = 0;
    bool more = true;

    enum status st = data_pack_open(&pack, path, err);
    if (st != ST_OK)
        return st;
    if (!pack.packed && (pack.bytes == 0 || pack.bytes % record != 0)) {
        st = error_set(err, ST_FORMAT,
                       "%s: %lld bytes, expected whole records of %lld bytes, not %lld and %lld bytes", path,
                       (long long)pack.bytes, (long long)record, (long long)(pack.bytes / record),
                       (long long)(pack.bytes % record));
        goto out;
    }
    /* Natural images pack by little: room for half more than the file's own size, grown when that is not
     * enough. */
    size_t guess = (size_t)(pack.packed ? pack.bytes + pack.bytes / 2 : pack.bytes) / (size_t)record;
    st = reserve(reader, (size_t)reader->build->set.count + guess + 1, err);
    for (; st == ST_OK; number++) {
        st = data_pack_more(&pack, &more, err);
        if (st != ST_OK || !more)
            break;
        if ((size_t)reader->build->set.count == reader->capacity)
            st = reserve(reader, reader->capacity + reader->capacity / 2, err);
        if (st == ST_OK)
            st = read_record(reader, &pack, number, split, err);
    }
    if (st == ST_OK && number == 0)
        st = error_set(err, ST_FORMAT, "%s: no record in it, expected at least one of %lld bytes", path,
                       (long long)record);
out:
    data_pack_close(&pack);
    return st;
}

/* *path (caller frees): FOLDER/NAME, or FOLDER/NAME.gz where only that exists, or NULL for neither. */
static enum status find_file(const char *folder, const char *name, char **path, struct error *err)
{
    char packed_name[64];
    snprintf(packed_name, sizeof(packed_name), "%s.gz", name);
    *path = file_join(folder, name);
    if (*path == NULL)
        return error_memory(err, name, strlen(folder) + strlen(name));
    if (file_exists(*path))
        return ST_OK;
    free(*path);
    *path = file_join(folder, packed_name);
    if (*path == NULL)
        return error_memory(err, name, strlen(folder) + sizeof(packed_name));
    if (!file_exists(*path)) {
        free(*path);
        *path = NULL;
    }
    return ST_OK;
}

/* Reads the file of that name, raw or gzip; *found is false when there is none. */
static enum status read_file(struct cifar_reader *reader, const char *name, enum data_split split,
                             bool *found, struct error *err)
{
    char *path = NULL;
    enum status st = find_file(reader->build->source, name, &path, err);
    *found = path != NULL;
    if (st == ST_OK && *found)
        st = read_records(reader, path, split, err);
    free(path);
    return st;
}

/* data_batch_1 and so on. A number left out in the middle is a file that got lost. */
static enum status read_batches(struct cifar_reader *reader, struct error *err)
{
    int32_t missing = 0;
    for (int32_t batch = 1; batch < missing + BATCHES_AHEAD || missing == 0; batch++) {
        char name[32], *path = NULL;
        snprintf(name, sizeof(name), "data_batch_%d.bin", batch);
        enum status st = find_file(reader->build->source, name, &path, err);
        if (st == ST_OK && path != NULL)
            st = missing != 0 ? error_set(err, ST_FORMAT, "%s: data_batch_%d.bin is not there, but %s is",
                                          reader->build->source, missing, name)
                              : read_records(reader, path, SPLIT_TRAIN, err);
        if (path == NULL && missing == 0)
            missing = batch;
        free(path);
        if (st != ST_OK)
            return st;
    }
    if (missing == 1)
        return error_set(err, ST_FORMAT, "%s: no training images found, expected data_batch_1.bin[.gz]",
                         reader->build->source);
    return ST_OK;
}

/* Class names from a file of one name a line; without it the numbers stay. */
static enum status read_names(struct dataset *set, const char *folder, const char *name, struct error *err)
{
    enum status st = ST_OK;
    char *text = NULL, *rest = NULL;
    size_t length = 0;
    int32_t count = 0;
    char *path = file_join(folder, name);
    if (path == NULL)
        return error_memory(err, name, strlen(folder) + strlen(name));
    if (!file_exists(path))
        goto out;
    st = file_read(path, &text, &length, err);
    if (st != ST_OK)
        goto out;
    for (char *line = strtok_r(text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
        if (line[strspn(line, " \t")] == '\0')
            continue;
        if (count < set->classes) {
            char *copy = strdup(line);
            if (copy == NULL) {
                st = error_memory(err, path, strlen(line));
                goto out;
            }
            free(set->class_names[count]);
            set->class_names[count] = copy;
        }
        count++;
    }
    if (count != set->classes)
        st = error_set(err, ST_FORMAT, "%s: %d class names, expected %d", path, count, set->classes);
out:
    free(text);
    free(path);
    return st;
}

enum status data_read_cifar(const struct job_dataset *job, int32_t classes, struct data_build *build,
                            struct error *err)
{
    struct cifar_reader reader = {.build = build, .classes = classes};
    struct dataset *set = &build->set;
    bool found = false;
    enum status st;

    set->channels = 3;
    set->height = CIFAR_SIDE;
    set->width = CIFAR_SIDE;
    if (classes == 100) {
        st = read_file(&reader, "train.bin", SPLIT_TRAIN, &found, err);
        if (st == ST_OK && !found)
            st =
                error_set(err, ST_FORMAT, "%s: no training images found, expected train.bin[.gz]", job->path);
    } else {
        st = read_batches(&reader, err);
    }
    if (st == ST_OK)
        st = read_file(&reader, classes == 100 ? "validation.bin" : "validation_batch.bin", SPLIT_VALIDATION,
                       &found, err);
    if (st == ST_OK)
        st = read_file(&reader, classes == 100 ? "test.bin" : "test_batch.bin", SPLIT_TEST, &found, err);
    if (st != ST_OK)
        return st;
    build->numbered = true;
    set->classes = classes;
    st = data_number_classes(set, err);
    if (st == ST_OK)
        st = read_names(set, job->path, classes == 100 ? "fine_label_names.txt" : "batches.meta.txt", err);
    return st;
}

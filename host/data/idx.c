/* IDX, the format of MNIST and its kin (http://yann.lecun.com/exdb/mnist): big-endian, images as magic
 * 0x00000803, count, height, width and grey bytes; labels as magic 0x00000801, count and a byte each, or whole numbers
 * of another type, in rows whose first is the label (QMNIST: 0x00000c02). The labels that occur are the classes. Which
 * split a file belongs to is read from its name: train, t10k or test, val. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum idx_kind { IDX_NONE, IDX_IMAGES, IDX_LABELS };
enum { IDX_DIMENSIONS = 3, IDX_ROW_MAX = 1024 /* numbers in a row of labels */ };

struct idx_split {
    char *images, *labels; /* paths; NULL: the data has no such split */
    struct data_pack pack; /* the images, read up to behind their header */
    int32_t count, height, width;
};

static const char *const fashion_names[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                            "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
enum { FASHION_CLASSES = sizeof(fashion_names) / sizeof(fashion_names[0]) };
enum { FASHION_SIDE = 28, FASHION_TRAIN = 60000, FASHION_TEST = 10000 };

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t size = strlen(end);
    return length >= size && strncasecmp(text + length - size, end, size) == 0;
}

/* Which split and kind a file name speaks of; IDX_NONE: it is no IDX file. */
static void understand_name(const char *name, int *split, enum idx_kind *kind, bool *packed)
{
    static const char *const labels[] = {"idx1-ubyte", "idx1-int", "idx2-int"};
    size_t length = strlen(name);
    *packed = ends_with(name, length, ".gz");
    if (*packed)
        length -= 3;
    *kind = ends_with(name, length, "idx3-ubyte") ? IDX_IMAGES : IDX_NONE;
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (ends_with(name, length, labels[i]))
            *kind = IDX_LABELS;
    *split = strcasestr(name, "train") != NULL                                      ? SPLIT_TRAIN
             : strcasestr(name, "t10k") != NULL || strcasestr(name, "test") != NULL ? SPLIT_TEST
             : strcasestr(name, "val") != NULL                                      ? SPLIT_VALIDATION
                                                                                    : -1;
}

/* Takes note of one file. Of a raw and a gzip file of one name the raw one counts. A folder of such a name is what some
 * programs unpack a file into. */
static enum status note_file(DIR *place, const char *folder, const char *name, struct idx_split *splits,
                             struct error *err)
{
    int split;
    enum idx_kind kind;
    bool packed;
    struct stat about;
    understand_name(name, &split, &kind, &packed);
    if (kind == IDX_NONE || (fstatat(dirfd(place), name, &about, 0) == 0 && S_ISDIR(about.st_mode)))
        return ST_OK;
    if (split < 0)
        return error_set(err, ST_FORMAT,
                         "%s/%s: the name tells no split, expected train, t10k, test or val in it", folder,
                         name);
    char **file = kind == IDX_IMAGES ? &splits[split].images : &splits[split].labels;
    if (*file != NULL) {
        const char *other = strrchr(*file, '/') + 1;
        size_t common = strlen(packed ? other : name);
        bool twins = strncmp(other, name, common) == 0 && ends_with(packed ? name : other, common + 3, ".gz");
        if (!twins)
            return error_set(
                err, ST_FORMAT,
                "%s: %s and %s are of the same split, expected one of them; sets are to lie in folders of "
                "their own",
                folder, other, name);
        if (packed)
            return ST_OK;
        free(*file);
    }
    *file = file_join(folder, name);
    return *file != NULL ? ST_OK : data_no_path(folder, name, err);
}

static enum status find_files(const char *path, struct idx_split *splits, struct error *err)
{
    enum status st = ST_OK;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return error_system(err, errno, "%s", path);
    for (const struct dirent *entry = readdir(folder); entry != NULL && st == ST_OK; entry = readdir(folder))
        st = note_file(folder, path, entry->d_name, splits, err);
    closedir(folder);
    if (st != ST_OK)
        return st;
    if (splits[SPLIT_TRAIN].images == NULL)
        return error_set(err, ST_FORMAT,
                         "%s: no training images found, expected train-images-idx3-ubyte[.gz]", path);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        if (splits[split].images != NULL && splits[split].labels == NULL)
            return error_set(
                err, ST_FORMAT,
                "%s: no labels for these images, expected an idx1-ubyte file (or idx2-int) beside it",
                splits[split].images);
        if (splits[split].images == NULL && splits[split].labels != NULL)
            return error_set(err, ST_FORMAT,
                             "%s: no images for these labels, expected an idx3-ubyte file beside it",
                             splits[split].labels);
    }
    return ST_OK;
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Bytes of a number by IDX's code of its type; 0: none of whole numbers. */
static int32_t bytes_of_type(int type)
{
    switch (type) {
    case 0x08: /* unsigned byte */
    case 0x09: /* signed byte */
        return 1;
    case 0x0b:
        return 2;
    case 0x0c:
        return 4;
    default:
        return 0;
    }
}

struct idx_header {
    int type, dimensions;
    uint32_t sizes[IDX_DIMENSIONS];
};

static const char *const size_names[2][IDX_DIMENSIONS] = {{"count", "height", "width"},
                                                          {"count", "row", "depth"}};

/* Reads and checks magic number and sizes. */
static enum status read_header(struct data_pack *pack, enum idx_kind kind, struct idx_header *header,
                               struct error *err)
{
    uint8_t head[4 + 4 * IDX_DIMENSIONS];
    enum status st = data_pack_read(pack, head, 4, "header", err);
    if (st != ST_OK)
        return st;
    const bool images = kind == IDX_IMAGES;
    header->type = head[2];
    header->dimensions = head[3];
    if (head[0] == '<')
        return error_set(err, ST_FORMAT,
                         "%s: starts with \"<\" like a web page (HTML), expected IDX of %s: what was "
                         "downloaded is a server's message",
                         pack->path, images ? "images" : "labels");
    const bool fits = images ? big_endian(head) == 0x803
                             : head[0] == 0 && head[1] == 0 && bytes_of_type(header->type) > 0 &&
                                   (header->dimensions == 1 || header->dimensions == 2);
    if (!fits)
        return error_set(err, ST_FORMAT, "%s: magic number 0x%08x at byte 0, expected 0x%08x (IDX of %s)",
                         pack->path, big_endian(head), images ? 0x803 : 0x801, images ? "images" : "labels");
    uint64_t bytes = images ? 1 : (uint64_t)bytes_of_type(header->type);
    st = data_pack_read(pack, head + 4, 4 * (size_t)header->dimensions, "header", err);
    if (st != ST_OK)
        return st;
    for (int i = 0; i < header->dimensions; i++) {
        uint32_t most = i == 0 ? INT32_MAX : images ? IMAGE_MAX_SIDE : IDX_ROW_MAX;
        header->sizes[i] = big_endian(head + 4 + 4 * i);
        if (header->sizes[i] == 0 || header->sizes[i] > most)
            return error_set(err, ST_FORMAT, "%s: %s %u at byte %d, expected 1 to %u", pack->path,
                             size_names[!images][i], header->sizes[i], 4 + 4 * i, most);
        bytes *= header->sizes[i];
    }
    /* Before anything is allocated for it. */
    bytes += 4 + 4 * (uint64_t)header->dimensions;
    if (bytes > (uint64_t)data_pack_capacity(pack))
        return error_set(err, ST_FORMAT,
                         "%s: the header promises %llu bytes, but the file of %lld bytes is too short",
                         pack->path, (unsigned long long)bytes, (long long)pack->bytes);
    return ST_OK;
}

static enum status open_images(struct idx_split *split, struct error *err)
{
    struct idx_header header = {0};
    enum status st = data_pack_open(&split->pack, split->images, err);
    if (st == ST_OK)
        st = read_header(&split->pack, IDX_IMAGES, &header, err);
    if (st != ST_OK)
        return st;
    split->count = (int32_t)header.sizes[0];
    split->height = (int32_t)header.sizes[1];
    split->width = (int32_t)header.sizes[2];
    return ST_OK;
}

/* The whole number at `bytes`, of that type. */
static int32_t number_of(const uint8_t *bytes, int type)
{
    switch (type) {
    case 0x08:
        return bytes[0];
    case 0x09:
        return (int8_t)bytes[0];
    case 0x0b:
        return (int16_t)((uint32_t)bytes[0] << 8 | bytes[1]);
    default: /* bytes_of_type() knows no other */
        return (int32_t)big_endian(bytes);
    }
}

/* Labels of one split as the file has them. */
static enum status read_labels(const struct idx_split *split, int32_t *labels, struct error *err)
{
    struct data_pack pack;
    struct idx_header header = {0};
    uint8_t *row = NULL;

    enum status st = data_pack_open(&pack, split->labels, err);
    if (st == ST_OK)
        st = read_header(&pack, IDX_LABELS, &header, err);
    if (st != ST_OK)
        goto out;
    if ((int32_t)header.sizes[0] != split->count) {
        st = error_set(err, ST_FORMAT, "%s: %u labels, expected %d, as many as images in %s", pack.path,
                       header.sizes[0], split->count, split->images);
        goto out;
    }
    const size_t size = (size_t)bytes_of_type(header.type) * (header.dimensions == 2 ? header.sizes[1] : 1);
    row = malloc(size);
    if (row == NULL) {
        st = error_memory(err, "labels", size);
        goto out;
    }
    for (int32_t i = 0; i < split->count && st == ST_OK; i++) {
        st = data_pack_read(&pack, row, size, "labels", err);
        if (st == ST_OK)
            labels[i] = number_of(row, header.type);
    }
    if (st == ST_OK)
        st = data_pack_end(&pack, err);
out:
    free(row);
    data_pack_close(&pack);
    return st;
}

static int compare_labels(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* The labels that occur in the training part become the classes 0 to set->classes - 1, in their order; *values (caller
 * frees) are what the file calls them. In the other parts none may occur beside them. */
static enum status number_labels(const struct idx_split *splits, struct dataset *set, int32_t **values,
                                 struct error *err)
{
    const size_t count = (size_t)splits[SPLIT_TRAIN].count;
    int32_t *sorted = malloc(count * sizeof(*sorted));
    *values = sorted;
    if (sorted == NULL)
        return error_memory(err, "labels", count * sizeof(*sorted));
    memcpy(sorted, set->labels, count * sizeof(*sorted)); /* training comes first */
    qsort(sorted, count, sizeof(*sorted), compare_labels);
    size_t distinct = 1;
    for (size_t i = 1; i < count; i++)
        if (sorted[i] != sorted[distinct - 1])
            sorted[distinct++] = sorted[i];
    int32_t image = 0;
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (int32_t i = 0; i < splits[split].count; i++, image++) {
            const int32_t *found =
                bsearch(&set->labels[image], sorted, distinct, sizeof(*sorted), compare_labels);
            if (found == NULL)
                return error_set(
                    err, ST_FORMAT,
                    "%s: label %d of image %d, which no training image has, expected one of %zu from %d "
                    "to %d",
                    splits[split].labels, set->labels[image], i, distinct, sorted[0], sorted[distinct - 1]);
            set->labels[image] = (int32_t)(found - sorted);
        }
    set->classes = (int32_t)distinct;
    return ST_OK;
}

/* Fashion-MNIST's files don't name its classes. It is known by its folder's name, sizes and counts. */
static bool is_fashion(const char *path, const struct idx_split *splits, int32_t classes)
{
    char resolved[PATH_MAX];
    if (splits[SPLIT_TRAIN].height != FASHION_SIDE || splits[SPLIT_TRAIN].width != FASHION_SIDE ||
        splits[SPLIT_TRAIN].count != FASHION_TRAIN || splits[SPLIT_TEST].count != FASHION_TEST ||
        splits[SPLIT_VALIDATION].count != 0 || classes != FASHION_CLASSES || realpath(path, resolved) == NULL)
        return false;
    return strcasestr(strrchr(resolved, '/'), "fashion") != NULL;
}

static enum status name_classes(const int32_t *values, bool fashion, struct dataset *set, struct error *err)
{
    char number[16];
    set->class_names = calloc((size_t)set->classes, sizeof(*set->class_names));
    if (set->class_names == NULL)
        return error_memory(err, "class names", (unsigned long long)set->classes * sizeof(*set->class_names));
    for (int32_t i = 0; i < set->classes; i++) {
        snprintf(number, sizeof(number), "%d", values[i]);
        set->class_names[i] = strdup(fashion ? fashion_names[i] : number);
        if (set->class_names[i] == NULL)
            return error_memory(err, "class names", sizeof(number));
    }
    return ST_OK;
}

/* Opens the images of every split and adds up what the dataset needs. */
static enum status open_all(struct idx_split *splits, struct dataset *set, struct error *err)
{
    int64_t count = 0;
    const struct idx_split *train = &splits[SPLIT_TRAIN];
    for (int split = 0; split < SPLIT_COUNT; split++) {
        if (splits[split].images == NULL)
            continue;
        enum status st = open_images(&splits[split], err);
        if (st != ST_OK)
            return st;
        if (splits[split].height != train->height || splits[split].width != train->width)
            return error_set(err, ST_FORMAT, "%s: images of %d x %d, expected %d x %d as in %s",
                             splits[split].images, splits[split].height, splits[split].width, train->height,
                             train->width, train->images);
        count += splits[split].count;
    }
    if (count > INT32_MAX)
        return error_set(err, ST_UNSUPPORTED, "%s: %lld images in all, expected at most %d", train->images,
                         (long long)count, INT32_MAX);
    set->count = (int32_t)count;
    set->channels = 1;
    set->height = train->height;
    set->width = train->width;
    return ST_OK;
}

enum status data_read_idx(const struct job_dataset *job, struct data_build *build, struct error *err)
{
    struct idx_split splits[SPLIT_COUNT] = {0};
    struct dataset *set = &build->set;
    int32_t *values = NULL;
    size_t done = 0;

    enum status st = find_files(job->path, splits, err);
    if (st == ST_OK)
        st = open_all(splits, set, err);
    if (st != ST_OK)
        goto out;
    size_t image = (size_t)set->height * (size_t)set->width, count = (size_t)set->count;
    set->pixels = malloc(count * image);
    set->labels = malloc(count * sizeof(*set->labels));
    build->given = malloc(count);
    if (set->pixels == NULL || set->labels == NULL || build->given == NULL) {
        st = error_memory(err, "images", count * image);
        goto out;
    }
    for (int split = 0; split < SPLIT_COUNT; split++) {
        if (splits[split].images == NULL)
            continue;
        size_t here = (size_t)splits[split].count;
        st = read_labels(&splits[split], set->labels + done, err);
        if (st == ST_OK)
            st = data_pack_read(&splits[split].pack, set->pixels + done * image, here * image, "pixels", err);
        if (st == ST_OK)
            st = data_pack_end(&splits[split].pack, err);
        if (st != ST_OK)
            goto out;
        memset(build->given + done, split, here);
        done += here;
    }
    st = number_labels(splits, set, &values, err);
    if (st == ST_OK)
        st = name_classes(values, is_fashion(job->path, splits, set->classes), set, err);
out:
    free(values);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        free(splits[split].images);
        free(splits[split].labels);
        data_pack_close(&splits[split].pack);
    }
    return st;
}

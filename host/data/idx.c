/* IDX, the format of MNIST and its kin (http://yann.lecun.com/exdb/mnist): big-endian, images as magic
 * 0x00000803, count, height, width and grey bytes; labels as magic 0x00000801, count and a byte each. Which
 * split a file belongs to is read from its name: train, t10k or test, val. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { IDX_IMAGES = 3, IDX_LABELS = 1 }; /* kinds, by their number of dimensions */

struct idx_split {
    char *images, *labels; /* paths; NULL: the data has no such split */
    struct data_pack pack; /* the images, read up to behind their header */
    int32_t count, height, width;
};

static const char *const fashion_names[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                            "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
enum { FASHION_CLASSES = sizeof(fashion_names) / sizeof(fashion_names[0]) };

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t size = strlen(end);
    return length >= size && strncasecmp(text + length - size, end, size) == 0;
}

/* Which split and kind a file name speaks of; *kind 0: it is no IDX file. */
static void understand_name(const char *name, int *split, int *kind, bool *packed)
{
    size_t length = strlen(name);
    *packed = ends_with(name, length, ".gz");
    if (*packed)
        length -= 3;
    *kind = ends_with(name, length, "idx3-ubyte")   ? IDX_IMAGES
            : ends_with(name, length, "idx1-ubyte") ? IDX_LABELS
                                                    : 0;
    *split = strcasestr(name, "train") != NULL                                      ? SPLIT_TRAIN
             : strcasestr(name, "t10k") != NULL || strcasestr(name, "test") != NULL ? SPLIT_TEST
             : strcasestr(name, "val") != NULL                                      ? SPLIT_VALIDATION
                                                                                    : -1;
}

/* Takes note of one file. Of a raw and a gzip file of one name the raw one counts. */
static enum status note_file(const char *folder, const char *name, struct idx_split *splits,
                             struct error *err)
{
    int split, kind;
    bool packed;
    understand_name(name, &split, &kind, &packed);
    if (kind == 0)
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
            return error_set(err, ST_FORMAT, "%s: %s and %s are of the same split, expected one of them",
                             folder, other, name);
        if (packed)
            return ST_OK;
        free(*file);
    }
    *file = file_join(folder, name);
    return *file != NULL ? ST_OK : error_memory(err, name, strlen(folder) + strlen(name) + 2);
}

static enum status find_files(const char *path, struct idx_split *splits, struct error *err)
{
    enum status st = ST_OK;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return error_system(err, errno, "%s", path);
    for (const struct dirent *entry = readdir(folder); entry != NULL && st == ST_OK; entry = readdir(folder))
        st = note_file(path, entry->d_name, splits, err);
    closedir(folder);
    if (st != ST_OK)
        return st;
    if (splits[SPLIT_TRAIN].images == NULL)
        return error_set(err, ST_FORMAT,
                         "%s: no training images found, expected train-images-idx3-ubyte[.gz]", path);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        if (splits[split].images != NULL && splits[split].labels == NULL)
            return error_set(err, ST_FORMAT,
                             "%s: no labels for these images, expected an idx1-ubyte file beside it",
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

/* Reads and checks magic number, count and sizes; `sizes` has `kind` entries. */
static enum status read_header(struct data_pack *pack, int kind, uint32_t *sizes, struct error *err)
{
    uint8_t head[16];
    uint64_t bytes = 1;
    enum status st = data_pack_read(pack, head, 4 + 4 * (size_t)kind, "header", err);
    if (st != ST_OK)
        return st;
    uint32_t magic = big_endian(head), expected = 0x800 | (uint32_t)kind;
    if (magic != expected)
        return error_set(err, ST_FORMAT, "%s: magic number 0x%08x at byte 0, expected 0x%08x (IDX of %s)",
                         pack->path, magic, expected, kind == IDX_IMAGES ? "images" : "labels");
    for (int i = 0; i < kind; i++) {
        uint32_t most = i == 0 ? INT32_MAX : IMAGE_MAX_SIDE;
        sizes[i] = big_endian(head + 4 + 4 * i);
        if (sizes[i] == 0 || sizes[i] > most)
            return error_set(err, ST_FORMAT, "%s: %s %u at byte %d, expected 1 to %u", pack->path,
                             i == 0   ? "count"
                             : i == 1 ? "height"
                                      : "width",
                             sizes[i], 4 + 4 * i, most);
        bytes *= sizes[i];
    }
    /* Before anything is allocated for it. */
    bytes += 4 + 4 * (uint64_t)kind;
    if (bytes > (uint64_t)data_pack_capacity(pack))
        return error_set(err, ST_FORMAT,
                         "%s: the header promises %llu bytes, but the file of %lld bytes is too short",
                         pack->path, (unsigned long long)bytes, (long long)pack->bytes);
    return ST_OK;
}

static enum status open_images(struct idx_split *split, struct error *err)
{
    uint32_t sizes[3] = {0};
    enum status st = data_pack_open(&split->pack, split->images, err);
    if (st == ST_OK)
        st = read_header(&split->pack, IDX_IMAGES, sizes, err);
    if (st != ST_OK)
        return st;
    split->count = (int32_t)sizes[0];
    split->height = (int32_t)sizes[1];
    split->width = (int32_t)sizes[2];
    return ST_OK;
}

/* Labels of one split as int32. In the training part they tell the number of classes, elsewhere they must be
 * in it. */
static enum status read_labels(const struct idx_split *split, int32_t *labels, int32_t *classes,
                               bool training, struct error *err)
{
    struct data_pack pack;
    uint32_t count = 0;
    int32_t seen[256] = {0}, most = *classes;
    uint8_t *bytes = NULL;

    enum status st = data_pack_open(&pack, split->labels, err);
    if (st == ST_OK)
        st = read_header(&pack, IDX_LABELS, &count, err);
    if (st != ST_OK)
        goto out;
    if ((int32_t)count != split->count) {
        st = error_set(err, ST_FORMAT, "%s: %u labels, expected %d, as many as images in %s", pack.path,
                       count, split->count, split->images);
        goto out;
    }
    bytes = malloc(count);
    if (bytes == NULL) {
        st = error_memory(err, "labels", count);
        goto out;
    }
    st = data_pack_read(&pack, bytes, count, "labels", err);
    if (st == ST_OK)
        st = data_pack_end(&pack, err);
    if (st != ST_OK)
        goto out;
    for (uint32_t i = 0; i < count; i++)
        seen[bytes[i]]++;
    if (training && most == 0) {
        /* Labels run without a gap (0 may be missing: some sets count from 1). One behind a gap is a broken
         * byte. */
        most = 1;
        while (most < 256 && seen[most] > 0)
            most++;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (bytes[i] >= most) {
            st = error_set(err, ST_FORMAT, "%s: label %d of image %u, expected 0 to %d", pack.path, bytes[i],
                           i, most - 1);
            goto out;
        }
        labels[i] = bytes[i];
    }
    *classes = most;
out:
    free(bytes);
    data_pack_close(&pack);
    return st;
}

/* Fashion-MNIST is known by its folder's name, and its files don't name its classes. */
static bool is_fashion(const char *path)
{
    char resolved[PATH_MAX];
    if (realpath(path, resolved) == NULL)
        return false;
    return strcasestr(strrchr(resolved, '/'), "fashion") != NULL;
}

static enum status name_classes(bool fashion, struct dataset *set, struct error *err)
{
    enum status st = data_number_classes(set, err);
    for (int32_t i = 0; fashion && st == ST_OK && i < set->classes; i++) {
        free(set->class_names[i]);
        set->class_names[i] = strdup(fashion_names[i]);
        if (set->class_names[i] == NULL)
            st = error_memory(err, "class names", strlen(fashion_names[i]));
    }
    return st;
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
    bool fashion = is_fashion(job->path);
    int32_t classes = fashion ? FASHION_CLASSES : 0;
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
        st = read_labels(&splits[split], set->labels + done, &classes, split == SPLIT_TRAIN, err);
        if (st == ST_OK)
            st = data_pack_read(&splits[split].pack, set->pixels + done * image, here * image, "pixels", err);
        if (st == ST_OK)
            st = data_pack_end(&splits[split].pack, err);
        if (st != ST_OK)
            goto out;
        memset(build->given + done, split, here);
        done += here;
    }
    build->numbered = true;
    set->classes = classes;
    st = name_classes(fashion, set, err);
out:
    for (int split = 0; split < SPLIT_COUNT; split++) {
        free(splits[split].images);
        free(splits[split].labels);
        data_pack_close(&splits[split].pack);
    }
    return st;
}

/* Datasets: images as uint8, labels, class names, splits. Read from disk once, kept whole in host memory
 * until they are resident on the devices.
 *
 *     data_load(&job->dataset, seed, &dataset, &err) ... data_free(&dataset)
 */
#ifndef NASRUN_DATA_DATASET_H
#define NASRUN_DATA_DATASET_H

#include "host/base/error.h"
#include "spec/job.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum data_split { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST, SPLIT_COUNT };

/* Second moments of small patches, for whitening (host/net/whitening.h): of value i times value j, both normalised,
 * where i counts channel, row, column of a patch of DATA_PATCH_SIDE x DATA_PATCH_SIDE pixels. Over the first
 * DATA_PATCH_IMAGES training images. */
enum {
    DATA_PATCH_SIDE = 2,
    DATA_PATCH_VALUES = 4 * DATA_PATCH_SIDE * DATA_PATCH_SIDE,
    DATA_PATCH_IMAGES = 5000
};

#define DATA_CONSTANT 1.0f

struct dataset {
    int32_t count, channels, height, width, classes;
    uint8_t *pixels; /* count x channels x height x width */
    int32_t *labels; /* count: of each image its class or, with sets, its set, in [0, label_set_count) */
    /* label_set_count x classes, as host/base/labels.h has them, no two equal; NULL: each image is of one class */
    uint8_t *label_sets;
    int32_t label_set_count;
    uint64_t *hashes; /* count: of each image's pixels (file_hash) */
    /* count: the images' files, as they were opened; NULL: of a packed format, whose images count from 0 through the
     * training files, then the test's */
    char **paths;
    char **class_names; /* classes; sorted by name where the format has names, "0".."9" or the format's own
                           otherwise */
    int32_t *samples[SPLIT_COUNT]; /* indices of each split's images. Train is in a seeded random order in
                                      which every prefix is stratified, so that its first n samples are a fair
                                      part of the data */
    int32_t sample_count[SPLIT_COUNT];
    /* Per channel, of value / 255, over the training samples, or as data_normalise_by was told; the deviation of a
     * channel of one value is DATA_CONSTANT, which no other has. */
    float mean[4], deviation[4];
    /* [i][j], as many as the channels make, close together */
    double patches[DATA_PATCH_VALUES * DATA_PATCH_VALUES];
    uint64_t fingerprint;     /* of pixels, labels and splits */
    uint64_t old_fingerprint; /* the same by the hash of older journals */
    int32_t skipped;          /* files left out under on_error = "skip" */
    int32_t resized;          /* images whose size was changed */
    char policy[256]; /* how sizes and colours were made equal, one sentence; "" when nothing was done */
    bool from_cache;
};

/* How a dataset is read. */
struct data_way {
    int32_t threads;    /* for decoding, 0: all cores */
    FILE *log;          /* where warnings go, a line each; NULL: nowhere */
    bool (*stop)(void); /* asked now and then: true ends the reading with ST_INTERRUPTED; NULL: never */
    /* Told of each folder and image that was read, from any thread; NULL: nobody. */
    void (*alive)(void *context);
    void *context;
};

/* Reads what `job` names, splits it (stratified, by `seed`), computes statistics. The dataset is the caller's to
 * free. */
enum status data_load(const struct job_dataset *job, int64_t seed, const struct data_way *way,
                      struct dataset *dataset, struct error *err);
void data_free(struct dataset *dataset); /* a zeroed dataset is allowed */

/* Images are to be normalised by these, [channels] each, in the place of what was measured. */
void data_normalise_by(struct dataset *dataset, const float *mean, const float *deviation);

size_t data_image_bytes(const struct dataset *dataset); /* of one image's pixels */

/* Images of each class in the split, or in all of them (SPLIT_COUNT): [classes], malloc'd; NULL when out of memory. */
int32_t *data_count_classes(const struct dataset *dataset, int split, struct error *err);

/* "cat: 20, dog: 20": the classes and their images in all splits, shortened past ten. */
enum { DATA_LINE_LENGTH = 640 };
enum status data_class_line(const struct dataset *dataset, char text[DATA_LINE_LENGTH], struct error *err);

/* The classes by their images in all splits, those without any left out: the first of the smallest and of the largest,
 * and how many have fewer than DATA_FEW. */
enum { DATA_FEW = 10 };
struct data_sizes {
    int32_t few, least, least_class, most, most_class;
};
enum status data_class_sizes(const struct dataset *dataset, struct data_sizes *sizes, struct error *err);

/* The image's file, or, of a packed format, its number, which is put into `text`. */
const char *data_image_name(const struct dataset *dataset, int32_t image, char *text, size_t size);

/* The fingerprint as a journal has it, "xxh3:" and 16 hexadecimal digits. `like`: one from a journal, by whose hash it
 * is wanted, for those of older ones are 16 digits alone, of another hash; NULL: none. */
enum { DATA_FINGERPRINT_LENGTH = 24 };
void data_fingerprint_text(const struct dataset *dataset, const char *like,
                           char text[DATA_FINGERPRINT_LENGTH]);

/* The default of dataset.max_pixels, and what holds for a single file. As much as Pillow takes. */
enum { DATA_MAX_PIXELS = 178956970 };

#endif

/* predictions.csv: what the model that a stage ends with answers to the test and the validation images, a row each.
 *
 *     image,hash,split,trained,views,class,predicted,p_cat,p_dog
 *     photos/cat/1.jpg,xxh3:0123456789abcdef,test,0,6,cat,dog,0.25,0.75
 *
 * image      the file, as it was opened; of packed formats (IDX, CIFAR) its number from 0, through the training files,
 *            then the test's
 * hash       XXH3 of the image's pixels, as the network gets them before they are normalised
 * split      "test" or "validation"; all test images come first
 * trained    1: a validation image that was trained on in the end (train.use_validation), so that its answer measures
 *            nothing; 0: an image that the network was never trained on
 * views      in how many its answer was found (host/device/views.h): as many as of the test, or 1 of validation images
 *            that the final fit trains on, or would have with more epochs
 * class, predicted    the true class and the most probable one, by name
 * p_NAME     the probability of each class, in the order of the network's outputs, calibrated
 *            (host/device/temperature.h)
 *
 * Where images have several labels `labels` stands in the place of `class`: the image's labels and, as `predicted`,
 * those that are given, which reach the model's thresholds; names with "|" between them, empty without any:
 *
 *     image,hash,split,trained,views,labels,predicted,p_cat,p_dog
 *     photos/both.jpg,xxh3:0123456789abcdef,test,0,6,cat|dog,dog,0.25,0.75
 *
 * Comma-separated values by RFC 4180 (host/base/csv.h); probabilities have as many digits as give a float back. */
#ifndef NASRUN_REPORT_PREDICTIONS_H
#define NASRUN_REPORT_PREDICTIONS_H

#include "host/base/file.h"
#include "host/base/labels.h"

struct predicted_image {
    const char *image;
    uint64_t hash;
    bool validation, trained; /* neither: a test image */
    int32_t views;
    /* Classes or, where images have several labels, numbers of sets of them: labels_have(predictions->label_sets,
     * predictions->classes, truth, class). Equal ones are the same. */
    int32_t truth, predicted;
};

struct predictions {
    int32_t classes, count;
    char **class_names; /* [classes] */
    /* [label_set_count * classes], as labels.h has them, no two equal; NULL: each image is of one class */
    uint8_t *label_sets;
    int32_t label_set_count;
    struct predicted_image *rows;
    float *probabilities;        /* [count, classes] */
    char *text;                  /* what a read one's texts lie in; NULL otherwise */
    char hash[FILE_HASH_LENGTH]; /* of the file */
};

/* "FOLDER/predictions.csv", or "FOLDER/predictions-<stage>.csv" for a stage from 0 on; malloc'd, NULL when out of
 * memory. */
char *predictions_path(const char *folder, int64_t stage);

/* What stands between two labels in a field. */
#define PREDICTIONS_BETWEEN '|'

/* The names of a class, or of a set of them, as the columns `class`, `labels` and `predicted` have them; malloc'd, NULL
 * when out of memory. */
char *predictions_label_text(const struct predictions *predictions, int32_t label);

/* Writes the file atomically and sets predictions->hash. */
enum status predictions_write(const char *path, struct predictions *predictions, struct error *err);

/* Reads a file that anybody may have written: ST_FORMAT, with path and line, for all that is not as above. On errors
 * there are no rows. */
enum status predictions_read(const char *path, struct predictions *predictions, struct error *err);
/* Of one that was read; a zeroed one is allowed. */
void predictions_free(struct predictions *predictions);

/* How many rows are test images: the first ones. */
int32_t predictions_tests(const struct predictions *predictions);

/* Two models' answers to the same test images: `better` are right by the first alone, `worse` by the second alone; the
 * difference of the accuracies, its interval of 95 %, and the probability that such a difference is chance, by
 * McNemar's exact test (verdict.h). */
struct comparison {
    int32_t images;
    int64_t better, worse;
    double difference, low, high, p;
};
/* Images are paired by their hash and true class, or labels. ST_RANGE when the two have not the same test images, or
 * none. */
enum status predictions_compare(const struct predictions *first, const struct predictions *second,
                                struct comparison *comparison, struct error *err);

#endif

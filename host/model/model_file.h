/* Model files: a trained network as safetensors (https://huggingface.co/docs/safetensors), so that any
 * program can read the weights without nasrun.
 *
 * Layout: the header's length in 8 bytes, little-endian; the header, JSON padded by spaces to a multiple of
 * 8; the data, float32, little-endian, tensor after tensor without gaps in the order of the weight table. A
 * tensor is called "layers.<layer id>.<role>", as in "layers.3.running_mean"; kernels have four dimensions
 * [out, in, h, w], dense kernels over 1 x 1 inputs two [out, in], all others one. `__metadata__` holds
 * strings: "format" ("nasrun-1"), "graph" (serialise.h), "class_names", "mean", "deviation" (JSON arrays),
 * "fit", "id", "validation_accuracy", "views", "temperature", "plain_temperature" (the last three absent in older
 * files: 1); of images with several labels "label_thresholds" (a JSON array). The same model gives the same bytes.
 */
#ifndef NASRUN_MODEL_MODEL_FILE_H
#define NASRUN_MODEL_MODEL_FILE_H

#include "host/net/graph.h"

#include <cjson/cJSON.h>

enum { MODEL_HASH_LENGTH = 32 };

#define MODEL_FILE_NAME "model.safetensors" /* of the best model in the run folder */

/* What is known of a model beside graph and weights. The image's shape is the graph's first layer's. */
struct model_about {
    char **class_names;          /* [classes] */
    int32_t classes;             /* as many as the last layer has outputs */
    float mean[4], deviation[4]; /* per channel, of value / 255: what the images were normalised by */
    char fit[256];               /* how images of other sizes are made to fit: "stretch", "crop" or "pad" */
    int32_t views;               /* how its answers are made (host/device/views.h) */
    /* what its answers are calibrated by (host/device/temperature.h): those of all its views, and of one; 1: nothing */
    float temperature, plain_temperature;
    /* [classes]: images have any number of labels (host/base/labels.h), a class is given from its threshold on, which
     * is from 0 to 1. NULL: an image is of the most probable class. */
    double *label_thresholds;
    int64_t id;                 /* the candidate */
    double validation_accuracy; /* NAN: unknown */
};

struct model {
    struct graph graph;
    struct weight_table table;
    float *values; /* [table.total] */
    struct model_about about;
    char hash[MODEL_HASH_LENGTH]; /* of the file that it was read from, as model_hash says it */
};

/* Writes the file atomically. `graph` is inferred, values[total] are in the order of its weight table. */
enum status model_save(const char *path, const struct graph *graph, const float *values,
                       const struct model_about *about, struct error *err);

/* Reads a file that anybody may have written: ST_FORMAT, with the location, what was found and what was
 * expected, for all that is not as above. Tensors may lie in another order. */
enum status model_load(const char *path, struct model *model, struct error *err);

/* Copies a model's file, atomically, and sets its temperatures and, unless NULL, label_thresholds[classes], 0 to 1; all
 * else stays byte by byte. `hash` is of the copy. What is no model is for model_load to tell before: ST_FORMAT. */
enum status model_calibrate(const char *from, const char *to, float temperature, float plain_temperature,
                            const double *label_thresholds, char hash[MODEL_HASH_LENGTH], struct error *err);

/* "xxh3:" and 16 hexadecimal digits of all bytes of a file: whether it is what once was written. ST_IO. */
enum status model_hash(const char *path, char text[MODEL_HASH_LENGTH], struct error *err);
/* The same of bytes. */
void model_hash_text(const char *data, size_t length, char text[MODEL_HASH_LENGTH]);
void model_free(struct model *model); /* a zeroed model is allowed */

#endif

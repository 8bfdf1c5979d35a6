/* A batch: images that go through the network together, from their names to the lines that are told of them. */
#ifndef NASRUN_TOOLS_PREDICT_BATCH_H
#define NASRUN_TOOLS_PREDICT_BATCH_H

#include "tools/common/predictor.h"
#include "tools/predict/answers.h"
#include "tools/predict/source.h"

/* An image: what it is called, or, when it failed, why. */
struct batch_row {
    size_t text; /* where that begins in the batch's texts */
    int32_t image;
    bool failed;
};

/* Everything in it is reused from batch to batch. */
struct batch {
    struct batch_row *rows; /* [most] */
    int32_t most, count;
    char *texts; /* the rows', each with a NUL behind it */
    size_t text_length, text_capacity;
    char *answers, *failures; /* the lines, once they are written */
    size_t answer_length, failure_length;
    FILE *answer_stream, *failure_stream;
    int32_t classified, failed;
    bool stopped; /* at an image that failed: those behind it are not told of */
};

enum status batch_open(struct batch *batch, int32_t most, struct error *err);
void batch_close(struct batch *batch); /* a zeroed one is allowed */

/* Takes the next images, up to `most`; with none it is empty. */
enum status batch_fill(struct batch *batch, struct source *source, struct error *err);

/* pixels[most * values of an image] of those that can be read; the others fail. */
enum status batch_decode(struct batch *batch, const struct source *source, struct image_reader *reader,
                         size_t image_bytes, uint8_t *pixels, struct error *err);

/* Whether any of them did not fail. */
bool batch_has_images(const struct batch *batch);

/* Writes the lines of all images, whose probabilities[count * classes] are there. `stop`: at the first that failed. */
enum status batch_write(struct batch *batch, const struct source *source, const struct answer_style *style,
                        const float *probabilities, bool stop, struct answer_room *room, struct error *err);

#endif

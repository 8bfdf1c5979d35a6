/* A run's model made ready on a device, to classify images. */
#ifndef NASRUN_TOOLS_PREDICTOR_H
#define NASRUN_TOOLS_PREDICTOR_H

#include "host/device/device.h"
#include "host/device/views.h"
#include "host/model/model_file.h"

/* A model made ready on a device. What is NULL has not been made yet. */
struct predictor {
    int32_t device_index,
        threads; /* of the device that is opened: 0, the first, as many threads as may be had */
    const struct device_ops *ops;
    const struct model *model; /* the caller's, as long as the predictor */
    struct program program;
    struct device *device;
    struct device_weights *weights;
    struct device_program *prepared;
    int32_t batch;
    uint8_t *pixels;      /* [batch, channels, height, width] */
    int32_t *labels;      /* [batch], all 0: the classes are what is asked for */
    uint8_t *label_set;   /* [classes], all 0: the one set where images have several labels; else NULL */
    int32_t *samples;     /* [batch]: 0, 1, 2 ... */
    float *probabilities; /* [batch, classes], of one view */
    float *answers;       /* of all views, calibrated */
    struct views views;
    float temperature; /* that they are calibrated by, the model's */
};

/* The model of a run folder: ST_FORMAT when it is not the one that the journal tells of. */
enum status predictor_load(const char *run_folder, struct model *model, struct error *err);

/* Everything up to the first image, of p->model; all else in it but device_index and threads is zeroed before. `batch`:
 * images of a step; views 0: as the model says, which has a temperature for that and one for a single view. Closed
 * after, also on error. */
enum status predictor_open(struct predictor *p, const struct device_ops *ops, int32_t batch, int32_t views,
                           struct error *err);
void predictor_close(struct predictor *p);

/* Bytes of an image in pixels. */
size_t predictor_image_bytes(const struct predictor *p);

/* Fills the answers for the first `count` images in pixels. */
enum status predictor_run(struct predictor *p, int32_t count, struct error *err);

#endif

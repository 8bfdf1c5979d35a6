/* Calibration: what each unit of a training step (host/net/cost.h) takes a device, measured in about a second. A few
 * small networks, of which each has much of one unit, take a few steps; what their steps took is divided among the
 * units (host/net/cost_fit.h).
 *
 * Networks come in the order in which their units matter, until the time is up; what was not measured is taken from
 * the rates that the device says of itself. A device on which one step of such a network would take a good part of the
 * time is not measured at all. */
#ifndef NASRUN_TRAIN_CALIBRATION_H
#define NASRUN_TRAIN_CALIBRATION_H

#include "host/net/cost_fit.h"
#include "host/train/trainer.h"

/* What is measured. `settings` are those of the trainings that will be predicted, their batch included. */
struct calibration_setup {
    struct trainer_device device; /* its training samples are read */
    struct device_info info;
    struct trainer_settings settings;
    struct shape image; /* of the dataset; n is not used */
    int32_t classes;
    double seconds; /* that it may take, about */
};

struct calibration {
    struct cost_rates rates; /* of the device alone when no network was measured */
    int32_t networks;        /* that were measured */
    double error;            /* of the rates on these, relative: the median; NAN without any */
    double seconds;          /* that it took */
};

/* The networks that are measured: CALIBRATION_NETWORKS of them, for images and classes of that kind. */
enum { CALIBRATION_NETWORKS = 22 };
enum status calibration_network(int32_t index, struct shape image, int32_t classes, struct graph *graph,
                                struct error *err);

/* The error of rates on samples of them, relative: the median; NAN without any. */
double calibration_error(const struct cost_sample *samples, int32_t count, const struct cost_rates *rates);

/* Seconds of an image's training of a network, over a few steps. ST_MEMORY, ST_UNSUPPORTED: the device can't do it. */
enum status calibration_step_seconds(const struct trainer_device *device, const struct graph *graph,
                                     const struct trainer_settings *settings, double *seconds,
                                     struct error *err);

/* Leaves the device as it was. A network that the device can't do is left out. */
enum status calibration_measure(const struct calibration_setup *setup, struct calibration *calibration,
                                struct error *err);

#endif

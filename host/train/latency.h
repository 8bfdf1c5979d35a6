/* Latency: how long a network takes for one image on a device, and by what that is predicted for networks that were not
 * measured. The units are those of trainings (host/net/cost.h), in steps of one image: they are proportional to what a
 * forward pass takes, but for the optimizer's, which take none. */
#ifndef NASRUN_TRAIN_LATENCY_H
#define NASRUN_TRAIN_LATENCY_H

#include "host/device/device.h"
#include "host/net/cost_fit.h"

/* A device with one image on it. What is NULL has not been made. */
struct latency_device {
    const struct device_ops *ops;
    struct device *handle;
    struct device_dataset *dataset;
    struct device_info info;
};

/* Opens the first device of that kind, in float32 as naspredict answers; a CPU with one thread. `image`: n is not used.
 * Closed after, also on error. */
enum status latency_open(struct latency_device *device, const struct device_ops *ops, struct shape image,
                         int32_t classes, struct error *err);
void latency_close(struct latency_device *device);

/* Seconds of the network's answer for one image, of a CPU's thread its own: the median of several, behind some that do
 * not count. ST_MEMORY, ST_UNSUPPORTED: the device can't do it. */
enum status latency_measure(const struct latency_device *device, const struct graph *graph, double *seconds,
                            struct error *err);

/* What is found of a device: cost_seconds of a graph by the rates predicts its latency. */
struct latency_rates {
    struct cost_rates rates;
    int32_t networks; /* that were measured */
    double error;     /* of the rates on these, relative: the median */
};

/* Measures the networks of the calibration, and `count` graphs like those that will be predicted, at most
 * LATENCY_GRAPHS. The rates are on the safe side: none of these graphs is predicted to be faster than it was. */
enum { LATENCY_GRAPHS = 10 };
enum status latency_calibrate(const struct latency_device *device, const struct graph *graphs, int32_t count,
                              struct latency_rates *found, struct error *err);

/* The rates of a processor that is none in particular, of 25 GFLOP/s and 10 GB/s: for runs that no clock may decide. */
struct cost_rates latency_usual_rates(void);

#endif

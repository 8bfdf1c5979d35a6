/* A network on a device, there to be timed: its program and fresh weights, for what these are does not
 * matter to how long it takes. */
#ifndef NASRUN_TRAIN_TIMED_H
#define NASRUN_TRAIN_TIMED_H

#include "host/device/device.h"
#include "host/program/lower.h"

struct timed {
    const struct device_ops *ops; /* both are set by the caller */
    struct device *device;
    struct program program;
    struct device_program *prepared; /* not bound */
    struct device_weights *weights;  /* of a training all slots, else the values alone */
};

/* Closed after, also on error. */
enum status timed_open(struct timed *network, const struct graph *graph, const struct lower_options *options,
                       struct error *err);
void timed_close(struct timed *network);

/* Of one or more, which are sorted. */
double timed_median(double *values, int32_t count);

#endif

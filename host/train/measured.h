/* A network on a device, there for its time to be measured: its program and fresh weights, for what these are does not
 * matter to how long it takes. */
#ifndef NASRUN_TRAIN_MEASURED_H
#define NASRUN_TRAIN_MEASURED_H

#include "host/device/device.h"
#include "host/program/lower.h"

struct measured {
    const struct device_ops *ops; /* both are set by the caller */
    struct device *device;
    struct program program;
    struct device_program *prepared; /* not bound */
    struct device_weights *weights;  /* of a training all slots, else the values alone */
};

/* Closed after, also on error. */
enum status measured_open(struct measured *network, const struct graph *graph,
                          const struct lower_options *options, struct error *err);
void measured_close(struct measured *network);

/* Of one or more, which are sorted. */
double measured_median(double *values, int32_t count);

#endif

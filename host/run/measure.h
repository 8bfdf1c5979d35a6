/* Measuring: how fast a network trains on a run's devices, before anything is decided by it. */
#ifndef NASRUN_RUN_MEASURE_H
#define NASRUN_RUN_MEASURE_H

#include "host/run/candidate.h"

/* Seconds of a step from which on a network has no gaps that another could fill, and is measured over one step. */
#define MEASURE_LONG_STEP 0.01

struct measured {
    double images_per_second;
    /* of an image's evaluation; 0: not measured, for a GPU would wait between two batches */
    double evaluation_seconds;
    size_t bytes;       /* on the device, on the fullest of a team's */
    size_t group_bytes; /* that the team itself takes on each device, beside them */
    double preparation; /* seconds from a graph to a trainer that is ready for its first step */
};

/* Trains the network from fresh weights for a few steps, on a team that shares each batch. The first steps do not
 * count, and of several rounds the fastest does; unless `seconds` are over before: then there are fewer rounds, down to
 * the first steps alone. INFINITY: no limit. */
enum status measure_team(const struct run *run, const struct graph *graph, struct team team, int32_t batch,
                         double seconds, struct measured *measured, struct error *err);

/* The same on each of `count` devices by itself, at the same time; images a second of all of them together. */
enum status measure_beside(const struct run *run, const struct graph *graph, const int32_t *devices,
                           int32_t count, int32_t batch, double *images_per_second, struct error *err);

#endif

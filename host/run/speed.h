/* How fast this machine trains, where a clock decides: by what networks' costs are predicted, and what the first
 * starting network took. */
#ifndef NASRUN_RUN_SPEED_H
#define NASRUN_RUN_SPEED_H

#include "host/run/candidate.h"
#include "host/train/calibration.h"

/* Measures what the units of trainings cost on the first device (calibration.h) into run->rates, in a second, or less
 * in a short stage. With few networks measured, because there was no time, the device's own rates stay. */
enum status speed_calibrate(struct run *run, struct calibration *calibration, struct error *err);

/* Before the search of a stage: the calibration, where there is something to choose, and, for strategies that plan by
 * it, how fast the first starting network is; unless the journal had them. They are journalled, so that a resumed run
 * goes by the same figures. */
enum status speed_open(struct run *run, struct error *err);

/* A few steps of a network, where nothing has been measured in this process and there is time left. What goes wrong in
 * the network itself is for its training to find. */
enum status speed_measure(struct run *run, const struct graph *graph, struct team team, int32_t batch,
                          struct error *err);

/* Images a second that are expected of a candidate's training; NAN where no clock counts (run_repeats). */
double speed_expected(const struct run *run, const struct candidate *candidate);

/* Remembers how the measured time of a training's steps, and of its evaluation, compares with what was predicted. Short
 * trainings tell too little. With the run's lock. */
void speed_learn(struct run *run, const struct candidate *candidate);

/* By how much what was expected was off, relative; NAN when it is not known. */
double speed_error(const struct candidate *candidate);

#endif

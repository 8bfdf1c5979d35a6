/* Learning-rate schedules over progress, so that the rate reaches its end whether a training is counted in
 * steps or in seconds: progress is the share of the training that is done, whichever of its limits is nearer.
 */
#ifndef NASRUN_TRAIN_SCHEDULE_H
#define NASRUN_TRAIN_SCHEDULE_H

#include "spec/job.h"

struct schedule {
    enum job_schedule kind;
    double peak;   /* learning rate */
    double warmup; /* share of the progress before the peak, in [0, 1) */
    double hold;   /* share of the progress at the peak, behind the warm-up; with it 1 at most */
};

/* The learning rate at `progress`, clamped to [0, 1]. Cosine: linear from 0 to the peak, then a half cosine to 0
 * (Loshchilov, Hutter 2017). Linear: linear from 0 to the peak, then linear to 0. One-cycle: half cosines from peak /
 * 25 to the peak and on to peak / 10000 (Smith, Topin 2018). Triangle: linear from 0.2 of the peak to it and on to
 * 0.07 of it (Jordan 2024). With a hold the rate stays at the peak before it falls; where warm-up and hold are all of
 * the training it never falls. */
double schedule_rate(const struct schedule *schedule, double progress);

/* How much of its fall the rate has behind it at `progress`: 0 while it rises or holds, 1 at the end. */
double schedule_fallen(const struct schedule *schedule, double progress);

#endif

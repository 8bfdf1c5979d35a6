/* The trainers of a run: on which devices, with which batch, with what has to make room for them. */
#ifndef NASRUN_RUN_TRAINERS_H
#define NASRUN_RUN_TRAINERS_H

#include "host/run/candidate.h"
#include "host/train/inherit.h"

/* The least batch that is tried where a larger one does not fit into the devices' memory. */
enum { TRAINERS_LEAST_BATCH = 8 };

/* The part of a device's memory that is left free: libraries and the driver take some when they please. */
enum { TRAINERS_RESERVE = 32 }; /* one of so many */

/* A device as trainers see it, with the images that a final fit, or another candidate, trains on. */
struct trainer_place trainers_place(const struct run *run, int32_t device, bool final);

/* A prepared trainer (trainer_prepare) of the candidate's network on all of those devices. */
enum status trainers_prepare(const struct run *run, const struct candidate *candidate, struct team team,
                             struct trainer **trainer, struct error *err);

/* A bound trainer of the candidate's network, on as many of the team's devices as can share its batch; candidate->ahead is
 * used where it fits. need->training, ->values and ->devices are set, and it is added to the memory plan. When memory does
 * not suffice, kept weights leave the devices, then the batch is halved, and with it the learning rate, as long as it is
 * `least` or more. */
enum status trainers_open(struct run *run, struct candidate *candidate, struct team team, int32_t least,
                          struct memory_need *need, struct trainer **trainer, struct error *err);

/* The candidate's weights from its parent's (inherit.h) on that device, with room made as above. */
enum status trainers_inherit(struct run *run, struct candidate *candidate, int32_t device,
                             struct inheritance *inherited, struct memory_need *need, struct error *err);

#endif

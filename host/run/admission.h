/* Admission: a training begins only where it fits into the devices' memory, and what can make room for it does: kept
 * weights leave the devices, then its batch is halved, and with it its learning rate. Where a job is to give the same
 * models whatever the machine is busy with (run_repeats), only the devices' size has a say in the batch, and memory
 * that is short now ends the run, for it can go on later. */
#ifndef NASRUN_RUN_ADMISSION_H
#define NASRUN_RUN_ADMISSION_H

#include "host/run/candidate.h"
#include "host/train/inherit.h"

/* The least batch that is tried where a larger one does not fit into the devices' memory. */
enum { ADMISSION_LEAST_BATCH = 8 };

/* The part of a device's memory that is left free: libraries and the driver take some when they please. */
enum { ADMISSION_RESERVE = 32 }; /* one of so many */

/* Prepares a trainer (trainer_prepare) of the candidate's network for a device that is in use by a worker, into
 * candidate->ahead. What goes wrong is left to admission_open to find again. */
void admission_prepare_ahead(const struct run *run, struct candidate *candidate, int32_t device);

/* A bound trainer of the candidate's network, on as many of the team's devices as can share its batch; candidate->ahead
 * is used where it fits. need->training, ->values and ->devices are set; need->answers are of what is to be
 * tested, for which no memory has been touched yet. The batch that was found is candidate->batch,
 * `least` or more; ST_MEMORY when there is none, ST_UNSUPPORTED when there never will be (with run_repeats). */
enum status admission_open(struct run *run, struct candidate *candidate, struct team team, int32_t least,
                           struct memory_need *need, struct trainer **trainer, struct error *err);

/* Where the candidate's parent stood when its learning rate had held, for one that goes on from there; on any status to
 * be freed. need->past is set. */
enum status admission_read_past(struct run *run, const struct candidate *candidate, struct trainer_past *past,
                                struct memory_need *need, struct error *err);

/* The candidate's weights from its parent's (inherit.h) on that device, with room made in the same way. With a past,
 * unless NULL, from that instead of what the parent ended with; it becomes the child's. need->inheritance and ->parent
 * are set, and need->past again. */
enum status admission_inherit(struct run *run, struct candidate *candidate, int32_t device,
                              struct trainer_past *past, struct inheritance *inherited,
                              struct memory_need *need, struct error *err);

#endif

/* The trainers of a run: on which devices, with which batch. */
#ifndef NASRUN_RUN_TRAINERS_H
#define NASRUN_RUN_TRAINERS_H

#include "host/run/record.h"
#include "host/train/inherit.h"

/* The least batch that is tried where a larger one does not fit into the devices' memory. */
enum { TRAINERS_LEAST_BATCH = 8 };

/* A trainer of the network as candidate `id`, on all devices that can share its batch; it is added to the memory plan, and
 * need->training and ->values are set. When the memory of a device does not suffice, the batch is halved, and with it the
 * learning rate, as long as it is `least` or more. *batch: what is wanted, and then what it is. */
enum status trainers_open(struct run *run, const struct graph *graph, int32_t id, bool final, int32_t least,
                          int32_t *batch, struct memory_need *need, struct trainer **trainer,
                          struct error *err);

/* The candidate's weights from its parent's (inherit.h) on the first device, with *batch as above. `proposal` is NULL for a
 * final fit: the parent's weights as they are. */
enum status trainers_inherit(struct run *run, const struct record_candidate *candidate,
                             const struct graph *parent, const float *parent_values,
                             const struct proposal *proposal, int32_t *batch, struct inheritance *inherited,
                             struct error *err);

#endif

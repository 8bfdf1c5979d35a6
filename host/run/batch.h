/* Batches: how many images a training step has, of all devices that share it together. */
#ifndef NASRUN_RUN_BATCH_H
#define NASRUN_RUN_BATCH_H

#include <stdbool.h>
#include <stdint.h>

/* A run's batches. What does not fit into a device's memory is halved later, candidate by candidate (admission.h). */
struct batches {
    int32_t candidate, final;
    int32_t team; /* devices that share a final fit: the most that divide its batch */
};

/* For train.batch as the job has it, so many devices and so many training images. What the user set stays. "auto" is
 * 128: on the CPU a larger one is no faster. A GPU wants work: 512 for candidates, and for final fits 1024 on each of
 * the devices that share them, so that they are no slower together than one alone. Both are halved until an epoch has
 * steps enough to learn from, but not below 128 for that; and further, where there are fewer images than that. */
struct batches batches_choose(int32_t job_batch, bool gpus, int32_t devices, int32_t candidate_images,
                              int32_t final_images);

/* The batch of a candidate, or of a final fit, whose recipe wants one, or none: NAN. */
int32_t batches_wanted(const struct batches *batches, bool final, double wanted);

#endif

/* The tiny task on several devices of one kind, with dropout and augmentation, for tests of groups. Failures end the
 * test. */
#ifndef NASRUN_TESTS_SUPPORT_CROWD_H
#define NASRUN_TESTS_SUPPORT_CROWD_H

#include "tests/support/tiny_task.h"

enum { CROWD_MOST = 4, CROWD_STEPS = 13 }; /* two epochs of six steps and one step */

struct crowd {
    struct tiny_task tasks[CROWD_MOST];
    struct trainer_device devices[CROWD_MOST];
    int32_t count;
};

/* Devices 0 to count - 1. */
void crowd_open(struct crowd *crowd, const struct device_ops *ops, int32_t count, bool batch_norm);
void crowd_close(struct crowd *crowd);

/* With fresh weights; NULL when it can't be opened, and *err tells why. */
struct trainer *crowd_trainer(const struct crowd *crowd, struct error *err);

/* Trains so many steps; stops after step `stop_at` with a checkpoint at `path` (0: never). */
enum status crowd_train_steps(struct trainer *trainer, uint32_t steps, uint32_t stop_at, const char *path,
                              struct trainer_result *result, struct error *err);

/* The same of CROWD_STEPS. */
enum status crowd_train(struct trainer *trainer, uint32_t stop_at, const char *path,
                        struct trainer_result *result, struct error *err);

/* Trains to the end; the weights, malloc'd. */
float *crowd_weights_after(const struct crowd *crowd, struct trainer_result *result, size_t *total);

/* group_average on weights that differ everywhere: statistics of the slot become their mean, all else stays as it was.
 * Twice in a row, the second time with nothing left to do. */
void crowd_averages(const struct device_ops *ops, int32_t count);

/* Trains with batch norm on two devices: members' statistics differ between evaluations, which alone average them, not
 * steps. */
void crowd_averages_seldom(const struct device_ops *ops);

/* Trains on one device, on two and, where `most` is 4, on four, without batch norm, where a batch is a sum over rows,
 * wherever they are: weights and losses differ by rounding, weights by at most `bound`. */
void crowd_same_as_one(const struct device_ops *ops, int32_t most, double bound);

#endif

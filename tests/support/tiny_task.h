/* A tiny separable problem on a device, for tests of training: 8 x 8 grey images of four classes, class k
 * bright in quarter k under noise. With sets of labels each image has any of the classes. Failures end the test. */
#ifndef NASRUN_TESTS_SUPPORT_TINY_TASK_H
#define NASRUN_TESTS_SUPPORT_TINY_TASK_H

#include "host/train/trainer.h"

enum {
    TINY_SIDE = 8,
    TINY_CLASSES = 4,
    TINY_TRAIN = 96,
    TINY_VALIDATION = 40, /* no multiple of the batch */
    TINY_BATCH = 16,
    TINY_IMAGES = TINY_TRAIN + TINY_VALIDATION,
    TINY_SETS = 1 << TINY_CLASSES,
};

struct tiny_task {
    const struct device_ops *ops;
    struct device *device;
    struct device_dataset *dataset;
    struct graph graph; /* see tiny_task_open */
    int32_t labels[TINY_IMAGES];
    uint8_t label_sets[TINY_SETS * TINY_CLASSES]; /* set s has class k where bit k of s is 1 */
    int32_t samples[TINY_IMAGES];                 /* all in order; training first */
    struct trainer_device trainer_device;
};

/* Device `index`, one thread; float32 on a CPU, elsewhere what the device takes. The graph is conv 3x3 (8) [- batch
 * norm] - relu - max pool 2 - dense. */
void tiny_task_open_at(struct tiny_task *task, const struct device_ops *ops, int32_t index, bool batch_norm);
void tiny_task_open(struct tiny_task *task, const struct device_ops *ops, bool batch_norm); /* index 0 */
void tiny_task_open_in(struct tiny_task *task, const struct device_ops *ops, enum device_precision precision,
                       bool batch_norm); /* likewise */
/* With sets of labels. */
void tiny_task_open_sets(struct tiny_task *task, const struct device_ops *ops, int32_t index,
                         enum device_precision precision, bool batch_norm);
void tiny_task_close(struct tiny_task *task);

/* SGD, no schedule to speak of (a cosine without warm-up), batch TINY_BATCH, nothing random but the order. */
struct trainer_settings tiny_task_settings(void);

/* Fresh weights for the graph, malloc'd. *total receives their number; NULL is allowed. */
float *tiny_task_weights(const struct graph *graph, uint64_t seed, size_t *total);

/* A trainer for the task's graph with fresh weights of seed 1. */
struct trainer *tiny_task_trainer(const struct tiny_task *task, const struct trainer_settings *settings);

#endif

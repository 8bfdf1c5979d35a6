/* What the loss of each class is multiplied by in training: train.class_weights. */
#ifndef NASRUN_RUN_CLASS_WEIGHTS_H
#define NASRUN_RUN_CLASS_WEIGHTS_H

#include "host/data/dataset.h"
#include "spec/job.h"

/* *weights [data->classes], the caller's to free; NULL: all are alike. "balanced": the training images of each class
 * together weigh the same, and an image 1 in the mean; where images have any number of labels, those with a class weigh as
 * much as those without. A list gives named classes theirs, and others 1. ST_RANGE for a
 * name that no class has, and where each weight would be 0. */
enum status class_weights_of(const struct job_train *job, const struct dataset *data, float **weights,
                             struct error *err);

#endif

/* Which device a job runs on, and which there are. */
#ifndef NASRUN_RUN_DEVICES_H
#define NASRUN_RUN_DEVICES_H

#include "host/run/plugin.h"
#include "spec/job.h"

#include <stdio.h>

struct device_choice {
    const struct device_ops *ops; /* NULL: none chosen */
    struct device_options options;
    struct plugin plugin;       /* open when the device is the plug-in's */
    char without[ERROR_LENGTH]; /* "auto" that took the CPU: why no GPU; otherwise "" */
};

/* For the job's devices.use, devices.threads and train.precision. Names: "auto" (the first GPU, or the CPU where there is
 * none), "cpu", "ref", "cuda" (the first GPU), "cuda:N". */
enum status devices_choose(const struct job *job, struct device_choice *choice, struct error *err);
void devices_release(
    struct device_choice *choice); /* after the device is closed; a zeroed choice is allowed */

/* A line for each device that devices.use may name, and one that says why no GPU is among them. */
enum status devices_list(FILE *out, struct error *err);

#endif

/* Which devices a job runs on, and which there are. */
#ifndef NASRUN_MACHINE_DEVICES_H
#define NASRUN_MACHINE_DEVICES_H

#include "host/data/dataset.h"
#include "host/machine/plugin_load.h"
#include "spec/job.h"

#include <stdio.h>

enum { DEVICES_MOST = 64 };

/* One worker's device of a run, with the data on it. */
struct run_device {
    struct device *device;
    struct device_dataset *data;
    char name[128]; /* as it said when it was opened: one that fails says nothing any more */
};

/* The devices of a run, all of one kind. A GPU may have several workers, each of which drives it through a struct
 * device of its own, with streams of its own; the data are there once. items[k] is the first worker's of device k,
 * items[k + count] the second's, and so on. */
struct devices {
    const struct device_ops *ops; /* NULL: none chosen */
    int32_t count;                /* devices */
    int32_t workers;              /* of all devices together, and items */
    struct device_options options[DEVICES_MOST];
    struct run_device items[DEVICES_MOST];
    struct plugin plugin;       /* open when the devices are the plug-in's */
    char without[ERROR_LENGTH]; /* "auto" that took the CPU: why no GPU; otherwise "" */
};

/* For the job's devices, threads and train.precision. Names: "auto" (all GPUs, or the CPU where there is none), "cuda"
 * (all GPUs), "cuda:N", "cpu", "cpu:N", "ref", "ref:N". Several CPU devices share the cores. Kinds can't be mixed. */
enum status devices_choose(const struct job *job, struct devices *devices, struct error *err);
/* Of a run that is gone on with: what its devices were in, told by its journal (devices_precision_word). */
void devices_prefer(struct devices *devices, const char *precision);
/* What the first device took, after devices_open, as the job file says it; NULL: it has none of these (ref). */
const char *devices_precision_word(const struct devices *devices);
/* Opens what was chosen, each for its first worker; GPUs at the same time. */
enum status devices_open(struct devices *devices, struct error *err);
/* The dataset to each of them, with what each class's loss is multiplied by; NULL: they are alike. */
enum status devices_upload(struct devices *devices, const struct dataset *data, const float *class_weights,
                           struct error *err);
/* Opens or closes further workers' struct devices, so that each device has as many as that; the data are there. */
enum status devices_share(struct devices *devices, int32_t workers_each, struct error *err);
void devices_close(struct devices *devices); /* a zeroed struct is allowed */

/* Whether the devices' memory is the process's own: "cpu" and "ref". */
bool devices_are_host(const struct devices *devices);

/* How many of `count` devices can share batches of that size: the most that divide it. */
int32_t devices_sharing(int32_t count, int32_t batch);

/* A line for each device that the job's devices may name, and one that says why no GPU is among them. */
enum status devices_list(FILE *out, struct error *err);

#endif

/* What the files of cuDNN's convolutions share: conv.c (planner, execution), conv_device.c (the device in cuDNN's
 * words), conv_graph.c (the operation in cuDNN's words), conv_choose.c (candidates, filter, choice), conv_trial.c
 * (runs candidates on the device), conv_cache.c (choices on disk).
 */
#ifndef NASRUN_CUDA_CONV_INTERNAL_H
#define NASRUN_CUDA_CONV_INTERNAL_H

#include "cuda/conv.h"

#include <pthread.h>

#if CUDNN_VERSION < 90800
#error "cuDNN 9.8 or later is needed: older ones can't plan for a described device"
#endif

/* Of the tensors in an operation graph and its variant pack. */
enum {
    CONV_ID_X = 1,
    CONV_ID_KERNEL,
    CONV_ID_Y,
    CONV_ID_BIAS,
    CONV_ID_ADDEND,
    CONV_ID_BETWEEN, /* from here on: what never reaches memory */
    CONV_IDS = CONV_ID_ADDEND
};

/* cuDNN's statuses as ours: memory, unsupported, or device; the message says what was done and cuDNN's own
 * words. */
enum status conv_check(cudnnStatus_t status, const char *what, struct error *err);
/* The same of the CUDA runtime's: memory or device. */
enum status conv_cuda_check(cudaError_t status, const char *what, struct error *err);

struct conv_planner {
    pthread_mutex_t turn; /* held by who is next for the lock, so that nobody waits for more than one plan */
    pthread_mutex_t lock; /* held while a plan is looked up or made */
    cudnnHandle_t handle; /* NULL: the device is only described */
    cudaStream_t stream;  /* the handle's */
    cudnnBackendDescriptor_t device; /* its properties */
    char *description;               /* the same as JSON */
    struct conv_options options;
    char *cache_folder; /* options.cache_folder, owned; NULL */
    int32_t count, capacity;
    struct conv_plan **plans;
};

struct conv_plan {
    cudnnBackendDescriptor_t plan;
    size_t workspace;
    struct conv_plan_info info; /* kind, type and geometry are set before the choice */
    bool refused;               /* there is none: remembered, for to ask takes a while */
};

/* ---- conv_device.c ---- */

/* Fills planner->device and planner->description: of the device `index`, or from `text` where that is not NULL. */
enum status conv_describe(struct conv_planner *planner, int32_t index, const char *text, struct error *err);

/* ---- conv_graph.c ---- */

enum { CONV_GRAPH_PARTS = 20 };

/* The operation graph and what it is made of. */
struct conv_graph {
    cudnnBackendDescriptor_t parts[CONV_GRAPH_PARTS];
    int32_t count;
    cudnnBackendDescriptor_t graph; /* one of the parts */
};

enum status conv_graph_new(const struct conv_planner *planner, const struct conv_plan_info *info,
                           struct conv_graph *graph, struct error *err);
void conv_graph_free(struct conv_graph *graph); /* a zeroed graph is allowed */

/* Destroys a descriptor; NULL is allowed. */
void conv_discard(cudnnBackendDescriptor_t descriptor);

/* ---- conv_choose.c ---- */

/* Fills plan->plan, workspace and the rest of info. On error they are as they were. */
enum status conv_choose(const struct conv_planner *planner, struct conv_plan *plan, struct error *err);

/* ---- conv_trial.c ---- */

/* Tensors of one geometry in device memory, zeroed, and what it takes to measure. */
struct conv_trial {
    cudnnHandle_t handle; /* the planner's */
    cudaStream_t stream;  /* likewise */
    cudaEvent_t begin, end;
    void *x, *kernel, *y, *bias, *addend;
    void *workspace; /* the largest so far; NULL */
    size_t workspace_bytes;
};

/* ST_MEMORY when the device has no room for the tensors now: then the choice is made without trial. */
enum status conv_trial_open(const struct conv_planner *planner, const struct conv_plan_info *info,
                            struct conv_trial *trial, struct error *err);
void conv_trial_close(struct conv_trial *trial); /* a zeroed trial is allowed */

/* Runs the plan once, which also loads its code, and waits. *ran says whether cuDNN could; if not, refusal says why. An
 * error is one of the device itself, after which nothing runs there any more, or ST_MEMORY for want of a
 * workspace. */
enum status conv_trial_run(struct conv_trial *trial, const struct conv_plan *plan, bool *ran,
                           struct error *refusal, struct error *err);

/* Sets the info.seconds of plans that have run, the time of one run. */
enum status conv_trial_time(const struct conv_trial *trial, struct conv_plan *plans, int32_t count,
                            struct error *err);

/* ---- conv_cache.c ---- */

/* Whether the folder holds a choice for this planner, kind and geometry that this cuDNN accepts for this
 * device; then plan is filled. Whatever is wrong with the file, it is as if it were not there. */
bool conv_cache_read(const struct conv_planner *planner, struct conv_plan *plan);

/* Keeps the choice. A disk that refuses costs nothing but the next choice: no error. */
void conv_cache_write(const struct conv_planner *planner, const struct conv_plan *plan);

#endif

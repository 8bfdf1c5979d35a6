/* What the files of cuDNN's convolutions share: conv.c (planner, execution), conv_device.c (the device in cuDNN's
 * words), conv_graph.c (the operation in cuDNN's words), conv_choose.c (candidates, filter, choice), conv_trial.c
 * (runs candidates on the device), conv_contest.c (the fastest of them), conv_cache.c (choices on disk).
 */
#ifndef NASRUN_CUDA_CONV_CONV_INTERNAL_H
#define NASRUN_CUDA_CONV_CONV_INTERNAL_H

#include "cuda/conv/conv.h"

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
    char *description;               /* the same as JSON, without what tells it from its equals */
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

/* A candidate whose plan has run, or is to. */
struct conv_entrant {
    struct conv_plan plan;
    cudaGraphExec_t replay; /* some runs between the trial's events; NULL: not recorded yet */
    void *workspace;        /* with which they were recorded */
    double seconds;         /* of a run, at the last look */
};

/* Runs the plan once, which also loads its code, waits, and records it; timed: as looks will replay it, where that can be
 * recorded. *ran says whether cuDNN could run and record it; if not, refusal says why: steps are recorded, and one operation that
 * can't be would have all of a step queued one by one. An error is one of the device itself, after which nothing runs there any
 * more, or ST_MEMORY for want of a workspace. */
enum status conv_trial_run(struct conv_trial *trial, struct conv_entrant *entrant, bool timed, bool *ran,
                           struct error *refusal, struct error *err);

/* Sets entrant->seconds, the time of one run now: of a replay, by the device's clock; INFINITY where that can't be recorded. */
enum status conv_trial_look(const struct conv_trial *trial, struct conv_entrant *entrant, struct error *err);
void conv_entrant_forget(struct conv_entrant *entrant); /* frees the recording */

/* ---- conv_contest.c ---- */

struct conv_contest {
    int32_t count, best; /* of those that are not given up; the place of the fastest so far */
    struct conv_entrant list[CONV_MOST_TIMED];
};

/* Times the candidate, which has run, against the fastest so far, and gives up one that is far slower. The contest owns it
 * from now on. */
enum status conv_contest_enter(struct conv_contest *contest, const struct conv_trial *trial,
                               const struct conv_entrant *entrant, struct error *err);
/* The fastest, of equals the first, with its info.seconds; it is the caller's. Untouched where none has entered. */
enum status conv_contest_end(struct conv_contest *contest, const struct conv_trial *trial,
                             struct conv_plan *winner, struct error *err);
void conv_contest_free(struct conv_contest *contest);

/* ---- conv_cache.c ---- */

/* Whether the folder holds a choice for this planner, kind and geometry that this cuDNN accepts for this
 * device; then plan is filled. Whatever is wrong with the file, it is as if it were not there. */
bool conv_cache_read(const struct conv_planner *planner, struct conv_plan *plan);

/* Keeps the choice. A disk that refuses costs nothing but the next choice: no error. */
void conv_cache_write(const struct conv_planner *planner, const struct conv_plan *plan);

/* The turn to choose for this kind and geometry, which one planner at a time has of all that share the folder; waits for it. -1
 * where there is no folder, or none that can be locked, or somebody takes too long: then everybody chooses for himself. */
int conv_cache_begin(const struct conv_planner *planner, const struct conv_plan_info *info);
void conv_cache_end(int turn); /* -1 is allowed */

#endif

/* What a group of GPUs is made of: cuda_group.c opens it, breaks it and waits in it; cuda_collectives.c is what its members do
 * together. */
#ifndef NASRUN_CUDA_DEVICE_CUDA_GROUP_H
#define NASRUN_CUDA_DEVICE_CUDA_GROUP_H

#include "cuda/device/cuda_internal.h"
#include "cuda/device/cuda_nccl.h"

#include <pthread.h>

struct cuda_member {
    struct device *device;
    struct device_group *group;
    int32_t number;
    uint64_t serial;      /* no two memberships of a device have the same */
    pthread_mutex_t lock; /* held while something is queued: a communicator is not aborted under its user */
    ncclComm_t comm;      /* NULL: aborted */
    cudaStream_t stream;
    cudaEvent_t fork, join;
    bool forked; /* something is on `stream` that the device's stream has not waited for */
};

struct device_group {
    struct device_group_base base;
    struct cuda_nccl nccl;
    int32_t count;
    double timeout;
    size_t bytes; /* device memory that NCCL has taken for its buffers, of the member where that is most */
    pthread_mutex_t lock; /* of all until members */
    bool broken, aborting;
    char reason[ERROR_LENGTH];
    uint64_t agreements;         /* so far */
    int32_t votes;               /* for the next one */
    bool wanted, agreed;         /* by all who have voted; the outcome of the last */
    pthread_t abortion;          /* when aborting */
    struct cuda_member *members; /* [count] */
};

/* ST_OK, or ST_DEVICE with "NCCL cannot `what`: REASON". */
enum status cuda_group_check_call(const struct device_group *group, ncclResult_t result, const char *what,
                                  struct error *err);
/* ST_DEVICE with the reason when the group is broken. */
enum status cuda_group_check_broken(struct device_group *group, struct error *err);
/* Queues on `stream` that values [count] become their mean over the members. With the member's lock. */
enum status cuda_group_mean(struct cuda_member *member, float *values, size_t count, cudaStream_t stream,
                            struct error *err);

#endif

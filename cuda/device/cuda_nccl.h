/* NCCL's functions, from the libnccl.so.2 that is found when several devices are to train together: a machine that has
 * none still has its GPUs, one at a time. */
#ifndef NASRUN_CUDA_DEVICE_CUDA_NCCL_H
#define NASRUN_CUDA_DEVICE_CUDA_NCCL_H

#include "host/base/error.h"

#include <nccl.h>

/* Each as NCCL declares it. */
struct cuda_nccl {
    ncclResult_t (*comm_init_all)(ncclComm_t *comms, int count, const int *devices);
    ncclResult_t (*comm_destroy)(ncclComm_t comm);
    ncclResult_t (*comm_abort)(ncclComm_t comm);
    ncclResult_t (*comm_get_async_error)(ncclComm_t comm, ncclResult_t *error);
    ncclResult_t (*all_reduce)(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream);
    ncclResult_t (*broadcast)(const void *from, void *to, size_t count, ncclDataType_t type, int root,
                              ncclComm_t comm, cudaStream_t stream);
    ncclResult_t (*group_start)(void);
    ncclResult_t (*group_end)(void);
    ncclResult_t (*get_version)(int *version);
    const char *(*get_error_string)(ncclResult_t result);
};

/* Loads it, once for the process (host/base/library.h), and fills the table. ST_DEVICE: it is missing, with where it
 * was looked for, or lacks a function. */
enum status cuda_nccl_load(struct cuda_nccl *nccl, struct error *err);

/* 22809 is 2.28.9; 0 while none is loaded. */
int cuda_nccl_version(void);

#endif

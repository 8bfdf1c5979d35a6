/* NCCL's functions that the plug-in calls, as the table of cuda/device/cuda_nccl.h, whose place this file takes:
 * collectives happen when the streams of all ranks have come to them, and not before; one rank that stays away keeps
 * the others waiting until they abort. Communicators go together, with the last that is destroyed or aborted, and wait
 * for the graphs in which their collectives are recorded. */
#include "cuda/device/cuda_nccl.h"
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_queue.h"

#include <stdlib.h>
#include <string.h>

/* All ranks. */
struct clique {
    int count, living;
    int recorded;            /* collectives in graphs that exist */
    struct ncclComm **comms; /* [count] */
};

struct ncclComm {
    struct clique *clique;
    int rank, device;
    bool aborted, gone;
    void *buffers;                    /* device memory */
    const struct collective *waiting; /* at the head of its stream; NULL */
    bool satisfied;                   /* another rank has done it for all */
};

struct collective {
    struct ncclComm *comm;
    float *buffer; /* in place */
    size_t count;
    int root; /* of a broadcast; -1: a mean */
    bool recorded;
};

static bool is_ready(void *data)
{
    const struct collective *mine = data;
    struct ncclComm *comm = mine->comm;
    comm->waiting = mine;
    if (comm->aborted || comm->satisfied)
        return true;
    for (int rank = 0; rank < comm->clique->count; rank++) {
        const struct ncclComm *other = comm->clique->comms[rank];
        if (other->gone || other->waiting == NULL || other->satisfied)
            return false;
    }
    return true;
}

static void perform(const struct clique *clique, const struct collective *mine)
{
    for (int rank = 0; rank < clique->count; rank++) {
        const struct collective *theirs = clique->comms[rank]->waiting;
        if (theirs->count != mine->count || theirs->root != mine->root)
            emu_die("ranks meet in different collectives");
        if (theirs->recorded != mine->recorded)
            emu_die("a recorded collective meets one that was not");
        clique->comms[rank]->satisfied = true;
    }
    for (size_t i = 0; i < mine->count; i++) {
        float value = 0.0f;
        for (int rank = 0; rank < clique->count; rank++)
            if (mine->root < 0 || mine->root == rank)
                value += clique->comms[rank]->waiting->buffer[i];
        if (mine->root < 0)
            value /= (float)clique->count;
        for (int rank = 0; rank < clique->count; rank++)
            clique->comms[rank]->waiting->buffer[i] = value;
    }
}

void emu_run_collective(void *data)
{
    const struct collective *mine = data;
    struct ncclComm *comm = mine->comm;
    if (comm->aborted)
        memset(mine->buffer, 255, mine->count * sizeof(*mine->buffer));
    else if (!comm->satisfied)
        perform(comm->clique, mine);
    comm->waiting = NULL;
    comm->satisfied = false;
}

static void release_collective(void *data)
{
    struct collective *collective = data;
    if (collective->recorded && --collective->comm->clique->recorded == 0)
        emu_wake();
    free(collective);
}

static ncclResult_t queue(ncclComm_t comm, const void *from, void *to, size_t count, ncclDataType_t type,
                          int root, cudaStream_t stream)
{
    EMU_LOCKED;
    if (emu_call("collective") != cudaSuccess)
        return ncclUnhandledCudaError;
    if (comm->aborted)
        emu_die("a collective of an aborted communicator");
    if (from != to || type != ncclFloat)
        emu_die("collective: only in place and of floats");
    if (stream->device != comm->device || emu_device() != comm->device)
        emu_die("collective: found a stream of device %d, expected %d", stream->device, comm->device);
    if (count == 0)
        return ncclSuccess;
    emu_check_range("collective", to, count * sizeof(float));
    for (int rank = 0; rank < comm->clique->count; rank++)
        if (!emu_reaches(comm->device, comm->clique->comms[rank]->device))
            emu_die("collective: device %d does not reach the memory of device %d", comm->device,
                    comm->clique->comms[rank]->device);
    struct collective *made = malloc(sizeof(*made));
    if (made == NULL)
        emu_die("out of host memory");
    *made = (struct collective){comm, to, count, root, stream->recording != NULL};
    comm->clique->recorded += made->recorded;
    emu_count.collectives++;
    emu_queue(stream,
              (struct work){
                  .run = emu_run_collective, .release = release_collective, .ready = is_ready, .data = made},
              NULL);
    return ncclSuccess;
}

static ncclResult_t all_reduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream)
{
    if (op != ncclAvg)
        emu_die("all-reduce: only means");
    return queue(comm, from, to, count, type, -1, stream);
}

static ncclResult_t broadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root,
                              ncclComm_t comm, cudaStream_t stream)
{
    return queue(comm, from, to, count, type, root, stream);
}

/* Grouped calls run one after the other here. */
static ncclResult_t group_start(void)
{
    return emu_call("ncclGroupStart") == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

static ncclResult_t group_end(void)
{
    return emu_call("ncclGroupEnd") == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

static ncclResult_t comm_init_all(ncclComm_t *comms, int count, const int *devices)
{
    EMU_LOCKED;
    if (emu_call("ncclCommInitAll") != cudaSuccess)
        return ncclUnhandledCudaError;
    struct clique *clique = emu_new(calloc(1, sizeof(*clique)));
    clique->count = clique->living = count;
    clique->comms = emu_new(calloc((size_t)count, sizeof(struct ncclComm *)));
    for (int rank = 0; rank < count; rank++) {
        comms[rank] = emu_new(calloc(1, sizeof(**comms)));
        *comms[rank] = (struct ncclComm){.clique = clique, .rank = rank, .device = devices[rank]};
        comms[rank]->buffers = emu_take(devices[rank], EMU_NCCL_BYTES);
        if (comms[rank]->buffers == NULL)
            emu_die("no memory for a communicator");
        clique->comms[rank] = comms[rank];
    }
    return ncclSuccess;
}

static bool is_unrecorded(const void *context)
{
    const struct clique *clique = context;
    return clique->recorded == 0;
}

/* Not under the lock: others destroy the graphs. */
static void leave(ncclComm_t comm, bool last)
{
    struct clique *clique = comm->clique;
    if (!last)
        return;
    emu_await(is_unrecorded, clique, "communicators wait for graphs that refer to them");
    for (int rank = 0; rank < clique->count; rank++)
        emu_discard(clique->comms[rank]);
    emu_discard(clique->comms);
    emu_discard(clique);
}

/* What waits goes on, with garbage, when it is aborted. *last: of its clique. */
static ncclResult_t end(const char *name, ncclComm_t comm, bool aborted, bool *last)
{
    EMU_LOCKED;
    ncclResult_t result = emu_call(name) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
    comm->aborted = aborted;
    emu_drain();
    if (!aborted && comm->waiting != NULL)
        emu_die("a communicator destroyed in the middle of a collective");
    comm->gone = true;
    emu_give(comm->buffers);
    emu_wake();
    *last = --comm->clique->living == 0;
    return result;
}

static ncclResult_t comm_destroy(ncclComm_t comm)
{
    bool last;
    ncclResult_t result = end("ncclCommDestroy", comm, false, &last);
    leave(comm, last);
    return result;
}

static ncclResult_t comm_abort(ncclComm_t comm)
{
    bool last;
    ncclResult_t result = end("ncclCommAbort", comm, true, &last);
    leave(comm, last);
    return result;
}

static ncclResult_t comm_get_async_error(ncclComm_t comm, ncclResult_t *error)
{
    EMU_LOCKED;
    (void)comm;
    if (emu_call("ncclCommGetAsyncError") != cudaSuccess)
        return ncclUnhandledCudaError;
    *error = emu.collective_error ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

static const char *get_error_string(ncclResult_t result)
{
    return result == ncclSuccess ? "no error" : result == ncclRemoteError ? "remote error" : "emulated error";
}

static ncclResult_t get_version(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

/* ---- the table ---- */

enum status cuda_nccl_load(struct cuda_nccl *nccl, struct error *err)
{
    if (emu.without_nccl)
        return error_set(err, ST_DEVICE, "the emulated machine has no NCCL");
    *nccl = (struct cuda_nccl){.comm_init_all = comm_init_all,
                               .comm_destroy = comm_destroy,
                               .comm_abort = comm_abort,
                               .comm_get_async_error = comm_get_async_error,
                               .all_reduce = all_reduce,
                               .broadcast = broadcast,
                               .group_start = group_start,
                               .group_end = group_end,
                               .get_version = get_version,
                               .get_error_string = get_error_string};
    return ST_OK;
}

int cuda_nccl_version(void)
{
    return NCCL_VERSION_CODE;
}

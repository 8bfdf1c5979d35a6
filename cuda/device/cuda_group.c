/* Groups of GPUs: one of NCCL's communicators a device, all in one process. What they do together: cuda_collectives.c.
 *
 * A member that never comes would let the others' GPUs wait for ever, and the host with them. So members never wait
 * blindly (cuda_group_wait): they poll, and when the time is up or NCCL tells of an error they break the group, which
 * aborts all communicators: NCCL's kernels then end, whatever they have done. To abort is the work of a thread of its
 * own, for the last communicator's abort returns only when no graph is left in which their collectives are recorded,
 * and those go with their programs.
 *
 * NCCL lets its members meet on the host while a collective is recorded, so a step is recorded and replayed by all
 * members or by none: they agree about it (cuda_group_agree, cuda_run.c). */
#include "cuda/device/cuda_group.h"
#include "cuda/trace.h"

#include "host/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum status cuda_group_check_call(const struct device_group *group, ncclResult_t result, const char *what,
                                  struct error *err)
{
    if (result == ncclSuccess)
        return ST_OK;
    return error_set(err, ST_DEVICE, "NCCL cannot %s: %s", what, group->nccl.get_error_string(result));
}

/* ---- open ---- */

static enum status open_member(struct device_group *group, int32_t number, struct device *device,
                               struct error *err)
{
    struct cuda_member *member = &group->members[number];
    int least = 0, greatest = 0;
    *member =
        (struct cuda_member){.device = device, .group = group, .number = number, .serial = ++device->serial};
    member->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        cuda_memory_trim(device); /* as long as it waits for nobody else */
    device->member = member;
    if (st == ST_OK)
        st = cuda_check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "tell its priorities", err);
    if (st == ST_OK) /* what the other members wait for goes first */
        st = cuda_check(cudaStreamCreateWithPriority(&member->stream, cudaStreamNonBlocking, greatest),
                        "make a stream", err);
    if (st == ST_OK)
        st =
            cuda_check(cudaEventCreateWithFlags(&member->fork, cudaEventDisableTiming), "make an event", err);
    if (st == ST_OK)
        st =
            cuda_check(cudaEventCreateWithFlags(&member->join, cudaEventDisableTiming), "make an event", err);
    return st;
}

static enum status open_communicators(struct device_group *group, struct error *err)
{
    ncclComm_t *comms = calloc((size_t)group->count, sizeof(*comms));
    int *numbers = calloc((size_t)group->count, sizeof(*numbers));
    enum status st = ST_OK;
    if (comms == NULL || numbers == NULL) {
        st =
            error_memory(err, "group of devices", (size_t)group->count * (sizeof(*comms) + sizeof(*numbers)));
        goto out;
    }
    for (int32_t k = 0; k < group->count; k++)
        numbers[k] = (int)group->members[k].device->index;
    trace_begin("connecting a group");
    st = cuda_group_check_call(group, group->nccl.comm_init_all(comms, (int)group->count, numbers),
                               "connect the devices", err);
    trace_end();
    for (int32_t k = 0; st == ST_OK && k < group->count; k++)
        group->members[k].comm = comms[k];
out:
    free(comms);
    free(numbers);
    return st;
}

/* Free memory of a member's device: nothing is known of what NCCL takes but the difference. */
static enum status free_memory(const struct cuda_member *member, size_t *available, struct error *err)
{
    size_t total;
    enum status st = cuda_enter(member->device, err);
    return st == ST_OK ? cuda_check(cudaMemGetInfo(available, &total), "tell its free memory", err) : st;
}

static enum status connect(struct device_group *group, struct error *err)
{
    size_t *before = calloc((size_t)group->count, sizeof(*before));
    enum status st = ST_OK;
    if (before == NULL)
        return error_memory(err, "group of devices", (size_t)group->count * sizeof(*before));
    for (int32_t k = 0; st == ST_OK && k < group->count; k++)
        st = free_memory(&group->members[k], &before[k], err);
    if (st == ST_OK)
        st = open_communicators(group, err);
    for (int32_t k = 0; st == ST_OK && k < group->count; k++) {
        size_t after;
        st = free_memory(&group->members[k], &after, err);
        if (st == ST_OK && before[k] > after && before[k] - after > group->bytes)
            group->bytes = before[k] - after;
    }
    free(before);
    return st;
}

enum status cuda_group_open(struct device *const *devices, int32_t count, double timeout,
                            struct device_group **group, struct error *err)
{
    enum status st = ST_OK;
    struct device_group *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "group of devices", sizeof(*made));
    made->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    made->wanted = true;
    made->count = count;
    made->timeout = timeout;
    made->members = calloc((size_t)count, sizeof(*made->members));
    if (made->members == NULL) {
        made->count = 0;
        st = error_memory(err, "group of devices", (size_t)count * sizeof(*made->members));
        goto out;
    }
    st = cuda_nccl_load(&made->nccl, err);
    for (int32_t k = 0; st == ST_OK && k < count; k++)
        st = open_member(made, k, devices[k], err);
    if (st == ST_OK)
        st = cuda_memory_reach_all(devices, count, err);
    if (st == ST_OK)
        st = connect(made, err);
    if (st != ST_OK)
        goto out;
    *group = made;
    made = NULL;
out:
    cuda_group_close(made);
    return st;
}

size_t cuda_group_bytes(const struct device_group *group)
{
    return group->bytes;
}

/* ---- abort, check ---- */

/* True for the one call that breaks the group. */
static bool mark_broken(struct device_group *group, const char *reason)
{
    pthread_mutex_lock(&group->lock);
    bool first = !group->broken;
    if (first)
        snprintf(group->reason, sizeof(group->reason), "%s", reason);
    group->broken = true;
    pthread_mutex_unlock(&group->lock);
    return first;
}

enum status cuda_group_check_broken(struct device_group *group, struct error *err)
{
    pthread_mutex_lock(&group->lock);
    enum status st = group->broken
                         ? error_set(err, ST_DEVICE, "the group of devices is broken: %s", group->reason)
                         : ST_OK;
    pthread_mutex_unlock(&group->lock);
    return st;
}

/* A member that holds its lock for longer than a second hangs inside NCCL; then aborting is the way to free it. */
static bool lock_for_a_second(pthread_mutex_t *lock)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec++;
    return pthread_mutex_timedlock(lock, &deadline) == 0;
}

static void *abort_members(void *context)
{
    struct device_group *group = context;
    for (int32_t k = 0; k < group->count; k++) {
        struct cuda_member *member = &group->members[k];
        bool locked = lock_for_a_second(&member->lock);
        ncclComm_t comm = member->comm;
        member->comm = NULL; /* who comes for the lock now finds the group broken */
        if (locked)
            pthread_mutex_unlock(&member->lock);
        (void)cudaSetDevice(member->device->index);
        if (comm != NULL)
            (void)group->nccl.comm_abort(comm);
    }
    return NULL;
}

void cuda_group_abort(struct device_group *group, const char *reason)
{
    if (!mark_broken(group, reason))
        return;
    group->aborting = pthread_create(&group->abortion, NULL, abort_members, group) == 0;
    if (!group->aborting) /* no thread to be had */
        (void)abort_members(group);
}

/* What NCCL has to tell of a member. */
static enum status check_member(struct cuda_member *member, struct error *err)
{
    const struct device_group *group = member->group;
    ncclResult_t async = ncclSuccess;
    enum status st = ST_OK;
    if (pthread_mutex_trylock(&member->lock) != 0)
        return ST_OK; /* it is queueing just now: next time */
    if (member->comm != NULL) {
        st = cuda_group_check_call(group, group->nccl.comm_get_async_error(member->comm, &async),
                                   "tell its errors", err);
        if (st == ST_OK)
            st = cuda_group_check_call(group, async, "go on", err);
    }
    pthread_mutex_unlock(&member->lock);
    return st == ST_OK
               ? st
               : error_prefix(err, "member %d of 0 to %d", (int)member->number, (int)group->count - 1);
}

enum status cuda_group_check(struct device_group *group, struct error *err)
{
    enum status st = cuda_group_check_broken(group, err);
    for (int32_t k = 0; st == ST_OK && k < group->count; k++) {
        st = check_member(&group->members[k], err);
        if (st != ST_OK)
            cuda_group_abort(group, err->message);
    }
    return st;
}

/* ---- waiting ---- */

/* Not to be ready is no error, but some versions remember it: the next launch would be blamed. */
static cudaError_t answer(cudaError_t error)
{
    if (error == cudaErrorNotReady)
        (void)cudaGetLastError();
    return error;
}

static cudaError_t poll(const struct device *device, cudaEvent_t event)
{
    return answer(event != NULL ? cudaEventQuery(event) : cudaStreamQuery(device->stream));
}

/* A moment, unless the group is broken; breaks it when the time is up. */
static enum status wait_a_moment(const struct device *device, double began, const char *what,
                                 struct error *err)
{
    struct device_group *group = device->member->group;
    const struct timespec nap = {.tv_nsec = 20000};
    char reason[ERROR_LENGTH];
    enum status st = cuda_group_check(group, err);
    if (st == ST_OK && clock_seconds() - began > group->timeout) {
        snprintf(reason, sizeof(reason), "%s: member %d of 0 to %d has waited for the others for %.10g s",
                 what, (int)device->member->number, (int)group->count - 1, group->timeout);
        cuda_group_abort(group, reason);
        st = cuda_group_check_broken(group, err);
    }
    nanosleep(&nap, NULL);
    return st;
}

enum status cuda_group_wait(const struct device *device, cudaEvent_t event, const char *what,
                            struct error *err)
{
    const double began = clock_seconds();
    cudaError_t error = poll(device, event);
    enum status st = ST_OK;
    while (error == cudaErrorNotReady && st == ST_OK) {
        st = wait_a_moment(device, began, what, err);
        error = poll(device, event);
    }
    if (error != cudaSuccess && error != cudaErrorNotReady)
        return cuda_check(error, what, err);
    return st != ST_OK
               ? st
               : cuda_group_check_broken(device->member->group, err); /* what was aborted has left garbage */
}

/* The outcome stays until all members have voted again, each after it has read it. */
static bool has_agreed(struct device_group *group, uint64_t agreement, bool *able)
{
    pthread_mutex_lock(&group->lock);
    bool done = group->agreements > agreement;
    if (done)
        *able = group->agreed;
    pthread_mutex_unlock(&group->lock);
    return done;
}

static uint64_t vote(struct device_group *group, bool able)
{
    pthread_mutex_lock(&group->lock);
    const uint64_t agreement = group->agreements;
    group->wanted = group->wanted && able;
    if (++group->votes == group->count) {
        group->agreed = group->wanted;
        group->wanted = true;
        group->votes = 0;
        group->agreements++;
    }
    pthread_mutex_unlock(&group->lock);
    return agreement;
}

enum status cuda_group_agree(const struct device_program *prepared, const char *what, bool *able,
                             struct error *err)
{
    struct device_group *group = prepared->binding.group;
    enum status st = ST_OK;
    if (group == NULL)
        return ST_OK;
    const double began = clock_seconds();
    const uint64_t agreement = vote(group, *able);
    trace_begin("agreement of a group");
    while (st == ST_OK && !has_agreed(group, agreement, able))
        st = wait_a_moment(prepared->device, began, what, err);
    trace_end();
    return st;
}

/* ---- close ---- */

static void close_member(struct cuda_member *member)
{
    if (member->device == NULL)
        return;
    (void)cudaSetDevice(member->device->index);
    if (member->comm != NULL)
        (void)member->group->nccl.comm_destroy(member->comm);
    if (member->fork != NULL)
        (void)cudaEventDestroy(member->fork);
    if (member->join != NULL)
        (void)cudaEventDestroy(member->join);
    if (member->stream != NULL)
        (void)cudaStreamDestroy(member->stream);
    member->device->member = NULL;
    pthread_mutex_destroy(&member->lock);
}

/* Collectives run on the member's stream, those that were recorded on the device's. */
static bool is_idle(const struct cuda_member *member)
{
    return cudaSetDevice(member->device->index) == cudaSuccess &&
           answer(cudaStreamQuery(member->stream)) == cudaSuccess &&
           answer(cudaStreamQuery(member->device->stream)) == cudaSuccess;
}

/* A communicator that still has something to do, or whose device has failed, is not destroyed: that would wait for what
 * may never come. */
void cuda_group_close(struct device_group *group)
{
    if (group == NULL)
        return;
    bool idle = true;
    for (int32_t k = 0; idle && !group->broken && k < group->count; k++)
        idle = group->members[k].comm == NULL || is_idle(&group->members[k]);
    if (!idle)
        cuda_group_abort(group, "closed before all was done");
    if (group->aborting)
        pthread_join(group->abortion, NULL);
    for (int32_t k = 0; k < group->count; k++)
        close_member(&group->members[k]);
    pthread_mutex_destroy(&group->lock);
    free(group->members);
    free(group);
}

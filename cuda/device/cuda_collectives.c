/* What the GPUs of a group do together, by NCCL: means of gradients (queued by cuda_all_reduce.c) and of statistics, copies of
 * weights.
 *
 * A step's collectives run on a stream of their own beside the device's: a bucket of gradients goes as soon as it is written, while
 * the backward pass goes on; the optimizer waits for all of them. Forking and joining is done with events, so that it is
 * recorded into the step's graph like everything else. */
#include "cuda/device/cuda_group.h"
#include "cuda/trace.h"

uint64_t cuda_group_serial(const struct device *device, const struct device_binding *binding)
{
    return binding->group != NULL && device->member != NULL ? device->member->serial : 0;
}

enum status cuda_group_enter(struct device_program *prepared, struct error *err)
{
    struct device_group *group = prepared->binding.group;
    struct cuda_member *member = prepared->device->member;
    if (group == NULL)
        return ST_OK;
    pthread_mutex_lock(&member->lock);
    enum status st = cuda_group_check_broken(group, err);
    if (st != ST_OK)
        pthread_mutex_unlock(&member->lock);
    return st;
}

void cuda_group_leave(struct device_program *prepared)
{
    if (prepared->binding.group != NULL)
        pthread_mutex_unlock(&prepared->device->member->lock);
}

enum status cuda_group_settle(struct device_program *prepared, struct error *err)
{
    if (prepared->binding.group == NULL)
        return ST_OK;
    enum status st = cuda_group_join(prepared, err);
    cuda_group_leave(prepared); /* who waits can be aborted */
    if (st == ST_OK)
        st = cuda_wait(prepared->device, "finish the first collectives", err);
    pthread_mutex_lock(&prepared->device->member->lock);
    return st == ST_OK ? cuda_group_check_broken(prepared->binding.group, err) : st;
}

enum status cuda_group_join(struct device_program *prepared, struct error *err)
{
    struct cuda_member *member = prepared->device->member;
    if (prepared->binding.group == NULL || !member->forked)
        return ST_OK;
    member->forked = false;
    enum status st = cuda_check(cudaEventRecord(member->join, member->stream), "record an event", err);
    if (st == ST_OK)
        st = cuda_check(cudaStreamWaitEvent(member->device->stream, member->join, 0), "wait for an event",
                        err);
    return st;
}

enum status cuda_group_mean(struct cuda_member *member, float *values, size_t count, cudaStream_t stream,
                            struct error *err)
{
    const struct device_group *group = member->group;
    return cuda_group_check_call(
        group, group->nccl.all_reduce(values, values, count, ncclFloat, ncclAvg, member->comm, stream),
        "all-reduce", err);
}

/* Many small tensors: NCCL makes one launch of what stands between GroupStart and GroupEnd. With the member's lock. */
static enum status average_statistics(struct cuda_member *member, const struct device_weights *weights,
                                      enum weight_slot slot, struct error *err)
{
    const struct device_group *group = member->group;
    enum status st = cuda_group_check_call(group, group->nccl.group_start(), "group calls", err);
    if (st != ST_OK)
        return st;
    for (int32_t w = 0; st == ST_OK && w < weights->base.table.count; w++) {
        const struct weight_tensor *tensor = &weights->base.table.tensors[w];
        if (!weight_is_trained(tensor->role))
            st = cuda_group_mean(member, weights->slots[slot] + tensor->offset, tensor->count,
                                 member->device->stream, err);
    }
    struct error later;
    enum status ended =
        cuda_group_check_call(group, group->nccl.group_end(), "group calls", st == ST_OK ? err : &later);
    return st == ST_OK ? ended : st;
}

enum status cuda_group_average(struct device_group *group, struct device *device,
                               struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    struct cuda_member *member = device->member;
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    trace_begin("average of statistics");
    pthread_mutex_lock(&member->lock);
    st = cuda_group_check_broken(group, err);
    if (st == ST_OK)
        st = average_statistics(member, weights, slot, err);
    pthread_mutex_unlock(&member->lock);
    weights->version++;
    if (st == ST_OK)
        st = cuda_wait(device, "average of statistics", err);
    trace_end();
    return st;
}

enum status cuda_group_broadcast(struct device_group *group, struct device *device,
                                 struct device_weights *weights, enum weight_slot slot, int32_t root,
                                 struct error *err)
{
    struct cuda_member *member = device->member;
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    trace_begin("broadcast");
    pthread_mutex_lock(&member->lock);
    st = cuda_group_check_broken(group, err);
    if (st == ST_OK)
        st = cuda_group_check_call(group,
                                   group->nccl.broadcast(weights->slots[slot], weights->slots[slot],
                                                         weights->base.table.total, ncclFloat, (int)root,
                                                         member->comm, device->stream),
                                   "broadcast", err);
    pthread_mutex_unlock(&member->lock);
    weights->version++;
    if (st == ST_OK)
        st = cuda_wait(device, "broadcast", err);
    trace_end();
    return st;
}

/* What the GPUs of a group do together: sums of gradients, means of statistics, copies of weights, by NCCL.
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

/* Lets the collectives' stream wait for what that stream of the device has been given so far. */
static enum status fork_stream(struct cuda_member *member, cudaStream_t stream, struct error *err)
{
    enum status st = cuda_check(cudaEventRecord(member->fork, stream), "record an event", err);
    if (st == ST_OK)
        st = cuda_check(cudaStreamWaitEvent(member->stream, member->fork, 0), "wait for an event", err);
    member->forked = st == ST_OK;
    return st;
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

static enum status mean(struct cuda_member *member, float *values, size_t count, cudaStream_t stream,
                        struct error *err)
{
    const struct device_group *group = member->group;
    return cuda_group_check_call(
        group, group->nccl.all_reduce(values, values, count, ncclFloat, ncclAvg, member->comm, stream),
        "all-reduce", err);
}

/* From the branch, which waits for the device's stream first: a bucket has gradients from both, and the device's stream,
 * which has better things to do, waits for neither. */
enum status cuda_run_all_reduce(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    const struct weight_tensor *tensors = prepared->program->weights.tensors;
    struct cuda_member *member = prepared->device->member;
    const size_t first = tensors[op->reduce.first].offset,
                 end = tensors[op->reduce.last].offset + tensors[op->reduce.last].count;
    if (prepared->binding.group == NULL)
        return ST_OK;
    cudaStream_t branch = prepared->device->branch.stream;
    enum status st = cuda_branch_fork(prepared->device, err);
    if (st == ST_OK)
        st = cuda_copies_gradients(prepared, op->reduce.first, op->reduce.last, branch, err);
    if (st == ST_OK)
        st = fork_stream(member, branch, err);
    if (st == ST_OK)
        st = mean(member, (float *)(void *)(prepared->memory + prepared->at.gradients) + first, end - first,
                  member->stream, err);
    return st;
}

/* Many small tensors: NCCL makes one launch of what stands between GroupStart and GroupEnd. With the member's lock. */
static enum status average_statistics(struct cuda_member *member, const struct device_weights *weights,
                                      enum weight_slot slot, struct error *err)
{
    const struct device_group *group = member->group;
    enum status st = cuda_group_check_call(group, group->nccl.group_start(), "group calls", err);
    if (st != ST_OK)
        return st;
    for (int32_t w = 0; st == ST_OK && w < weights->table.count; w++) {
        const struct weight_tensor *tensor = &weights->table.tensors[w];
        if (weight_is_statistic(tensor->role))
            st = mean(member, weights->slots[slot] + tensor->offset, tensor->count, member->device->stream,
                      err);
    }
    struct error later;
    enum status ended =
        cuda_group_check_call(group, group->nccl.group_end(), "group calls", st == ST_OK ? err : &later);
    return st == ST_OK ? ended : st;
}

static enum status enter_collective(struct device_group *group, struct device *device,
                                    const struct device_weights *weights, enum weight_slot slot,
                                    struct error *err)
{
    const struct cuda_member *member = device->member;
    enum status st = cuda_check_slot(weights, slot, err);
    if (st == ST_OK && (member == NULL || member->group != group))
        st = error_set(err, ST_RANGE, "group: cuda:%d is none of its members", (int)device->index);
    return st == ST_OK ? cuda_enter(device, err) : st;
}

enum status cuda_group_average(struct device_group *group, struct device *device,
                               struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    struct cuda_member *member = device->member;
    enum status st = enter_collective(group, device, weights, slot, err);
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
    enum status st = enter_collective(group, device, weights, slot, err);
    if (st != ST_OK)
        return st;
    trace_begin("broadcast");
    pthread_mutex_lock(&member->lock);
    st = cuda_group_check_broken(group, err);
    if (st == ST_OK)
        st = cuda_group_check_call(group,
                                   group->nccl.broadcast(weights->slots[slot], weights->slots[slot],
                                                         weights->table.total, ncclFloat, (int)root,
                                                         member->comm, device->stream),
                                   "broadcast", err);
    pthread_mutex_unlock(&member->lock);
    weights->version++;
    if (st == ST_OK)
        st = cuda_wait(device, "broadcast", err);
    trace_end();
    return st;
}

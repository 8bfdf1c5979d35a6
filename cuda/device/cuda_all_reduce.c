/* All-reduce: a bucket of gradients becomes its mean over the group, on the collectives' stream (cuda_collectives.c). */
#include "cuda/device/cuda_group.h"
#include "cuda/device/cuda_ops.h"

/* Lets the collectives' stream wait for what that stream of the device has been given so far. */
static enum status fork_stream(struct cuda_member *member, cudaStream_t stream, struct error *err)
{
    enum status st = cuda_check(cudaEventRecord(member->fork, stream), "record an event", err);
    if (st == ST_OK)
        st = cuda_check(cudaStreamWaitEvent(member->stream, member->fork, 0), "wait for an event", err);
    member->forked = st == ST_OK;
    return st;
}

/* From the branch, which waits for the device's stream first: a bucket has gradients from both, and the device's stream,
 * which has better things to do, waits for neither. */
enum status cuda_run_all_reduce(const struct op_call *call)
{
    struct device_program *prepared = call->prepared;
    const int32_t first = call->op->reduce.first, last = call->op->reduce.last;
    const struct weight_tensor *tensors = call->program->weights.tensors;
    struct cuda_member *member = prepared->device->member;
    const size_t begin = tensors[first].offset, end = tensors[last].offset + tensors[last].count;
    float *gradients = (float *)(void *)(prepared->memory + prepared->at.gradients);
    if (prepared->binding.group == NULL)
        return ST_OK;
    cudaStream_t branch = prepared->device->branch.stream;
    enum status st = cuda_branch_fork(prepared->device, call->err);
    if (st == ST_OK)
        st = cuda_copies_gradients(prepared, first, last, branch, call->err);
    if (st == ST_OK)
        st = fork_stream(member, branch, call->err);
    if (st == ST_OK)
        st = cuda_group_mean(member, gradients + begin, end - begin, member->stream, call->err);
    return st;
}

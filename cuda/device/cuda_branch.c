/* Weight gradients of convolutions run beside the rest of the backward pass, on a stream of their own: nobody needs
 * them before the optimizer, or the all-reduce of their bucket, and small kernels leave room on the device. In the
 * step's graph that is a branch.
 *
 *     device's stream   dy ──┬── dx ── batch norm backward ── wait ──┬── dx ── ... ── wait ── optimizer
 *     branch                 └── dkernel ──────────────────────┘     └── dkernel ─ ... ┘
 *
 * The branch is never more than one weight gradient behind: before the next one is handed over, the device's stream
 * waits for the last. So what it reads has to outlive only the operations up to there (cuda_branch_lifetimes). That
 * costs the arena of the lean start 24 %, that of ResNet-18 nothing; joined only at the end it would be 63 and 14 %
 * (README.md). The branch has scratch, tickets and a cuDNN handle of its own, for those of the device's stream are in
 * use. Dense layers' weight gradients stay on the device's stream, where cuBLAS's one workspace is. */
#include "cuda/device/cuda_internal.h"

bool cuda_is_branched(enum prog_op_kind kind)
{
    return kind == PROG_OP_CONV_BACKWARD_WEIGHTS;
}

enum status cuda_branch_open(struct device *device, struct error *err)
{
    struct cuda_branch *branch = &device->branch;
    enum status st =
        cuda_check(cudaStreamCreateWithFlags(&branch->stream, cudaStreamNonBlocking), "make a stream", err);
    if (st == ST_OK)
        st =
            cuda_check(cudaEventCreateWithFlags(&branch->fork, cudaEventDisableTiming), "make an event", err);
    if (st == ST_OK)
        st =
            cuda_check(cudaEventCreateWithFlags(&branch->join, cudaEventDisableTiming), "make an event", err);
    return st;
}

void cuda_branch_close(struct device *device)
{
    struct cuda_branch *branch = &device->branch;
    if (branch->cudnn != NULL)
        (void)cudnnDestroy(branch->cudnn);
    if (branch->fork != NULL)
        (void)cudaEventDestroy(branch->fork);
    if (branch->join != NULL)
        (void)cudaEventDestroy(branch->join);
    if (branch->stream != NULL)
        (void)cudaStreamDestroy(branch->stream);
}

enum status cuda_branch_join(struct device *device, struct error *err)
{
    struct cuda_branch *branch = &device->branch;
    if (!branch->forked)
        return ST_OK;
    branch->forked = false;
    enum status st = cuda_check(cudaEventRecord(branch->join, branch->stream), "record an event", err);
    if (st == ST_OK)
        st = cuda_check(cudaStreamWaitEvent(device->stream, branch->join, 0), "wait for an event", err);
    return st;
}

enum status cuda_branch_fork(struct device *device, struct error *err)
{
    struct cuda_branch *branch = &device->branch;
    enum status st = cuda_check(cudaEventRecord(branch->fork, device->stream), "record an event", err);
    if (st == ST_OK)
        st = cuda_check(cudaStreamWaitEvent(branch->stream, branch->fork, 0), "wait for an event", err);
    branch->forked = st == ST_OK;
    return st;
}

/* The first operation behind which the device's stream has waited for what the branch does for operation `index`. */
static int32_t joined_before(const struct program *program, int32_t index)
{
    int32_t next = index + 1;
    while (next < program->op_count && !cuda_is_branched(program->ops[next].kind) &&
           !cuda_takes_gradients(program->ops[next].kind))
        next++;
    return next;
}

void cuda_branch_lifetimes(const struct program *program, struct prog_tensor *tensors)
{
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *op = &program->ops[i];
        if (!cuda_is_branched(op->kind))
            continue;
        const int32_t last = joined_before(program, i) - 1;
        for (int32_t k = 0; k < op->input_count; k++) {
            struct prog_tensor *read = &tensors[op->inputs[k]];
            read->last = read->last > last ? read->last : last;
        }
    }
}

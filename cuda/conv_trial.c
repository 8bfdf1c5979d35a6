/* Runs candidates on the device: whether they run at all, and how fast.
 *
 * Another thread's training may use the device at the same time, and may be recording a CUDA Graph (thread-local mode: what
 * other threads call does it no harm, as long as they leave its streams alone). So everything here is queued on the
 * planner's own stream, and memory is taken and given back in that stream's order: cudaFree would wait for all that the
 * training has queued. */
#include "cuda/conv_internal.h"

/* Candidates are measured in turn, ROUNDS times, RUNS runs each, and each one's best round counts: who shares the
 * device disturbs a stretch of time, and would, if it were one candidate's turn all along, decide the choice. */
enum { ROUNDS = 4, RUNS = 4 };

/* A device without memory pools has none to lend for a trial. */
static enum status allocate(cudaStream_t stream, size_t bytes, void **memory, struct error *err)
{
    cudaError_t error = cudaMallocAsync(memory, bytes, stream);
    if (error != cudaSuccess)
        *memory = NULL;
    enum status st = conv_cuda_check(error == cudaErrorNotSupported ? cudaErrorMemoryAllocation : error,
                                     "memory to try convolutions", err);
    if (st == ST_MEMORY)
        cudaGetLastError(); /* it isn't one that stays */
    if (st == ST_OK)
        st = conv_cuda_check(cudaMemsetAsync(*memory, 0, bytes, stream), "zero memory", err);
    return st;
}

static void release(cudaStream_t stream, void *memory)
{
    if (memory != NULL)
        cudaFreeAsync(memory, stream);
}

enum status conv_trial_open(const struct conv_planner *planner, const struct conv_plan_info *info,
                            struct conv_trial *trial, struct error *err)
{
    const struct conv_geometry *g = &info->geometry;
    size_t size = cuda_type_size(info->type), n = (size_t)g->n, rows = (size_t)g->rows;
    size_t x = n * (size_t)g->h * (size_t)g->w * (size_t)g->c * size;
    size_t kernel = rows * (size_t)g->kernel_h * (size_t)g->kernel_w * (size_t)g->depth * size;
    size_t y = n * (size_t)conv_out_height(g) * (size_t)conv_out_width(g) * rows * size;
    *trial = (struct conv_trial){.handle = planner->handle, .stream = planner->stream};
    enum status st = conv_cuda_check(cudaEventCreate(&trial->begin), "make an event", err);
    if (st == ST_OK)
        st = conv_cuda_check(cudaEventCreate(&trial->end), "make an event", err);
    if (st == ST_OK)
        st = allocate(trial->stream, x, &trial->x, err);
    if (st == ST_OK)
        st = allocate(trial->stream, kernel, &trial->kernel, err);
    if (st == ST_OK)
        st = allocate(trial->stream, y, &trial->y, err);
    if (st == ST_OK && conv_is_fused(info->kind))
        st = allocate(trial->stream, rows * size, &trial->bias, err);
    if (st == ST_OK && conv_adds(info->kind))
        st = allocate(trial->stream, y, &trial->addend, err);
    if (st != ST_OK)
        conv_trial_close(trial);
    return st;
}

/* What is given back goes to the stream's pool, and from there to everybody when the stream is waited for. */
void conv_trial_close(struct conv_trial *trial)
{
    if (trial->begin != NULL)
        cudaEventDestroy(trial->begin);
    if (trial->end != NULL)
        cudaEventDestroy(trial->end);
    release(trial->stream, trial->x);
    release(trial->stream, trial->kernel);
    release(trial->stream, trial->y);
    release(trial->stream, trial->bias);
    release(trial->stream, trial->addend);
    release(trial->stream, trial->workspace);
    cudaStreamSynchronize(trial->stream);
    *trial = (struct conv_trial){0};
}

static enum status grow_workspace(struct conv_trial *trial, size_t bytes, struct error *err)
{
    if (bytes <= trial->workspace_bytes)
        return ST_OK;
    release(trial->stream, trial->workspace);
    trial->workspace = NULL;
    trial->workspace_bytes = 0;
    enum status st = allocate(trial->stream, bytes, &trial->workspace, err);
    if (st == ST_OK)
        trial->workspace_bytes = bytes;
    return st;
}

/* Queues `runs` runs between the two events and waits. *ran is false when cuDNN refused; refusal says why. */
static enum status run(const struct conv_trial *trial, const struct conv_plan *plan, int32_t runs, bool *ran,
                       struct error *refusal, struct error *err)
{
    const struct conv_operands operands = {.x = trial->x,
                                           .kernel = trial->kernel,
                                           .y = trial->y,
                                           .addend = trial->addend,
                                           .bias = trial->bias,
                                           .workspace = plan->workspace > 0 ? trial->workspace : NULL};
    *ran = true;
    enum status st = conv_cuda_check(cudaEventRecord(trial->begin, trial->stream), "record an event", err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; *ran && i < runs; i++)
        *ran = conv_plan_execute(plan, trial->handle, &operands, refusal) == ST_OK;
    if (!*ran)
        cudaGetLastError(); /* a refused launch leaves an error that the next call would report */
    st = conv_cuda_check(cudaEventRecord(trial->end, trial->stream), "record an event", err);
    if (st == ST_OK)
        st = conv_cuda_check(cudaEventSynchronize(trial->end), "run a convolution", err);
    return st;
}

enum status conv_trial_run(struct conv_trial *trial, const struct conv_plan *plan, bool *ran,
                           struct error *refusal, struct error *err)
{
    *ran = false;
    enum status st = grow_workspace(trial, plan->workspace, err);
    return st == ST_OK ? run(trial, plan, 1, ran, refusal, err) : st;
}

enum status conv_trial_time(const struct conv_trial *trial, struct conv_plan *plans, int32_t count,
                            struct error *err)
{
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < ROUNDS * count; i++) {
        struct conv_plan *plan = &plans[i % count];
        struct error refusal;
        float milliseconds = 0;
        bool ran;
        st = run(trial, plan, RUNS, &ran, &refusal, err);
        if (st == ST_OK && !ran)
            return error_set(err, ST_DEVICE, "a convolution that ran is refused: %.300s", refusal.message);
        if (st == ST_OK)
            st = conv_cuda_check(cudaEventElapsedTime(&milliseconds, trial->begin, trial->end),
                                 "read the time", err);
        const double seconds = (double)milliseconds / 1e3 / RUNS;
        if (i < count || seconds < plan->info.seconds)
            plan->info.seconds = seconds;
    }
    return st;
}

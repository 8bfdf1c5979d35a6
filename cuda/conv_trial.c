/* Runs candidates on the device: whether they run at all, and how fast. */
#include "cuda/conv_internal.h"

enum { ROUNDS = 3, RUNS = 4 }; /* the best of so many rounds of so many runs */

static enum status check(cudaError_t status, const char *what, struct error *err)
{
    if (status == cudaSuccess)
        return ST_OK;
    return error_set(err, status == cudaErrorMemoryAllocation ? ST_MEMORY : ST_DEVICE, "CUDA: %s: %s", what,
                     cudaGetErrorString(status));
}

static enum status allocate(cudaStream_t stream, size_t bytes, void **memory, struct error *err)
{
    enum status st = check(cudaMalloc(memory, bytes), "memory to try convolutions", err);
    if (st == ST_MEMORY)
        cudaGetLastError(); /* it isn't one that stays */
    if (st == ST_OK)
        st = check(cudaMemsetAsync(*memory, 0, bytes, stream), "zero memory", err);
    return st;
}

enum status conv_trial_open(const struct conv_planner *planner, const struct conv_plan_info *info,
                            struct conv_trial *trial, struct error *err)
{
    const struct conv_geometry *g = &info->geometry;
    size_t size = cuda_type_size(info->type), n = (size_t)g->n, rows = (size_t)g->rows;
    size_t x = n * (size_t)g->h * (size_t)g->w * (size_t)g->c * size;
    size_t kernel = rows * (size_t)g->kernel_h * (size_t)g->kernel_w * (size_t)g->depth * size;
    size_t y = n * (size_t)conv_out_height(g) * (size_t)conv_out_width(g) * rows * size;
    *trial = (struct conv_trial){.handle = planner->handle};
    enum status st = conv_check(cudnnGetStream(trial->handle, &trial->stream), "ask for the stream", err);
    if (st == ST_OK)
        st = check(cudaEventCreate(&trial->begin), "make an event", err);
    if (st == ST_OK)
        st = check(cudaEventCreate(&trial->end), "make an event", err);
    if (st == ST_OK)
        st = allocate(trial->stream, x, &trial->x, err);
    if (st == ST_OK)
        st = allocate(trial->stream, kernel, &trial->kernel, err);
    if (st == ST_OK)
        st = allocate(trial->stream, y, &trial->y, err);
    if (st != ST_OK)
        conv_trial_close(trial);
    return st;
}

void conv_trial_close(struct conv_trial *trial)
{
    if (trial->begin != NULL)
        cudaEventDestroy(trial->begin);
    if (trial->end != NULL)
        cudaEventDestroy(trial->end);
    cudaFree(trial->x); /* NULL is allowed */
    cudaFree(trial->kernel);
    cudaFree(trial->y);
    *trial = (struct conv_trial){0};
}

/* Queues `runs` runs between the two events and waits. *ran is false when cuDNN refused; refusal says why. */
static enum status run(const struct conv_trial *trial, const struct conv_plan *plan, void *workspace,
                       int32_t runs, bool *ran, float *milliseconds, struct error *refusal, struct error *err)
{
    *ran = true;
    enum status st = check(cudaEventRecord(trial->begin, trial->stream), "record an event", err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; *ran && i < runs; i++)
        *ran = conv_plan_execute(plan, trial->handle, trial->x, trial->kernel, trial->y, workspace,
                                 refusal) == ST_OK;
    if (!*ran)
        cudaGetLastError(); /* a refused launch leaves an error that the next call would report */
    st = check(cudaEventRecord(trial->end, trial->stream), "record an event", err);
    if (st == ST_OK)
        st = check(cudaEventSynchronize(trial->end), "run a convolution", err);
    if (st == ST_OK)
        st = check(cudaEventElapsedTime(milliseconds, trial->begin, trial->end), "read the time", err);
    return st;
}

enum status conv_trial_run(const struct conv_trial *trial, const struct conv_plan *plan, bool timed,
                           bool *ran, double *seconds, struct error *refusal, struct error *err)
{
    void *workspace = NULL;
    float milliseconds, best = 0;
    enum status st = ST_OK;
    *ran = false;
    *seconds = 0;
    if (plan->workspace > 0)
        st = allocate(trial->stream, plan->workspace, &workspace, err);
    if (st == ST_OK) /* the first run loads the kernel: not measured */
        st = run(trial, plan, workspace, 1, ran, &milliseconds, refusal, err);
    for (int32_t round = 0; st == ST_OK && *ran && timed && round < ROUNDS; round++) {
        st = run(trial, plan, workspace, RUNS, ran, &milliseconds, refusal, err);
        if (round == 0 || milliseconds < best)
            best = milliseconds;
    }
    *seconds = (double)best / 1e3 / RUNS;
    cudaFree(workspace);
    return st;
}

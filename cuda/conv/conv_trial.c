/* Runs candidates on the device: whether they run at all, whether a CUDA Graph can hold them, and how fast.
 *
 * Another thread's training may use the device at the same time, and may be recording a CUDA Graph (thread-local mode: what
 * other threads call does it no harm, as long as they leave its streams alone). So everything here is queued on the
 * planner's own stream, and memory is taken and given back in that stream's order: cudaFree would wait for all that the
 * training has queued.
 *
 * What is timed is a recording's replay, as in a training, by events that are part of it: to queue a convolution takes the host
 * longer than the device takes for many of them, and would be what is measured. */
#include "cuda/conv/conv_internal.h"

#include <math.h>

enum { RUNS = 2 }; /* in a recording that is timed */

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

/* What is given back goes to the pool that the device's memory comes from, too, for everybody when the stream is waited for. */
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

static enum status execute(const struct conv_trial *trial, const struct conv_plan *plan, struct error *err)
{
    const struct conv_operands operands = {.x = trial->x,
                                           .kernel = trial->kernel,
                                           .y = trial->y,
                                           .addend = trial->addend,
                                           .bias = trial->bias,
                                           .workspace = plan->workspace > 0 ? trial->workspace : NULL};
    return conv_plan_execute(plan, trial->handle, &operands, err);
}

/* Records `runs` runs, between the trial's events where they are to be timed. *graph stays NULL on errors. */
static enum status record(const struct conv_trial *trial, const struct conv_plan *plan, int32_t runs,
                          bool timed, cudaGraph_t *graph, struct error *err)
{
    const char *what = "record a convolution";
    *graph = NULL;
    enum status st =
        conv_cuda_check(cudaStreamBeginCapture(trial->stream, cudaStreamCaptureModeThreadLocal), what, err);
    if (st == ST_OK) {
        if (timed)
            st = conv_cuda_check(
                cudaEventRecordWithFlags(trial->begin, trial->stream, cudaEventRecordExternal), what, err);
        for (int32_t i = 0; st == ST_OK && i < runs; i++)
            st = execute(trial, plan, err);
        if (st == ST_OK && timed)
            st = conv_cuda_check(cudaEventRecordWithFlags(trial->end, trial->stream, cudaEventRecordExternal),
                                 what, err);
        const cudaError_t error = cudaStreamEndCapture(trial->stream, graph);
        if (st == ST_OK)
            st = conv_cuda_check(error, what, err);
    }
    if (st != ST_OK) {
        if (*graph != NULL)
            cudaGraphDestroy(*graph);
        *graph = NULL;
        cudaGetLastError(); /* the next call would report it */
    }
    return st;
}

/* Anew when the workspace has moved. */
static enum status prepare_replay(const struct conv_trial *trial, struct conv_entrant *entrant,
                                  struct error *err)
{
    cudaGraph_t graph;
    if (entrant->replay != NULL && (entrant->plan.workspace == 0 || entrant->workspace == trial->workspace))
        return ST_OK;
    conv_entrant_forget(entrant);
    enum status st = record(trial, &entrant->plan, RUNS, true, &graph, err);
    if (st == ST_OK)
        st = conv_cuda_check(cudaGraphInstantiate(&entrant->replay, graph, 0), "time a convolution", err);
    if (st != ST_OK)
        entrant->replay = NULL;
    if (graph != NULL)
        cudaGraphDestroy(graph);
    entrant->workspace = trial->workspace;
    return st;
}

/* Timed runs tell it as well as one run, but not where a recording holds no events. */
static bool can_be_recorded(const struct conv_trial *trial, struct conv_entrant *entrant, bool timed,
                            struct error *refusal)
{
    cudaGraph_t graph;
    if (timed && prepare_replay(trial, entrant, refusal) == ST_OK)
        return true;
    if (record(trial, &entrant->plan, 1, false, &graph, refusal) != ST_OK)
        return false;
    cudaGraphDestroy(graph);
    return true;
}

enum status conv_trial_run(struct conv_trial *trial, struct conv_entrant *entrant, bool timed, bool *ran,
                           struct error *refusal, struct error *err)
{
    *ran = false;
    enum status st = grow_workspace(trial, entrant->plan.workspace, err);
    if (st != ST_OK)
        return st;
    const bool queued = execute(trial, &entrant->plan, refusal) == ST_OK;
    if (!queued)
        cudaGetLastError(); /* a refused launch leaves an error that the next call would report */
    st = conv_cuda_check(cudaStreamSynchronize(trial->stream), "run a convolution", err);
    *ran = st == ST_OK && queued && can_be_recorded(trial, entrant, timed, refusal);
    return st;
}

enum status conv_trial_look(const struct conv_trial *trial, struct conv_entrant *entrant, struct error *err)
{
    const char *what = "time a convolution";
    struct error ignored;
    float milliseconds = 0;
    entrant->seconds = INFINITY;
    if (prepare_replay(trial, entrant, &ignored) != ST_OK)
        return ST_OK;
    enum status st = conv_cuda_check(cudaGraphLaunch(entrant->replay, trial->stream), what, err);
    if (st == ST_OK)
        st = conv_cuda_check(cudaStreamSynchronize(trial->stream), what, err);
    if (st == ST_OK)
        st = conv_cuda_check(cudaEventElapsedTime(&milliseconds, trial->begin, trial->end), what, err);
    if (st == ST_OK)
        entrant->seconds = (double)milliseconds / 1e3 / RUNS;
    return st;
}

void conv_entrant_forget(struct conv_entrant *entrant)
{
    if (entrant->replay != NULL)
        cudaGraphExecDestroy(entrant->replay);
    entrant->replay = NULL;
}

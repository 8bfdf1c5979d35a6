/* The emulated GPU's queue, and the CUDA runtime's functions about errors, streams, events and recording, by
 * their own names. */
#include "tests/gpu/emu/emu.h"
#include "tests/gpu/emu/emu_memory.h"

#include "host/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct emu_settings emu;
struct emu_counts emu_count;

/* ---- queue ---- */

struct item {
    void (*run)(void *work);
    void (*release)(void *work);
    void *work;
    struct item *next;
};

struct list {
    struct item *first, *last;
};

/* CUDA's opaque types. */
struct CUstream_st {
    bool recording, spoilt;
    struct list recorded;
};
struct CUevent_st {
    bool reached;
    double seconds;
};
struct CUgraph_st {
    struct list items;
};
struct CUgraphExec_st {
    struct list items;
};

static struct {
    struct list queue;
    struct CUstream_st *recording; /* the stream that records; NULL */
    cudaError_t last, sticky;
} state;

_Noreturn void emu_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "emulated GPU: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

static void append(struct list *list, struct item *item)
{
    if (list->last != NULL)
        list->last->next = item;
    else
        list->first = item;
    list->last = item;
}

void *emu_new(void *memory)
{
    if (memory == NULL)
        emu_die("out of host memory");
    emu_count.objects++;
    return memory;
}

void emu_discard(void *memory)
{
    if (memory != NULL)
        emu_count.objects--;
    free(memory);
}

void emu_submit(void (*run)(void *work), void (*release)(void *work), void *work)
{
    struct item *item = calloc(1, sizeof *item);
    if (item == NULL)
        emu_die("out of host memory");
    *item = (struct item){run, release, work, NULL};
    append(state.recording != NULL ? &state.recording->recorded : &state.queue, item);
}

static void release_list(struct list *list)
{
    struct item *next;
    for (struct item *item = list->first; item != NULL; item = next) {
        next = item->next;
        item->release(item->work);
        free(item);
    }
    *list = (struct list){0};
}

void emu_drain(void)
{
    if (state.queue.first == NULL)
        return;
    emu_memory_open(true);
    for (struct item *item = state.queue.first; item != NULL; item = item->next)
        item->run(item->work);
    emu_memory_open(false);
    release_list(&state.queue);
}

void emu_look(void (*look)(void *context), void *context)
{
    emu_drain();
    emu_memory_open(true);
    look(context);
    emu_memory_open(false);
}

void emu_reset(void)
{
    emu_drain();
    if (emu_count.objects != 0)
        emu_die("reset while %llu objects exist", (unsigned long long)emu_count.objects);
    emu = (struct emu_settings){.memory = (size_t)256 << 20,
                                .devices = 1,
                                .driver = CUDART_VERSION,
                                .major = 9,
                                .multiprocessors = 1};
    emu_count = (struct emu_counts){0};
    state.last = state.sticky = cudaSuccess;
    emu_memory_reset(emu.memory);
}

bool emu_recording(void)
{
    return state.recording != NULL;
}

/* ---- errors ---- */

cudaError_t emu_fail(cudaError_t error)
{
    if (error != cudaSuccess)
        state.last = error;
    return error;
}

cudaError_t emu_call(const char *name)
{
    emu_count.calls++;
    if (state.sticky != cudaSuccess)
        return emu_fail(state.sticky);
    if (emu_count.calls != emu.fail_at)
        return cudaSuccess;
    if (strcmp(name, "cudaMalloc") == 0 || strcmp(name, "cudaMallocHost") == 0)
        return emu_fail(cudaErrorMemoryAllocation);
    state.sticky = cudaErrorIllegalAddress; /* whatever is called from now on says the same */
    return emu_fail(state.sticky);
}

cudaError_t emu_call_outside(const char *name)
{
    cudaError_t error = emu_call(name);
    if (error != cudaSuccess || state.recording == NULL)
        return error;
    state.recording->spoilt = true;
    return emu_fail(cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = state.last;
    state.last = state.sticky;
    return error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
           : error == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress"
                                              : "cudaErrorEmulated";
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "an error of the emulated GPU";
}

void emu_check_range(const char *what, const void *memory, size_t bytes)
{
    if (!emu_memory_holds(memory, bytes))
        emu_die("%s: %zu bytes at %p are not within one allocation", what, bytes, memory);
}

/* ---- streams, events ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    cudaError_t error = emu_call_outside("cudaStreamCreateWithFlags");
    (void)flags;
    if (error == cudaSuccess)
        *stream = emu_new(calloc(1, sizeof **stream));
    return error;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    cudaError_t error = emu_call("cudaStreamDestroy");
    emu_drain();
    release_list(&stream->recorded);
    emu_discard(stream);
    return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    cudaError_t error = emu_call_outside("cudaStreamSynchronize");
    (void)stream;
    if (error != cudaSuccess)
        return error;
    emu_count.waits++;
    emu_drain();
    return emu_fail(state.sticky);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    cudaError_t error = emu_call_outside("cudaEventCreateWithFlags");
    (void)flags;
    if (error == cudaSuccess)
        *event = emu_new(calloc(1, sizeof **event));
    return error;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    cudaError_t error = emu_call("cudaEventDestroy");
    emu_drain();
    emu_discard(event);
    return error;
}

static void reach_event(void *work)
{
    struct CUevent_st *event = work;
    event->reached = true;
    event->seconds = clock_seconds();
}

static void release_nothing(void *work)
{
    (void)work;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t error = emu_call("cudaEventRecord");
    (void)stream;
    if (error != cudaSuccess)
        return error;
    event->reached = false;
    emu_submit(reach_event, release_nothing, event);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t error = emu_call_outside("cudaEventSynchronize");
    if (error != cudaSuccess)
        return error;
    emu_count.waits++;
    emu_drain();
    if (!event->reached)
        emu_die("wait for an event that was never recorded");
    return emu_fail(state.sticky);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    cudaError_t error = emu_call("cudaEventElapsedTime");
    if (error != cudaSuccess)
        return error;
    if (!begin->reached || !end->reached)
        return emu_fail(cudaErrorNotReady);
    *milliseconds = (float)(1e3 * (end->seconds - begin->seconds));
    return cudaSuccess;
}

/* ---- recording ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    cudaError_t error = emu_call_outside("cudaStreamBeginCapture");
    (void)mode;
    if (error == cudaSuccess && emu.refuse_recording)
        error = emu_fail(cudaErrorNotSupported);
    if (error != cudaSuccess)
        return error;
    emu_count.recordings++;
    stream->recording = true;
    stream->spoilt = false;
    state.recording = stream;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    cudaError_t error = emu_call("cudaStreamEndCapture");
    if (!stream->recording)
        return emu_fail(cudaErrorIllegalState);
    stream->recording = false;
    state.recording = NULL;
    if (error == cudaSuccess && stream->spoilt)
        error = emu_fail(cudaErrorStreamCaptureInvalidated);
    if (error != cudaSuccess) {
        release_list(&stream->recorded);
        *graph = NULL;
        return error;
    }
    *graph = emu_new(calloc(1, sizeof **graph));
    (*graph)->items = stream->recorded;
    stream->recorded = (struct list){0};
    return cudaSuccess;
}

/* The items move from the graph to the executable one: a graph is instantiated once here. */
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    cudaError_t error = emu_call("cudaGraphInstantiate");
    (void)flags;
    if (error != cudaSuccess)
        return error;
    *executable = emu_new(calloc(1, sizeof **executable));
    (*executable)->items = graph->items;
    graph->items = (struct list){0};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    cudaError_t error = emu_call("cudaGraphDestroy");
    release_list(&graph->items);
    emu_discard(graph);
    return error;
}

static void run_graph(void *work)
{
    const struct CUgraphExec_st *executable = work;
    for (struct item *item = executable->items.first; item != NULL; item = item->next)
        item->run(item->work);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    cudaError_t error = emu_call("cudaGraphLaunch");
    (void)stream;
    if (error != cudaSuccess)
        return error;
    emu_count.graph_launches++;
    emu_submit(run_graph, release_nothing, executable);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    cudaError_t error = emu_call("cudaGraphExecDestroy");
    emu_drain();
    release_list(&executable->items);
    emu_discard(executable);
    return error;
}

/* ---- kernels ---- */

/* tests/gpu/cuda_on_cpu.h declares it, for C++. */
void cuda_on_cpu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work),
                        void *work);

void cuda_on_cpu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work), void *work)
{
    (void)stream;
    if (emu_call("kernel") != cudaSuccess) { /* the launch function finds the error in cudaGetLastError */
        release(work);
        return;
    }
    emu_count.kernels++;
    emu_submit(run, release, work);
}

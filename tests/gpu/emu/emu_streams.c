/* The CUDA runtime's functions about streams, events and recording, by their own names. */
#include "tests/gpu/emu/emu_queue.h"

#include "tests/gpu/emu/emu_time.h"

#include <stdlib.h>

static void release_nothing(void *data)
{
    (void)data;
}

static void run_nothing(void *data)
{
    (void)data;
}

/* ---- streams ---- */

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return emu_call("cudaDeviceGetStreamPriorityRange");
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    EMU_LOCKED;
    cudaError_t error = emu_call_outside("cudaStreamCreateWithPriority");
    (void)flags;
    if (error != cudaSuccess)
        return error;
    *stream = emu_new(calloc(1, sizeof(**stream)));
    (*stream)->priority = priority;
    (*stream)->device = emu_device();
    (*stream)->next = emu_streams;
    emu_streams = *stream;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaStreamDestroy");
    emu_drain();
    if (stream->first != NULL)
        emu_die("a stream destroyed that can't go on");
    struct CUstream_st **place = &emu_streams;
    while (*place != stream)
        place = &(*place)->next;
    *place = stream->next;
    emu_discard(stream);
    return error;
}

/* Nobody may wait for a stream that records, whoever does the recording: that spoils it. */
static cudaError_t call_to_wait(const char *name, struct recording *const *recording)
{
    EMU_LOCKED;
    cudaError_t error = emu_call_outside(name);
    if (error != cudaSuccess || *recording == NULL)
        return error;
    for (struct CUstream_st *stream = emu_streams; stream != NULL; stream = stream->next)
        if (stream->recording == *recording) /* an event's may be over */
            stream->recording->spoilt = true;
    return emu_fail(cudaErrorStreamCaptureUnsupported);
}

uint64_t emu_stream_waits(cudaStream_t stream)
{
    EMU_LOCKED;
    return stream->waits;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    cudaError_t error = call_to_wait("cudaStreamSynchronize", &stream->recording);
    if (error != cudaSuccess)
        return error;
    emu_finish(stream); /* which waits without the lock */
    EMU_LOCKED;
    emu_count.waits++;
    stream->waits++;
    return emu_fail(emu_sticky());
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = call_to_wait("cudaStreamQuery", &stream->recording);
    if (error != cudaSuccess)
        return error;
    emu_drain();
    if (stream->first != NULL)
        return emu_fail(cudaErrorNotReady); /* remembered, as by some versions of the real one */
    emu_time_wait(stream->done);
    emu_count.waits++;
    return emu_fail(emu_sticky());
}

/* ---- events ---- */

static void drop_mark(void *data)
{
    struct mark *mark = data;
    if (mark != NULL && --mark->references == 0)
        free(mark);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    EMU_LOCKED;
    cudaError_t error = emu_call_outside("cudaEventCreateWithFlags");
    (void)flags;
    if (error == cudaSuccess)
        *event = emu_new(calloc(1, sizeof(**event)));
    return error;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaEventDestroy");
    drop_mark(event->mark);
    emu_discard(event);
    return error;
}

static void reach(void *data)
{
    struct mark *mark = data;
    mark->reached = true;
    mark->seconds = emu_time_is_virtual() ? emu_work_end() : emu_time_now();
}

static bool is_reached(void *data)
{
    const struct mark *mark = data;
    return mark->reached;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaEventRecord");
    if (error != cudaSuccess)
        return error;
    drop_mark(event->mark);
    event->mark = NULL;
    event->recording = stream->recording;
    event->tail = stream->tail;
    if (stream->recording != NULL)
        return cudaSuccess;
    struct mark *mark = calloc(1, sizeof(*mark));
    if (mark == NULL)
        emu_die("out of host memory");
    mark->references = 2;
    event->mark = mark;
    emu_queue(stream, (struct work){.run = reach, .release = drop_mark, .data = mark}, NULL);
    return cudaSuccess;
}

/* External: to reach it is part of what the stream records. */
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags)
{
    EMU_LOCKED;
    if (flags != cudaEventRecordExternal)
        return cudaEventRecord(event, stream);
    cudaError_t error = emu_call("cudaEventRecordWithFlags");
    if (error != cudaSuccess || stream->recording == NULL)
        return emu_fail(error != cudaSuccess ? error : cudaErrorIllegalState);
    struct mark *mark = calloc(1, sizeof(*mark));
    if (mark == NULL)
        emu_die("out of host memory");
    mark->references = 2;
    drop_mark(event->mark);
    event->mark = mark;
    event->recording = NULL;
    emu_queue(stream, (struct work){.run = reach, .release = drop_mark, .data = mark}, NULL);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaStreamWaitEvent");
    (void)flags;
    if (error != cudaSuccess || ++emu_count.stream_waits == emu.forget_wait)
        return error;
    if (event->recording != NULL) {
        if (stream->recording != NULL && stream->recording != event->recording)
            emu_die("a stream that records waits for another recording");
        if (stream->recording == NULL)
            stream->tail = (struct tail){0};
        stream->recording = event->recording;
        for (int i = 0; i < event->tail.count; i++)
            emu_tail_add(&stream->tail, event->tail.nodes[i]);
        return cudaSuccess;
    }
    if (stream->recording != NULL)
        emu_die("a stream that records waits for an event from before");
    if (event->mark == NULL)
        return cudaSuccess;
    event->mark->references++;
    emu_queue(stream,
              (struct work){.run = run_nothing,
                            .release = drop_mark,
                            .ready = is_reached,
                            .data = event->mark,
                            .awaited = event->mark},
              NULL);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    EMU_LOCKED;
    cudaError_t error = call_to_wait("cudaEventQuery", &event->recording);
    if (error != cudaSuccess)
        return error;
    emu_drain();
    if (event->mark != NULL && !event->mark->reached)
        return emu_fail(cudaErrorNotReady);
    if (event->mark != NULL)
        emu_time_wait(event->mark->seconds);
    emu_count.waits++;
    return emu_fail(emu_sticky());
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    EMU_LOCKED;
    cudaError_t error = call_to_wait("cudaEventSynchronize", &event->recording);
    if (error != cudaSuccess)
        return error;
    emu_count.waits++;
    emu_drain();
    if (event->mark == NULL || !event->mark->reached)
        emu_die("wait for an event that was never recorded, or for ever");
    emu_time_wait(event->mark->seconds);
    return emu_fail(emu_sticky());
}

/* Milliseconds that an event tells too much. */
static double noise(void)
{
    static uint64_t chances;
    if (emu.noise == 0)
        return 0;
    chances = (chances + (uint64_t)emu.noise) * 6364136223846793005u + 1442695040888963407u;
    return (double)(chances >> 40) / (double)(1 << 24);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaEventElapsedTime");
    if (error != cudaSuccess)
        return error;
    if (begin->mark == NULL || !begin->mark->reached || end->mark == NULL || !end->mark->reached)
        return emu_fail(cudaErrorNotReady);
    *milliseconds = (float)(1e3 * (end->mark->seconds - begin->mark->seconds) + noise());
    return cudaSuccess;
}

/* ---- recording ---- */

static cudaError_t begin_recording(cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = emu_call_outside("cudaStreamBeginCapture");
    if (error == cudaSuccess && emu.refuse_recording && stream->priority == 0)
        error = emu_fail(cudaErrorNotSupported);
    if (error != cudaSuccess)
        return error;
    emu_count.recordings += stream->priority == 0;
    emu_recording_here = emu_new(calloc(1, sizeof(*emu_recording_here)));
    emu_recording_here->origin = stream;
    stream->recording = emu_recording_here;
    stream->tail = (struct tail){0};
    return cudaSuccess;
}

/* In any other mode other threads' calls would count, too. */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    if (mode != cudaStreamCaptureModeThreadLocal)
        emu_die("only recordings of one thread are emulated");
    cudaError_t error = begin_recording(stream);
    if (error == cudaSuccess && emu.recording_begun != NULL && stream->priority == 0)
        emu.recording_begun();
    return error;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    EMU_LOCKED;
    *status = stream->recording == NULL   ? cudaStreamCaptureStatusNone
              : stream->recording->spoilt ? cudaStreamCaptureStatusInvalidated
                                          : cudaStreamCaptureStatusActive;
    return emu_call("cudaStreamIsCapturing");
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    EMU_LOCKED;
    if (nodes != NULL)
        emu_die("cudaGraphGetNodes: only the count");
    *count = (size_t)graph->nodes.count;
    return emu_call("cudaGraphGetNodes");
}

/* Whether the origin waits for everything that was recorded, be it by way of others. */
static bool is_joined(const struct recording *recording)
{
    const struct nodes *nodes = &recording->nodes;
    struct tail tail = recording->origin->tail;
    bool *reached = calloc((size_t)nodes->count + 1, sizeof(*reached));
    if (reached == NULL)
        emu_die("out of host memory");
    for (int i = 0; i < tail.count; i++)
        reached[tail.nodes[i]] = true;
    bool all = true;
    for (int node = nodes->count - 1; node >= 0; node--) {
        all = all && reached[node];
        for (int i = 0; i < nodes->items[node].after_count; i++)
            reached[nodes->items[node].after[i]] = reached[nodes->items[node].after[i]] || reached[node];
    }
    free(reached);
    return all;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaStreamEndCapture");
    struct recording *recording = stream->recording;
    *graph = NULL;
    if (recording == NULL || recording->origin != stream || recording != emu_recording_here)
        return emu_fail(cudaErrorIllegalState);
    if (error == cudaSuccess && recording->spoilt)
        error = emu_fail(cudaErrorStreamCaptureInvalidated);
    if (error == cudaSuccess && !is_joined(recording))
        error = emu_fail(cudaErrorStreamCaptureUnjoined);
    for (struct CUstream_st *other = emu_streams; other != NULL; other = other->next)
        if (other->recording == recording)
            other->recording = NULL;
    if (error == cudaSuccess) {
        *graph = emu_new(calloc(1, sizeof(**graph)));
        (*graph)->nodes = recording->nodes;
    } else {
        emu_release_nodes(&recording->nodes);
    }
    emu_recording_here = NULL;
    emu_discard(recording);
    return error;
}

/* The nodes move from the graph to the executable one: a graph is instantiated once here. */
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaGraphInstantiate");
    (void)flags;
    if (error != cudaSuccess)
        return error;
    *executable = emu_new(calloc(1, sizeof(**executable)));
    (*executable)->nodes = graph->nodes;
    graph->nodes = (struct nodes){0};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaGraphDestroy");
    emu_release_nodes(&graph->nodes);
    emu_discard(graph);
    return error;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaGraphLaunch");
    if (error != cudaSuccess)
        return error;
    emu_count.graph_launches += stream->priority == 0;
    emu_queue(stream, (struct work){.run = run_nothing, .release = release_nothing}, executable);
    return cudaSuccess;
}

/* What is queued of it still runs. */
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaGraphExecDestroy");
    executable->destroyed = true;
    emu_release_graph(executable);
    return error;
}

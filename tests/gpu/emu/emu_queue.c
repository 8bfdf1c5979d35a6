/* The emulated GPU's scheduler: streams are queues that run late and in the nastiest order that is legal. And the CUDA
 * runtime's functions about errors. */
#include "tests/gpu/emu/emu_queue.h"

#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_time.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STUCK_SECONDS = 60, MOST_CHOICES = 1024 };

struct emu_settings emu;
struct emu_counts emu_count;
struct CUstream_st *emu_streams;
_Thread_local struct recording *emu_recording_here;

static _Thread_local cudaError_t last_error;
static _Thread_local int current_device;
static cudaError_t sticky[EMU_MOST_DEVICES];
static pthread_mutex_t lock;
static pthread_once_t lock_made = PTHREAD_ONCE_INIT;
static pthread_cond_t queued = PTHREAD_COND_INITIALIZER;
static double work_end;  /* virtual */
static uint64_t chances; /* state of the choice between what may run */

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

/* ---- lock ---- */

static void make_lock(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &attributes);
}

int emu_lock(void)
{
    pthread_once(&lock_made, make_lock);
    pthread_mutex_lock(&lock);
    return 1;
}

void emu_unlock(int *locked)
{
    (void)locked;
    pthread_mutex_unlock(&lock);
}

/* ---- objects, devices ---- */

void *emu_new(void *memory)
{
    if (memory == NULL)
        emu_die("out of host memory");
    EMU_LOCKED;
    emu_count.objects++;
    return memory;
}

void emu_discard(void *memory)
{
    EMU_LOCKED;
    if (memory != NULL)
        emu_count.objects--;
    free(memory);
}

int emu_device(void)
{
    return current_device;
}

void emu_set_device(int index)
{
    current_device = index;
}

cudaError_t emu_sticky(void)
{
    return sticky[current_device];
}

/* ---- queueing ---- */

void emu_tail_add(struct tail *tail, int node)
{
    for (int i = 0; i < tail->count; i++)
        if (tail->nodes[i] == node)
            return;
    if (tail->count == EMU_MOST_AFTER)
        emu_die("a recorded operation waits for more than %d others", EMU_MOST_AFTER);
    tail->nodes[tail->count++] = node;
}

static void record(struct CUstream_st *stream, struct work work)
{
    struct nodes *nodes = &stream->recording->nodes;
    if (nodes->count + 1 == emu.spoil_recording && stream->recording->origin->priority == 0)
        stream->recording->spoilt = true;
    if (nodes->count == nodes->capacity) {
        nodes->capacity = 2 * nodes->capacity + 64;
        nodes->items = realloc(nodes->items, (size_t)nodes->capacity * sizeof(*nodes->items));
        if (nodes->items == NULL)
            emu_die("out of host memory");
    }
    struct node *node = &nodes->items[nodes->count];
    *node = (struct node){.work = work, .after_count = stream->tail.count};
    memcpy(node->after, stream->tail.nodes, sizeof(node->after));
    stream->tail = (struct tail){.nodes = {nodes->count}, .count = 1};
    nodes->count++;
}

void emu_queue(struct CUstream_st *stream, struct work work, struct CUgraphExec_st *graph)
{
    if (stream->recording != NULL) {
        if (graph != NULL)
            emu_die("a graph launched while its stream records");
        record(stream, work);
        return;
    }
    struct item *item = calloc(1, sizeof(*item));
    if (item == NULL)
        emu_die("out of host memory");
    *item = (struct item){.work = work, .graph = graph, .queued = emu_time_now()};
    if (graph != NULL)
        graph->queued++;
    if (stream->last != NULL)
        stream->last->next = item;
    else
        stream->first = item;
    stream->last = item;
    pthread_cond_broadcast(&queued);
}

void emu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work), void *work)
{
    EMU_LOCKED;
    emu_queue(stream, (struct work){.run = run, .release = release, .data = work, .takes_time = true}, NULL);
}

void emu_release_nodes(struct nodes *nodes)
{
    for (int i = 0; i < nodes->count; i++)
        nodes->items[i].work.release(nodes->items[i].work.data);
    free(nodes->items);
    *nodes = (struct nodes){0};
}

void emu_release_graph(struct CUgraphExec_st *graph)
{
    if (!graph->destroyed || graph->queued > 0)
        return;
    emu_release_nodes(&graph->nodes);
    emu_discard(graph);
}

/* ---- running ---- */

struct choice {
    struct CUstream_st *stream;
    struct node *node; /* of the graph at its head; NULL: the item itself */
};

static bool is_ready(const struct work *work)
{
    return work->ready == NULL || work->ready(work->data);
}

static bool comes_now(const struct nodes *nodes, const struct node *node)
{
    if (node->done)
        return false;
    for (int i = 0; i < node->after_count; i++)
        if (!nodes->items[node->after[i]].done)
            return false;
    return true;
}

static int list_choices(struct choice *choices)
{
    int count = 0;
    for (struct CUstream_st *stream = emu_streams; stream != NULL; stream = stream->next) {
        struct item *head = stream->first;
        if (head == NULL)
            continue;
        struct nodes *nodes = head->graph != NULL ? &head->graph->nodes : NULL;
        if (nodes == NULL && is_ready(&head->work) && count < MOST_CHOICES)
            choices[count++] = (struct choice){stream, NULL};
        for (int i = 0; nodes != NULL && !head->started && i < nodes->count; i++)
            nodes->items[i].done = false;
        head->started = true;
        for (int i = 0; nodes != NULL && i < nodes->count; i++)
            if (comes_now(nodes, &nodes->items[i]) && is_ready(&nodes->items[i].work) && count < MOST_CHOICES)
                choices[count++] = (struct choice){stream, &nodes->items[i]};
    }
    return count;
}

static bool graph_is_done(const struct nodes *nodes)
{
    for (int i = 0; i < nodes->count; i++)
        if (!nodes->items[i].done)
            return false;
    return true;
}

static void remove_head(struct CUstream_st *stream)
{
    struct item *head = stream->first;
    stream->first = head->next;
    if (stream->first == NULL)
        stream->last = NULL;
    if (head->graph == NULL) {
        head->work.release(head->work.data);
    } else {
        head->graph->queued--;
        emu_release_graph(head->graph);
    }
    free(head);
}

/* The nastiest is to do first what was begun last: other streams before the one that everybody thinks of. */
static int choose(int count)
{
    if (emu.order <= 0)
        return emu.order == 0 ? 0 : count - 1;
    if (chances == 0)
        chances = (uint64_t)emu.order;
    chances = chances * 6364136223846793005u + 1442695040888963407u;
    return (int)((chances >> 33) % (uint64_t)count);
}

static double later(double a, double b)
{
    return a > b ? a : b;
}

/* Virtual time at which the work that is chosen ends: it begins when it is queued and all before it is done. */
static double end_of(const struct choice *chosen)
{
    const struct item *head = chosen->stream->first;
    const struct node *node = chosen->node;
    const struct work *work = node != NULL ? &node->work : &head->work;
    double begin = later(chosen->stream->done, head->queued);
    for (int i = 0; node != NULL && i < node->after_count; i++)
        begin = later(begin, head->graph->nodes.items[node->after[i]].end);
    if (work->awaited != NULL)
        begin = later(begin, work->awaited->seconds);
    return begin + (work->takes_time ? emu.work_seconds : 0.0);
}

double emu_work_end(void)
{
    return work_end;
}

/* A piece of a graph does not hold up the others: the stream is done with it when all are. */
static void note_end(const struct choice *chosen)
{
    struct CUstream_st *stream = chosen->stream;
    struct item *head = stream->first;
    if (chosen->node == NULL) {
        stream->done = work_end;
        return;
    }
    chosen->node->end = work_end;
    if (graph_is_done(&head->graph->nodes))
        for (int i = 0; i < head->graph->nodes.count; i++)
            stream->done = later(stream->done, head->graph->nodes.items[i].end);
}

bool emu_step(void)
{
    struct choice choices[MOST_CHOICES];
    list_choices(choices); /* collectives find out here who has come; so once more */
    int count = list_choices(choices);
    if (count == 0)
        return false;
    struct choice chosen = choices[choose(count)];
    struct item *head = chosen.stream->first;
    const struct work *work = chosen.node != NULL ? &chosen.node->work : &head->work;
    work_end = end_of(&chosen);
    emu_memory_open(true);
    work->run(work->data);
    emu_memory_open(false);
    if (chosen.node != NULL)
        chosen.node->done = true;
    note_end(&chosen);
    if (chosen.node == NULL || graph_is_done(&head->graph->nodes))
        remove_head(chosen.stream);
    return true;
}

/* Everything that can run without anybody's help. */
void emu_drain(void)
{
    EMU_LOCKED;
    emu_memory_open(true); /* once for all of it: each change of protection is a call of the system */
    while (emu_step()) {
    }
    emu_memory_open(false);
}

void emu_await(bool (*reached)(const void *context), const void *context, const char *what)
{
    EMU_LOCKED;
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += STUCK_SECONDS;
    for (emu_drain(); !reached(context); emu_drain())
        if (pthread_cond_timedwait(&queued, &lock, &deadline) == ETIMEDOUT)
            emu_die("%s", what);
}

static bool is_empty(const void *context)
{
    const struct CUstream_st *stream = context;
    return stream->first == NULL;
}

void emu_finish(struct CUstream_st *stream)
{
    emu_await(is_empty, stream, "a thread waits for a stream that can't go on");
    EMU_LOCKED;
    emu_time_wait(stream->done);
}

double emu_stream_done(cudaStream_t stream)
{
    EMU_LOCKED;
    emu_drain();
    return stream->done;
}

double emu_device_done(int device)
{
    double done = 0.0;
    for (const struct CUstream_st *stream = emu_streams; stream != NULL; stream = stream->next)
        if (stream->device == device)
            done = later(done, stream->done);
    return done;
}

void emu_wake(void)
{
    pthread_cond_broadcast(&queued);
}

void emu_look(void (*look)(void *context), void *context)
{
    EMU_LOCKED;
    emu_drain();
    emu_memory_open(true);
    look(context);
    emu_memory_open(false);
}

void emu_reset(void)
{
    EMU_LOCKED;
    emu_drain();
    if (emu_count.objects != 0)
        emu_die("reset while %llu objects exist", (unsigned long long)emu_count.objects);
    emu = (struct emu_settings){.memory = (size_t)256 << 20,
                                .devices = 1,
                                .driver = CUDART_VERSION,
                                .major = 9,
                                .multiprocessors = 1};
    emu_count = (struct emu_counts){0};
    chances = 0;
    emu_time_reset();
    emu_pools_reset();
    emu_load_reset();
    memset(sticky, 0, sizeof(sticky));
    last_error = cudaSuccess;
    current_device = 0;
    emu_memory_reset(emu.memory * EMU_MOST_DEVICES);
}

bool emu_recording(void)
{
    return emu_recording_here != NULL;
}

/* ---- errors ---- */

cudaError_t emu_fail(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

cudaError_t emu_call(const char *name)
{
    EMU_LOCKED;
    emu_count.calls++;
    emu_time_call();
    if (sticky[current_device] != cudaSuccess)
        return emu_fail(sticky[current_device]);
    if (emu_count.calls != emu.fail_at)
        return cudaSuccess;
    if (strncmp(name, "cudaMalloc", strlen("cudaMalloc")) == 0)
        return emu_fail(cudaErrorMemoryAllocation);
    sticky[current_device] = cudaErrorIllegalAddress; /* whatever is called there from now on says the same */
    return emu_fail(cudaErrorIllegalAddress);
}

cudaError_t emu_call_outside(const char *name)
{
    cudaError_t error = emu_call(name);
    if (error != cudaSuccess || emu_recording_here == NULL)
        return error;
    emu_recording_here->spoilt = true;
    return emu_fail(cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaGetLastError(void)
{
    EMU_LOCKED;
    cudaError_t error = last_error;
    last_error = sticky[current_device];
    return error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation           ? "cudaErrorMemoryAllocation"
           : error == cudaErrorIllegalAddress           ? "cudaErrorIllegalAddress"
           : error == cudaErrorNotSupported             ? "cudaErrorNotSupported"
           : error == cudaErrorStreamCaptureInvalidated ? "cudaErrorStreamCaptureInvalidated"
           : error == cudaErrorStreamCaptureUnjoined    ? "cudaErrorStreamCaptureUnjoined"
                                                        : "cudaErrorEmulated";
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "an error of the emulated GPU";
}

void emu_check_range(const char *what, const void *memory, size_t bytes)
{
    EMU_LOCKED;
    if (!emu_memory_holds(memory, bytes))
        emu_die("%s: %zu bytes at %p are not within one allocation", what, bytes, memory);
}

/* Private to the emulator: work, streams, recordings. */
#ifndef NASRUN_TESTS_GPU_EMU_QUEUE_H
#define NASRUN_TESTS_GPU_EMU_QUEUE_H

#include "tests/gpu/emu/emu.h"

enum { EMU_MOST_DEVICES = 8, EMU_MOST_AFTER = 16 };

/* When an event was recorded last; lives as long as the event or somebody who waits refers to it. */
struct mark {
    bool reached;
    double seconds;
    int references;
};

/* Something to be run in a stream, or a node of a graph. */
struct work {
    void (*run)(void *data);
    void (*release)(void *data);
    bool (*ready)(void *data); /* NULL: always */
    void *data;
    bool takes_time;
    const struct mark *awaited; /* it begins no earlier; NULL */
};

struct node {
    struct work work;
    int after[EMU_MOST_AFTER], after_count; /* nodes that come before it */
    bool done;
    double end; /* virtual time */
};

struct nodes {
    struct node *items;
    int count, capacity;
};

/* Nodes after which the next one of a stream comes. */
struct tail {
    int nodes[EMU_MOST_AFTER], count;
};

struct recording {
    struct nodes nodes;
    struct CUstream_st *origin;
    bool spoilt;
};

struct item {
    struct work work;
    struct CUgraphExec_st *graph; /* to be run instead; NULL */
    bool started;
    double queued; /* virtual time */
    struct item *next;
};

/* CUDA's opaque types. */
struct CUstream_st {
    int device;
    int priority; /* below 0: a planner's */
    struct item *first, *last;
    struct recording *recording; /* NULL: it does not record */
    struct tail tail;
    uint64_t waits;           /* for it alone */
    double done;              /* virtual time until which it has something to do */
    struct CUstream_st *next; /* of all streams */
};
struct CUevent_st {
    struct mark *mark;           /* NULL: not recorded */
    struct recording *recording; /* recorded while a stream records: what comes before it */
    struct tail tail;
};
struct CUgraph_st {
    struct nodes nodes;
};
struct CUgraphExec_st {
    struct nodes nodes;
    int queued;     /* how often it is in streams */
    bool destroyed; /* as soon as it is in none */
};

/* All of the emulator's functions run under one lock, which a thread may hold several times. */
#define EMU_LOCKED __attribute__((cleanup(emu_unlock), unused)) int emu_locked = emu_lock()
int emu_lock(void);
void emu_unlock(int *locked);

extern struct CUstream_st *emu_streams;                    /* all, the youngest first */
extern _Thread_local struct recording *emu_recording_here; /* begun by this thread; NULL */

/* No device has loaded anything. */
void emu_load_reset(void);
/* What a collective's work is to run (emu_nccl.c). */
void emu_run_collective(void *data);
/* Queues or records work. The emulator owns `data` from now on. */
void emu_queue(struct CUstream_st *stream, struct work work, struct CUgraphExec_st *graph);
/* Runs one thing that may run; false when nothing can. */
bool emu_step(void);
/* Virtual time at which the work that runs ends. */
double emu_work_end(void);
/* The latest of the device's streams'. */
double emu_device_done(int device);
/* Runs until that is reached, waiting for other threads' calls when there is no other way; ends the process with `what`
 * when that takes too long. Not under the lock. */
void emu_await(bool (*reached)(const void *context), const void *context, const char *what);
/* Until the stream is empty. */
void emu_finish(struct CUstream_st *stream);
void emu_release_nodes(struct nodes *nodes);
void emu_release_graph(struct CUgraphExec_st *graph); /* when it is destroyed and in no stream */
void emu_tail_add(struct tail *tail, int node);
/* The calling thread's device, its error that stays. */
int emu_device(void);
void emu_set_device(int index);
cudaError_t emu_sticky(void);

#endif

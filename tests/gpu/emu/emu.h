/* A GPU made of software, for tests: the CUDA runtime's functions that the plug-in calls, over host memory,
 * and convolutions and matrix products by plain loops. The plug-in's own objects are linked against it unchanged;
 * its kernels are the .cu files compiled for the CPU (tests/gpu/cuda_on_cpu.h). It is nastier than the hardware:
 *   - what is queued runs as late as possible: when somebody waits. Pinned host memory is read and written then
 *     and not before; a copy to other host memory waits at once, as the real one does;
 *   - the host cannot touch device memory: its pages are inaccessible but while queued work runs;
 *   - fresh memory is full of bytes 255 (NaN in every type), and so is the workspace of cuDNN or cuBLAS before
 *     each run (both ends of what is larger than 16 MiB); every allocation lies between guards that are checked when it
 *     is freed, under AddressSanitizer at every access;
 *   - copies and fills must lie within one allocation;
 *   - memory is limited, and the call of your choice fails; memory that was refused is refused until some is freed;
 *   - what a pool holds unused is nobody else's, and no other device reaches it without having asked;
 *   - while a stream is recorded, calls that the real one refuses spoil the recording: any that is unsafe from the
 *     thread that records, and from other threads those that wait for that stream;
 *   - a kernel that a device launches for the first time finds no collective under way there: to load it, the real
 *     driver may wait for the whole device;
 *   - collectives are recorded by all members or by none;
 *   - what cudaFreeAsync gives back is taken until its stream gets there;
 *   - of what streams and their events leave open, the order is the one least expected, or a random one;
 *   - events may tell wrong times;
 *   - products of TF32 are those of truncated factors, as on Hopper, and not of rounded ones;
 *   - cuDNN may name candidates that it can't describe, or that can't be recorded;
 *   - time may be virtual (emu_time.c): calls and work take as long as is asked for, and the host is ahead as it is on
 *     the hardware. By default nothing takes any.
 * Not emulated: whose memory a kernel touches.
 *
 * Broken rules end the process with a line on stderr. */
#ifndef NASRUN_TESTS_GPU_EMU_H
#define NASRUN_TESTS_GPU_EMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda_runtime_api.h>

enum { EMU_NCCL_BYTES = 65536 }; /* of device memory that a communicator takes on each device */

struct emu_settings {
    size_t memory;    /* bytes of the device */
    int devices;      /* 0: none */
    int driver;       /* CUDA version the driver supports, 13000; 0: no driver */
    int major, minor; /* compute capability */
    int multiprocessors;
    int cache;        /* bytes of the device's */
    uint64_t fail_at; /* the call, counted from 1, that fails; 0: none */
    int order; /* of what may run: 0: the work of the youngest stream first; -1: of the oldest; otherwise by chance */
    uint64_t forget_wait; /* the so-many-th cudaStreamWaitEvent, counted from 1, is forgotten; 0: none */
    int no_pools;         /* the device has no memory pools */
    int scattered_pool; /* what a pool holds lies in pieces too small for anybody: every allocation takes new memory */
    int refuse_recording; /* cudaStreamBeginCapture fails */
    bool without_nccl;    /* there is no libnccl.so.2 */
    /* the so-many-th thing that is recorded, counted from 1, spoils the recording without a word; 0: none */
    int spoil_recording;
    int collective_error; /* what ncclCommGetAsyncError tells of */
    int refuse_fused;     /* no plan for a convolution with more behind it */
    int timed;            /* convolutions that are planned are timed, not only run once */
    int noise; /* seed: events tell times that are up to a millisecond too long, by chance; 0: they don't */
    int keep_plans; /* with a profile: choices are kept in the cache folder */
    /* with a profile: of each choice the candidate, counted from 1, that cuDNN can't describe; 0: none */
    int undescribed;
    int unrecordable;    /* likewise: so many candidates, the first by rank, that can't be recorded */
    double call_seconds; /* virtual time: of the host, for each call; */
    double work_seconds; /* and of a stream, for each kernel, convolution, product, copy and fill */
    /* code that a device launches for the first time waits for all of the device, as the real driver may */
    int loading_waits;
    void (*recording_begun)(void); /* called by the thread that has begun to record; NULL */
    /* called by the thread that tries a convolution, when it has its memory; NULL */
    void (*trial_begun)(void);
    const char *profile; /* file with a device's description: convolutions are planned by cuDNN for that
                             device, and only  their execution is emulated; NULL: planning is emulated, too */
};

struct emu_counts {
    uint64_t calls; /* of the runtime, the libraries and kernels */
    uint64_t kernels, convolutions, products, collectives, copies, waits, allocations, recordings,
        graph_launches;
    uint64_t stream_waits; /* of streams for events */
    uint64_t staged;       /* copies between devices by way of the host */
    uint64_t device_waits; /* calls that wait for all streams of a device: cudaFree */
    uint64_t fused;        /* of the convolutions: with more behind them */
    uint64_t untried;      /* convolutions that were planned without a trial, for want of memory */
    uint64_t trials;       /* convolutions that were tried; what they record and replay is counted nowhere */
    size_t bytes, peak_bytes; /* device memory in use */
    uint64_t objects;         /* allocations, pinned memory, streams, events, graphs, handles in existence */
};

/* Settings are read at the next call; counts may be read at any time. */
extern struct emu_settings emu;
extern struct emu_counts emu_count;

/* tests/gpu/cuda_on_cpu.h, in C: how kernels are launched. */
struct cuda_on_cpu_settings {
    int threads, blocks, reverse;
};
extern struct cuda_on_cpu_settings cuda_on_cpu;

/* A fresh device with the default settings: 256 MiB, compute capability 9.0. Nothing of the old one may be in
 * use. */
void emu_reset(void);

/* Runs what is queued, then calls `look` while device memory is accessible. */
void emu_look(void (*look)(void *context), void *context);

/* Virtual time when the stream has done all that is queued on it. */
double emu_stream_done(cudaStream_t stream);

/* How often somebody has waited for that stream. */
uint64_t emu_stream_waits(cudaStream_t stream);

/* ---- for the emulator's own files ---- */

/* Whether `device` may touch the memory of `owner`'s pool. */
bool emu_reaches(int device, int owner);
void emu_pools_reset(void);
/* Memory that no pool serves; NULL when there is not enough. */
void *emu_take(int device, size_t bytes);
void emu_give(void *memory); /* NULL is allowed */

/* One more call of `name`: cudaSuccess, or the error with which it is to fail. */
cudaError_t emu_call(const char *name);
/* The same for calls that the real runtime refuses while a stream records: they spoil the recording. */
cudaError_t emu_call_outside(const char *name);
/* Remembers the error for cudaGetLastError, and returns it. */
cudaError_t emu_fail(cudaError_t error);
/* Runs what is queued, as far as it can. */
void emu_drain(void);
/* Something has happened that may let others go on. */
void emu_wake(void);
bool emu_recording(void);
/* An object came into existence: counts it, and ends the process for NULL; and ceases to be: frees it. */
void *emu_new(void *memory);
void emu_discard(void *memory);
/* Code is launched on the calling thread's device: loads it there unless it is. `code`: any address that tells it
 * apart. */
void emu_load_code(const void *code);
/* Queues work (or records it): like cuda_on_cpu_submit. */
void emu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work), void *work);
/* Ends the process unless the bytes lie within one allocation of device memory. */
void emu_check_range(const char *what, const void *memory, size_t bytes);
_Noreturn void emu_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

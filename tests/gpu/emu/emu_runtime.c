/* The CUDA runtime's functions about devices, pinned memory and copies, by their own names. */
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_queue.h"
#include "tests/gpu/emu/emu_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- devices ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    if (emu.driver < CUDART_VERSION)
        return emu_fail(cudaErrorInsufficientDriver);
    if (emu.devices == 0)
        return emu_fail(cudaErrorNoDevice);
    *count = emu.devices;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = emu.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaSetDevice");
    if (error == cudaSuccess && (index < 0 || index >= emu.devices))
        error = emu_fail(cudaErrorInvalidDevice);
    if (error == cudaSuccess)
        emu_set_device(index);
    return error;
}

cudaError_t cudaGetDevice(int *index)
{
    *index = emu_device();
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int index)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaGetDeviceProperties");
    if (error != cudaSuccess)
        return error;
    if (index < 0 || index >= emu.devices)
        return emu_fail(cudaErrorInvalidDevice);
    memset(properties, 0, sizeof(*properties));
    snprintf(properties->name, sizeof(properties->name), "emulated GPU");
    properties->major = emu.major;
    properties->minor = emu.minor;
    properties->multiProcessorCount = emu.multiprocessors;
    properties->totalGlobalMem = emu.memory;
    properties->l2CacheSize = emu.cache;
    return cudaSuccess;
}

/* ---- memory ---- */

enum { MOST_PINNED = 64 };

static struct {
    char *memory;
    size_t bytes;
} pinned[MOST_PINNED];

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    EMU_LOCKED;
    cudaError_t error = emu_call_outside("cudaMallocHost");
    if (error != cudaSuccess)
        return error;
    for (int i = 0; i < MOST_PINNED; i++) {
        if (pinned[i].memory != NULL)
            continue;
        pinned[i].memory = emu_new(malloc(bytes));
        pinned[i].bytes = bytes;
        memset(pinned[i].memory, 255, bytes);
        *memory = pinned[i].memory;
        return cudaSuccess;
    }
    emu_die("more than %d pieces of pinned memory", MOST_PINNED);
}

static int find_pinned(const void *memory, size_t bytes)
{
    const char *byte = memory;
    for (int i = 0; i < MOST_PINNED; i++)
        if (pinned[i].memory != NULL && byte >= pinned[i].memory &&
            byte + bytes <= pinned[i].memory + pinned[i].bytes)
            return i;
    return -1;
}

cudaError_t cudaFreeHost(void *memory)
{
    if (memory == NULL)
        return cudaSuccess;
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaFreeHost");
    emu_drain();
    int place = find_pinned(memory, 0);
    if (place < 0 || pinned[place].memory != memory)
        emu_die("cudaFreeHost of %p, which is no pinned memory", memory);
    pinned[place].memory = NULL;
    emu_discard(memory);
    return error;
}

/* ---- copies, fills ---- */

struct transfer {
    void *to;
    const void *from; /* NULL: a fill */
    size_t bytes;
    int fill;
    void *staged; /* what `from` is a copy in, when that had to be made at once; owned */
};

static void run_transfer(void *work)
{
    const struct transfer *transfer = work;
    if (transfer->from != NULL)
        memcpy(transfer->to, transfer->from, transfer->bytes);
    else
        memset(transfer->to, transfer->fill, transfer->bytes);
}

static void release_transfer(void *work)
{
    struct transfer *transfer = work;
    free(transfer->staged);
    free(transfer);
}

static void submit_transfer(cudaStream_t stream, void *to, const void *from, size_t bytes, int fill,
                            bool stage)
{
    struct transfer *transfer = malloc(sizeof(*transfer));
    void *staged = stage ? malloc(bytes) : NULL;
    if (transfer == NULL || (stage && staged == NULL))
        emu_die("out of host memory");
    if (stage)
        memcpy(staged, from, bytes);
    *transfer = (struct transfer){to, stage ? staged : from, bytes, fill, staged};
    emu_submit(stream, run_transfer, release_transfer, transfer);
}

static void check_own(const char *what, const void *memory, size_t bytes, int device)
{
    emu_check_range(what, memory, bytes);
    if (emu_memory_device(memory) != device)
        emu_die("%s belongs to device %d, expected %d", what, emu_memory_device(memory), device);
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t bytes,
                                cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaMemcpyPeerAsync");
    if (error != cudaSuccess || bytes == 0)
        return error;
    check_own("peer copy's target", to, bytes, to_device);
    check_own("peer copy's source", from, bytes, from_device);
    emu_count.copies++;
    emu_count.staged += !emu_reaches(to_device, from_device);
    submit_transfer(stream, to, from, bytes, 0, false);
    return cudaSuccess;
}

static bool is_pinned(const void *memory, size_t bytes)
{
    EMU_LOCKED;
    return find_pinned(memory, bytes) >= 0;
}

/* To host memory that is not pinned the real one returns only when the copy is done: it waits for the stream,
 * blindly. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    cudaError_t error = emu_call("cudaMemcpyAsync");
    bool up = kind == cudaMemcpyHostToDevice, down = kind == cudaMemcpyDeviceToHost;
    if (error != cudaSuccess)
        return error;
    bool waits = down && !is_pinned(to, bytes);
    if (waits)
        emu_finish(stream);
    EMU_LOCKED;
    if (!up && !down && kind != cudaMemcpyDeviceToDevice)
        emu_die("copy: kind %d is not emulated", (int)kind);
    if (bytes == 0)
        return cudaSuccess;
    if (!down)
        check_own("copy's target", to, bytes, stream->device);
    if (!up)
        check_own("copy's source", from, bytes, stream->device);
    if ((down && emu_memory_is_device(to)) || (up && emu_memory_is_device(from)))
        emu_die("copy: found device memory, expected the host's");
    emu_count.copies++;
    submit_transfer(stream, to, from, bytes, 0, up && !is_pinned(from, bytes));
    if (waits) {
        emu_drain();
        emu_time_wait(stream->done);
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaMemsetAsync");
    if (error != cudaSuccess || bytes == 0)
        return error;
    check_own("fill", memory, bytes, stream->device);
    submit_transfer(stream, memory, NULL, bytes, value & 255, false);
    return cudaSuccess;
}

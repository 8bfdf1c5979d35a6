/* The CUDA runtime's functions about device memory, pools of it, and who reaches whose, by their own names. A pool
 * keeps what is given back to it, as far as its threshold goes; until it is trimmed nobody else has that. */
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_queue.h"
#include "tests/gpu/emu/emu_time.h"

#include <string.h>

/* CUDA's opaque type. */
struct CUmemPoolHandle_st {
    int device;
    size_t used, unused; /* bytes */
    uint64_t threshold;
    bool reached[EMU_MOST_DEVICES]; /* by these */
};

static struct CUmemPoolHandle_st pools[EMU_MOST_DEVICES];
static bool peers[EMU_MOST_DEVICES][EMU_MOST_DEVICES]; /* [device][owner] */

void emu_pools_reset(void)
{
    memset(pools, 0, sizeof(pools));
    memset(peers, 0, sizeof(peers));
    for (int i = 0; i < EMU_MOST_DEVICES; i++)
        pools[i].device = i;
}

bool emu_reaches(int device, int owner)
{
    return device == owner || (peers[device][owner] && (emu.no_pools || pools[owner].reached[device]));
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaMemGetInfo");
    if (error != cudaSuccess)
        return error;
    *total = emu.memory;
    *available = emu.memory - emu_memory_used(emu_device()) - pools[emu_device()].unused;
    return cudaSuccess;
}

/* ---- taking, giving back ---- */

/* pooled: what is unused in the device's pool serves, too. */
static cudaError_t take(int device, void **memory, size_t bytes, bool pooled)
{
    struct CUmemPoolHandle_st *pool = &pools[device];
    const size_t before = emu_memory_used(device), held = pooled && !emu.scattered_pool ? 0 : pool->unused;
    void *taken = before + held + bytes <= emu.memory ? emu_memory_take(device, bytes) : NULL;
    if (taken == NULL)
        return emu_fail(cudaErrorMemoryAllocation);
    *memory = taken;
    const size_t grown = emu_memory_used(device) - before;
    if (pooled) {
        pool->used += grown;
        if (!emu.scattered_pool)
            pool->unused -= grown < pool->unused ? grown : pool->unused;
        if (emu_memory_used(device) + pool->unused > emu.memory) /* a page here, a page there */
            pool->unused = emu.memory > emu_memory_used(device) ? emu.memory - emu_memory_used(device) : 0;
    }
    emu_count.allocations++;
    emu_count.objects++;
    emu_count.bytes = emu_memory_used(device);
    if (emu_count.bytes > emu_count.peak_bytes)
        emu_count.peak_bytes = emu_count.bytes;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    EMU_LOCKED;
    cudaError_t error = emu_call_outside("cudaMalloc");
    if (error == cudaErrorMemoryAllocation)
        emu_memory_refuse(bytes);
    return error == cudaSuccess ? take(emu_device(), memory, bytes, false) : error;
}

/* Memory is there at once; that only its stream may use it from then on is not checked. */
cudaError_t cudaMallocAsync(void **memory, size_t bytes, cudaStream_t stream)
{
    EMU_LOCKED;
    cudaError_t error = emu_call_outside("cudaMallocAsync");
    if (error == cudaErrorMemoryAllocation)
        emu_memory_refuse(bytes);
    if (error == cudaSuccess && emu.no_pools)
        error = emu_fail(cudaErrorNotSupported);
    return error == cudaSuccess ? take(stream->device, memory, bytes, true) : error;
}

void *emu_take(int device, size_t bytes)
{
    void *memory = NULL;
    return take(device, &memory, bytes, false) == cudaSuccess ? memory : NULL;
}

static void give(void *memory)
{
    const int device = emu_memory_device(memory);
    emu_memory_give(memory);
    emu_count.objects--;
    emu_count.bytes = emu_memory_used(device);
}

void emu_give(void *memory)
{
    if (memory != NULL)
        give(memory);
}

static void give_to_pool(void *memory)
{
    const int device = emu_memory_device(memory);
    struct CUmemPoolHandle_st *pool = &pools[device];
    const size_t before = emu_memory_used(device);
    give(memory);
    const size_t shrunk = before - emu_memory_used(device);
    pool->used -= shrunk;
    pool->unused = pool->unused + shrunk < pool->threshold ? pool->unused + shrunk : (size_t)pool->threshold;
}

static void keep(void *memory)
{
    (void)memory;
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream)
{
    EMU_LOCKED;
    if (emu_recording())
        emu_die("cudaFreeAsync while a stream records");
    cudaError_t error = emu_call("cudaFreeAsync"); /* as cudaFree */
    if (!emu_memory_holds(memory, 0) || emu_memory_device(memory) != stream->device)
        emu_die("cudaFreeAsync of %p, which is no memory of the stream's device", memory);
    emu_queue(stream, (struct work){.run = give_to_pool, .release = keep, .data = memory}, NULL);
    return error;
}

/* Of a device. */
static bool is_idle(const void *context)
{
    const int *device = context;
    for (const struct CUstream_st *stream = emu_streams; stream != NULL; stream = stream->next)
        if (stream->device == *device && stream->first != NULL)
            return false;
    return true;
}

static cudaError_t begin_free(const void *memory, int *device)
{
    EMU_LOCKED;
    if (emu_recording())
        emu_die("cudaFree while a stream records");
    if (!emu_memory_holds(memory, 0))
        emu_die("cudaFree of %p, which is no device memory", memory);
    *device = emu_memory_device(memory);
    emu_count.device_waits++;
    return emu_call("cudaFree"); /* a failed device gives its memory back all the same */
}

cudaError_t cudaFree(void *memory)
{
    int device;
    if (memory == NULL)
        return cudaSuccess;
    cudaError_t error = begin_free(memory, &device);
    emu_await(is_idle, &device, "cudaFree on a device whose streams can't go on");
    EMU_LOCKED;
    emu_time_wait(emu_device_done(device));
    give(memory);
    return error;
}

/* ---- pools ---- */

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    (void)device;
    if (attribute != cudaDevAttrMemoryPoolsSupported)
        emu_die("cudaDeviceGetAttribute: %d is not emulated", (int)attribute);
    *value = !emu.no_pools;
    return emu_call("cudaDeviceGetAttribute");
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device)
{
    cudaError_t error = emu_call("cudaDeviceGetDefaultMemPool");
    if (error == cudaSuccess)
        *pool = &pools[device];
    return error;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaMemPoolSetAttribute");
    if (attribute != cudaMemPoolAttrReleaseThreshold)
        emu_die("cudaMemPoolSetAttribute: %d is not emulated", (int)attribute);
    if (error == cudaSuccess)
        memcpy(&pool->threshold, value, sizeof(pool->threshold));
    return error;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaMemPoolGetAttribute");
    const uint64_t bytes =
        attribute == cudaMemPoolAttrReservedMemCurrent ? pool->used + pool->unused : pool->used;
    if (attribute != cudaMemPoolAttrReservedMemCurrent && attribute != cudaMemPoolAttrUsedMemCurrent)
        emu_die("cudaMemPoolGetAttribute: %d is not emulated", (int)attribute);
    if (error == cudaSuccess)
        memcpy(value, &bytes, sizeof(bytes));
    return error;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t kept)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaMemPoolTrimTo");
    if (kept != 0)
        emu_die("cudaMemPoolTrimTo: only to nothing");
    if (error == cudaSuccess)
        pool->unused = 0;
    return error;
}

/* ---- between devices ---- */

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int owner)
{
    *can = device != owner;
    return emu_call("cudaDeviceCanAccessPeer");
}

cudaError_t cudaDeviceEnablePeerAccess(int owner, unsigned flags)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaDeviceEnablePeerAccess");
    (void)flags;
    if (error == cudaSuccess && peers[emu_device()][owner])
        return emu_fail(cudaErrorPeerAccessAlreadyEnabled);
    if (error == cudaSuccess)
        peers[emu_device()][owner] = true;
    return error;
}

cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const struct cudaMemAccessDesc *access, size_t count)
{
    EMU_LOCKED;
    cudaError_t error = emu_call("cudaMemPoolSetAccess");
    for (size_t i = 0; error == cudaSuccess && i < count; i++)
        pool->reached[access[i].location.id] = access[i].flags == cudaMemAccessFlagsProtReadWrite;
    return error;
}

/* Device memory: from the device's default pool, in the order of the device's stream, so that neither taking nor giving
 * back waits for the device, or asks the driver where the last candidate's memory will do. What is given back stays in
 * the pool until somebody else needs it: the planner's trials take from the same pool, an allocation that fails empties
 * it and tries again, it is emptied for NCCL too, which has memory of its own, and what lies unused there counts as
 * free. Devices without pools have cudaMalloc. */
#include "cuda/device/cuda_internal.h"

#include <string.h>

enum { MOST_PEERS = 64 }; /* bits of device->peers */

enum status cuda_memory_open(struct device *device, struct error *err)
{
    int supported = 0;
    uint64_t kept = UINT64_MAX;
    enum status st =
        cuda_check(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, (int)device->index),
                   "describe its memory", err);
    if (st != ST_OK || !supported)
        return st;
    st = cuda_check(cudaDeviceGetDefaultMemPool(&device->pool, (int)device->index), "use its memory pool",
                    err);
    if (st == ST_OK)
        st = cuda_check(cudaMemPoolSetAttribute(device->pool, cudaMemPoolAttrReleaseThreshold, &kept),
                        "keep memory in its pool", err);
    return st;
}

/* What has been given back counts only when somebody has waited for it. */
void cuda_memory_trim(const struct device *device)
{
    struct error ignored; /* a device that fails says so to the next one who wants memory */
    if (device->pool != NULL && cuda_wait(device, "free memory", &ignored) == ST_OK)
        (void)cudaMemPoolTrimTo(device->pool, 0);
}

enum status cuda_memory_available(cudaMemPool_t pool, size_t *available, size_t *total, struct error *err)
{
    uint64_t reserved = 0, used = 0;
    enum status st = cuda_check(cudaMemGetInfo(available, total), "ask for its free memory", err);
    if (st != ST_OK || pool == NULL)
        return st;
    st = cuda_check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved),
                    "ask for its free memory", err);
    if (st == ST_OK)
        st = cuda_check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used),
                        "ask for its free memory", err);
    if (st == ST_OK && reserved > used)
        *available += (size_t)(reserved - used);
    return st;
}

static cudaError_t take(const struct device *device, size_t bytes, void **made)
{
    return device->pool != NULL ? cudaMallocAsync(made, bytes, device->stream) : cudaMalloc(made, bytes);
}

/* With the planner's trials out of the way, and the pool given back. */
static cudaError_t take_again(const struct device *device, size_t bytes, void **made, size_t *available,
                              size_t *total)
{
    struct error ignored;
    (void)cudaGetLastError();
    conv_planner_hold(device->planner);
    cuda_memory_trim(device);
    cudaError_t error = take(device, bytes, made);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        (void)cuda_memory_available(device->pool, available, total, &ignored);
    }
    conv_planner_release(device->planner);
    return error;
}

enum status cuda_allocate(const struct device *device, size_t bytes, const char *what, void *memory,
                          struct error *err)
{
    void *made = NULL;
    size_t total = 0, available = 0, taken = bytes > 0 ? bytes : 1;
    cudaError_t error = take(device, taken, &made);
    if (error == cudaErrorMemoryAllocation)
        error = take_again(device, taken, &made, &available, &total);
    memcpy(memory, &made, sizeof(made));
    if (error != cudaErrorMemoryAllocation)
        return cuda_check(error, "allocate memory", err);
    return error_set(err, ST_MEMORY, "out of device memory: %s, %zu bytes; %zu of %zu are free", what, bytes,
                     available, total);
}

void cuda_release(const struct device *device, void *memory)
{
    if (memory == NULL)
        return;
    if (device->pool != NULL)
        (void)cudaFreeAsync(memory, device->stream);
    else
        (void)cudaFree(memory);
}

/* Memory of a pool has an access of its own beside that between the devices. NCCL, whose members are in one process
 * here, takes it for granted that devices which can reach each other's memory may. */
enum status cuda_memory_reach(struct device *device, const struct device *owner, struct error *err)
{
    const struct cudaMemAccessDesc access = {
        .location = {.type = cudaMemLocationTypeDevice, .id = device->index},
        .flags = cudaMemAccessFlagsProtReadWrite};
    int can = 0;
    if (owner->index == device->index || owner->index >= MOST_PEERS ||
        (device->peers >> owner->index & 1) != 0)
        return ST_OK;
    enum status st = cuda_check(cudaDeviceCanAccessPeer(&can, (int)device->index, (int)owner->index),
                                "tell which devices it reaches", err);
    if (st == ST_OK && can) {
        cudaError_t error = cudaDeviceEnablePeerAccess((int)owner->index, 0);
        if (error == cudaErrorPeerAccessAlreadyEnabled)
            error = cudaGetLastError() == error ? cudaSuccess : error;
        st = cuda_check(error, "reach another device's memory", err);
    }
    if (st == ST_OK && can && owner->pool != NULL)
        st = cuda_check(cudaMemPoolSetAccess(owner->pool, &access, 1), "reach another device's memory pool",
                        err);
    if (st == ST_OK)
        device->peers |= (uint64_t)1 << owner->index;
    return st;
}

enum status cuda_memory_reach_all(struct device *const *devices, int32_t count, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t k = 0; st == ST_OK && k < count; k++) {
        st = cuda_enter(devices[k], err);
        for (int32_t other = 0; st == ST_OK && other < count; other++)
            st = cuda_memory_reach(devices[k], devices[other], err);
    }
    return st;
}

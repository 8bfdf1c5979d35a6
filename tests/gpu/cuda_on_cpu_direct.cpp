/* For programs without an emulated stream: launches run at once, and never fail; the device's memory is the heap. */
#include "tests/gpu/cuda_on_cpu.h"

#include "tests/gpu/kernel_check.h"

void cuda_on_cpu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work), void *work)
{
    (void)stream;
    run(work);
    release(work);
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

void *kernel_memory(size_t bytes)
{
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes) == 0 ? memory : NULL;
}

void kernel_memory_free(void *memory)
{
    free(memory);
}

cudaError_t kernel_wait(void)
{
    return cudaSuccess;
}

/* What tests/gpu/test_kernels_*.cpp are linked with to run on a real GPU, with the kernels as nvcc made them, in place
 * of cuda_on_cpu*.cpp: managed memory, which the host reads too, and a wait for every launch. Block sizes and counts
 * are then the kernels' own; those that a case names mean nothing. */
#include "tests/gpu/cuda_on_cpu.h"
#include "tests/gpu/kernel_check.h"

#include <cstdio>

struct cuda_on_cpu_settings cuda_on_cpu;

/* In words: the test that fails for it says its number only. */
static cudaError_t told(cudaError_t error)
{
    if (error != cudaSuccess)
        std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
    return error;
}

void *kernel_memory(size_t bytes)
{
    void *memory = NULL;
    return told(cudaMallocManaged(&memory, bytes, cudaMemAttachGlobal)) == cudaSuccess ? memory : NULL;
}

void kernel_memory_free(void *memory)
{
    cudaFree(memory);
}

cudaError_t kernel_wait(void)
{
    return told(cudaDeviceSynchronize());
}

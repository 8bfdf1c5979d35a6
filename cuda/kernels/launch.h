/* How kernels are launched, so that the same source also runs on a CPU, for tests. nvcc compiles it with what
 * stands here; g++ and clang++ compile it behind tests/gpu/cuda_on_cpu.h (given by -include), which defines
 * the same names.
 *
 *     LAUNCH(kernel, grid, block, shared bytes, stream, arguments...);
 *     DYNAMIC_SHARED(float, name);      in a kernel: its dynamic shared memory, aligned to 16 bytes
 *
 * A kernel takes the structure of its launch function by value, and beside it the large arrays, in their type: nvcc believes
 * __restrict__ of parameters alone.
 *
 * Rules: one-dimensional blocks of LAUNCH_THREADS threads; a kernel is correct for every multiple of 32 from
 * 32 to 512 and for every number of blocks from 1 on. No inline PTX, no textures. No block waits for another;
 * the one that is done last may go on with what all have left (last_block). */
#ifndef NASRUN_CUDA_KERNELS_LAUNCH_H
#define NASRUN_CUDA_KERNELS_LAUNCH_H

#if defined(__CUDACC__)
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                               \
    kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define DYNAMIC_SHARED(type, name)                                                                           \
    extern __shared__ __align__(16) unsigned char launch_shared[];                                           \
    type *name = reinterpret_cast<type *>(launch_shared)
#define LAUNCH_THREADS 256
/* At most, of kernels that walk their work with the grid's stride. */
#define LAUNCH_BLOCKS 8192
/* Before a loop of few turns, and how many differs: unrolling it would cost registers. */
#define LAUNCH_ROLLED _Pragma("unroll 1")
/* Before a loop over loads that do not wait for one another. */
#define LAUNCH_UNROLLED _Pragma("unroll 4")
#elif !defined(LAUNCH)
#error "kernels are compiled by nvcc, or for tests behind tests/gpu/cuda_on_cpu.h"
#endif

#include <stddef.h>

/* Blocks for `work` items, one a thread, at most LAUNCH_BLOCKS: threads go on with the grid's stride. */
static inline unsigned launch_blocks(size_t work)
{
    size_t blocks = (work + LAUNCH_THREADS - 1) / LAUNCH_THREADS;
    return blocks < 1 ? 1u : blocks < LAUNCH_BLOCKS ? (unsigned)blocks : (unsigned)LAUNCH_BLOCKS;
}

/* The loop of such a kernel: `item`, of `type`, runs over this thread's share of [0, count). The last stride
 * goes beyond count and must not overflow: 2^31 is safe in 32 bits. */
#define LAUNCH_FOR(type, item, count)                                                                        \
    for (type item = (type)blockIdx.x * blockDim.x + threadIdx.x; item < (count);                            \
         item += (type)gridDim.x * blockDim.x)

/* True, for all threads, in the last of `blocks` blocks to come here; it sees what all have written before. All threads of
 * a block call it, once. The ticket is 0 before the kernel and after it. Which block is the last differs from run to run:
 * what it does must not depend on it. */
static __device__ __forceinline__ bool last_block(unsigned *ticket, unsigned blocks)
{
    __shared__ bool last;
    __syncthreads(); /* everything the block writes is written */
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicInc(ticket, blocks - 1) == blocks - 1; /* the last one makes it 0 again */
        __threadfence();
    }
    __syncthreads();
    return last;
}

#endif

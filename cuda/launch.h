/* How kernels are launched, so that the same source also runs on a CPU, for tests. nvcc compiles it with what
 * stands here; g++ and clang++ compile it behind tests/gpu/cuda_on_cpu.h (given by -include), which defines
 * the same names.
 *
 *     LAUNCH(kernel, grid, block, shared bytes, stream, arguments...);
 *     DYNAMIC_SHARED(float, name);      in a kernel: its dynamic shared memory, aligned to 16 bytes
 *
 * Rules: one-dimensional blocks of LAUNCH_THREADS threads; a kernel is correct for every multiple of 32 from
 * 32 to 512 and for every number of blocks from 1 on. No inline PTX, no textures, no synchronisation of a
 * whole grid. */
#ifndef NASRUN_CUDA_LAUNCH_H
#define NASRUN_CUDA_LAUNCH_H

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

#endif

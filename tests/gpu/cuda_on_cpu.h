/* Runs the GPU's kernels on a CPU, for tests: g++ or clang++ compile the very .cu files behind this header
 * (-x c++ -include tests/gpu/cuda_on_cpu.h). Every CUDA thread is a fiber with a stack of its own;
 * __syncthreads,
 * __syncwarp and the shuffles are barriers between fibers. One block runs at a time on an operating system's
 * thread, so
 * __shared__ is a static variable of that thread.
 *
 * Reported on stderr, then abort: a barrier that some threads never reach, threads of a block that pass
 * different numbers of __syncthreads, lanes that disagree about a mask, a shuffle from a lane that does not
 * take part, a bad launch. Dynamic shared memory is a heap block of the exact size full of rubbish, so
 * AddressSanitizer sees what lies outside. With cuda_on_cpu.reverse threads and blocks run in the opposite
 * order: a kernel whose result changes lacks a barrier, or lets blocks depend on each other.
 *
 * A launch hands its work to cuda_on_cpu_submit, which the test program defines: cuda_on_cpu_direct.cpp runs
 * it at once, an emulated stream may run it later, or more than once.
 *
 * Not shown: memory coalescing, bank conflicts, register pressure, the weak order of memory between blocks.
 */
#ifndef NASRUN_TESTS_CUDA_ON_CPU_H
#define NASRUN_TESTS_CUDA_ON_CPU_H

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <vector_types.h>

extern "C" {

/* Settings; a test may change them between launches. */
struct cuda_on_cpu_settings {
    int threads; /* of a block: LAUNCH_THREADS, a multiple of 32 up to 512 */
    int blocks;  /* LAUNCH_BLOCKS */
    int reverse; /* 1: threads and blocks in the opposite order */
};
extern struct cuda_on_cpu_settings cuda_on_cpu;

/* Queues `run(work)`, which may be called any number of times, on the stream; then at last `release(work)`.
 */
void cuda_on_cpu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work),
                        void *work);
}

#undef __shared__
#define __shared__ static thread_local
#undef __launch_bounds__
#define __launch_bounds__(...)

#define LAUNCH_THREADS (cuda_on_cpu.threads)
#define LAUNCH_BLOCKS  ((size_t)cuda_on_cpu.blocks)
#define LAUNCH_ROLLED
#define LAUNCH_UNROLLED

namespace on_cpu
{
/* What a kernel sees of the thread that runs it. */
struct thread {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
    char *shared;
};
thread &current();

void sync_block();
int any_in_block(int value);
void sync_warp(unsigned mask);
/* Offers 8 bytes to the warp and returns those of `lane`; its own where lane lies outside the warp. */
unsigned long long exchange_bits(unsigned mask, unsigned long long bits, int lane);
int own_lane();

/* Runs all blocks; body(context) is the kernel with its arguments. */
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(const void *), const void *context);

template <class T> T exchange(unsigned mask, T value, int lane)
{
    static_assert(sizeof(T) <= 8, "a shuffle of more than 8 bytes");
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof(value));
    bits = exchange_bits(mask, bits, lane);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* A launch, kept until the stream comes to it. */
template <class F> struct launch_work {
    dim3 grid, block;
    size_t shared_bytes;
    F kernel;
};

template <class F> void submit(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes, F kernel)
{
    typedef launch_work<F> work_type;
    cuda_on_cpu_submit(
        stream,
        [](void *data) {
            const work_type *work = static_cast<const work_type *>(data);
            run_grid(
                work->grid, work->block, work->shared_bytes,
                [](const void *context) { (*static_cast<const F *>(context))(); }, &work->kernel);
        },
        [](void *data) { delete static_cast<work_type *>(data); },
        new work_type{grid, block, shared_bytes, kernel});
}

/* The arguments are converted to the kernel's parameters and copied when launched, as CUDA does. */
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            A... arguments)
{
    submit(stream, grid, block, shared_bytes, [=] { kernel(arguments...); });
}
} // namespace on_cpu

#define threadIdx (on_cpu::current().thread)
#define blockIdx  (on_cpu::current().block)
#define blockDim  (on_cpu::current().block_dim)
#define gridDim   (on_cpu::current().grid_dim)

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                               \
    on_cpu::launch(kernel, grid, block, (size_t)(shared_bytes), stream, __VA_ARGS__)
#define DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(on_cpu::current().shared)

static inline void __syncthreads()
{
    on_cpu::sync_block();
}
/* Whether `value` is set in any thread of the block. */
static inline int __syncthreads_or(int value)
{
    return on_cpu::any_in_block(value);
}
static inline void __syncwarp(unsigned mask = ~0u)
{
    on_cpu::sync_warp(mask);
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int lanes)
{
    return on_cpu::exchange(mask, value, on_cpu::own_lane() ^ lanes);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T value, int lanes)
{
    return on_cpu::exchange(mask, value, on_cpu::own_lane() + lanes);
}
template <class T> static inline T __shfl_sync(unsigned mask, T value, int lane)
{
    return on_cpu::exchange(mask, value, lane & 31);
}
/* Blocks run one after another: nothing to order. */
static inline void __threadfence()
{
}
static inline unsigned atomicInc(unsigned *address, unsigned last)
{
    const unsigned old = *address;
    *address = old >= last ? 0 : old + 1;
    return old;
}
/* Kept out of line of the compiler's contraction by -ffp-contract=off. */
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
template <class T> static inline T min(T a, T b)
{
    return b < a ? b : a;
}
template <class T> static inline T max(T a, T b)
{
    return a < b ? b : a;
}

#endif

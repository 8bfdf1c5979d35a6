/* The sum of two: one pack of eight channels a thread, the grid's stride. Bound by DRAM: each value is read once and written
 * once. */
#include "cuda/kernels/pack.cuh"

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS) add_two(size_t packs, const T *a, const T *b, T *sum)
{
    LAUNCH_FOR(size_t, i, packs)
    {
        pack p = load(a, i);
        const pack q = load(b, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] += q.v[j];
        store(sum, i, p);
    }
}

cudaError_t cuda_launch_add(cudaStream_t stream, enum cuda_type type, size_t count, const void *a,
                            const void *b, void *sum)
{
    const size_t packs = count / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(add_two<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, packs, (const T *)a, (const T *)b,
               (T *)sum);
        return cudaGetLastError();
    });
}

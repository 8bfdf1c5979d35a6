/* Between the float32 masters of kernels (OIHW) and their working copies (KRSC, activation type). A thread
 * takes one (row, channel) pair of a copy with all its taps: the taps lie side by side in the master, so a
 * warp's loads share cache lines, and each tap's stores are neighbours. Bound by DRAM: a float and an element
 * of the copy for each weight. */
#include "cuda/entries.cuh"
#include "cuda/pack.cuh"

/* Taps that are read before the first of them is stored: all of a 3 x 3 kernel. */
enum { TAPS = 9 };

/* One pair: where its first tap lies in master and copy. */
struct kernel_pair {
    const cuda_kernel_copy *entry;
    size_t master, within; /* places in the flat array and in the copy; taps follow one after another there,
                              every `depth` here */
    int32_t taps, row;
    bool real; /* has a master; padding otherwise, and `master` is not set */
};

static __device__ __forceinline__ kernel_pair pair_of(int32_t count, const cuda_kernel_copy *entries,
                                                      uint64_t pair)
{
    const cuda_kernel_copy *e = &entries[entry_of(count, entries, &cuda_kernel_copy::first_pair, pair)];
    const uint32_t number = (uint32_t)(pair - e->first_pair);
    const int32_t row = (int32_t)(number / (uint32_t)e->depth),
                  channel = (int32_t)(number % (uint32_t)e->depth);
    kernel_pair p;
    p.entry = e;
    p.row = row;
    p.taps = e->height * e->width;
    p.within = ((size_t)row * (size_t)p.taps) * (size_t)e->depth + (size_t)channel;
    const int32_t source = e->blocks > 1 ? channel - row / (e->out / e->blocks) * e->in : channel;
    p.real = row < e->out && source >= 0 && source < e->in;
    p.master = p.real ? e->master + ((size_t)row * (size_t)e->in + (size_t)source) * (size_t)p.taps : 0;
    return p;
}

/* What a folded batch norm multiplies a row by. */
static __device__ __forceinline__ float factor_of(const cuda_kernel_copy *e, const float *values,
                                                  float epsilon, int32_t row)
{
    return values[e->scale + (size_t)row] / sqrtf(values[e->var + (size_t)row] + epsilon);
}

/* A pair's taps: every from_step-th element times factor, or zeros for padding, to every to_step-th. */
template <class S, class T>
static __device__ __forceinline__ void move_taps(int32_t taps, bool real, float factor,
                                                 const S *__restrict__ from, size_t from_step,
                                                 T *__restrict__ to, size_t to_step)
{
    for (int32_t first = 0; first < taps; first += TAPS) {
        float values[TAPS];
        for (int32_t k = 0; k < TAPS; k++)
            values[k] = real && first + k < taps ? to_float(from[(size_t)(first + k) * from_step]) : 0.0f;
        for (int32_t k = 0; k < TAPS; k++)
            if (first + k < taps)
                from_float(values[k] * factor, &to[(size_t)(first + k) * to_step]);
    }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    make_copies(int32_t count, const cuda_kernel_copy *entries, uint64_t pairs, const float *values,
                int32_t fold, float epsilon, T *copies)
{
    LAUNCH_FOR(uint64_t, i, pairs)
    {
        const kernel_pair p = pair_of(count, entries, i);
        const float factor =
            p.real && fold && p.entry->folded ? factor_of(p.entry, values, epsilon, p.row) : 1.0f;
        move_taps(p.taps, p.real, factor, values + p.master, 1, copies + p.entry->copy + p.within,
                  (size_t)p.entry->depth);
    }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    fold_biases(int32_t count, const cuda_kernel_copy *entries, uint64_t rows, const float *values,
                float epsilon, T *biases)
{
    LAUNCH_FOR(uint64_t, i, rows)
    {
        const cuda_kernel_copy *e = &entries[entry_of(count, entries, &cuda_kernel_copy::first_row, i)];
        const int32_t row = (int32_t)(i - e->first_row);
        float bias = 0.0f;
        if (e->folded && row < e->out) {
            const float factor = factor_of(e, values, epsilon, row);
            bias = values[e->shift + (size_t)row] - values[e->mean + (size_t)row] * factor;
            if (e->bias != CUDA_NO_BIAS)
                bias += values[e->bias + (size_t)row] * factor;
        }
        from_float(bias, &biases[i]);
    }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    collect_gradients(int32_t count, const cuda_kernel_copy *entries, uint64_t pairs, const char *sources,
                      float *gradients)
{
    LAUNCH_FOR(uint64_t, i, pairs)
    {
        const kernel_pair p = pair_of(count, entries, i);
        const char *source = sources + p.entry->gradient;
        const size_t depth = (size_t)p.entry->depth;
        if (p.real && p.entry->wide)
            move_taps(p.taps, true, 1.0f, (const float *)source + p.within, depth, gradients + p.master, 1);
        else if (p.real)
            move_taps(p.taps, true, 1.0f, (const T *)source + p.within, depth, gradients + p.master, 1);
    }
}

template <class T>
static cudaError_t launch_kernel_copies(cudaStream_t stream, int32_t count,
                                        const struct cuda_kernel_copy *entries, uint64_t pairs,
                                        const float *values, int32_t fold, float epsilon, T *copies)
{
    LAUNCH(make_copies<T>, launch_blocks(pairs), LAUNCH_THREADS, 0, stream, count, entries, pairs, values,
           fold, epsilon, copies);
    return cudaGetLastError();
}

cudaError_t cuda_launch_kernel_copies(cudaStream_t stream, enum cuda_type type, int32_t count,
                                      const struct cuda_kernel_copy *entries, uint64_t pairs,
                                      const float *values, int32_t fold, float epsilon, void *copies)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_kernel_copies(stream, count, entries, pairs, values, fold, epsilon, (T *)copies);
    });
}

template <class T>
static cudaError_t launch_folded_biases(cudaStream_t stream, int32_t count,
                                        const struct cuda_kernel_copy *entries, uint64_t rows,
                                        const float *values, float epsilon, T *biases)
{
    LAUNCH(fold_biases<T>, launch_blocks(rows), LAUNCH_THREADS, 0, stream, count, entries, rows, values,
           epsilon, biases);
    return cudaGetLastError();
}

cudaError_t cuda_launch_folded_biases(cudaStream_t stream, enum cuda_type type, int32_t count,
                                      const struct cuda_kernel_copy *entries, uint64_t rows,
                                      const float *values, float epsilon, void *biases)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_folded_biases(stream, count, entries, rows, values, epsilon, (T *)biases);
    });
}

template <class T>
static cudaError_t launch_kernel_gradients(cudaStream_t stream, int32_t count,
                                           const struct cuda_kernel_copy *entries, uint64_t pairs,
                                           const char *sources, float *gradients)
{
    LAUNCH(collect_gradients<T>, launch_blocks(pairs), LAUNCH_THREADS, 0, stream, count, entries, pairs,
           sources, gradients);
    return cudaGetLastError();
}

cudaError_t cuda_launch_kernel_gradients(cudaStream_t stream, enum cuda_type type, int32_t count,
                                         const struct cuda_kernel_copy *entries, uint64_t pairs,
                                         const void *sources, float *gradients)
{
    return with_type(type, [&](auto zero) {
        return launch_kernel_gradients<decltype(zero)>(stream, count, entries, pairs, (const char *)sources,
                                                       gradients);
    });
}

/* Kernels' working copies, made anew from the float32 masters: for evaluations, and for a training whose weights came from
 * elsewhere (its own steps keep them, optimizer.cu). A thread makes eight neighbours of a copy. And the way back for gradients
 * that devices sum up together. Bound by DRAM: a float and an element of the copy for each weight. */
#include "cuda/kernels/entries.cuh"

/* What a folded batch norm multiplies a row by. */
static __device__ __forceinline__ float factor_of(const cuda_weight &w, const float *values, float epsilon,
                                                  int32_t row)
{
    return values[w.scale + (size_t)row] / sqrtf(values[w.var + (size_t)row] + epsilon);
}

/* Elements at .. at + 7 of the copy times their rows' factors. */
static __device__ __forceinline__ void fold_rows(const cuda_weight &w, uint32_t at, const float *values,
                                                 float epsilon, pack *p)
{
    const uint32_t row_size = (uint32_t)w.taps * (uint32_t)w.depth, row = at / row_size;
    if (row == (at + CUDA_CHANNELS - 1) / row_size) { /* as a rule */
        const float factor = row < (uint32_t)w.out ? factor_of(w, values, epsilon, (int32_t)row) : 0.0f;
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p->v[j] *= factor;
        return;
    }
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        const int32_t own = (int32_t)((at + (uint32_t)j) / row_size);
        p->v[j] *= own < w.out ? factor_of(w, values, epsilon, own) : 0.0f;
    }
}

/* Element `at` of the copy. */
static __device__ __forceinline__ float copied(const cuda_weight &w, uint32_t at, const float *values)
{
    const uint32_t pixel = at / (uint32_t)w.depth;
    const int32_t row = (int32_t)(pixel / (uint32_t)w.taps);
    int32_t channel = (int32_t)(at - pixel * (uint32_t)w.depth);
    if (w.blocks > 1)
        channel -= row / (w.out / w.blocks) * w.in;
    if (row < w.out && channel >= 0 && channel < w.in)
        return values[w.place + (size_t)pixel * (size_t)w.in + (size_t)channel];
    return 0.0f;
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    make_copies(const __grid_constant__ cuda_kernel_copies a, const cuda_weight *__restrict__ weights,
                const float *__restrict__ values, T *__restrict__ copies)
{
    LAUNCH_FOR(size_t, i, a.elements / CUDA_CHANNELS)
    {
        const uint64_t item = (uint64_t)i * CUDA_CHANNELS;
        const cuda_weight w = weights[entry_of(a.count, weights, &cuda_weight::copy, item)];
        const uint64_t at = item - w.copy;
        if (at >= cuda_copy_count(&w)) /* a gap between copies */
            continue;
        pack p;
        if (is_copied_pack(w, at))
            p = load(values, (w.place + at) / CUDA_CHANNELS);
        else
            for (int j = 0; j < CUDA_CHANNELS; j++)
                p.v[j] = copied(w, (uint32_t)at + (uint32_t)j, values);
        if (a.fold && w.folded)
            fold_rows(w, (uint32_t)at, values, a.epsilon, &p);
        store(copies, i, p);
    }
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    fold_biases(const __grid_constant__ cuda_kernel_copies a, const cuda_weight *__restrict__ weights,
                const float *__restrict__ values, T *__restrict__ biases)
{
    LAUNCH_FOR(uint64_t, i, a.rows)
    {
        const cuda_weight w = weights[entry_of(a.count, weights, &cuda_weight::first_row, i)];
        const int32_t row = (int32_t)(i - w.first_row);
        float bias = 0.0f;
        if (w.folded && row < w.out) {
            const float factor = factor_of(w, values, a.epsilon, row);
            bias = fmaf(-values[w.mean + (size_t)row], factor, values[w.shift + (size_t)row]);
            if (w.bias != CUDA_NO_BIAS)
                bias = fmaf(values[w.bias + (size_t)row], factor, bias);
        }
        from_float(bias, &biases[i]);
    }
}

/* first, packs: of the flat array, in packs. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    flatten_gradients(size_t first, size_t packs, const __grid_constant__ cuda_kernel_gradients a,
                      const cuda_weight *__restrict__ weights, float *__restrict__ gradients)
{
    LAUNCH_FOR(size_t, i, packs)
    {
        const uint64_t item = (uint64_t)(first + i) * CUDA_CHANNELS;
        const cuda_weight w = weights[entry_of(a.count, weights, &cuda_weight::place, item)];
        if (w.rows > 0)
            store(gradients, first + i, kernel_gradient<T>(w, item - w.place, a.kernel_gradients));
    }
}

/* ---- launches ---- */

cudaError_t cuda_launch_kernel_copies(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_kernel_copies *copies)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(make_copies<T>, launch_blocks(copies->elements / CUDA_CHANNELS), LAUNCH_THREADS, 0, stream,
               *copies, copies->weights, copies->values, (T *)copies->copies);
        return cudaGetLastError();
    });
}

cudaError_t cuda_launch_folded_biases(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_kernel_copies *copies)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(fold_biases<T>, launch_blocks(copies->rows), LAUNCH_THREADS, 0, stream, *copies,
               copies->weights, copies->values, (T *)copies->biases);
        return cudaGetLastError();
    });
}

cudaError_t cuda_launch_kernel_gradients(cudaStream_t stream, enum cuda_type type,
                                         const struct cuda_kernel_gradients *flattened)
{
    const size_t pack = flattened->first / CUDA_CHANNELS,
                 packs = (flattened->end + CUDA_CHANNELS - 1) / CUDA_CHANNELS - pack;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(flatten_gradients<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, pack, packs, *flattened,
               flattened->weights, flattened->gradients);
        return cudaGetLastError();
    });
}

/* Biases of convolutions and dense layers: added behind them, and their gradients. To add is bound by DRAM, y is read and
 * written; the gradient is summed up as batch norm's sums are (columns.cuh), and reads dy. */
#include "cuda/kernels/columns.cuh"

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    bias_added(uint32_t packs, divisor vectors, int32_t channels, const float *__restrict__ bias,
               T *__restrict__ y)
{
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t pixel = i;
        const pack b = load_vector(bias, (int32_t)take_rest(&pixel, vectors) * CUDA_CHANNELS, channels);
        pack p = load(y, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] += b.v[j];
        store(y, i, p);
    }
}

template <class T>
static __global__ void COLUMNS_BOUNDS bias_sums(columns k, const __grid_constant__ cuda_bias_gradient a,
                                                const T *__restrict__ dy)
{
    enum { AHEAD = ahead<T, 1>::ROWS };
    DYNAMIC_SHARED(float, shared);
    float *partial = (float *)a.scratch;
    const columns_share t = columns_of_thread(k);
    pack sum = pack_of(0.0f);
    for (int32_t left = t.count; left > 0; left -= AHEAD) {
        stored<T> next[AHEAD];
        for (int u = 0; u < AHEAD; u++)
            next[u] = fetch(dy, columns_at(k, t, max(left - 1 - u, 0)));
        for (int u = 0; u < AHEAD; u++) {
            const pack g = unpacked(next[u]);
            for (int j = 0; j < CUDA_CHANNELS; j++)
                sum.v[j] += u < left ? g.v[j] : 0.0f;
        }
    }
    columns_add_lines<1>(k, &sum, shared);
    const int32_t channel = columns_owned(k);
    if (channel >= 0)
        partial[columns_partial(k, 1, blockIdx.x, 0, channel)] = columns_total<1>(k, shared, 0);
    if (!columns_last(k, a.tickets))
        return;
    columns_add_slices<1>(k, t, partial, shared);
    if (channel >= 0 && channel < (int32_t)k.channels)
        a.dbias[channel] = columns_total<1>(k, shared, 0);
}

/* ---- launches ---- */

cudaError_t cuda_launch_add_bias(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                 const float *bias, void *y)
{
    const size_t packs = cuda_shape_count(s) / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(bias_added<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, (uint32_t)packs,
               divisor_of(cuda_padded(s.c) / CUDA_CHANNELS), s.c, bias, (T *)y);
        return cudaGetLastError();
    });
}

size_t cuda_bias_gradient_scratch(struct cuda_shape s, int32_t multiprocessors)
{
    return columns_scratch(s, multiprocessors, 1);
}

cudaError_t cuda_launch_bias_gradient(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_bias_gradient *bias)
{
    const columns k = columns_to_sum(bias->shape, bias->multiprocessors);
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(bias_sums<T>, columns_grid(k), LAUNCH_THREADS, columns_shared(1), stream, k, *bias,
               (const T *)bias->dy);
        return cudaGetLastError();
    });
}

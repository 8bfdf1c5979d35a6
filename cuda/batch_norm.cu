/* Batch norm, alone or fused with an add and a ReLU: training and inference. Two kernels in training, bound by DRAM: the
 * sums of each slice, which the last block joins to mean, variance and running statistics; then y. The second reads x
 * from where the first has left it in the L2 cache (columns.cuh). */
#include "cuda/norm.cuh"

/* ---- mean and variance ---- */

struct running {
    float momentum, epsilon;
    float *mean, *var;
};

/* Of the last block: mean and variance of the thread's channels from means and squares about them of all slices. Sums about
 * the first slice's mean: no mean of a share f of all values lies further from theirs than sqrt(1 / f) deviations, so little
 * is cancelled. */
static __device__ __forceinline__ void join_slices(const columns &k, const columns_share &t,
                                                   const float *partial, float *shared, running running,
                                                   float *mean_out, float *invstd_out)
{
    pack sums[2] = {pack_of(0.0f), pack_of(0.0f)}, pilot = pack_of(0.0f);
    if (t.line < k.lines && t.vector < k.vectors) {
        pilot = load(partial, columns_partial(k, 2, 0, 0, t.vector));
        LAUNCH_UNROLLED
        for (int32_t slice = t.line; slice < k.slices; slice += k.lines) {
            const pack mean = load(partial, columns_partial(k, 2, (uint32_t)slice, 0, t.vector));
            const pack square = load(partial, columns_partial(k, 2, (uint32_t)slice, 1, t.vector));
            const float rows = (float)columns_slice_rows(k, (uint32_t)slice);
            for (int j = 0; j < CUDA_CHANNELS; j++) {
                const float offset = mean.v[j] - pilot.v[j];
                sums[0].v[j] += rows * offset;
                sums[1].v[j] += square.v[j] + rows * offset * offset;
            }
        }
    }
    columns_add_lines<2>(k, t.line, shared, sums);
    if (t.line != 0 || t.vector >= k.vectors)
        return;
    const int32_t channel = t.vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    pack mean = load_vector(running.mean, channel, channels),
         var = load_vector(running.var, channel, channels);
    pack invstd;
    const float share = 1.0f / (float)k.rows, m = running.momentum;
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        const float offset = sums[0].v[j] * share;
        const float variance = at_least_zero((sums[1].v[j] - offset * sums[0].v[j]) * share);
        sums[0].v[j] = pilot.v[j] + offset;
        invstd.v[j] = 1.0f / sqrtf(variance + running.epsilon);
        mean.v[j] = (1.0f - m) * mean.v[j] + m * sums[0].v[j];
        var.v[j] = (1.0f - m) * var.v[j] + m * variance;
    }
    store_vector(mean_out, channel, channels, sums[0]);
    store_vector(invstd_out, channel, channels, invstd);
    store_vector(running.mean, channel, channels, mean);
    store_vector(running.var, channel, channels, var);
}

/* partial: [slice][mean, square][padded]. Within a block sums are taken about its first row, so a mean far from zero costs no
 * digits; no value lies further from the mean of n than sqrt(n) deviations, which bounds what that row may cost. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    moments(columns k, const T *x, float *partial, unsigned *tickets, running running, float *mean_out,
            float *invstd_out)
{
    enum { AHEAD = ahead<T, 1>::ROWS };
    DYNAMIC_SHARED(float, shared);
    const columns_share t = columns_scattered(k);
    const size_t first = (size_t)(t.first - (uint32_t)t.line) * (size_t)k.vectors + (size_t)t.vector;
    pack sums[2] = {pack_of(0.0f), pack_of(0.0f)}, pilot = pack_of(0.0f);
    if (t.line < k.lines && t.vector < k.vectors)
        pilot = load(x, first);
    for (int32_t left = t.count; left > 0; left -= AHEAD) {
        stored<T> next[AHEAD];
        for (int u = 0; u < AHEAD; u++) /* behind the end the pilot again: it adds nothing */
            next[u] = fetch(x, u < left ? columns_at(k, t, left - 1 - u) : first);
        for (int u = 0; u < AHEAD; u++) {
            const pack p = unpacked(next[u]);
            for (int j = 0; j < CUDA_CHANNELS; j++) {
                const float offset = p.v[j] - pilot.v[j];
                sums[0].v[j] += offset;
                sums[1].v[j] += offset * offset;
            }
        }
    }
    columns_add_lines<2>(k, t.line, shared, sums);
    const float share = 1.0f / (float)columns_slice_rows(k, blockIdx.x);
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        const float offset = sums[0].v[j] * share;
        sums[1].v[j] = at_least_zero(sums[1].v[j] - offset * sums[0].v[j]);
        sums[0].v[j] = pilot.v[j] + offset;
    }
    if (columns_keep<2>(k, t, sums, partial, tickets))
        join_slices(k, t, partial, shared, running, mean_out, invstd_out);
}

/* ---- y ---- */

/* y = f((x - mean) * scale * spread(deviation) + shift + addend). In training deviation holds 1 / sqrt(var +
 * epsilon) and epsilon is below 0; in inference it holds the variance. addend may be NULL. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    normalise(columns k, const T *x, const float *scale, const float *shift, const float *mean,
              const float *deviation, float epsilon, const T *addend, int32_t relu, T *y)
{
    enum { AHEAD = ahead<T, 2>::ROWS };
    const columns_share t = columns_together(k);
    if (t.count == 0)
        return;
    const int32_t channel = t.vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    const pack centre = load_vector(mean, channel, channels), base = load_vector(shift, channel, channels);
    const pack spread = load_vector(deviation, channel, channels);
    pack factor = load_vector(scale, channel, channels);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        factor.v[j] *= epsilon < 0.0f ? spread.v[j] : 1.0f / sqrtf(spread.v[j] + epsilon);
    for (int32_t i = 0; i < t.count; i += AHEAD) {
        stored<T> next[AHEAD], added[AHEAD];
        for (int u = 0; u < AHEAD; u++) {
            const size_t at = columns_at(k, t, min(i + u, t.count - 1));
            next[u] = fetch(x, at);
            if (addend)
                added[u] = fetch(addend, at);
        }
        for (int u = 0; u < AHEAD; u++) {
            pack p = unpacked(next[u]);
            for (int j = 0; j < CUDA_CHANNELS; j++)
                p.v[j] = normalised(p.v[j], centre.v[j], factor.v[j], base.v[j]);
            if (addend) {
                const pack q = unpacked(added[u]);
                for (int j = 0; j < CUDA_CHANNELS; j++)
                    p.v[j] += q.v[j];
            }
            for (int j = 0; relu && j < CUDA_CHANNELS; j++)
                p.v[j] = rectified(p.v[j]);
            if (i + u < t.count)
                store(y, columns_at(k, t, i + u), p);
        }
    }
}

/* ---- launches ---- */

size_t cuda_batch_norm_scratch(struct cuda_shape s)
{
    return columns_scratch(s, 2);
}

template <class T>
static cudaError_t launch_batch_norm(cudaStream_t stream, struct cuda_shape s, const T *x, const float *scale,
                                     const float *shift, const T *addend, int32_t relu, running running, T *y,
                                     float *mean, float *invstd, float *partial, unsigned *tickets)
{
    const columns sum = columns_to_sum(s), write = columns_to_write(s);
    LAUNCH(moments<T>, columns_grid(sum), LAUNCH_THREADS, LAUNCH_THREADS * SUMS_SHARED(2), stream, sum, x,
           partial, tickets, running, mean, invstd);
    LAUNCH(normalise<T>, columns_grid(write), LAUNCH_THREADS, 0, stream, write, x, scale, shift,
           (const float *)mean, (const float *)invstd, -1.0f, addend, relu, y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_batch_norm(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                   const void *x, const float *scale, const float *shift, const void *addend,
                                   int32_t relu, float momentum, float epsilon, float *running_mean,
                                   float *running_var, void *y, float *mean, float *invstd, void *scratch,
                                   unsigned *tickets)
{
    const running running = {momentum, epsilon, running_mean, running_var};
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_batch_norm(stream, s, (const T *)x, scale, shift, (const T *)addend, relu, running,
                                 (T *)y, mean, invstd, (float *)scratch, tickets);
    });
}

template <class T>
static cudaError_t launch_batch_norm_inference(cudaStream_t stream, struct cuda_shape s, const T *x,
                                               const float *scale, const float *shift, const float *mean,
                                               const float *var, float epsilon, const T *addend, int32_t relu,
                                               T *y)
{
    const columns k = columns_to_write(s);
    LAUNCH(normalise<T>, columns_grid(k), LAUNCH_THREADS, 0, stream, k, x, scale, shift, mean, var, epsilon,
           addend, relu, y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_batch_norm_inference(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                             const void *x, const float *scale, const float *shift,
                                             const float *running_mean, const float *running_var,
                                             float epsilon, const void *addend, int32_t relu, void *y)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_batch_norm_inference(stream, s, (const T *)x, scale, shift, running_mean, running_var,
                                           epsilon, (const T *)addend, relu, (T *)y);
    });
}

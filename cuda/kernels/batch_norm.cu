/* Batch norm, alone or fused with an add and a ReLU: training and inference. Two kernels in training, bound by DRAM: the
 * sums of each slice, which the last block joins to mean, variance and running statistics; then y. The second reads x
 * from where the first has left it in the L2 cache (columns.cuh). */
#include "cuda/kernels/norm.cuh"

/* ---- mean and variance ---- */

struct running {
    float momentum, epsilon;
    float *mean, *var;
};

/* Of the last block: mean and variance from means and squares about them of all slices. Sums about the first slice's mean:
 * no mean of a share f of all values lies further from theirs than sqrt(1 / f) deviations, so little is cancelled. */
static __device__ __forceinline__ void join_slices(const columns &k, const columns_share &t,
                                                   const float *partial, float *shared, running running,
                                                   float *mean_out, float *invstd_out)
{
    const int32_t channel = columns_owned(k);
    const bool real = channel >= 0 && channel < (int32_t)k.channels;
    const float pilot = real ? partial[columns_partial(k, 2, 0, 0, channel)] : 0.0f;
    const float old_mean = real ? running.mean[channel] : 0.0f, old_var = real ? running.var[channel] : 0.0f;
    pack sums[2] = {pack_of(0.0f), pack_of(0.0f)};
    if (t.vector < k.vectors) {
        const int32_t first = t.vector * CUDA_CHANNELS;
        const pack base = load(partial, columns_partial(k, 2, 0, 0, first) / CUDA_CHANNELS);
        LAUNCH_UNROLLED
        for (int32_t slice = t.line; slice < k.slices; slice += k.lines) {
            const size_t at = columns_partial(k, 2, (uint32_t)slice, 0, first) / CUDA_CHANNELS;
            const pack mean = load(partial, at), square = load(partial, at + (size_t)k.vectors);
            const float rows = (float)columns_slice_rows(k, (uint32_t)slice);
            for (int j = 0; j < CUDA_CHANNELS; j++) {
                const float offset = mean.v[j] - base.v[j];
                sums[0].v[j] += rows * offset;
                sums[1].v[j] += square.v[j] + rows * offset * offset;
            }
        }
    }
    columns_add_lines<2>(k, sums, shared);
    if (!real)
        return;
    const float share = 1.0f / (float)k.rows, m = running.momentum;
    const float sum = columns_total<2>(k, shared, 0), offset = sum * share, mean = pilot + offset;
    const float var = at_least_zero((columns_total<2>(k, shared, 1) - offset * sum) * share);
    mean_out[channel] = mean;
    invstd_out[channel] = 1.0f / sqrtf(var + running.epsilon);
    running.mean[channel] = (1.0f - m) * old_mean + m * mean;
    running.var[channel] = (1.0f - m) * old_var + m * var;
}

/* partial: [slice][mean, square][padded]. Within a block sums are taken about its first row, so a mean far from zero costs no
 * digits; no value lies further from the mean of n than sqrt(n) deviations, which bounds what that row may cost. */
template <class T>
static __global__ void COLUMNS_BOUNDS moments(columns k, const T *__restrict__ x, float *partial,
                                              unsigned *tickets, running running, float *mean_out,
                                              float *invstd_out)
{
    enum { AHEAD = ahead<T, 1>::ROWS };
    DYNAMIC_SHARED(float, shared);
    const columns_share t = columns_of_thread(k);
    const int32_t channel = columns_owned(k);
    const uint32_t row = blockIdx.x * (uint32_t)(k.lines * k.vectors), first = row + (uint32_t)t.vector;
    float own_pilot = 0.0f;
    pack sums[2] = {pack_of(0.0f), pack_of(0.0f)}, pilot = pack_of(0.0f);
    if (channel >= 0)
        own_pilot = to_float(x[(size_t)row * CUDA_CHANNELS + (size_t)channel]);
    if (t.count > 0)
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
    columns_add_lines<2>(k, sums, shared);
    if (channel >= 0) {
        const float sum = columns_total<2>(k, shared, 0);
        const float offset = sum / (float)columns_slice_rows(k, blockIdx.x);
        partial[columns_partial(k, 2, blockIdx.x, 0, channel)] = own_pilot + offset;
        partial[columns_partial(k, 2, blockIdx.x, 1, channel)] =
            at_least_zero(columns_total<2>(k, shared, 1) - offset * sum);
    }
    if (columns_last(k, tickets))
        join_slices(k, t, partial, shared, running, mean_out, invstd_out);
}

/* ---- y ---- */

/* y = f((x - mean) * scale * spread(deviation) + shift + addend). In training deviation holds 1 / sqrt(var +
 * epsilon) and epsilon is below 0; in inference it holds the variance. The first rows are asked for before the parameters, so
 * that a thread waits once for both. */
template <class T, bool ADDEND>
static __global__ void COLUMNS_BOUNDS normalise(columns k, const T *__restrict__ x,
                                                const float *__restrict__ scale,
                                                const float *__restrict__ shift,
                                                const float *__restrict__ mean,
                                                const float *__restrict__ deviation, float epsilon,
                                                const T *__restrict__ addend, int32_t relu, T *__restrict__ y)
{
    enum { AHEAD = ahead < T, ADDEND ? 2 : 1 > ::ROWS };
    const columns_share t = columns_of_thread(k);
    if (t.count == 0)
        return;
    stored<T> next[AHEAD], added[AHEAD];
    const auto fetch_rows = [&](int32_t from) {
        for (int u = 0; u < AHEAD; u++) {
            const uint32_t at = columns_at(k, t, min(from + u, t.count - 1));
            next[u] = fetch(x, at);
            if (ADDEND)
                added[u] = fetch(addend, at);
        }
    };
    fetch_rows(0);
    const int32_t channel = t.vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    const pack centre = load_vector(mean, channel, channels), base = load_vector(shift, channel, channels);
    pack spread = load_vector(deviation, channel, channels), factor = load_vector(scale, channel, channels);
    if (epsilon >= 0.0f)
        for (int j = 0; j < CUDA_CHANNELS; j++)
            spread.v[j] = 1.0f / sqrtf(spread.v[j] + epsilon);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        factor.v[j] *= spread.v[j];
    const float floor = relu ? 0.0f : -INFINITY;
    for (int32_t i = 0;;) {
        for (int u = 0; u < AHEAD; u++) {
            pack p = unpacked(next[u]), q = pack_of(0.0f);
            if (ADDEND)
                q = unpacked(added[u]);
            for (int j = 0; j < CUDA_CHANNELS; j++) {
                p.v[j] = normalised(p.v[j], centre.v[j], factor.v[j], base.v[j]);
                if (ADDEND)
                    p.v[j] += q.v[j];
                p.v[j] = at_least(p.v[j], floor);
            }
            if (i + u < t.count)
                store(y, columns_at(k, t, i + u), p);
        }
        i += AHEAD;
        if (i >= t.count)
            return;
        fetch_rows(i);
    }
}

/* ---- launches ---- */

size_t cuda_batch_norm_scratch(struct cuda_shape s, int32_t multiprocessors)
{
    return columns_scratch(s, multiprocessors, 2);
}

template <class T>
static void launch_normalise(cudaStream_t stream, int32_t multiprocessors, struct cuda_shape s, const T *x,
                             const float *scale, const float *shift, const float *mean,
                             const float *deviation, float epsilon, const T *addend, int32_t relu, T *y)
{
    const columns k = columns_to_write(s, multiprocessors);
    void (*const kernel)(columns, const T *, const float *, const float *, const float *, const float *,
                         float, const T *, int32_t, T *) = addend ? normalise<T, true> : normalise<T, false>;
    LAUNCH(kernel, columns_grid(k), LAUNCH_THREADS, 0, stream, k, x, scale, shift, mean, deviation, epsilon,
           addend, relu, y);
}

template <class T>
static cudaError_t launch_batch_norm(cudaStream_t stream, int32_t multiprocessors, struct cuda_shape s,
                                     const T *x, const float *scale, const float *shift, const T *addend,
                                     int32_t relu, running running, T *y, float *mean, float *invstd,
                                     float *partial, unsigned *tickets)
{
    const columns k = columns_to_sum(s, multiprocessors);
    LAUNCH(moments<T>, columns_grid(k), LAUNCH_THREADS, columns_shared(2), stream, k, x, partial, tickets,
           running, mean, invstd);
    launch_normalise(stream, multiprocessors, s, x, scale, shift, (const float *)mean, (const float *)invstd,
                     -1.0f, addend, relu, y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_batch_norm(cudaStream_t stream, enum cuda_type type, int32_t multiprocessors,
                                   struct cuda_shape s, const void *x, const float *scale, const float *shift,
                                   const void *addend, int32_t relu, float momentum, float epsilon,
                                   float *running_mean, float *running_var, void *y, float *mean,
                                   float *invstd, void *scratch, unsigned *tickets)
{
    const running running = {momentum, epsilon, running_mean, running_var};
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_batch_norm(stream, multiprocessors, s, (const T *)x, scale, shift, (const T *)addend,
                                 relu, running, (T *)y, mean, invstd, (float *)scratch, tickets);
    });
}

cudaError_t cuda_launch_batch_norm_inference(cudaStream_t stream, enum cuda_type type,
                                             int32_t multiprocessors, struct cuda_shape s, const void *x,
                                             const float *scale, const float *shift,
                                             const float *running_mean, const float *running_var,
                                             float epsilon, const void *addend, int32_t relu, void *y)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        launch_normalise(stream, multiprocessors, s, (const T *)x, scale, shift, running_mean, running_var,
                         epsilon, (const T *)addend, relu, (T *)y);
        return cudaGetLastError();
    });
}

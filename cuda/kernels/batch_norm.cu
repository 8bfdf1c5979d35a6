/* Batch norm, alone or fused with an add and a ReLU: training, inference and backward. Two kernels in each direction of a
 * training, bound by DRAM. Forward: the sums of each slice, which the last block joins to mean, variance and running statistics;
 * then y. Backward: the sums of each slice, which the last block joins to dscale and dshift; then dx. The second kernel reads x from
 * where the first has left it in the L2 cache (columns.cuh).
 *
 * What ReLU let through is found backward in the cheapest way: from x where y follows from it alone, so that y is not read; and
 * where the gradient behind ReLU is wanted as the addend's, the first kernel writes it and the second reads it in place of dy and
 * y. */
#include "cuda/kernels/columns.cuh"

/* What was above zero but for rounding; NaN stays. */
static __device__ __forceinline__ float at_least_zero(float x)
{
    return at_least(x, 0.0f);
}

/* Before addend and ReLU; factor = scale * invstd. One rounding by name, not by the compiler's choice: backward must find
 * the very same numbers. */
static __device__ __forceinline__ float normalised(float x, float centre, float factor, float base)
{
    return fmaf(x - centre, factor, base);
}

/* The largest number above zero that is stored as zero: half of the smallest that is not. */
template <class T> static __device__ __forceinline__ float vanishing(void);
template <> __device__ __forceinline__ float vanishing<float>(void)
{
    return 0.0f;
}
template <> __device__ __forceinline__ float vanishing<bf16>(void)
{
    return 0x1p-134f;
}
template <> __device__ __forceinline__ float vanishing<half>(void)
{
    return 0x1p-25f;
}

/* ---- mean and variance ---- */

/* Of the last block: mean and variance from means and squares about them of all slices. Sums about the first slice's mean:
 * no mean of a share f of all values lies further from theirs than sqrt(1 / f) deviations, so little is cancelled. */
static __device__ __forceinline__ void join_slices(const columns &k, const columns_share &t,
                                                   const cuda_batch_norm &a, float *shared)
{
    const int32_t channel = columns_owned(k);
    const bool real = channel >= 0 && channel < (int32_t)k.channels;
    const float *partial = (const float *)a.scratch;
    const float pilot = real ? partial[columns_partial(k, 2, 0, 0, channel)] : 0.0f;
    const float old_mean = real ? a.running_mean[channel] : 0.0f,
                old_var = real ? a.running_var[channel] : 0.0f;
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
    const float share = 1.0f / (float)k.rows, m = a.momentum;
    const float sum = columns_total<2>(k, shared, 0), offset = sum * share, mean = pilot + offset;
    const float var = at_least_zero((columns_total<2>(k, shared, 1) - offset * sum) * share);
    a.mean[channel] = mean;
    a.invstd[channel] = 1.0f / sqrtf(var + a.epsilon);
    a.running_mean[channel] = (1.0f - m) * old_mean + m * mean;
    a.running_var[channel] = (1.0f - m) * old_var + m * var;
}

/* Scratch: float [slice][mean, square][padded]. Within a block sums are taken about its first row, so a mean far from zero costs no
 * digits; no value lies further from the mean of n than sqrt(n) deviations, which bounds what that row may cost. */
template <class T>
static __global__ void COLUMNS_BOUNDS moments(columns k, const __grid_constant__ cuda_batch_norm a,
                                              const T *__restrict__ x)
{
    enum { AHEAD = ahead<T, 1>::ROWS };
    DYNAMIC_SHARED(float, shared);
    float *partial = (float *)a.scratch;
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
    if (columns_last(k, a.tickets))
        join_slices(k, t, a, shared);
}

/* ---- y ---- */

/* y = f((x - mean) * scale * spread(deviation) + shift + addend). In training deviation holds 1 / sqrt(var +
 * epsilon) and epsilon is below 0; in inference it holds the variance. */
struct normalisation {
    const void *x, *addend;
    const float *scale, *shift, *mean, *deviation;
    float epsilon;
    int32_t relu;
    void *y;
};

/* The first rows are asked for before the parameters, so that a thread waits once for both. */
template <class T, bool ADDEND>
static __global__ void COLUMNS_BOUNDS normalise(columns k, const __grid_constant__ normalisation a,
                                                const T *__restrict__ x, const T *__restrict__ addend,
                                                T *__restrict__ y)
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
    const pack centre = load_vector(a.mean, channel, channels),
               base = load_vector(a.shift, channel, channels);
    pack spread = load_vector(a.deviation, channel, channels),
         factor = load_vector(a.scale, channel, channels);
    if (a.epsilon >= 0.0f)
        for (int j = 0; j < CUDA_CHANNELS; j++)
            spread.v[j] = 1.0f / sqrtf(spread.v[j] + a.epsilon);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        factor.v[j] *= spread.v[j];
    const float floor = a.relu ? 0.0f : -INFINITY;
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

/* ---- backward ---- */

/* A thread's channels. */
struct norm_channels {
    pack centre, spread, factor, base; /* mean, invstd, scale * invstd, and shift where there is one */
};

static __device__ __forceinline__ norm_channels channels_of(const columns &k, int32_t vector,
                                                            const cuda_batch_norm_backward &a)
{
    const int32_t channel = vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    norm_channels c;
    c.spread = load_vector(a.invstd, channel, channels);
    c.centre = load_vector(a.mean, channel, channels);
    c.factor = load_vector(a.scale, channel, channels);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        c.factor.v[j] *= c.spread.v[j];
    c.base = a.shift ? load_vector(a.shift, channel, channels) : pack_of(0.0f);
    return c;
}

/* Rows that a thread loads before it uses the first: 64 to 96 bytes. More would take registers that COLUMNS_RESIDENT blocks
 * do not have. */
template <class T> struct rows_ahead {
    enum { ROWS = sizeof(T) == 2 ? 2 : 1 };
};

/* Packs of x, dy and, where FROM_Y, y that are on their way. */
template <class T, bool FROM_Y> struct fetched {
    stored<T> x, dy, y;
};

template <class T, bool FROM_Y>
static __device__ __forceinline__ void fetch_all(const T *x, const T *dy, const T *y, uint32_t at,
                                                 fetched<T, FROM_Y> *next)
{
    next->x = fetch(x, at);
    next->dy = fetch(dy, at);
    if (FROM_Y)
        next->y = fetch(y, at);
}

/* The gradient behind the ReLU: dy where y is above `limit`. y is that of forward, or as x gives it anew. */
template <class T, bool FROM_Y>
static __device__ __forceinline__ pack gradient_of(const fetched<T, FROM_Y> &next, const pack &x,
                                                   const norm_channels &c, float limit)
{
    pack g = unpacked(next.dy), y;
    if (FROM_Y)
        y = unpacked(next.y);
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        if (!FROM_Y)
            y.v[j] = normalised(x.v[j], c.centre.v[j], c.factor.v[j], c.base.v[j]);
        g.v[j] = y.v[j] > limit ? g.v[j] : 0.0f;
    }
    return g;
}

/* Where ReLU begins; without ReLU (no y and no shift) below everything. */
template <class T, bool FROM_Y> static __device__ __forceinline__ float limit_of(const float *shift)
{
    return FROM_Y ? 0.0f : shift ? vanishing<T>() : -INFINITY;
}

/* Scratch: float [slice][sum g, sum g * (x - mean)][padded]. behind: daddend, where g goes; NULL: nowhere. */
template <class T, bool FROM_Y>
static __global__ void COLUMNS_BOUNDS gradient_sums(columns k,
                                                    const __grid_constant__ cuda_batch_norm_backward a,
                                                    const T *__restrict__ x, const T *__restrict__ y,
                                                    const T *__restrict__ dy, T *__restrict__ behind)
{
    enum { AHEAD = rows_ahead<T>::ROWS };
    DYNAMIC_SHARED(float, shared);
    float *partial = (float *)a.scratch;
    const columns_share t = columns_of_thread(k);
    const norm_channels c = channels_of(k, t.vector, a);
    const float limit = limit_of<T, FROM_Y>(a.shift);
    pack sums[2] = {pack_of(0.0f), pack_of(0.0f)};
    for (int32_t left = t.count; left > 0; left -= AHEAD) {
        fetched<T, FROM_Y> next[AHEAD];
        for (int u = 0; u < AHEAD; u++)
            fetch_all(x, dy, y, columns_at(k, t, max(left - 1 - u, 0)), &next[u]);
        for (int u = 0; u < AHEAD; u++) {
            const pack p = unpacked(next[u].x), g = gradient_of(next[u], p, c, u < left ? limit : INFINITY);
            if (behind && u < left)
                store(behind, columns_at(k, t, left - 1 - u), g);
            for (int j = 0; j < CUDA_CHANNELS; j++) {
                sums[0].v[j] += g.v[j];
                sums[1].v[j] += g.v[j] * (p.v[j] - c.centre.v[j]);
            }
        }
    }
    columns_add_lines<2>(k, sums, shared);
    const int32_t channel = columns_owned(k);
    if (channel >= 0)
        for (int which = 0; which < 2; which++)
            partial[columns_partial(k, 2, blockIdx.x, which, channel)] = columns_total<2>(k, shared, which);
    if (!columns_last(k, a.tickets))
        return;
    columns_add_slices<2>(k, t, partial, shared);
    if (channel >= 0 && channel < (int32_t)k.channels) {
        a.dshift[channel] = columns_total<2>(k, shared, 0);
        a.dscale[channel] = columns_total<2>(k, shared, 1) * a.invstd[channel];
    }
}

/* dx = scale * invstd * (g - (dshift + (x - mean) * invstd * dscale) / rows) */
template <class T, bool FROM_Y>
static __global__ void COLUMNS_BOUNDS input_gradient(columns k,
                                                     const __grid_constant__ cuda_batch_norm_backward a,
                                                     const T *__restrict__ x, const T *__restrict__ y,
                                                     const T *__restrict__ dy, T *__restrict__ dx)
{
    enum { AHEAD = rows_ahead<T>::ROWS };
    const columns_share t = columns_of_thread(k);
    if (t.count == 0)
        return;
    fetched<T, FROM_Y> next[AHEAD];
    const auto fetch_rows = [&](int32_t from) {
        for (int u = 0; u < AHEAD; u++)
            fetch_all(x, dy, y, columns_at(k, t, min(from + u, t.count - 1)), &next[u]);
    };
    fetch_rows(0);
    const int32_t channel = t.vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    const norm_channels c = channels_of(k, t.vector, a);
    const float limit = limit_of<T, FROM_Y>(a.shift);
    pack slope = load_vector(a.dscale, channel, channels), base = load_vector(a.dshift, channel, channels);
    const float share = 1.0f / (float)k.rows;
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        slope.v[j] *= c.spread.v[j] * share;
        base.v[j] *= share;
    }
    for (int32_t i = 0;;) {
        for (int u = 0; u < AHEAD; u++) {
            pack p = unpacked(next[u].x);
            const pack g = gradient_of(next[u], p, c, limit);
            for (int j = 0; j < CUDA_CHANNELS; j++)
                p.v[j] = c.factor.v[j] * (g.v[j] - base.v[j] - (p.v[j] - c.centre.v[j]) * slope.v[j]);
            if (i + u < t.count)
                store(dx, columns_at(k, t, i + u), p);
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

template <class T> static void launch_normalise(cudaStream_t stream, const columns &k, const normalisation &a)
{
    void (*const kernel)(columns, normalisation, const T *, const T *, T *) =
        a.addend ? normalise<T, true> : normalise<T, false>;
    LAUNCH(kernel, columns_grid(k), LAUNCH_THREADS, 0, stream, k, a, (const T *)a.x, (const T *)a.addend,
           (T *)a.y);
}

cudaError_t cuda_launch_batch_norm(cudaStream_t stream, enum cuda_type type,
                                   const struct cuda_batch_norm *norm)
{
    const columns sum = columns_to_sum(norm->shape, norm->multiprocessors),
                  write = columns_to_write(norm->shape, norm->multiprocessors);
    normalisation a = {};
    a.x = norm->x;
    a.addend = norm->addend;
    a.scale = norm->scale;
    a.shift = norm->shift;
    a.mean = norm->mean;
    a.deviation = norm->invstd;
    a.epsilon = -1.0f;
    a.relu = norm->relu;
    a.y = norm->y;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(moments<T>, columns_grid(sum), LAUNCH_THREADS, columns_shared(2), stream, sum, *norm,
               (const T *)norm->x);
        launch_normalise<T>(stream, write, a);
        return cudaGetLastError();
    });
}

cudaError_t cuda_launch_batch_norm_inference(cudaStream_t stream, enum cuda_type type,
                                             const struct cuda_batch_norm_inference *norm)
{
    normalisation a = {};
    a.x = norm->x;
    a.addend = norm->addend;
    a.scale = norm->scale;
    a.shift = norm->shift;
    a.mean = norm->running_mean;
    a.deviation = norm->running_var;
    a.epsilon = norm->epsilon;
    a.relu = norm->relu;
    a.y = norm->y;
    return with_type(type, [&](auto zero) {
        launch_normalise<decltype(zero)>(stream, columns_to_write(norm->shape, norm->multiprocessors), a);
        return cudaGetLastError();
    });
}

template <class T>
static cudaError_t launch_batch_norm_backward(cudaStream_t stream, cuda_batch_norm_backward a)
{
    const columns sum = columns_to_sum(a.shape, a.multiprocessors),
                  write = columns_to_write(a.shape, a.multiprocessors);
    void (*const sums)(columns, cuda_batch_norm_backward, const T *, const T *, const T *, T *) =
        a.y ? gradient_sums<T, true> : gradient_sums<T, false>;
    LAUNCH(sums, columns_grid(sum), LAUNCH_THREADS, columns_shared(2), stream, sum, a, (const T *)a.x,
           (const T *)a.y, (const T *)a.dy, (T *)a.daddend);
    if (a.daddend) { /* which is the gradient behind the ReLU */
        a.dy = a.daddend;
        a.y = NULL;
        a.shift = NULL;
    }
    void (*const result)(columns, cuda_batch_norm_backward, const T *, const T *, const T *, T *) =
        a.y ? input_gradient<T, true> : input_gradient<T, false>;
    LAUNCH(result, columns_grid(write), LAUNCH_THREADS, 0, stream, write, a, (const T *)a.x, (const T *)a.y,
           (const T *)a.dy, (T *)a.dx);
    return cudaGetLastError();
}

cudaError_t cuda_launch_batch_norm_backward(cudaStream_t stream, enum cuda_type type,
                                            const struct cuda_batch_norm_backward *norm)
{
    return with_type(type,
                     [&](auto zero) { return launch_batch_norm_backward<decltype(zero)>(stream, *norm); });
}

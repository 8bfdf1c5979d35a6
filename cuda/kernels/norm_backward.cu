/* Batch norm backward, and the bias gradient, whose sums are of the same kind. Two kernels, bound by DRAM: the sums of each
 * slice, which the last block joins to dscale and dshift; then dx. What ReLU let through is found in the cheapest way: from x
 * where y follows from it alone, so that y is not read; and where the gradient behind ReLU is wanted as the addend's, the
 * first kernel writes it and the second reads it in place of dy and y. */
#include "cuda/kernels/norm.cuh"

/* A thread's channels. */
struct norm_channels {
    pack centre, spread, factor, base; /* mean, invstd, scale * invstd, and shift where there is one */
};

static __device__ __forceinline__ norm_channels channels_of(const columns &k, int32_t vector,
                                                            const float *shift, const float *mean,
                                                            const float *scale, const float *invstd)
{
    const int32_t channel = vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    norm_channels c;
    c.spread = load_vector(invstd, channel, channels);
    c.centre = load_vector(mean, channel, channels);
    c.factor = load_vector(scale, channel, channels);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        c.factor.v[j] *= c.spread.v[j];
    c.base = shift ? load_vector(shift, channel, channels) : pack_of(0.0f);
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

/* partial: [slice][sum g, sum g * (x - mean)][padded]. behind: where g goes; NULL: nowhere. */
template <class T, bool FROM_Y>
static __global__ void COLUMNS_BOUNDS gradient_sums(columns k, const T *__restrict__ x,
                                                    const T *__restrict__ y, const float *__restrict__ shift,
                                                    const T *__restrict__ dy, const float *__restrict__ scale,
                                                    const float *__restrict__ mean,
                                                    const float *__restrict__ invstd, T *__restrict__ behind,
                                                    float *partial, unsigned *tickets, float *dscale,
                                                    float *dshift)
{
    enum { AHEAD = rows_ahead<T>::ROWS };
    DYNAMIC_SHARED(float, shared);
    const columns_share t = columns_of_thread(k);
    const norm_channels c = channels_of(k, t.vector, shift, mean, scale, invstd);
    const float limit = limit_of<T, FROM_Y>(shift);
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
    if (!columns_last(k, tickets))
        return;
    columns_add_slices<2>(k, t, partial, shared);
    if (channel >= 0 && channel < (int32_t)k.channels) {
        dshift[channel] = columns_total<2>(k, shared, 0);
        dscale[channel] = columns_total<2>(k, shared, 1) * invstd[channel];
    }
}

/* dx = scale * invstd * (g - (dshift + (x - mean) * invstd * dscale) / rows) */
template <class T, bool FROM_Y>
static __global__ void COLUMNS_BOUNDS
input_gradient(columns k, const T *__restrict__ x, const T *__restrict__ y, const float *__restrict__ shift,
               const T *__restrict__ dy, const float *__restrict__ scale, const float *__restrict__ mean,
               const float *__restrict__ invstd, const float *__restrict__ dscale,
               const float *__restrict__ dshift, T *__restrict__ dx)
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
    const norm_channels c = channels_of(k, t.vector, shift, mean, scale, invstd);
    const float limit = limit_of<T, FROM_Y>(shift);
    pack slope = load_vector(dscale, channel, channels), base = load_vector(dshift, channel, channels);
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

/* ---- bias gradient: the same sums with one term ---- */

template <class T>
static __global__ void COLUMNS_BOUNDS bias_sums(columns k, const T *__restrict__ dy, float *partial,
                                                unsigned *tickets, float *dbias)
{
    enum { AHEAD = ahead<T, 1>::ROWS };
    DYNAMIC_SHARED(float, shared);
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
    if (!columns_last(k, tickets))
        return;
    columns_add_slices<1>(k, t, partial, shared);
    if (channel >= 0 && channel < (int32_t)k.channels)
        dbias[channel] = columns_total<1>(k, shared, 0);
}

/* ---- launches ---- */

size_t cuda_bias_gradient_scratch(struct cuda_shape s, int32_t multiprocessors)
{
    return columns_scratch(s, multiprocessors, 1);
}

template <class T>
static cudaError_t launch_batch_norm_backward(cudaStream_t stream, int32_t multiprocessors,
                                              struct cuda_shape s, const T *x, const T *y, const float *shift,
                                              const T *dy, const float *scale, const float *mean,
                                              const float *invstd, T *dx, float *dscale, float *dshift,
                                              T *daddend, float *partial, unsigned *tickets)
{
    const columns sum = columns_to_sum(s, multiprocessors), write = columns_to_write(s, multiprocessors);
    void (*const sums)(columns, const T *, const T *, const float *, const T *, const float *, const float *,
                       const float *, T *, float *, unsigned *, float *, float *) =
        y ? gradient_sums<T, true> : gradient_sums<T, false>;
    LAUNCH(sums, columns_grid(sum), LAUNCH_THREADS, columns_shared(2), stream, sum, x, y, shift, dy, scale,
           mean, invstd, daddend, partial, tickets, dscale, dshift);
    if (daddend) { /* which is the gradient behind the ReLU */
        dy = daddend;
        y = NULL;
        shift = NULL;
    }
    void (*const result)(columns, const T *, const T *, const float *, const T *, const float *,
                         const float *, const float *, const float *, const float *, T *) =
        y ? input_gradient<T, true> : input_gradient<T, false>;
    LAUNCH(result, columns_grid(write), LAUNCH_THREADS, 0, stream, write, x, y, shift, dy, scale, mean,
           invstd, (const float *)dscale, (const float *)dshift, dx);
    return cudaGetLastError();
}

cudaError_t cuda_launch_batch_norm_backward(cudaStream_t stream, enum cuda_type type, int32_t multiprocessors,
                                            struct cuda_shape s, const void *x, const void *y,
                                            const float *shift, const void *dy, const float *scale,
                                            const float *mean, const float *invstd, void *dx, float *dscale,
                                            float *dshift, void *daddend, void *scratch, unsigned *tickets)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_batch_norm_backward(stream, multiprocessors, s, (const T *)x, (const T *)y, shift,
                                          (const T *)dy, scale, mean, invstd, (T *)dx, dscale, dshift,
                                          (T *)daddend, (float *)scratch, tickets);
    });
}

template <class T>
static cudaError_t launch_bias_gradient(cudaStream_t stream, int32_t multiprocessors, struct cuda_shape s,
                                        const T *dy, float *dbias, float *partial, unsigned *tickets)
{
    const columns k = columns_to_sum(s, multiprocessors);
    LAUNCH(bias_sums<T>, columns_grid(k), LAUNCH_THREADS, columns_shared(1), stream, k, dy, partial, tickets,
           dbias);
    return cudaGetLastError();
}

cudaError_t cuda_launch_bias_gradient(cudaStream_t stream, enum cuda_type type, int32_t multiprocessors,
                                      struct cuda_shape s, const void *dy, float *dbias, void *scratch,
                                      unsigned *tickets)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_bias_gradient(stream, multiprocessors, s, (const T *)dy, dbias, (float *)scratch,
                                    tickets);
    });
}

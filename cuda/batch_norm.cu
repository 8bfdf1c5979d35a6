/* Batch norm, alone or fused with an add and a ReLU: training, backward and inference. All three kernels of a
 * direction walk the activation as columns.cuh says and are bound by DRAM: forward   moments of each slice;
 * their sum for each channel and the running statistics; y backward  sums of each slice; dscale and dshift;
 * dx The second pass over x finds much of it in L2 where the activation fits. */
#include "cuda/columns.cuh"

/* ---- mean and variance ---- */

/* Joins mean and sum of squares about it of two sets of `na` and `nb` values (Chan, Golub, LeVeque 1983) into
 * the first; both not empty. */
static __device__ __forceinline__ void join_moments(float na, float *mean_a, float *square_a, float nb,
                                                    float mean_b, float square_b)
{
    const float difference = mean_b - *mean_a, share = nb / (na + nb);
    *mean_a += difference * share;
    *square_a += square_b + difference * difference * na * share;
}

/* partial: [slice][mean, square][padded] */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS) slice_moments(columns k, const T *x, float *partial)
{
    DYNAMIC_SHARED(float, shared); /* [count, 8 means, 8 squares][thread] */
    const columns_share t = columns_of_thread(k);
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
    pack mean = pack_of(0.0f), square = pack_of(0.0f);
    float count = 0.0f;
    if (t.first < t.end) {
        const pack pilot = load(x, (size_t)t.first * k.vectors + t.vector);
        uint32_t rows = 1;
        for (uint32_t row = t.first + t.step; row < t.end; row += t.step, rows++) {
            const pack p = load(x, (size_t)row * k.vectors + t.vector);
            for (int j = 0; j < CUDA_CHANNELS; j++) {
                const float difference = p.v[j] - pilot.v[j];
                mean.v[j] += difference;
                square.v[j] += difference * difference;
            }
        }
        count = (float)rows;
        for (int j = 0; j < CUDA_CHANNELS; j++) {
            const float offset = mean.v[j] / count, about_mean = square.v[j] - offset * mean.v[j];
            square.v[j] = about_mean < 0.0f ? 0.0f : about_mean; /* by rounding only */
            mean.v[j] = pilot.v[j] + offset;
        }
    }
    float *const means = shared + threads, *const squares = means + CUDA_CHANNELS * threads;
    shared[thread] = count;
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        means[j * threads + thread] = mean.v[j];
        squares[j * threads + thread] = square.v[j];
    }
    int half = 1;
    while (half < k.lines)
        half *= 2;
    for (half /= 2; half > 0; half /= 2) {
        __syncthreads();
        const int other = thread + half * k.columns;
        if (t.line < half && t.line + half < k.lines &&
            shared[other] > 0.0f) { /* then count is above 0 too */
            for (int j = 0; j < CUDA_CHANNELS; j++) {
                join_moments(count, &mean.v[j], &square.v[j], shared[other], means[j * threads + other],
                             squares[j * threads + other]);
                means[j * threads + thread] = mean.v[j];
                squares[j * threads + thread] = square.v[j];
            }
            count += shared[other];
            shared[thread] = count;
        }
    }
    if (t.line == 0 && t.vector < k.vectors) {
        store(partial, columns_partial(k, 2, 0, t.vector), mean);
        store(partial, columns_partial(k, 2, 1, t.vector), square);
    }
}

struct running {
    float momentum, epsilon;
    float *mean, *var;
};

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    join_slices(columns k, const float *partial, running running, float *mean_out, float *invstd_out)
{
    DYNAMIC_SHARED(float, shared); /* [count, mean, square][thread] */
    const uint32_t channel = columns_finish_channel(), padded = (uint32_t)k.vectors * CUDA_CHANNELS;
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
    const int line = thread / COLUMNS_FINISH, lines = threads / COLUMNS_FINISH;
    float count = 0.0f, mean = 0.0f, square = 0.0f;
    if (channel < k.channels)
        for (int32_t slice = line; slice < k.slices; slice += lines) {
            const uint32_t first = (uint32_t)slice * k.slice_rows;
            const float rows = (float)min(k.slice_rows, k.rows - first);
            const float *from = partial + (size_t)slice * 2 * padded + channel;
            if (count == 0.0f) {
                mean = from[0];
                square = from[padded];
            } else {
                join_moments(count, &mean, &square, rows, from[0], from[padded]);
            }
            count += rows;
        }
    float *const means = shared + threads, *const squares = means + threads;
    shared[thread] = count;
    means[thread] = mean;
    squares[thread] = square;
    int half = 1;
    while (half < lines)
        half *= 2;
    for (half /= 2; half > 0; half /= 2) {
        __syncthreads();
        const int other = thread + half * COLUMNS_FINISH;
        if (line < half && line + half < lines && shared[other] > 0.0f) {
            join_moments(count, &mean, &square, shared[other], means[other], squares[other]);
            count += shared[other];
            shared[thread] = count;
            means[thread] = mean;
            squares[thread] = square;
        }
    }
    if (line == 0 && channel < k.channels) {
        const float variance = square / count, m = running.momentum;
        mean_out[channel] = mean;
        invstd_out[channel] = 1.0f / sqrtf(variance + running.epsilon);
        running.mean[channel] = (1.0f - m) * running.mean[channel] + m * mean;
        running.var[channel] = (1.0f - m) * running.var[channel] + m * variance;
    }
}

/* ---- y ---- */

/* y = f((x - mean) * scale * spread(deviation) + shift + addend). In training deviation holds 1 / sqrt(var +
 * epsilon) and epsilon is below 0; in inference it holds the variance. addend may be NULL. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    normalise(columns k, const T *x, const float *scale, const float *shift, const float *mean,
              const float *deviation, float epsilon, const T *addend, int32_t relu, T *y)
{
    const columns_share t = columns_of_thread(k);
    if (t.first >= t.end)
        return;
    const int32_t channel = t.vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    const pack centre = load_vector(mean, channel, channels), base = load_vector(shift, channel, channels);
    const pack spread = load_vector(deviation, channel, channels);
    pack factor = load_vector(scale, channel, channels);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        factor.v[j] *= epsilon < 0.0f ? spread.v[j] : 1.0f / sqrtf(spread.v[j] + epsilon);
    for (uint32_t row = t.first; row < t.end; row += t.step) {
        const size_t at = (size_t)row * k.vectors + t.vector;
        pack p = load(x, at);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] = (p.v[j] - centre.v[j]) * factor.v[j] + base.v[j];
        if (addend) {
            const pack q = load(addend, at);
            for (int j = 0; j < CUDA_CHANNELS; j++)
                p.v[j] += q.v[j];
        }
        if (relu) {
            for (int j = 0; j < CUDA_CHANNELS; j++)
                p.v[j] = rectified(p.v[j]);
        }
        store(y, at, p);
    }
}

/* ---- backward ---- */

/* The gradient behind the ReLU; y is NULL without one. */
template <class T> static __device__ __forceinline__ pack gradient_at(const T *y, const T *dy, size_t at)
{
    pack g = load(dy, at);
    if (y) {
        const pack out = load(y, at);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            g.v[j] = out.v[j] > 0.0f ? g.v[j] : 0.0f;
    }
    return g;
}

/* partial: [slice][sum g, sum g * (x - mean)][padded] */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    slice_gradients(columns k, const T *x, const T *y, const T *dy, const float *mean, float *partial)
{
    DYNAMIC_SHARED(float, shared);
    const columns_share t = columns_of_thread(k);
    const pack centre = load_vector(mean, t.vector * CUDA_CHANNELS, (int32_t)k.channels);
    pack sums[2] = {pack_of(0.0f), pack_of(0.0f)};
    for (uint32_t row = t.first; row < t.end; row += t.step) {
        const size_t at = (size_t)row * k.vectors + t.vector;
        const pack g = gradient_at(y, dy, at), p = load(x, at);
        for (int j = 0; j < CUDA_CHANNELS; j++) {
            sums[0].v[j] += g.v[j];
            sums[1].v[j] += g.v[j] * (p.v[j] - centre.v[j]);
        }
    }
    columns_add_lines<2>(k, t.line, shared, sums);
    if (t.line == 0 && t.vector < k.vectors) {
        store(partial, columns_partial(k, 2, 0, t.vector), sums[0]);
        store(partial, columns_partial(k, 2, 1, t.vector), sums[1]);
    }
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    finish_gradients(columns k, const float *partial, const float *invstd, float *dscale, float *dshift)
{
    DYNAMIC_SHARED(float, shared);
    const float sum = columns_add_slices(k, partial, 2, 0, shared);
    const float product = columns_add_slices(k, partial, 2, 1, shared);
    const uint32_t channel = columns_finish_channel();
    if (threadIdx.x < COLUMNS_FINISH && channel < k.channels) {
        dshift[channel] = sum;
        dscale[channel] = product * invstd[channel];
    }
}

/* dx = scale * invstd * (g - (dshift + (x - mean) * invstd * dscale) / rows) */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    input_gradient(columns k, const T *x, const T *y, const T *dy, const float *scale, const float *mean,
                   const float *invstd, const float *dscale, const float *dshift, T *dx, T *daddend)
{
    const columns_share t = columns_of_thread(k);
    if (t.first >= t.end)
        return;
    const int32_t channel = t.vector * CUDA_CHANNELS, channels = (int32_t)k.channels;
    const pack centre = load_vector(mean, channel, channels);
    pack factor = load_vector(scale, channel, channels), slope = load_vector(dscale, channel, channels);
    pack base = load_vector(dshift, channel, channels);
    const float share = 1.0f / (float)k.rows;
    const pack spread = load_vector(invstd, channel, channels);
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        factor.v[j] *= spread.v[j];
        slope.v[j] *= spread.v[j] * share;
        base.v[j] *= share;
    }
    for (uint32_t row = t.first; row < t.end; row += t.step) {
        const size_t at = (size_t)row * k.vectors + t.vector;
        const pack g = gradient_at(y, dy, at);
        pack p = load(x, at);
        if (daddend)
            store(daddend, at, g);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] = factor.v[j] * (g.v[j] - base.v[j] - (p.v[j] - centre.v[j]) * slope.v[j]);
        store(dx, at, p);
    }
}

/* ---- bias gradient: the same sums with one term ---- */

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS) slice_sums(columns k, const T *dy, float *partial)
{
    DYNAMIC_SHARED(float, shared);
    const columns_share t = columns_of_thread(k);
    pack sum = pack_of(0.0f);
    for (uint32_t row = t.first; row < t.end; row += t.step) {
        const pack g = load(dy, (size_t)row * k.vectors + t.vector);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            sum.v[j] += g.v[j];
    }
    columns_add_lines<1>(k, t.line, shared, &sum);
    if (t.line == 0 && t.vector < k.vectors)
        store(partial, columns_partial(k, 1, 0, t.vector), sum);
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    finish_sums(columns k, const float *partial, float *sums)
{
    DYNAMIC_SHARED(float, shared);
    const float sum = columns_add_slices(k, partial, 1, 0, shared);
    const uint32_t channel = columns_finish_channel();
    if (threadIdx.x < COLUMNS_FINISH && channel < k.channels)
        sums[channel] = sum;
}

/* ---- launches ---- */

enum {
    MOMENTS_SHARED = (1 + 2 * CUDA_CHANNELS) * sizeof(float), /* bytes a thread */
    JOIN_SHARED = 3 * sizeof(float),
    GRADIENTS_SHARED = 2 * CUDA_CHANNELS * sizeof(float),
    SUMS_SHARED = CUDA_CHANNELS * sizeof(float),
};

size_t cuda_batch_norm_scratch(struct cuda_shape s)
{
    return columns_scratch(s, 2);
}

size_t cuda_bias_gradient_scratch(struct cuda_shape s)
{
    return columns_scratch(s, 1);
}

template <class T>
static cudaError_t launch_batch_norm(cudaStream_t stream, struct cuda_shape s, const T *x, const float *scale,
                                     const float *shift, const T *addend, int32_t relu, running running, T *y,
                                     float *mean, float *invstd, float *partial)
{
    const columns k = columns_of_shape(s);
    LAUNCH(slice_moments<T>, columns_grid(k), LAUNCH_THREADS, LAUNCH_THREADS * MOMENTS_SHARED, stream, k, x,
           partial);
    LAUNCH(join_slices, columns_finish_blocks(k), LAUNCH_THREADS, LAUNCH_THREADS * JOIN_SHARED, stream, k,
           (const float *)partial, running, mean, invstd);
    LAUNCH(normalise<T>, columns_grid(k), LAUNCH_THREADS, 0, stream, k, x, scale, shift, (const float *)mean,
           (const float *)invstd, -1.0f, addend, relu, y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_batch_norm(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                   const void *x, const float *scale, const float *shift, const void *addend,
                                   int32_t relu, float momentum, float epsilon, float *running_mean,
                                   float *running_var, void *y, float *mean, float *invstd, void *scratch)
{
    const running running = {momentum, epsilon, running_mean, running_var};
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_batch_norm(stream, s, (const T *)x, scale, shift, (const T *)addend, relu, running,
                                 (T *)y, mean, invstd, (float *)scratch);
    });
}

template <class T>
static cudaError_t launch_batch_norm_inference(cudaStream_t stream, struct cuda_shape s, const T *x,
                                               const float *scale, const float *shift, const float *mean,
                                               const float *var, float epsilon, const T *addend, int32_t relu,
                                               T *y)
{
    const columns k = columns_of_shape(s);
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

template <class T>
static cudaError_t launch_batch_norm_backward(cudaStream_t stream, struct cuda_shape s, const T *x,
                                              const T *y, const T *dy, const float *scale, const float *mean,
                                              const float *invstd, T *dx, float *dscale, float *dshift,
                                              T *daddend, float *partial)
{
    const columns k = columns_of_shape(s);
    LAUNCH(slice_gradients<T>, columns_grid(k), LAUNCH_THREADS, LAUNCH_THREADS * GRADIENTS_SHARED, stream, k,
           x, y, dy, mean, partial);
    LAUNCH(finish_gradients, columns_finish_blocks(k), LAUNCH_THREADS, LAUNCH_THREADS * sizeof(float), stream,
           k, (const float *)partial, invstd, dscale, dshift);
    LAUNCH(input_gradient<T>, columns_grid(k), LAUNCH_THREADS, 0, stream, k, x, y, dy, scale, mean, invstd,
           (const float *)dscale, (const float *)dshift, dx, daddend);
    return cudaGetLastError();
}

cudaError_t cuda_launch_batch_norm_backward(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                            const void *x, const void *y, const void *dy, const float *scale,
                                            const float *mean, const float *invstd, void *dx, float *dscale,
                                            float *dshift, void *daddend, void *scratch)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_batch_norm_backward(stream, s, (const T *)x, (const T *)y, (const T *)dy, scale, mean,
                                          invstd, (T *)dx, dscale, dshift, (T *)daddend, (float *)scratch);
    });
}

template <class T>
static cudaError_t launch_bias_gradient(cudaStream_t stream, struct cuda_shape s, const T *dy, float *dbias,
                                        float *partial)
{
    const columns k = columns_of_shape(s);
    LAUNCH(slice_sums<T>, columns_grid(k), LAUNCH_THREADS, LAUNCH_THREADS * SUMS_SHARED, stream, k, dy,
           partial);
    LAUNCH(finish_sums, columns_finish_blocks(k), LAUNCH_THREADS, LAUNCH_THREADS * sizeof(float), stream, k,
           (const float *)partial, dbias);
    return cudaGetLastError();
}

cudaError_t cuda_launch_bias_gradient(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                      const void *dy, float *dbias, void *scratch)
{
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        return launch_bias_gradient(stream, s, (const T *)dy, dbias, (float *)scratch);
    });
}

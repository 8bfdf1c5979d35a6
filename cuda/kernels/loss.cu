/* Softmax cross-entropy with label smoothing, focal and weighted by class (host/device/focal.h), its gradient and the
 * metrics. A warp takes a row: three walks over its logits, which lie in the first cache, four with a focal loss; one
 * where labels are sets, whose classes are answers of their own. The last block adds up the rows' scores in double.
 * Short: its time is the launch. */
#include "cuda/kernels/warp.cuh"

enum { /* scratch: float [rows][ROW_SCORES] */
       ROW_LOSS = CUDA_METRIC_LOSS,
       ROW_CORRECT = CUDA_METRIC_CORRECT,
       ROW_SCORES
};

/* What dlogits are multiplied by. */
template <class T> static __device__ __forceinline__ float scale_of(const double *)
{
    return 1.0f;
}
template <> __device__ __forceinline__ float scale_of<half>(const double *metrics)
{
    return metrics[CUDA_METRIC_SCALE] > 0.0 ? (float)metrics[CUDA_METRIC_SCALE] : (float)CUDA_SCALE_FIRST;
}

/* The largest value and its index, of equals the first, of the warp's. */
static __device__ __forceinline__ void warp_largest(float *value, int32_t *index)
{
    for (int step = WARP / 2; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(WHOLE_WARP, *value, step);
        const int32_t at = __shfl_xor_sync(WHOLE_WARP, *index, step);
        if (other > *value || (other == *value && at < *index)) {
            *value = other;
            *index = at;
        }
    }
}

/* focal_loss and focal_slope of host/device/focal.h; gamma > 0. */
static __device__ __forceinline__ float focal_loss_of(float log_p, float gamma)
{
    const float rest = -expm1f(log_p);
    return rest <= 0.0f ? 0.0f : -powf(rest, gamma) * log_p;
}
static __device__ __forceinline__ float focal_slope_of(float log_p, float gamma)
{
    const float rest = -expm1f(log_p);
    return rest <= 0.0f ? 0.0f : powf(rest, gamma) - gamma * powf(rest, gamma - 1.0f) * expf(log_p) * log_p;
}

/* One row, by all lanes of a warp together. */
template <class T>
static __device__ __forceinline__ void score_row(int32_t row, const cuda_loss &a, const cuda_step *step,
                                                 const T *logits, const int32_t *labels, float *probabilities,
                                                 T *dlogits)
{
    float *scores = (float *)a.scratch;
    const int32_t classes = a.classes;
    const float smoothing = a.smoothing, gamma = a.focal;
    /* What is needed late is asked for early: a row waits for memory once. */
    const int32_t lane = (int32_t)(threadIdx.x % WARP), padded = cuda_padded(classes), label = labels[row];
    const T *z = logits + (size_t)row * padded;
    const float at_label = to_float(z[label]);
    const float weight = a.class_weights ? a.class_weights[label] : 1.0f;
    const float share = row < step->valid ? weight * scale_of<T>(a.metrics) / (float)step->valid : 0.0f;
    float largest = -INFINITY;
    int32_t best = classes;
    for (int32_t c = lane; c < classes; c += WARP)
        if (to_float(z[c]) > largest) {
            largest = to_float(z[c]);
            best = c;
        }
    warp_largest(&largest, &best);
    float total = 0.0f, sum = 0.0f;
    for (int32_t c = lane; c < classes; c += WARP) {
        total += expf(to_float(z[c]) - largest);
        sum += to_float(z[c]) - largest;
    }
    total = warp_sum(total);
    sum = warp_sum(sum);
    const float inverse = 1.0f / total;
    const float spread = smoothing / (float)classes;
    const float log_total = logf(total);
    float slope = 1.0f, loss = 0.0f;
    if (gamma > 0.0f) {
        slope = 0.0f;
        for (int32_t c = lane; c < classes; c += WARP) {
            const float log_p = to_float(z[c]) - largest - log_total;
            const float target = spread + (c == label ? 1.0f - smoothing : 0.0f);
            loss += target * focal_loss_of(log_p, gamma);
            slope += target * focal_slope_of(log_p, gamma);
        }
        loss = warp_sum(loss);
        slope = warp_sum(slope);
    } else {
        loss = -(1.0f - smoothing) * (at_label - largest - log_total) -
               spread * (sum - (float)classes * log_total);
    }
    if (lane == 0) {
        scores[(size_t)row * ROW_SCORES + ROW_LOSS] = weight * loss;
        scores[(size_t)row * ROW_SCORES + ROW_CORRECT] = best == label ? 1.0f : 0.0f;
    }
    if (probabilities)
        for (int32_t c = lane; c < classes; c += WARP)
            probabilities[(size_t)row * classes + c] = expf(to_float(z[c]) - largest) * inverse;
    if (!dlogits)
        return;
    for (int32_t c = lane; c < padded; c += WARP) {
        float gradient = 0.0f;
        if (c < classes && share > 0.0f) {
            float target = spread + (c == label ? 1.0f - smoothing : 0.0f);
            if (gamma > 0.0f)
                target *= focal_slope_of(to_float(z[c]) - largest - log_total, gamma);
            gradient = (expf(to_float(z[c]) - largest) * inverse * slope - target) * share;
        }
        from_float(gradient, &dlogits[(size_t)row * padded + c]);
    }
}

/* Logarithms of a probability and of what it leaves to 1: focal_logs_of of the same header. */
struct binary_logs {
    float chance, rest;
};
static __device__ __forceinline__ binary_logs binary_logs_of(float logit)
{
    const float tail = log1pf(expf(-fabsf(logit)));
    return {fminf(logit, 0.0f) - tail, fminf(-logit, 0.0f) - tail};
}

/* The same of a row whose label is a set: each class by itself, in one walk. */
template <class T>
static __device__ __forceinline__ void score_set(int32_t row, const cuda_loss &a, const cuda_step *step,
                                                 const T *logits, const int32_t *labels, float *probabilities,
                                                 T *dlogits)
{
    float *scores = (float *)a.scratch;
    const int32_t classes = a.classes, lane = (int32_t)(threadIdx.x % WARP), padded = cuda_padded(classes);
    const float gamma = a.focal, smoothing = a.smoothing;
    const T *z = logits + (size_t)row * padded;
    const uint8_t *set = a.label_sets + (size_t)labels[row] * classes;
    const float share = row < step->valid ? scale_of<T>(a.metrics) / (float)step->valid : 0.0f;
    float loss = 0.0f, wrong = 0.0f;
    for (int32_t c = lane; c < padded; c += WARP) {
        float gradient = 0.0f;
        if (c < classes) {
            const bool has = set[c] != 0;
            const float target = 0.5f * smoothing + (has ? 1.0f - smoothing : 0.0f);
            const float given = (a.class_weights ? a.class_weights[c] : 1.0f) * target;
            const float logit = to_float(z[c]);
            const binary_logs logs = binary_logs_of(logit);
            const float chance = expf(logs.chance);
            float of_chance = expf(logs.rest), of_rest = chance; /* what the two parts' slopes are */
            if (gamma > 0.0f) {
                loss += given * focal_loss_of(logs.chance, gamma) +
                        (1.0f - target) * focal_loss_of(logs.rest, gamma);
                of_chance *= focal_slope_of(logs.chance, gamma);
                of_rest *= focal_slope_of(logs.rest, gamma);
            } else {
                loss -= given * logs.chance + (1.0f - target) * logs.rest;
            }
            wrong += (logit >= 0.0f) != has ? 1.0f : 0.0f;
            if (probabilities)
                probabilities[(size_t)row * classes + c] = chance;
            if (share > 0.0f)
                gradient = ((1.0f - target) * of_rest - given * of_chance) * share;
        }
        if (dlogits)
            from_float(gradient, &dlogits[(size_t)row * padded + c]);
    }
    loss = warp_sum(loss);
    wrong = warp_sum(wrong);
    if (lane == 0) {
        scores[(size_t)row * ROW_SCORES + ROW_LOSS] = loss;
        scores[(size_t)row * ROW_SCORES + ROW_CORRECT] = wrong > 0.0f ? 0.0f : 1.0f;
    }
}

/* The last block. shared: [warp][loss, correct] */
static __device__ __forceinline__ void add_scores(const cuda_loss &a, const cuda_step *step, double *shared)
{
    const float *scores = (const float *)a.scratch;
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
    double loss = 0.0, correct = 0.0;
    for (int32_t row = thread; row < step->valid; row += threads) {
        loss += (double)scores[row * ROW_SCORES + ROW_LOSS];
        correct += (double)scores[row * ROW_SCORES + ROW_CORRECT];
    }
    loss = warp_sum(loss);
    correct = warp_sum(correct);
    if (thread % WARP == 0) {
        shared[thread / WARP * ROW_SCORES + ROW_LOSS] = loss;
        shared[thread / WARP * ROW_SCORES + ROW_CORRECT] = correct;
    }
    __syncthreads();
    if (thread >= ROW_SCORES) /* one thread for each sum */
        return;
    double sum = 0.0;
    for (int warp = 0; warp < threads / WARP; warp++)
        sum += shared[warp * ROW_SCORES + thread];
    a.metrics[thread] += sum;
    if (thread == 0)
        a.metrics[CUDA_METRIC_SAMPLES] += (double)step->valid;
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    score_rows(const __grid_constant__ cuda_loss a, const cuda_step *__restrict__ step,
               const T *__restrict__ logits, const int32_t *__restrict__ labels,
               float *__restrict__ probabilities, T *__restrict__ dlogits)
{
    DYNAMIC_SHARED(double, shared);
    const int32_t row = (int32_t)(blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP);
    if (row < a.rows && a.label_sets)
        score_set(row, a, step, logits, labels, probabilities, dlogits);
    else if (row < a.rows)
        score_row(row, a, step, logits, labels, probabilities, dlogits);
    if (last_block(a.tickets, gridDim.x))
        add_scores(a, step, shared);
}

size_t cuda_loss_scratch(int32_t rows)
{
    return (size_t)rows * ROW_SCORES * sizeof(float);
}

cudaError_t cuda_launch_loss(cudaStream_t stream, enum cuda_type type, const struct cuda_loss *loss)
{
    const unsigned block_rows = LAUNCH_THREADS / WARP,
                   blocks = ((unsigned)loss->rows + block_rows - 1) / block_rows;
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(score_rows<T>, blocks, LAUNCH_THREADS, LAUNCH_THREADS / WARP * ROW_SCORES * sizeof(double),
               stream, *loss, loss->step, (const T *)loss->logits, loss->labels, loss->probabilities,
               (T *)loss->dlogits);
        return cudaGetLastError();
    });
}

/* The end of a step: one kernel reads gradients as convolutions and dense layers left them, updates weights and their
 * average, and rounds the kernels' copies for the next step. A thread does eight weights at a time, all of them read
 * before the first is written. Bound by DRAM: value, average and the optimizer's slots are read and written, a float
 * each; gradient and copy cost an element of the activation type each. */
#include "cuda/kernels/entries.cuh"

#include <cfloat>

/* The tensor that pack i of the flat arrays lies in, or the gap behind it. */
static __device__ __forceinline__ cuda_weight weight_of(const cuda_update &u, size_t i)
{
    return u.weights[entry_of(u.count, u.weights, &cuda_weight::offset, (uint64_t)i * CUDA_CHANNELS)];
}

template <class T>
static __device__ __forceinline__ pack gradient_of(const cuda_update &u, const cuda_weight &w, size_t i)
{
    if (w.rows > 0 && u.kernel_gradients)
        return kernel_gradient<T>(w, (uint64_t)i * CUDA_CHANNELS - w.offset, u.kernel_gradients);
    return load(u.gradients, i);
}

/* ---- scaled gradients ---- */

enum { SCALING_SLOTS = 1024 }; /* blocks that look through the gradients */

/* Scratch: the scaling, and behind it a flag a block. */
struct alignas(16) scaling_scratch {
    cuda_scaling scaling;
    int32_t flags[SCALING_SLOTS];
};

/* The last block's first thread: the factor, and the scale of the steps to come. */
static __device__ __forceinline__ void settle_scale(int bad, double *metrics, cuda_scaling *scaling)
{
    double scale = metrics[CUDA_METRIC_SCALE] > 0.0 ? metrics[CUDA_METRIC_SCALE] : (double)CUDA_SCALE_FIRST;
    double good = metrics[CUDA_METRIC_GOOD] + 1.0;
    scaling->factor = bad ? 0.0f : (float)(1.0 / scale);
    if (bad) {
        scale = scale > 1.0 ? 0.5 * scale : 1.0;
        good = 0.0;
    } else if (good >= CUDA_SCALE_GROWTH) {
        scale = scale < CUDA_SCALE_MOST ? 2.0 * scale : scale;
        good = 0.0;
    }
    metrics[CUDA_METRIC_SCALE] = scale;
    metrics[CUDA_METRIC_GOOD] = good;
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    find_infinite(cuda_update u, double *metrics, scaling_scratch *scratch, unsigned *tickets)
{
    int bad = 0;
    LAUNCH_FOR(size_t, i, u.floats / CUDA_CHANNELS)
    {
        const cuda_weight w = weight_of(u, i);
        if (!w.trained)
            continue;
        const pack g = gradient_of<T>(u, w, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            bad |= !(fabsf(g.v[j]) <= FLT_MAX);
    }
    bad = __syncthreads_or(bad);
    if (threadIdx.x == 0)
        scratch->flags[blockIdx.x] = bad;
    if (!last_block(tickets, gridDim.x))
        return;
    bad = 0;
    for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x)
        bad |= scratch->flags[block];
    bad = __syncthreads_or(bad);
    if (threadIdx.x == 0)
        settle_scale(bad, metrics, &scratch->scaling);
}

size_t cuda_scaling_scratch(void)
{
    return sizeof(scaling_scratch);
}

template <class T>
static cudaError_t launch_scaling(cudaStream_t stream, const struct cuda_update *update, double *metrics,
                                  void *scratch, unsigned *tickets)
{
    const unsigned wanted = launch_blocks(update->floats / CUDA_CHANNELS),
                   blocks = wanted < SCALING_SLOTS ? wanted : (unsigned)SCALING_SLOTS;
    LAUNCH(find_infinite<T>, blocks, LAUNCH_THREADS, 0, stream, *update, metrics, (scaling_scratch *)scratch,
           tickets);
    return cudaGetLastError();
}

cudaError_t cuda_launch_scaling(cudaStream_t stream, enum cuda_type type, const struct cuda_update *update,
                                double *metrics, void *scratch, unsigned *tickets)
{
    return with_type(type, [&](auto zero) {
        return launch_scaling<decltype(zero)>(stream, update, metrics, scratch, tickets);
    });
}

/* ---- updates ---- */

/* What gradients are multiplied by; 0: no weight changes. */
static __device__ __forceinline__ float factor_of(const cuda_update &u)
{
    return !u.gradients ? 0.0f : u.scaling ? u.scaling->factor : 1.0f;
}

/* What a decayed weight keeps. In double, as every device has it, and so once a thread. */
static __device__ __forceinline__ float kept_share(float rate, float decay)
{
    return (float)(1.0 - (double)rate * (double)decay);
}

/* Eight weights and what belongs to them. */
struct weight_pack {
    pack value, first, second;
};

/* keep: the share of the weight that decay leaves; g: the gradient. */
static __device__ __forceinline__ void step_sgd(const optimizer &o, float rate, float keep, const pack &g,
                                                weight_pack *w)
{
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        float &v = w->first.v[j], &x = w->value.v[j];
        v = o.momentum * v + g.v[j];
        x = x * keep - rate * (g.v[j] + o.momentum * v);
    }
}

static __device__ __forceinline__ void step_adamw(const optimizer &o, const cuda_step *step, float rate,
                                                  float keep, const pack &g, weight_pack *w)
{
    const float first_scale = step->first_scale, second_scale = step->second_scale;
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        float &m = w->first.v[j], &s = w->second.v[j], &x = w->value.v[j];
        m = o.momentum * m + (1.0f - o.momentum) * g.v[j];
        s = o.second * s + (1.0f - o.second) * g.v[j] * g.v[j];
        const float root = sqrtf(s * second_scale);
        x = x * keep - rate * (m * first_scale) / (root + OPTIMIZER_ADAM_EPSILON);
    }
}

/* By an update that is made already; g: that. */
static __device__ __forceinline__ void step_update(float rate, float keep, const pack &g, weight_pack *w)
{
    for (int j = 0; j < CUDA_CHANNELS; j++)
        w->value.v[j] = w->value.v[j] * keep - rate * g.v[j];
}

template <class T> static __global__ void __launch_bounds__(LAUNCH_THREADS) update_weights(cuda_update u)
{
    const float factor = factor_of(u), rate = u.step->learning_rate, decay = u.step->average_decay,
                kept[] = {kept_share(rate, u.optimizer.decay), 1.0f, kept_share(rate, u.optimizer.bias_decay),
                          kept_share(rate, u.optimizer.decay)};
    const bool look_ahead = u.average && u.step->look_ahead,
               averages = u.average && (look_ahead || decay != 1.0f);
    const bool adamw = u.optimizer.kind == OPTIMIZER_ADAMW;
    LAUNCH_FOR(size_t, i, u.floats / CUDA_CHANNELS)
    {
        const cuda_weight w = weight_of(u, i);
        weight_pack p;
        pack average;
        p.value = load(u.value, i);
        if (averages)
            average = load(u.average, i);
        if (factor != 0.0f && !w.orthogonal)
            p.first = load(u.first, i);
        if (factor != 0.0f && adamw)
            p.second = load(u.second, i);
        const bool changes = factor != 0.0f && w.trained;
        if (changes) {
            pack g = w.orthogonal ? load(u.updates, (w.update - w.offset) / CUDA_CHANNELS + i)
                                  : gradient_of<T>(u, w, i);
            for (int j = 0; !w.orthogonal && j < CUDA_CHANNELS; j++)
                g.v[j] *= factor;
            const float keep = kept[w.part],
                        own = rate * optimizer_rate(&u.optimizer, (optimizer_part)w.part, w.rate);
            if (w.orthogonal)
                step_update(own, keep, g, &p);
            else if (adamw)
                step_adamw(u.optimizer, u.step, own, keep, g, &p);
            else
                step_sgd(u.optimizer, own, keep, g, &p);
            if (!w.orthogonal)
                store(u.first, i, p.first);
            if (adamw)
                store(u.second, i, p.second);
        }
        if (averages) {
            for (int j = 0; j < CUDA_CHANNELS; j++)
                average.v[j] += (1.0f - decay) * (p.value.v[j] - average.v[j]);
            store(u.average, i, average);
        }
        if (look_ahead)
            p.value = average;
        if (changes || look_ahead) {
            store(u.value, i, p.value);
            if (w.rows > 0)
                store_copy(w, (uint64_t)i * CUDA_CHANNELS - w.offset, (T *)u.copies + w.copy, p.value);
        }
    }
}

template <class T> static cudaError_t launch_update(cudaStream_t stream, const struct cuda_update *update)
{
    LAUNCH(update_weights<T>, launch_blocks(update->floats / CUDA_CHANNELS), LAUNCH_THREADS, 0, stream,
           *update);
    return cudaGetLastError();
}

cudaError_t cuda_launch_update(cudaStream_t stream, enum cuda_type type, const struct cuda_update *update)
{
    return with_type(type, [&](auto zero) { return launch_update<decltype(zero)>(stream, update); });
}

/* Optimizer updates and the weight average over flat arrays, all weights in one launch: four floats a thread.
 * Bound by DRAM: SGD reads 3 and writes 2 floats a weight, AdamW 4 and 3, the average 2 and 1. */
#include "cuda/kernels.h"
#include "cuda/launch.h"

#include <cfloat>

enum { QUAD = 4 }; /* floats a thread; four threads share a chunk */

struct alignas(16) quad {
    float v[QUAD];
};

static __device__ __forceinline__ quad load_quad(const float *array, size_t at)
{
    return reinterpret_cast<const quad *>(array)[at];
}

static __device__ __forceinline__ void store_quad(float *array, size_t at, const quad &q)
{
    reinterpret_cast<quad *>(array)[at] = q;
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

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    find_infinite(size_t quads, const uint8_t *chunks, const float *gradient, double *metrics,
                  scaling_scratch *scratch, unsigned *tickets)
{
    int bad = 0;
    LAUNCH_FOR(size_t, i, quads)
    {
        const quad g = load_quad(gradient, i);
        for (int j = 0; chunks[i / (CUDA_CHUNK / QUAD)] != CUDA_CHUNK_KEPT && j < QUAD; j++)
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

cudaError_t cuda_launch_scaling(cudaStream_t stream, size_t chunk_count, const uint8_t *chunks,
                                const float *gradient, double *metrics, void *scratch, unsigned *tickets)
{
    const size_t quads = chunk_count * (CUDA_CHUNK / QUAD);
    const unsigned blocks =
        launch_blocks(quads) < SCALING_SLOTS ? launch_blocks(quads) : (unsigned)SCALING_SLOTS;
    LAUNCH(find_infinite, blocks, LAUNCH_THREADS, 0, stream, quads, chunks, gradient, metrics,
           (scaling_scratch *)scratch, tickets);
    return cudaGetLastError();
}

/* What gradients are multiplied by; 0: nothing is to change. */
static __device__ __forceinline__ float factor_of(const cuda_scaling *scaling)
{
    return scaling ? scaling->factor : 1.0f;
}

static __device__ __forceinline__ quad scaled(quad q, float factor)
{
    for (int j = 0; j < QUAD; j++)
        q.v[j] *= factor;
    return q;
}

/* ---- updates ---- */

/* What a decayed weight keeps. In double, as every device has it, and so once a thread. */
static __device__ __forceinline__ float kept_share(float rate, float decay)
{
    return (float)(1.0 - (double)rate * (double)decay);
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    update_sgd(optimizer o, const cuda_step *step, const cuda_scaling *scaling, size_t quads,
               const uint8_t *chunks, const float *gradient, float *value, float *velocity)
{
    const float rate = step->learning_rate, factor = factor_of(scaling), decayed = kept_share(rate, o.decay);
    if (factor == 0.0f)
        return;
    LAUNCH_FOR(size_t, i, quads)
    {
        const uint8_t chunk = chunks[i / (CUDA_CHUNK / QUAD)];
        if (chunk == CUDA_CHUNK_KEPT)
            continue;
        const float keep = chunk == CUDA_CHUNK_DECAYED ? decayed : 1.0f;
        const quad g = scaled(load_quad(gradient, i), factor);
        quad w = load_quad(value, i), v = load_quad(velocity, i);
        for (int j = 0; j < QUAD; j++) {
            v.v[j] = o.momentum * v.v[j] + g.v[j];
            w.v[j] = w.v[j] * keep - rate * (g.v[j] + o.momentum * v.v[j]);
        }
        store_quad(velocity, i, v);
        store_quad(value, i, w);
    }
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    update_adamw(optimizer o, const cuda_step *step, const cuda_scaling *scaling, size_t quads,
                 const uint8_t *chunks, const float *gradient, float *value, float *first, float *second)
{
    const float rate = step->learning_rate, first_scale = step->first_scale,
                second_scale = step->second_scale, factor = factor_of(scaling),
                decayed = kept_share(rate, o.decay);
    if (factor == 0.0f)
        return;
    LAUNCH_FOR(size_t, i, quads)
    {
        const uint8_t chunk = chunks[i / (CUDA_CHUNK / QUAD)];
        if (chunk == CUDA_CHUNK_KEPT)
            continue;
        const float keep = chunk == CUDA_CHUNK_DECAYED ? decayed : 1.0f;
        const quad g = scaled(load_quad(gradient, i), factor);
        quad w = load_quad(value, i), m = load_quad(first, i), s = load_quad(second, i);
        for (int j = 0; j < QUAD; j++) {
            m.v[j] = o.momentum * m.v[j] + (1.0f - o.momentum) * g.v[j];
            s.v[j] = o.second * s.v[j] + (1.0f - o.second) * g.v[j] * g.v[j];
            const float root = sqrtf(s.v[j] * second_scale);
            w.v[j] = w.v[j] * keep - rate * (m.v[j] * first_scale) / (root + OPTIMIZER_ADAM_EPSILON);
        }
        store_quad(first, i, m);
        store_quad(second, i, s);
        store_quad(value, i, w);
    }
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    update_average(const cuda_step *step, size_t quads, const float *value, float *average)
{
    const float decay = step->average_decay;
    LAUNCH_FOR(size_t, i, quads)
    {
        const quad w = load_quad(value, i);
        quad a = load_quad(average, i);
        for (int j = 0; j < QUAD; j++)
            a.v[j] = decay * a.v[j] + (1.0f - decay) * w.v[j];
        store_quad(average, i, a);
    }
}

cudaError_t cuda_launch_optimizer(cudaStream_t stream, const struct optimizer *optimizer,
                                  const struct cuda_step *step, size_t chunk_count, const uint8_t *chunks,
                                  const struct cuda_scaling *scaling, const float *gradient, float *value,
                                  float *first, float *second)
{
    const size_t quads = chunk_count * (CUDA_CHUNK / QUAD);
    if (optimizer->kind == OPTIMIZER_SGD)
        LAUNCH(update_sgd, launch_blocks(quads), LAUNCH_THREADS, 0, stream, *optimizer, step, scaling, quads,
               chunks, gradient, value, first);
    else
        LAUNCH(update_adamw, launch_blocks(quads), LAUNCH_THREADS, 0, stream, *optimizer, step, scaling,
               quads, chunks, gradient, value, first, second);
    return cudaGetLastError();
}

cudaError_t cuda_launch_weight_average(cudaStream_t stream, const struct cuda_step *step, size_t chunk_count,
                                       const float *value, float *average)
{
    const size_t quads = chunk_count * (CUDA_CHUNK / QUAD);
    LAUNCH(update_average, launch_blocks(quads), LAUNCH_THREADS, 0, stream, step, quads, value, average);
    return cudaGetLastError();
}

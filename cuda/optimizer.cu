/* Optimizer updates and the weight average over flat arrays, all weights in one launch: four floats a thread.
 * Bound by DRAM: SGD reads 3 and writes 2 floats a weight, AdamW 4 and 3, the average 2 and 1. */
#include "cuda/kernels.h"
#include "cuda/launch.h"

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

/* 1 - rate * decay where the chunk is decayed. */
static __device__ __forceinline__ float kept_share(uint8_t chunk, float rate, float decay)
{
    return chunk == CUDA_CHUNK_DECAYED ? (float)(1.0 - (double)rate * (double)decay) : 1.0f;
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    update_sgd(optimizer o, const cuda_step *step, size_t quads, const uint8_t *chunks, const float *gradient,
               float *value, float *velocity)
{
    const float rate = step->learning_rate;
    LAUNCH_FOR(size_t, i, quads)
    {
        const uint8_t chunk = chunks[i / (CUDA_CHUNK / QUAD)];
        if (chunk == CUDA_CHUNK_KEPT)
            continue;
        const float keep = kept_share(chunk, rate, o.decay);
        const quad g = load_quad(gradient, i);
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
    update_adamw(optimizer o, const cuda_step *step, size_t quads, const uint8_t *chunks,
                 const float *gradient, float *value, float *first, float *second)
{
    const float rate = step->learning_rate, first_scale = step->first_scale,
                second_scale = step->second_scale;
    LAUNCH_FOR(size_t, i, quads)
    {
        const uint8_t chunk = chunks[i / (CUDA_CHUNK / QUAD)];
        if (chunk == CUDA_CHUNK_KEPT)
            continue;
        const float keep = kept_share(chunk, rate, o.decay);
        const quad g = load_quad(gradient, i);
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
                                  const float *gradient, float *value, float *first, float *second)
{
    const size_t quads = chunk_count * (CUDA_CHUNK / QUAD);
    if (optimizer->kind == OPTIMIZER_SGD)
        LAUNCH(update_sgd, launch_blocks(quads), LAUNCH_THREADS, 0, stream, *optimizer, step, quads, chunks,
               gradient, value, first);
    else
        LAUNCH(update_adamw, launch_blocks(quads), LAUNCH_THREADS, 0, stream, *optimizer, step, quads, chunks,
               gradient, value, first, second);
    return cudaGetLastError();
}

cudaError_t cuda_launch_weight_average(cudaStream_t stream, const struct cuda_step *step, size_t chunk_count,
                                       const float *value, float *average)
{
    const size_t quads = chunk_count * (CUDA_CHUNK / QUAD);
    LAUNCH(update_average, launch_blocks(quads), LAUNCH_THREADS, 0, stream, step, quads, value, average);
    return cudaGetLastError();
}

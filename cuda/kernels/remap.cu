/* Remaps: a child's weights from its parent's (host/net/remap.h), where they live. One launch finds the deviations of
 * the sources that noise is scaled by, a block each; one makes all values, a thread each. And kernels between the
 * host's order and the masters', for what goes up and comes down. Done once a candidate: bound by nothing that
 * matters. */
#include "cuda/kernels/entries.cuh"

static __device__ __forceinline__ size_t elements_of(const int32_t *dims)
{
    return (size_t)dims[0] * (size_t)dims[1] * (size_t)dims[2] * (size_t)dims[3];
}

/* The sum of the block's values, for all its threads. shared: a double a thread. */
static __device__ double block_sum(double value, double *shared)
{
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
    __syncthreads(); /* shared may still be read from the sum before */
    shared[thread] = value;
    int half = 1;
    while (half < threads)
        half *= 2;
    for (half /= 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half && thread + half < threads)
            shared[thread] += shared[thread + half];
    }
    __syncthreads();
    return shared[0];
}

/* blockIdx.x is the entry. */
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    source_deviations(const __grid_constant__ cuda_inheritance a)
{
    DYNAMIC_SHARED(double, shared);
    const cuda_remap *e = &a.entries[blockIdx.x];
    double deviation = 1.0;
    if (e->noise != 0.0f && e->has_source) { /* the same for the whole block */
        const size_t count = elements_of(e->source_dims);
        const float *values = a.parent + e->source;
        double sum = 0.0, square = 0.0;
        for (size_t i = threadIdx.x; i < count; i += blockDim.x)
            sum += (double)values[i];
        const double mean = block_sum(sum, shared) / (double)count;
        for (size_t i = threadIdx.x; i < count; i += blockDim.x)
            square += ((double)values[i] - mean) * ((double)values[i] - mean);
        deviation = sqrt(block_sum(square, shared) / (double)count);
    }
    if (threadIdx.x == 0)
        a.deviations[blockIdx.x] = deviation;
}

/* The source's offset of element (o, i, y, x) of the child, -1 where there is none. */
static __device__ __forceinline__ int64_t source_offset(const cuda_remap *e, const int32_t *at)
{
    if (!e->has_source)
        return -1;
    const int32_t *from = e->source_dims;
    const int32_t o = e->out_index ? e->out_index[at[0]] : at[0],
                  i = e->in_index ? e->in_index[at[1]] : at[1];
    const int32_t y = at[2] - (e->dims[2] - from[2]) / 2, x = at[3] - (e->dims[3] - from[3]) / 2;
    if (o < 0 || o >= from[0] || i < 0 || i >= from[1] || y < 0 || y >= from[2] || x < 0 || x >= from[3])
        return -1;
    return (((int64_t)o * from[2] + y) * from[3] + x) * from[1] + i;
}

/* As random_normal2 of host/base/random.c, the first of its two numbers. */
static __device__ __forceinline__ double normal_number(random4 draw)
{
    const double u = ((double)draw.v[0] + 1.0) / 4294967297.0;
    const double angle = 6.283185307179586 * ((double)draw.v[1] / 4294967296.0);
    return sqrt(-2.0 * log(u)) * cos(angle);
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    remap_values(const __grid_constant__ cuda_inheritance a)
{
    LAUNCH_FOR(uint64_t, item, a.elements)
    {
        const int32_t entry = entry_of(a.count, a.entries, &cuda_remap::first_element, item);
        const cuda_remap *e = &a.entries[entry];
        const uint64_t offset = item - e->first_element;
        const uint32_t in = (uint32_t)e->dims[1], taps = (uint32_t)e->dims[2] * (uint32_t)e->dims[3];
        const uint32_t pixel = (uint32_t)(offset / in), i = (uint32_t)(offset % in);
        const uint32_t o = pixel / taps, tap = pixel % taps;
        const int32_t at[4] = {(int32_t)o, (int32_t)i, (int32_t)(tap / (uint32_t)e->dims[3]),
                               (int32_t)(tap % (uint32_t)e->dims[3])};
        const int64_t from = source_offset(e, at);
        float value = e->fill;
        if (from >= 0) {
            const float out_scale = e->out_scale ? e->out_scale[at[0]] : 1.0f;
            const float in_scale = e->in_scale ? e->in_scale[at[1]] : 1.0f;
            value = out_scale * in_scale * a.parent[e->source + (uint64_t)from];
        }
        /* __fadd_rn: the product above and the sum are rounded apart, as on the host. */
        if (e->identity && e->identity[at[0]] == at[1] && at[2] == e->dims[2] / 2 && at[3] == e->dims[3] / 2)
            value = __fadd_rn(value, 1.0f);
        const double amplitude = (double)e->noise * a.deviations[entry];
        if (amplitude != 0.0 && from < 0) {
            const uint64_t plain = ((uint64_t)o * in + i) * taps + tap; /* in the host's order */
            const double normal = normal_number(random_draw(a.seed, RANDOM_MORPH_NOISE, plain, e->part));
            value = __fadd_rn(value, (float)(amplitude * normal));
        }
        a.child[e->child + offset] = value;
    }
}

cudaError_t cuda_launch_remap(cudaStream_t stream, const struct cuda_inheritance *inheritance)
{
    LAUNCH(source_deviations, (unsigned)inheritance->count, LAUNCH_THREADS, LAUNCH_THREADS * sizeof(double),
           stream, *inheritance);
    LAUNCH(remap_values, launch_blocks(inheritance->elements), LAUNCH_THREADS, 0, stream, *inheritance);
    return cudaGetLastError();
}

/* ---- the host's order ---- */

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    from_master(size_t in, size_t taps, size_t first, size_t count, const float *__restrict__ master,
                float *__restrict__ plain)
{
    LAUNCH_FOR(size_t, i, count) plain[i] = master[cuda_master_offset(first + i, in, taps)];
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    to_master(size_t in, size_t taps, size_t first, size_t count, const float *__restrict__ plain,
              float *__restrict__ master)
{
    LAUNCH_FOR(size_t, i, count) master[cuda_master_offset(first + i, in, taps)] = plain[i];
}

cudaError_t cuda_launch_from_master(cudaStream_t stream, int32_t in, int32_t taps, size_t first, size_t count,
                                    const float *master, float *plain)
{
    LAUNCH(from_master, launch_blocks(count), LAUNCH_THREADS, 0, stream, (size_t)in, (size_t)taps, first,
           count, master, plain);
    return cudaGetLastError();
}

cudaError_t cuda_launch_to_master(cudaStream_t stream, int32_t in, int32_t taps, size_t first, size_t count,
                                  const float *plain, float *master)
{
    LAUNCH(to_master, launch_blocks(count), LAUNCH_THREADS, 0, stream, (size_t)in, (size_t)taps, first, count,
           plain, master);
    return cudaGetLastError();
}

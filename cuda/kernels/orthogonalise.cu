/* Muon's momentum for one kernel, and the ways between a weight without gaps and a matrix whose rows begin on multiples
 * of 32 bytes. Between them stand matrix products (cuda/device/cuda_orthogonalise.c). Short: most of their time is the
 * launch. */
#include "cuda/kernels/entries.cuh"
#include "cuda/kernels/warp.cuh"

enum { NORM_SLOTS = 1024, MOST_WARPS = 16 }; /* blocks that add up squares, warps of a block */

struct alignas(16) momentum_scratch {
    float inverse; /* of the norm */
    double squares[NORM_SLOTS];
};

size_t cuda_momentum_scratch(void)
{
    return sizeof(momentum_scratch);
}

/* All threads get the sum of the block's. */
static __device__ __forceinline__ double block_sum(double v)
{
    __shared__ double warps[MOST_WARPS];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    v = warp_sum(v);
    __syncthreads(); /* an earlier sum has been read */
    if (lane == 0)
        warps[warp] = v;
    __syncthreads();
    double sum = 0.0;
    for (unsigned k = 0; k < blockDim.x / WARP; k++)
        sum += warps[k];
    return sum;
}

/* Where element `at` of a weight with that many columns lies in the matrix. */
static __device__ __forceinline__ size_t in_rows(size_t at, int32_t columns, int32_t stride)
{
    const size_t row = at / (size_t)columns;
    return row * (size_t)stride + (at - row * (size_t)columns);
}

/* Velocity and X of eight elements; beyond the weight's end both stay zeros. */
template <class T>
static __device__ __forceinline__ pack move(const cuda_momentum &m, float factor, uint64_t within)
{
    const cuda_weight &w = m.weight;
    const size_t at = (size_t)(w.offset + within) / CUDA_CHANNELS;
    const bool copied = w.rows > 0 && m.kernel_gradients;
    const pack g = copied ? kernel_gradient<T>(w, within, m.kernel_gradients) : load(m.gradients, at);
    pack v = load(m.velocity, at), x;
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        v.v[j] = m.momentum * v.v[j] + factor * g.v[j];
        x.v[j] = factor * g.v[j] + m.momentum * v.v[j];
    }
    store(m.velocity, at, v);
    return x;
}

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    add_momentum(cuda_momentum m, momentum_scratch *scratch)
{
    const float factor = m.scaling ? m.scaling->factor : 1.0f;
    double squares = 0.0;
    LAUNCH_FOR(size_t, i, (m.weight.count + CUDA_CHANNELS - 1) / CUDA_CHANNELS)
    {
        const size_t within = i * CUDA_CHANNELS;
        pack x = {};
        if (factor != 0.0f)
            x = move<T>(m, factor, within);
        float sum = 0.0f;
        for (int j = 0; j < CUDA_CHANNELS; j++)
            sum += x.v[j] * x.v[j];
        squares += (double)sum;
        if (m.columns == m.stride)
            store(m.x, i, x);
        for (int j = 0; m.columns != m.stride && j < CUDA_CHANNELS; j++)
            if (within + (size_t)j < m.weight.count)
                m.x[in_rows(within + (size_t)j, m.columns, m.stride)] = x.v[j];
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0)
        scratch->squares[blockIdx.x] = squares;
    if (!last_block(m.tickets, gridDim.x))
        return;
    squares = 0.0;
    for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x)
        squares += scratch->squares[block];
    squares = block_sum(squares);
    if (threadIdx.x == 0)
        scratch->inverse = (float)(1.0 / (sqrt(squares) + (double)MUON_EPSILON));
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    divide_by_norm(size_t count, const momentum_scratch *scratch, float *x)
{
    const float inverse = scratch->inverse;
    LAUNCH_FOR(size_t, i, count / CUDA_CHANNELS)
    {
        pack p = load(x, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] *= inverse;
        store(x, i, p);
    }
}

template <class T>
static cudaError_t launch_momentum(cudaStream_t stream, const struct cuda_momentum *momentum)
{
    const unsigned wanted = launch_blocks(momentum->weight.count / CUDA_CHANNELS + 1),
                   blocks = wanted < NORM_SLOTS ? wanted : (unsigned)NORM_SLOTS;
    const size_t count = momentum->weight.count / (size_t)momentum->columns * (size_t)momentum->stride;
    momentum_scratch *scratch = (momentum_scratch *)momentum->scratch;
    LAUNCH(add_momentum<T>, blocks, LAUNCH_THREADS, 0, stream, *momentum, scratch);
    LAUNCH(divide_by_norm, launch_blocks(count / CUDA_CHANNELS), LAUNCH_THREADS, 0, stream, count,
           (const momentum_scratch *)scratch, momentum->x);
    return cudaGetLastError();
}

cudaError_t cuda_launch_momentum(cudaStream_t stream, enum cuda_type type,
                                 const struct cuda_momentum *momentum)
{
    return with_type(type, [&](auto zero) { return launch_momentum<decltype(zero)>(stream, momentum); });
}

static __global__ void __launch_bounds__(LAUNCH_THREADS)
    close_rows(size_t count, int32_t columns, int32_t stride, const float *x, float *update)
{
    LAUNCH_FOR(size_t, i, cuda_chunk_count(count) * CUDA_CHUNK)
    {
        update[i] = i < count ? x[in_rows(i, columns, stride)] : 0.0f;
    }
}

cudaError_t cuda_launch_close_rows(cudaStream_t stream, size_t count, int32_t columns, int32_t stride,
                                   const float *x, float *update)
{
    LAUNCH(close_rows, launch_blocks(cuda_chunk_count(count) * CUDA_CHUNK), LAUNCH_THREADS, 0, stream, count,
           columns, stride, x, update);
    return cudaGetLastError();
}

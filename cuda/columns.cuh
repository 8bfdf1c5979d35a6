/* Sums over the rows of an activation, channel by channel. The activation is seen as a matrix: rows are
 * pixels (n, y, x), columns are packs of eight channels. A block is `columns` x `lines` threads, columns side
 * by side so that a warp reads neighbours; it takes a slice of the rows, each thread every lines-th row of
 * it. The grid is slices x column groups.
 *
 * The order of a sum follows from the matrix's size alone: rows of a thread one after another, the lines of a
 * block as a tree, the slices in a second kernel. */
#ifndef NASRUN_CUDA_COLUMNS_CUH
#define NASRUN_CUDA_COLUMNS_CUH

#include "cuda/pack.cuh"

enum {
    COLUMNS_WIDEST = 32,  /* packs side by side in a block: 512 bytes of a row in bf16 */
    COLUMNS_ROWS = 8,     /* rows a thread takes at least, where there are enough */
    COLUMNS_SLICES = 512, /* at most */
    COLUMNS_FINISH = 32,  /* channels of a block of the second kernel */
};

struct columns {
    uint32_t rows, channels; /* channels without padding */
    int32_t vectors;         /* packs of a row */
    int32_t groups, columns, lines;
    int32_t slices;
    uint32_t slice_rows; /* of each slice; the last may have fewer */
};

/* For an activation of `rows` pixels. At most `slices` slices. */
static inline columns columns_of(size_t rows, int32_t channels, int32_t slices)
{
    columns k;
    k.rows = (uint32_t)rows;
    k.channels = (uint32_t)channels;
    k.vectors = cuda_padded(channels) / CUDA_CHANNELS;
    k.groups = (k.vectors + COLUMNS_WIDEST - 1) / COLUMNS_WIDEST;
    k.columns = (k.vectors + k.groups - 1) / k.groups;
    k.lines = LAUNCH_THREADS / k.columns;
    const size_t block_rows = (size_t)k.lines * COLUMNS_ROWS, wanted = (rows + block_rows - 1) / block_rows;
    const size_t most = wanted < (size_t)slices ? wanted : (size_t)slices;
    k.slice_rows = (uint32_t)((rows + most - 1) / most);
    k.slices = (int32_t)((rows + k.slice_rows - 1) / k.slice_rows);
    return k;
}

static inline columns columns_of_shape(cuda_shape s)
{
    return columns_of((size_t)s.n * (size_t)s.h * (size_t)s.w, s.c, COLUMNS_SLICES);
}

/* Bytes of `count` partial results for each slice and channel: float [slice][count][padded channels]. */
static inline size_t columns_scratch(cuda_shape s, int32_t count)
{
    return (size_t)columns_of_shape(s).slices * (size_t)count * (size_t)cuda_padded(s.c) * sizeof(float);
}

static inline dim3 columns_grid(columns k)
{
    return dim3((unsigned)k.slices, (unsigned)k.groups);
}

static inline unsigned columns_finish_blocks(columns k)
{
    return (k.channels + COLUMNS_FINISH - 1) / COLUMNS_FINISH;
}

/* This thread's part of the matrix. Rows first, first + step, ... below end; none where the thread has no
 * column. */
struct columns_share {
    uint32_t first, end, step;
    int32_t vector, line;
};

static __device__ __forceinline__ columns_share columns_of_thread(const columns &k)
{
    columns_share t;
    const int32_t thread = (int32_t)threadIdx.x;
    t.line = thread / k.columns;
    t.vector = (int32_t)blockIdx.y * k.columns + thread % k.columns;
    t.step = (uint32_t)k.lines;
    t.first = blockIdx.x * k.slice_rows + (uint32_t)t.line;
    t.end = min(k.rows, (blockIdx.x + 1) * k.slice_rows);
    if (t.line >= k.lines || t.vector >= k.vectors)
        t.first = t.end;
    return t;
}

/* Adds `count` packs over the lines of the block; the sums are those of line 0, in `sums`. All threads of the
 * block call it; shared: count * 8 floats a thread. */
template <int COUNT>
static __device__ __forceinline__ void columns_add_lines(const columns &k, int32_t line, float *shared,
                                                         pack *sums)
{
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
    int half = 1;
    while (half < k.lines)
        half *= 2;
    for (int i = 0; i < COUNT * CUDA_CHANNELS; i++)
        shared[i * threads + thread] = sums[i / CUDA_CHANNELS].v[i % CUDA_CHANNELS];
    for (half /= 2; half > 0; half /= 2) {
        __syncthreads();
        if (line < half && line + half < k.lines) {
            for (int i = 0; i < COUNT * CUDA_CHANNELS; i++) {
                float &sum = sums[i / CUDA_CHANNELS].v[i % CUDA_CHANNELS];
                sum += shared[i * threads + thread + half * k.columns];
                shared[i * threads + thread] = sum;
            }
        }
    }
}

/* Place of pack `vector` of partial result `which` of the block's slice, in packs. */
static __device__ __forceinline__ size_t columns_partial(const columns &k, int32_t count, int32_t which,
                                                         int32_t vector)
{
    return ((size_t)blockIdx.x * (size_t)count + (size_t)which) * (size_t)k.vectors + (size_t)vector;
}

/* In the second kernel: this thread's channel, and its line among those that share the channel. */
static __device__ __forceinline__ uint32_t columns_finish_channel(void)
{
    return blockIdx.x * COLUMNS_FINISH + threadIdx.x % COLUMNS_FINISH;
}

/* The sum over slices of partial result `which` for the thread's channel; line 0 has it. shared: a float a
 * thread. All threads of the block call it. */
static __device__ __forceinline__ float columns_add_slices(const columns &k, const float *partial,
                                                           int32_t count, int32_t which, float *shared)
{
    const uint32_t channel = columns_finish_channel(), padded = (uint32_t)k.vectors * CUDA_CHANNELS;
    const int thread = (int)threadIdx.x, line = thread / COLUMNS_FINISH,
              lines = (int)blockDim.x / COLUMNS_FINISH;
    float sum = 0.0f;
    if (channel < k.channels)
        for (int32_t slice = line; slice < k.slices; slice += lines)
            sum += partial[((size_t)slice * (size_t)count + (size_t)which) * padded + channel];
    int half = 1;
    while (half < lines)
        half *= 2;
    shared[thread] = sum;
    for (half /= 2; half > 0; half /= 2) {
        __syncthreads();
        if (line < half && line + half < lines) {
            sum += shared[thread + half * COLUMNS_FINISH];
            shared[thread] = sum;
        }
    }
    __syncthreads(); /* shared may be used again */
    return sum;
}

#endif

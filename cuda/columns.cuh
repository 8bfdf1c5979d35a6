/* Walks over the rows of an activation with fixed channels: for sums channel by channel, and for what is done to every row
 * with its channels' parameters. The activation is seen as a matrix: rows are pixels (n, y, x), columns are packs of eight
 * channels. A block is `columns` x `lines` threads, columns side by side so that a warp reads neighbours. The grid is
 * slices x column groups.
 *
 * The order of a sum follows from the matrix's size alone: rows of a thread one after another, the lines of a block as a
 * tree, the slices in the block that is done last, again one after another and as a tree. */
#ifndef NASRUN_CUDA_COLUMNS_CUH
#define NASRUN_CUDA_COLUMNS_CUH

#include "cuda/pack.cuh"

enum {
    COLUMNS_SUMMED =
        4, /* packs side by side in a block that sums: 64 bytes of a row in bf16, as DRAM reads them;
                              so few that its last block has little to add up */
    COLUMNS_WRITTEN = 32, /* in a block that writes every row */
    COLUMNS_ROWS = 4,     /* rows a thread takes at least, where there are enough */
    COLUMNS_SUMMING =
        256, /* blocks that sum, at most: one wave, whose loads (AHEAD) fill the fastest memory */
    COLUMNS_WRITING = 1024 /* blocks that write, at most */
};

/* Loads of one thread before their first use: 128 bytes of each of `arrays` together. */
template <class T, int ARRAYS> struct ahead {
    enum { ROWS = 128 / (int)sizeof(stored<T>) / ARRAYS };
};

struct columns {
    uint32_t rows, channels; /* channels without padding */
    int32_t vectors;         /* packs of a row */
    int32_t groups, columns, lines;
    int32_t slices;
    uint32_t slice_rows; /* of each slice where rows lie together; the last may have fewer */
};

/* For an activation of `rows` pixels; `widest`: packs of a block, more where there would be more groups than tickets. */
static inline columns columns_of(size_t rows, int32_t channels, int32_t widest, int32_t blocks)
{
    columns k;
    k.rows = (uint32_t)rows;
    k.channels = (uint32_t)channels;
    k.vectors = cuda_padded(channels) / CUDA_CHANNELS;
    const int32_t needed = (k.vectors + CUDA_TICKETS - 1) / CUDA_TICKETS,
                  wide = widest < needed ? needed : widest;
    k.groups = (k.vectors + wide - 1) / wide;
    k.columns = (k.vectors + k.groups - 1) / k.groups;
    k.lines = LAUNCH_THREADS / k.columns;
    const size_t block_rows = (size_t)k.lines * COLUMNS_ROWS, wanted = (rows + block_rows - 1) / block_rows;
    const size_t most = k.groups < blocks ? (size_t)(blocks / k.groups) : 1;
    k.slices = (int32_t)(wanted < most ? wanted : most);
    k.slice_rows = (uint32_t)((rows + (size_t)k.slices - 1) / (size_t)k.slices);
    return k;
}

static inline size_t columns_rows(cuda_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static inline columns columns_to_sum(cuda_shape s)
{
    return columns_of(columns_rows(s), s.c, COLUMNS_SUMMED, COLUMNS_SUMMING);
}

static inline columns columns_to_write(cuda_shape s)
{
    return columns_of(columns_rows(s), s.c, COLUMNS_WRITTEN, COLUMNS_WRITING);
}

/* Bytes of `count` partial results for each slice and channel: float [slice][count][padded channels]. */
static inline size_t columns_scratch(cuda_shape s, int32_t count)
{
    return (size_t)columns_to_sum(s).slices * (size_t)count * (size_t)cuda_padded(s.c) * sizeof(float);
}

static inline dim3 columns_grid(columns k)
{
    return dim3((unsigned)k.slices, (unsigned)k.groups);
}

/* This thread's part of the matrix: rows first + i * step, i below count; none where the thread has no column. */
struct columns_share {
    uint32_t first, step;
    int32_t count, vector, line;
};

/* `first`, `end`: of the slice, whose lines are `step` apart from row to row. */
static __device__ __forceinline__ columns_share columns_of_thread(const columns &k, uint32_t first,
                                                                  uint32_t end, uint32_t step)
{
    columns_share t;
    const int32_t thread = (int32_t)threadIdx.x;
    t.line = thread / k.columns;
    t.vector = (int32_t)blockIdx.y * k.columns + thread % k.columns;
    t.first = first + (uint32_t)t.line;
    t.step = step;
    const bool idle = t.line >= k.lines || t.vector >= k.vectors || t.first >= end;
    t.count = idle ? 0 : (int32_t)((end - t.first + step - 1) / step);
    return t;
}

/* The slices' rows lie scattered over the matrix, so that all blocks are at about the same place of it. A sum walks from the
 * last row to the first: what was written last is still in the L2 cache, and whoever writes the rows next, from the first
 * to the last, finds there what was read last. */
static __device__ __forceinline__ columns_share columns_scattered(const columns &k)
{
    return columns_of_thread(k, blockIdx.x * (uint32_t)k.lines, k.rows,
                             (uint32_t)k.slices * (uint32_t)k.lines);
}

/* The slices' rows lie together. */
static __device__ __forceinline__ columns_share columns_together(const columns &k)
{
    const uint32_t first = blockIdx.x * k.slice_rows;
    return columns_of_thread(k, first, min(k.rows, first + k.slice_rows), (uint32_t)k.lines);
}

/* How many rows of the matrix are in scattered slice `slice`. */
static __device__ __forceinline__ uint32_t columns_slice_rows(const columns &k, uint32_t slice)
{
    const uint32_t lines = (uint32_t)k.lines, round = (uint32_t)k.slices * lines, rest = k.rows % round,
                   before = slice * lines;
    return k.rows / round * lines + (rest > before ? min(rest - before, lines) : 0);
}

/* The place, in packs, of row number `i` of the thread's. */
static __device__ __forceinline__ size_t columns_at(const columns &k, const columns_share &t, int32_t i)
{
    return (size_t)(t.first + (uint32_t)i * t.step) * (size_t)k.vectors + (size_t)t.vector;
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

/* Place of pack `vector` of partial result `which` of a slice, in packs. */
static __device__ __forceinline__ size_t columns_partial(const columns &k, int32_t count, uint32_t slice,
                                                         int32_t which, int32_t vector)
{
    return ((size_t)slice * (size_t)count + (size_t)which) * (size_t)k.vectors + (size_t)vector;
}

/* Keeps line 0's sums as the slice's partial results. True, for all threads, in the last block of the column group to get
 * here: it sees the partial results of all. */
template <int COUNT>
static __device__ __forceinline__ bool columns_keep(const columns &k, const columns_share &t,
                                                    const pack *sums, float *partial, unsigned *tickets)
{
    if (t.line == 0 && t.vector < k.vectors)
        for (int32_t which = 0; which < COUNT; which++)
            store(partial, columns_partial(k, COUNT, blockIdx.x, which, t.vector), sums[which]);
    return last_block(&tickets[blockIdx.y], (unsigned)k.slices);
}

/* In the last block: the sums over all slices, in line 0. */
template <int COUNT>
static __device__ __forceinline__ void columns_add_slices(const columns &k, const columns_share &t,
                                                          const float *partial, float *shared, pack *sums)
{
    for (int32_t which = 0; which < COUNT; which++)
        sums[which] = pack_of(0.0f);
    if (t.line < k.lines && t.vector < k.vectors) {
        LAUNCH_UNROLLED
        for (int32_t slice = t.line; slice < k.slices; slice += k.lines)
            for (int32_t which = 0; which < COUNT; which++) {
                const pack p = load(partial, columns_partial(k, COUNT, (uint32_t)slice, which, t.vector));
                for (int j = 0; j < CUDA_CHANNELS; j++)
                    sums[which].v[j] += p.v[j];
            }
    }
    columns_add_lines<COUNT>(k, t.line, shared, sums);
}

#endif

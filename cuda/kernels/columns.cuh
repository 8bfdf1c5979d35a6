/* Walks over the rows of an activation with fixed channels: for sums channel by channel, and for what is done to every
 * row with its channels' parameters. The activation is seen as a matrix: rows are pixels (n, y, x), columns are packs
 * of eight channels. A block is `columns` x `lines` threads, columns side by side so that a warp reads neighbours. The
 * grid is slices x column groups, no more blocks than the device holds at once: one wave, in which every thread begins
 * and ends once. A slice's rows lie scattered over the matrix, so that all blocks are at about the same place of it.
 *
 * The order of a sum follows from the matrix's size and the number of multiprocessors: rows of a thread one after
 * another, the lines of a warp by shuffles, the warps of a block one after another; then the slices likewise in the
 * block that is done last. */
#ifndef NASRUN_CUDA_KERNELS_COLUMNS_CUH
#define NASRUN_CUDA_KERNELS_COLUMNS_CUH

#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/warp.cuh"

/* Packs side by side in a block that writes every row, at most. In a block that sums there are WARP_PACKS, 64 bytes of
 * a row in bf16, as DRAM reads them: so few that the last block has little to add up. */
enum { COLUMNS_WRITTEN = 32 };

/* Rows that a thread takes at least, where there are enough. Up to COLUMNS_ALONE of a thread are summed by one block:
 * to join two takes about as long. */
enum { COLUMNS_ROWS = 2, COLUMNS_ALONE = 8 };

/* Blocks that a multiprocessor holds at once, of every kernel that walks so: it has registers for no fewer. */
enum { COLUMNS_RESIDENT = 3 };
#define COLUMNS_BOUNDS __launch_bounds__(LAUNCH_THREADS, COLUMNS_RESIDENT)

/* Rows that a thread loads before it uses the first: 128 bytes of `arrays` together. */
template <class T, int ARRAYS> struct ahead {
    enum { ROWS = 128 / (int)sizeof(stored<T>) / ARRAYS };
};

struct columns {
    uint32_t rows, channels; /* channels without padding */
    int32_t vectors;         /* packs of a row */
    int32_t groups, lines, slices;
    divisor columns;
    uint32_t rounds, rest; /* rows / (slices * lines), and what remains */
    uint32_t stride;       /* packs from a thread's row to its next */
};

static inline size_t columns_rows(cuda_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

/* `width` packs side by side; `blocks` blocks at most, or one a group. */
static inline columns columns_of(cuda_shape s, int32_t width, int32_t blocks)
{
    const size_t rows = columns_rows(s);
    columns k;
    k.rows = (uint32_t)rows;
    k.channels = (uint32_t)s.c;
    k.vectors = cuda_padded(s.c) / CUDA_CHANNELS;
    k.groups = (k.vectors + width - 1) / width;
    k.columns = divisor_of(width);
    k.lines = LAUNCH_THREADS / width;
    const size_t block_rows = (size_t)k.lines * COLUMNS_ROWS, wanted = (rows + block_rows - 1) / block_rows;
    const size_t most = k.groups < blocks ? (size_t)(blocks / k.groups) : 1;
    k.slices = (int32_t)(wanted < most ? wanted : most);
    const size_t round = (size_t)k.slices * (size_t)k.lines;
    k.rounds = (uint32_t)(rows / round);
    k.rest = (uint32_t)(rows % round);
    k.stride = (uint32_t)round * (uint32_t)k.vectors;
    return k;
}

/* multiprocessors: of the device. Where there are more groups than tickets, too, a group has one block, which needs
 * none. */
static inline columns columns_to_sum(cuda_shape s, int32_t multiprocessors)
{
    const int32_t width = warp_packs(s.c);
    const bool alone = columns_rows(s) <= (size_t)(LAUNCH_THREADS / width) * COLUMNS_ALONE ||
                       s.c > CUDA_TICKETS * WARP_PACKS * CUDA_CHANNELS;
    return columns_of(s, width, alone ? 1 : multiprocessors * COLUMNS_RESIDENT);
}

static inline columns columns_to_write(cuda_shape s, int32_t multiprocessors)
{
    const int32_t vectors = cuda_padded(s.c) / CUDA_CHANNELS,
                  groups = (vectors + COLUMNS_WRITTEN - 1) / COLUMNS_WRITTEN;
    return columns_of(s, (vectors + groups - 1) / groups, multiprocessors * COLUMNS_RESIDENT);
}

/* Bytes of `count` partial results for each slice and channel: float [slice][count][padded channels]. */
static inline size_t columns_scratch(cuda_shape s, int32_t multiprocessors, int32_t count)
{
    return (size_t)columns_to_sum(s, multiprocessors).slices * (size_t)count * (size_t)cuda_padded(s.c) *
           sizeof(float);
}

/* Bytes of shared memory that columns_add_lines<count> takes. */
static inline size_t columns_shared(int32_t count)
{
    return (size_t)(LAUNCH_THREADS / WARP * count * WARP_PACKS * CUDA_CHANNELS) * sizeof(float);
}

static inline dim3 columns_grid(columns k)
{
    return dim3((unsigned)k.slices, (unsigned)k.groups);
}

/* This thread's part of the matrix: `count` rows; none where it has no column. */
struct columns_share {
    uint32_t first; /* place of its pack of the first row, in packs */
    int32_t count, vector, line;
};

/* A sum goes from the last row to the first: what was written last is still in the L2 cache. Whoever writes the rows
 * next, from the first to the last, finds there what the sum has read last. */
static __device__ __forceinline__ columns_share columns_of_thread(const columns &k)
{
    columns_share t;
    uint32_t thread = threadIdx.x;
    t.vector = (int32_t)(blockIdx.y * k.columns.by + take_rest(&thread, k.columns));
    t.line = (int32_t)thread;
    const uint32_t row = blockIdx.x * (uint32_t)k.lines + thread;
    t.first = row * (uint32_t)k.vectors + (uint32_t)t.vector;
    const bool idle = t.line >= k.lines || t.vector >= k.vectors;
    t.count = idle ? 0 : (int32_t)(k.rounds + (row < k.rest));
    return t;
}

/* How many rows of the matrix are in slice `slice`. */
static __device__ __forceinline__ uint32_t columns_slice_rows(const columns &k, uint32_t slice)
{
    const uint32_t lines = (uint32_t)k.lines, before = slice * lines;
    return k.rounds * lines + (k.rest > before ? min(k.rest - before, lines) : 0);
}

/* The place, in packs, of row number `i` of the thread's. In 32 bits, which hold all of an activation's: 64 would cost
 * registers. */
static __device__ __forceinline__ uint32_t columns_at(const columns &k, const columns_share &t, int32_t i)
{
    return t.first + (uint32_t)i * k.stride;
}

/* ---- sums over a block ---- */

/* Channels of a block that sums; each belongs to the thread of its number. */
static __device__ __forceinline__ int32_t columns_width(const columns &k)
{
    return (int32_t)k.columns.by * CUDA_CHANNELS;
}

/* The thread's own channel, which may be padding; -1: it has none. */
static __device__ __forceinline__ int32_t columns_owned(const columns &k)
{
    const int32_t thread = (int32_t)threadIdx.x, channel = (int32_t)blockIdx.y * columns_width(k) + thread;
    return thread < columns_width(k) && channel < k.vectors * CUDA_CHANNELS ? channel : -1;
}

/* Adds `COUNT` packs over the lines of each warp. All threads of the block call it, which then have what columns_total
 * gives. */
template <int COUNT>
static __device__ __forceinline__ void columns_add_lines(const columns &k, const pack *sums, float *shared)
{
    const int32_t warp = (int32_t)threadIdx.x / WARP, lane = (int32_t)threadIdx.x % WARP;
    for (int which = 0; which < COUNT; which++) {
        const float sum = warp_sum_packs(sums[which], (int)k.columns.by);
        uint32_t channel = (uint32_t)lane;
        const uint32_t column = take_rest(&channel, k.columns);
        if (lane < columns_width(k)) /* the others have the same sums again */
            shared[(warp * COUNT + which) * columns_width(k) + (int32_t)(column * CUDA_CHANNELS + channel)] =
                sum;
    }
    __syncthreads();
}

/* Sum number `which` over the block, of the thread's own channel. */
template <int COUNT>
static __device__ __forceinline__ float columns_total(const columns &k, const float *shared, int which)
{
    float sum = 0.0f;
    LAUNCH_UNROLLED
    for (int32_t warp = 0; warp < (int32_t)blockDim.x / WARP; warp++)
        sum += shared[(warp * COUNT + which) * columns_width(k) + (int32_t)threadIdx.x];
    return sum;
}

/* ---- sums over slices ---- */

/* Place of channel `channel` of partial result `which` of a slice. */
static __device__ __forceinline__ size_t columns_partial(const columns &k, int32_t count, uint32_t slice,
                                                         int32_t which, int32_t channel)
{
    return ((size_t)slice * (size_t)count + (size_t)which) * (size_t)(k.vectors * CUDA_CHANNELS) +
           (size_t)channel;
}

/* True, for all threads, in the last block of the column group to get here: it sees the partial results of all. */
static __device__ __forceinline__ bool columns_last(const columns &k, unsigned *tickets)
{
    if (k.slices > 1)
        return last_block(&tickets[blockIdx.y], (unsigned)k.slices);
    __syncthreads();
    return true;
}

/* In the last block: partial results of all slices, as columns_add_lines leaves them. */
template <int COUNT>
static __device__ __forceinline__ void columns_add_slices(const columns &k, const columns_share &t,
                                                          const float *partial, float *shared)
{
    pack sums[COUNT];
    for (int32_t which = 0; which < COUNT; which++)
        sums[which] = pack_of(0.0f);
    if (t.vector < k.vectors) {
        LAUNCH_UNROLLED
        for (int32_t slice = t.line; slice < k.slices; slice += k.lines)
            for (int32_t which = 0; which < COUNT; which++) {
                const size_t at = columns_partial(k, COUNT, (uint32_t)slice, which, t.vector * CUDA_CHANNELS);
                const pack p = load(partial, at / CUDA_CHANNELS);
                for (int j = 0; j < CUDA_CHANNELS; j++)
                    sums[which].v[j] += p.v[j];
            }
    }
    columns_add_lines<COUNT>(k, sums, shared);
}

#endif

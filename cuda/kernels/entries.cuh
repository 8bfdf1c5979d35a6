/* One launch over many tensors: the work of all is numbered through, and each entry of a table in device memory says
 * where its own begins. And what kernels over weights share: packs of a master, and of the gradient behind it. */
#ifndef NASRUN_CUDA_KERNELS_ENTRIES_CUH
#define NASRUN_CUDA_KERNELS_ENTRIES_CUH

#include "cuda/kernels/pack.cuh"

/* The last entry that begins at or before `item`; entries begin in rising order, the first at 0. Of several that begin
 * there all but the last are empty. */
template <class E>
static __device__ __forceinline__ int32_t entry_of(int32_t count, const E *entries, uint64_t E::*begin,
                                                   uint64_t item)
{
    int32_t low = 0, high = count;
    while (high - low > 1) {
        const int32_t middle = (low + high) / 2;
        if (entries[middle].*begin <= item)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Whether elements within .. within + 7 of the master are a pack of its copy, too. */
static __device__ __forceinline__ bool is_copied_pack(const cuda_weight &w, uint64_t within)
{
    return w.depth == w.in && w.blocks == 1 && within + CUDA_CHANNELS <= w.count;
}

/* Where they stand in the copy; what is beyond the master's end has no place. */
struct copy_places {
    uint32_t at[CUDA_CHANNELS];
};

static __device__ __forceinline__ copy_places places_of(const cuda_weight &w, uint32_t within)
{
    const uint32_t in = (uint32_t)w.in, depth = (uint32_t)w.depth, taps = (uint32_t)w.taps,
                   rows = (uint32_t)(w.out / w.blocks); /* of a block */
    const uint32_t pixel = within / in, row = pixel / taps, block = row / rows;
    uint32_t channel = within - pixel * in, tap = pixel - row * taps, block_row = row - block * rows;
    uint32_t place = pixel * depth + block * in + channel;
    copy_places p;
    for (int j = 0; j < CUDA_CHANNELS; j++) {
        p.at[j] = place;
        const bool next_pixel = channel + 1 == in, next_row = next_pixel && tap + 1 == taps,
                   next_block = next_row && block_row + 1 == rows;
        place += 1 + (next_pixel ? depth - in : 0) + (next_block ? in : 0);
        channel = next_pixel ? 0 : channel + 1;
        tap = next_row ? 0 : tap + next_pixel;
        block_row = next_block ? 0 : block_row + next_row;
    }
    return p;
}

/* Elements within .. within + 7 of a kernel's gradient, in the master's order; zeros beyond its end. */
template <class T>
static __device__ __forceinline__ pack load_gradient(const cuda_weight &w, uint64_t within, const T *gradient)
{
    if (is_copied_pack(w, within))
        return load(gradient, within / CUDA_CHANNELS);
    const copy_places places = places_of(w, (uint32_t)within);
    T read[CUDA_CHANNELS];
    pack p;
    for (int j = 0; j < CUDA_CHANNELS; j++)
        read[j] = within + (uint64_t)j < w.count ? gradient[places.at[j]] : T(0.0f);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        p.v[j] = to_float(read[j]);
    return p;
}

/* Into a kernel's copy. */
template <class T>
static __device__ __forceinline__ void store_copy(const cuda_weight &w, uint64_t within, T *copy,
                                                  const pack &values)
{
    if (is_copied_pack(w, within)) {
        store(copy, within / CUDA_CHANNELS, values);
        return;
    }
    const copy_places p = places_of(w, (uint32_t)within);
    for (int j = 0; j < CUDA_CHANNELS; j++)
        if (within + (uint64_t)j < w.count)
            from_float(values.v[j], &copy[p.at[j]]);
}

/* The same, of the type that this kernel's gradient has. */
template <class T>
static __device__ __forceinline__ pack kernel_gradient(const cuda_weight &w, uint64_t within,
                                                       const void *kernel_gradients)
{
    const char *gradient = (const char *)kernel_gradients + w.gradient;
    return w.wide ? load_gradient(w, within, (const float *)gradient)
                  : load_gradient(w, within, (const T *)gradient);
}

#endif

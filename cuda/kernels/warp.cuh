/* Sums within a warp, by shuffles: no shared memory, no barrier. All lanes of a warp call them together. */
#ifndef NASRUN_CUDA_KERNELS_WARP_CUH
#define NASRUN_CUDA_KERNELS_WARP_CUH

#include "cuda/kernels/pack.cuh"

enum { WARP = 32 };

#define WHOLE_WARP 0xffffffffu

/* float or double; all lanes get the sum. */
template <class T> static __device__ __forceinline__ T warp_sum(T v)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        v += __shfl_xor_sync(WHOLE_WARP, v, step);
    return v;
}

/* Packs that lie side by side in a warp whose packs are added up: as many as give every lane a channel, fewer of an
 * activation that has fewer. */
enum { WARP_PACKS = WARP / CUDA_CHANNELS };

static inline int32_t warp_packs(int32_t channels)
{
    int32_t packs = 1;
    while (packs < WARP_PACKS && packs * CUDA_CHANNELS < channels)
        packs *= 2;
    return packs;
}

/* Lanes `packs` (1, 2 or 4) apart hold the same eight channels. Each lane gets the sum of one: number lane / packs % 8
 * of its pack. In each step a lane gives away half of the sums that it has, for half of another's: 7 shuffles where 24
 * would give every lane everything. */
static __device__ __forceinline__ float warp_sum_packs(pack p, int packs)
{
    const int lane = (int)threadIdx.x % WARP;
    for (int half = CUDA_CHANNELS / 2; half > 0; half /= 2) {
        const int step = packs * half;
        const bool upper = lane & step;
        for (int j = 0; j < half; j++) {
            const float given = upper ? p.v[j] : p.v[j + half], kept = upper ? p.v[j + half] : p.v[j];
            p.v[j] = kept + __shfl_xor_sync(WHOLE_WARP, given, step);
        }
    }
    for (int step = packs * CUDA_CHANNELS; step < WARP; step *= 2)
        p.v[0] += __shfl_xor_sync(WHOLE_WARP, p.v[0], step);
    return p.v[0];
}

#endif

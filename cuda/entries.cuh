/* One launch over many tensors: the work of all is numbered through, and each entry of a table in device
 * memory says where its own begins. */
#ifndef NASRUN_CUDA_ENTRIES_CUH
#define NASRUN_CUDA_ENTRIES_CUH

#include "cuda/kernels.h"
#include "cuda/launch.h"

/* The last entry that begins at or before `item`; entries begin in rising order, the first at 0. */
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

#endif

/* Drop path, in both directions: one pack of eight channels a thread, the grid's stride. A draw a pack: no more than
 * what DRAM takes for one. */
#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/pack.cuh"
#include "host/device/drop_path.h"

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    drop_path_both(uint32_t packs, divisor image, const __grid_constant__ cuda_dropout a)
{
    const cuda_step *step = a.step;
    const float rate = a.rate * step->drop_path;
    LAUNCH_FOR(uint32_t, i, packs)
    {
        const float factor =
            drop_path_factor(step->seed, step->number, step->row + divided(i, image), a.layer_id, rate);
        pack p = load((const T *)a.x, i);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            p.v[j] *= factor;
        store((T *)a.y, i, p);
    }
}

cudaError_t cuda_launch_drop_path(cudaStream_t stream, enum cuda_type type,
                                  const struct cuda_dropout *drop_path)
{
    const struct cuda_shape s = drop_path->shape;
    const size_t packs = cuda_shape_count(s) / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        LAUNCH(drop_path_both<decltype(zero)>, launch_blocks(packs), LAUNCH_THREADS, 0, stream,
               (uint32_t)packs, divisor_of((int64_t)(packs / (size_t)s.n)), *drop_path);
        return cudaGetLastError();
    });
}

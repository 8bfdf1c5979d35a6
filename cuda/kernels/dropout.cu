/* Dropout, in both directions: one pack of eight channels a thread, the grid's stride. Bound by its draws. */
#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/pack.cuh"

/* The draw for element e is shared by the elements 4 * (e / 4) .. + 3 in N,C,H,W order; neighbouring channels
 * share it only where h = w = 1, so the last one is kept. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    dropout_both(uint32_t packs, divisor vectors, divisor plane, const __grid_constant__ cuda_dropout a)
{
    const T *x = (const T *)a.x;
    T *y = (T *)a.y;
    const uint64_t seed = a.step->seed, number = (uint64_t)a.step->number << 24, row = a.step->row;
    const uint32_t layer_id = a.layer_id;
    const int32_t channels = a.shape.c;
    const float kept_share = 1.0f - a.rate;
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t rest = i;
        const uint32_t vector = take_rest(&rest, vectors), pixel = take_rest(&rest, plane);
        const uint64_t image = row + rest;
        pack p = load(x, i);
        uint64_t drawn = ~(uint64_t)0;
        random4 draw = {{0, 0, 0, 0}};
        for (int j = 0; j < CUDA_CHANNELS; j++) {
            const int32_t c = (int32_t)vector * CUDA_CHANNELS + j;
            if (c >= channels)
                break; /* padding: zero, and stays so */
            const uint64_t e = (image * (uint64_t)channels + (uint64_t)c) * plane.by + pixel;
            if (e / 4 != drawn) {
                drawn = e / 4;
                draw = random_draw(seed, RANDOM_DROPOUT, number | drawn, layer_id);
            }
            /* No index into the draw that is known only at run time: it would live in memory. */
            const uint32_t low = e & 1 ? draw.v[1] : draw.v[0], high = e & 1 ? draw.v[3] : draw.v[2];
            p.v[j] = random_unit(e & 2 ? high : low) >= a.rate ? p.v[j] / kept_share : 0.0f;
        }
        store(y, i, p);
    }
}

cudaError_t cuda_launch_dropout(cudaStream_t stream, enum cuda_type type, const struct cuda_dropout *dropout)
{
    const struct cuda_shape s = dropout->shape;
    const size_t packs = cuda_shape_count(s) / CUDA_CHANNELS;
    return with_type(type, [&](auto zero) {
        LAUNCH(dropout_both<decltype(zero)>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, (uint32_t)packs,
               divisor_of(cuda_padded(s.c) / CUDA_CHANNELS), divisor_of((int64_t)s.h * s.w), *dropout);
        return cudaGetLastError();
    });
}

/* Batch gather: images of a batch from resident bytes to normalised, augmented NHWC with eight channels. A
 * block takes a part of one image; its first thread finds out which image and draws the augmentation for all.
 * A thread makes a pixel: neighbours read neighbouring bytes of each plane and write 16 bytes (bf16) each.
 * Bound by the draws' latency (some microseconds) for small images, then by DRAM. */
#include "cuda/kernels/pack.cuh"

void cuda_gather_levels(int32_t channels, const float *mean, const float *deviation, float *levels)
{
    for (int32_t c = 0; c < channels; c++)
        for (int32_t v = 0; v < 256; v++)
            levels[c * 256 + v] = (float)((v / 255.0 - (double)mean[c]) / (double)deviation[c]);
}

/* The grid is rows x parts of an image. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    gather_images(const __grid_constant__ cuda_gather g, const cuda_step *__restrict__ step,
                  T *__restrict__ images, int32_t *__restrict__ labels)
{
    __shared__ augment_draw draw;
    __shared__ int32_t sample;
    const uint32_t row = blockIdx.x;
    if (threadIdx.x == 0) {
        const uint32_t position =
            gather_position(step->seed, step->epoch, step->first, row < (uint32_t)step->valid ? row : 0,
                            (uint32_t)g.sample_count, g.shuffled);
        sample = g.samples[position];
        draw = augment_look(
            augment_sample(g.augment, step->seed, step->epoch, (uint32_t)sample, g.height, g.width),
            step->view);
        if (blockIdx.y == 0)
            labels[row] = g.labels[sample];
    }
    __syncthreads();
    const int32_t plane = g.height * g.width;
    const uint8_t *from = g.pixels + (size_t)sample * (size_t)g.channels * (size_t)plane;
    for (int32_t i = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x); i < plane;
         i += (int32_t)(gridDim.y * blockDim.x)) {
        const int32_t y = i / g.width, x = i % g.width;
        const int32_t column = draw.mirrored ? g.width - 1 - x : x;
        const int32_t at = augment_reflect(y + draw.shift_y, g.height) * g.width +
                           augment_reflect(column + draw.shift_x, g.width);
        const bool cut = y >= draw.cut_top && y < draw.cut_top + draw.cut_side && x >= draw.cut_left &&
                         x < draw.cut_left + draw.cut_side;
        pack p = pack_of(0.0f);
        for (int c = 0; c < CUDA_CHANNELS; c++)
            if (c < g.channels && !cut)
                p.v[c] = g.levels[c * 256 + from[(size_t)c * (size_t)plane + (size_t)at]];
        store(images, (size_t)row * (size_t)plane + (size_t)i, p);
    }
}

cudaError_t cuda_launch_gather(cudaStream_t stream, enum cuda_type type, const struct cuda_gather *gather)
{
    /* About four pixels a thread, so that the draws are not made too often. */
    const unsigned plane = (unsigned)(gather->height * gather->width), most = LAUNCH_THREADS * 4u;
    const dim3 grid((unsigned)gather->rows, (plane + most - 1) / most);
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(gather_images<T>, grid, LAUNCH_THREADS, 0, stream, *gather, gather->step, (T *)gather->image,
               gather->image_labels);
        return cudaGetLastError();
    });
}

/* Batch gather: images of a batch from resident bytes to normalised, augmented NHWC with eight channels. A
 * block takes a part of one image; its first thread finds out which image and draws the augmentation for all.
 * A thread makes a pixel (of several, where images are made smaller): neighbours read neighbouring bytes of each
 * plane and write 16 bytes (bf16) each.
 * Bound by the draws' latency (some microseconds) for small images, then by DRAM. */
#include "cuda/kernels/pack.cuh"

void cuda_gather_levels(int32_t channels, const float *mean, const float *deviation, float *levels)
{
    for (int32_t c = 0; c < channels; c++)
        for (int32_t v = 0; v < 256; v++)
            levels[c * 256 + v] = (float)((v / 255.0 - (double)mean[c]) / (double)deviation[c]);
}

/* Adds `weight` times pixel (y, x) of the augmented image in its own size. */
static __device__ void add_pixel(const cuda_gather &g, const augment_draw &draw, const uint8_t *from,
                                 int32_t y, int32_t x, float weight, pack *sum)
{
    const int32_t column = draw.mirrored ? g.width - 1 - x : x;
    const int32_t at = augment_reflect(y + draw.shift_y, g.height) * g.width +
                       augment_reflect(column + draw.shift_x, g.width);
    if (augment_is_cut(y, draw.cut_top, draw.cut_side) && augment_is_cut(x, draw.cut_left, draw.cut_side))
        return;
    for (int c = 0; c < CUDA_CHANNELS; c++)
        if (c < g.channels)
            sum->v[c] +=
                weight * g.levels[c * 256 + from[(size_t)c * (size_t)(g.height * g.width) + (size_t)at]];
}

/* The mean over the area of the result's pixel (y, x); where the result is as large as the image, its pixel itself. */
static __device__ pack area_mean(const cuda_gather &g, const augment_draw &draw, const uint8_t *from,
                                 int32_t y, int32_t x)
{
    pack p = pack_of(0.0f);
    if (g.made_height == g.height && g.made_width == g.width) {
        add_pixel(g, draw, from, y, x, 1.0f, &p);
        return p;
    }
    for (int32_t v = augment_area_first(y, g.height, g.made_height);
         v < augment_area_end(y, g.height, g.made_height); v++) {
        const float part = (float)augment_area_part(y, v, g.height, g.made_height);
        for (int32_t u = augment_area_first(x, g.width, g.made_width);
             u < augment_area_end(x, g.width, g.made_width); u++)
            add_pixel(g, draw, from, v, u, part * (float)augment_area_part(x, u, g.width, g.made_width), &p);
    }
    const float area = 1.0f / ((float)g.height * (float)g.width);
    for (int c = 0; c < CUDA_CHANNELS; c++)
        p.v[c] *= area;
    return p;
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
    const int32_t plane = g.made_height * g.made_width;
    const uint8_t *from = g.pixels + (size_t)sample * (size_t)g.channels * (size_t)(g.height * g.width);
    for (int32_t i = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x); i < plane;
         i += (int32_t)(gridDim.y * blockDim.x))
        store(images, (size_t)row * (size_t)plane + (size_t)i,
              area_mean(g, draw, from, i / g.made_width, i % g.made_width));
}

cudaError_t cuda_launch_gather(cudaStream_t stream, enum cuda_type type, const struct cuda_gather *gather)
{
    /* About four pixels a thread, so that the draws are not made too often. */
    const unsigned plane = (unsigned)(gather->made_height * gather->made_width), most = LAUNCH_THREADS * 4u;
    const dim3 grid((unsigned)gather->rows, (plane + most - 1) / most);
    return with_type(type, [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(gather_images<T>, grid, LAUNCH_THREADS, 0, stream, *gather, gather->step, (T *)gather->image,
               gather->image_labels);
        return cudaGetLastError();
    });
}

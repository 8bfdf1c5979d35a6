/* What pooling over windows shares, in both directions: which pixels a window covers, which windows a pixel lies in, and where
 * packs are. */
#ifndef NASRUN_CUDA_KERNELS_WINDOW_CUH
#define NASRUN_CUDA_KERNELS_WINDOW_CUH

#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/pack.cuh"

/* Rows or columns [begin, end) of the image under window `i`. */
struct span {
    int32_t begin, end;
};

static __device__ __forceinline__ span window_span(int32_t i, int32_t kernel, int32_t stride, int32_t pad,
                                                   int32_t size)
{
    const int32_t corner = i * stride - pad;
    return span{max(corner, 0), min(corner + kernel, size)};
}

/* Windows [begin, end) over row or column `i` of the image. */
static __device__ __forceinline__ span windows_over(int32_t i, int32_t kernel, const divisor &stride,
                                                    int32_t pad, int32_t windows)
{
    const int32_t last = i + pad, before = last - kernel; /* corners, counted from the padding's edge */
    return span{before < 0 ? 0 : (int32_t)divided((uint32_t)before, stride) + 1,
                min((int32_t)divided((uint32_t)last, stride) + 1, windows)};
}

/* How packs of an activation are numbered. In 32 bits: 64 would cost registers that the windows need. */
struct numbering {
    uint32_t packs;
    divisor vectors, w, h;
};

static inline numbering numbering_of(struct cuda_shape s)
{
    const int32_t vectors = cuda_padded(s.c) / CUDA_CHANNELS;
    return numbering{(uint32_t)(cuda_shape_count(s) / CUDA_CHANNELS), divisor_of(vectors), divisor_of(s.w),
                     divisor_of(s.h)};
}

/* Where a pack lies. */
struct pack_place {
    int32_t image, y, x, vector;
};

static __device__ __forceinline__ pack_place place_of(uint32_t i, const numbering &n)
{
    pack_place p;
    p.vector = (int32_t)take_rest(&i, n.vectors);
    p.x = (int32_t)take_rest(&i, n.w);
    p.y = (int32_t)take_rest(&i, n.h);
    p.image = (int32_t)i;
    return p;
}

/* Number of the pack at (y, x) of the same image and channels. */
static __device__ __forceinline__ uint32_t pack_at(const pack_place &p, cuda_shape s, uint32_t vectors,
                                                   int32_t y, int32_t x)
{
    return (((uint32_t)p.image * (uint32_t)s.h + (uint32_t)y) * (uint32_t)s.w + (uint32_t)x) * vectors +
           (uint32_t)p.vector;
}

#endif

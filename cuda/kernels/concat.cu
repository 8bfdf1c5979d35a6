/* Concat and split: joining along the channels, and its adjoint. One pack of the result a thread. A pack that
 * lies in one part at a multiple of eight channels is copied whole, others channel by channel. Bound by DRAM.
 */
#include "cuda/kernels/divide.cuh"
#include "cuda/kernels/pack.cuh"

/* part[i] holds channels first[i] .. first[i + 1] - 1 of the whole. */
template <class P> struct parts {
    P *part[CUDA_MAX_PARTS];
    divisor vectors[CUDA_MAX_PARTS]; /* packs of a pixel of each */
    int32_t first[CUDA_MAX_PARTS + 1];
    int32_t count;
};

template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    join_parts(uint32_t packs, divisor vectors, const __grid_constant__ parts<const T> parts,
               T *__restrict__ y)
{
    const int32_t channels = parts.first[parts.count];
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t at = i;
        const int32_t c = (int32_t)take_rest(&at, vectors) * CUDA_CHANNELS;
        const size_t pixel = at;
        int32_t k = 0;
        while (c >= parts.first[k + 1])
            k++;
        const int32_t inside = c - parts.first[k], width = parts.first[k + 1] - parts.first[k];
        const size_t padded = (size_t)cuda_padded(width);
        if (inside % CUDA_CHANNELS == 0 && (inside + CUDA_CHANNELS <= width || k + 1 == parts.count)) {
            store(y, i, load(parts.part[k], (pixel * padded + (size_t)inside) / CUDA_CHANNELS));
            continue;
        }
        pack p = pack_of(0.0f);
        for (int j = 0; j < CUDA_CHANNELS; j++) {
            if (c + j < channels) {
                while (c + j >= parts.first[k + 1])
                    k++;
                const size_t part_padded = (size_t)cuda_padded(parts.first[k + 1] - parts.first[k]);
                p.v[j] = to_float(parts.part[k][pixel * part_padded + (size_t)(c + j - parts.first[k])]);
            }
        }
        store(y, i, p);
    }
}

/* blockIdx.y is the part. */
template <class T>
static __global__ void __launch_bounds__(LAUNCH_THREADS)
    split_parts(uint32_t pixels, const T *__restrict__ dy, const __grid_constant__ parts<T> parts)
{
    const int32_t k = (int32_t)blockIdx.y, first = parts.first[k], width = parts.first[k + 1] - first;
    const size_t padded = (size_t)cuda_padded(parts.first[parts.count]);
    const divisor vectors = parts.vectors[k];
    T *const dx = parts.part[k];
    const uint32_t packs = pixels * vectors.by;
    LAUNCH_FOR(uint32_t, i, packs)
    {
        uint32_t pixel = i;
        const int32_t c = (int32_t)take_rest(&pixel, vectors) * CUDA_CHANNELS;
        const size_t at = (size_t)pixel * padded + (size_t)(first + c);
        if (first % CUDA_CHANNELS == 0 && c + CUDA_CHANNELS <= width) {
            store(dx, i, load(dy, at / CUDA_CHANNELS));
            continue;
        }
        pack p = pack_of(0.0f);
        for (int j = 0; j < CUDA_CHANNELS; j++)
            if (c + j < width)
                p.v[j] = to_float(dy[at + (size_t)j]);
        store(dx, i, p);
    }
}

template <class P> static parts<P> parts_of(int32_t count, const int32_t *channels)
{
    parts<P> made = {};
    made.count = count;
    for (int32_t k = 0; k < count; k++) {
        made.first[k + 1] = made.first[k] + channels[k];
        made.vectors[k] = divisor_of(cuda_padded(channels[k]) / CUDA_CHANNELS);
    }
    return made;
}

template <class T> static cudaError_t launch_concat(cudaStream_t stream, const cuda_concat &concat)
{
    parts<const T> parts = parts_of<const T>(concat.count, concat.channels);
    for (int32_t k = 0; k < concat.count; k++)
        parts.part[k] = (const T *)concat.x[k];
    const size_t packs = cuda_shape_count(concat.whole) / CUDA_CHANNELS;
    LAUNCH(join_parts<T>, launch_blocks(packs), LAUNCH_THREADS, 0, stream, (uint32_t)packs,
           divisor_of(cuda_padded(concat.whole.c) / CUDA_CHANNELS), parts, (T *)concat.y);
    return cudaGetLastError();
}

cudaError_t cuda_launch_concat(cudaStream_t stream, enum cuda_type type, const struct cuda_concat *concat)
{
    return with_type(type, [&](auto zero) { return launch_concat<decltype(zero)>(stream, *concat); });
}

template <class T> static cudaError_t launch_split(cudaStream_t stream, const cuda_split &split)
{
    parts<T> parts = parts_of<T>(split.count, split.channels);
    for (int32_t k = 0; k < split.count; k++)
        parts.part[k] = (T *)split.dx[k];
    const size_t elements = cuda_shape_count(split.whole);
    const dim3 grid(launch_blocks(elements / CUDA_CHANNELS / (size_t)split.count), (unsigned)split.count);
    LAUNCH(split_parts<T>, grid, LAUNCH_THREADS, 0, stream,
           (uint32_t)(elements / (size_t)cuda_padded(split.whole.c)), (const T *)split.dy, parts);
    return cudaGetLastError();
}

cudaError_t cuda_launch_split(cudaStream_t stream, enum cuda_type type, const struct cuda_split *split)
{
    return with_type(type, [&](auto zero) { return launch_split<decltype(zero)>(stream, *split); });
}

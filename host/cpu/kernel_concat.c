/* Concat and split along channels. In bf16 all channels of a pixel lie side by side, and so do the parts in them; in
 * float32 both fill blocks of eight or sixteen lanes, each lane with a channel found elsewhere. */
#include "host/cpu/kernels.h"

enum { BLOCK_MAX = 16 };

/* ---- float32: block by block ---- */

static const float zero_pixel = 0.0f;

/* Where a lane's pixels come from: pixel i at from[i * step]. */
struct lane_source {
    const float *from;
    size_t step;
};

static void source_zero(struct lane_source *lane)
{
    lane->from = &zero_pixel;
    lane->step = 0;
}

/* Channel `channel` of image n of a tensor with `channels` channels at `x`. */
static void source_channel(struct lane_source *lane, const float *x, int32_t n, int32_t channels,
                           int32_t channel, size_t pixels, int32_t block)
{
    const int32_t blocks = (channels + block - 1) / block;
    const size_t plane = (size_t)(n * blocks + channel / block) * pixels * (size_t)block;
    lane->from = x + plane + (size_t)(channel % block);
    lane->step = (size_t)block;
}

/* Fills one plane. Lanes that lie in one block of the source side by side, in order and from its first on,
 * are a copy of that block. */
static void fill_plane(float *to, const struct lane_source *lanes, size_t pixels, int32_t block)
{
    bool whole = lanes[0].step != 0;
    for (int32_t l = 1; l < block && whole; l++)
        whole = lanes[l].step != 0 && lanes[l].from == lanes[0].from + l;
    if (whole) {
        memcpy(to, lanes[0].from, pixels * (size_t)block * sizeof(*to));
        return;
    }
    for (size_t i = 0; i < pixels; i++)
        for (int32_t l = 0; l < block; l++)
            to[i * (size_t)block + (size_t)l] = lanes[l].from[i * lanes[l].step];
}

/* Finds the tensor that holds channel `channel` of the joined one; returns its index and leaves the channel's
 * index in it in *inside. */
static int32_t find_part(const int32_t *channels, int32_t channel, int32_t *inside)
{
    int32_t part = 0;
    while (channel >= channels[part])
        channel -= channels[part++];
    *inside = channel;
    return part;
}

static void concat_blocks(struct cpu_shape s, int32_t count, const int32_t *channels, const void *const *x,
                          float *y)
{
    const int32_t blocks = cpu_shape_blocks(s), planes = s.n * blocks;
    const size_t pixels = (size_t)s.h * (size_t)s.w;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        struct lane_source lanes[BLOCK_MAX];
        for (int32_t l = 0; l < s.block; l++) {
            const int32_t channel = p % blocks * s.block + l;
            int32_t inside;
            if (channel < s.c) {
                const int32_t part = find_part(channels, channel, &inside);
                source_channel(&lanes[l], x[part], p / blocks, channels[part], inside, pixels, s.block);
            } else if (s.c % s.block == channels[count - 1] % s.block) {
                /* The last input ends at the same lane, so its own padding zeros serve. */
                lanes[l].from = lanes[l - 1].from + 1;
                lanes[l].step = (size_t)s.block;
            } else {
                source_zero(&lanes[l]);
            }
        }
        fill_plane(y + (size_t)p * pixels * (size_t)s.block, lanes, pixels, s.block);
    }
}

static void split_blocks(struct cpu_shape s, int32_t count, const int32_t *channels, const float *dy,
                         void *const *dx)
{
    const size_t pixels = (size_t)s.h * (size_t)s.w;
    int32_t first = 0; /* of the part, in dy */
    for (int32_t part = 0; part < count; first += channels[part++]) {
        const int32_t blocks = (channels[part] + s.block - 1) / s.block, planes = s.n * blocks;
        const int32_t begin = first;
#pragma omp parallel for schedule(static)
        for (int32_t p = 0; p < planes; p++) {
            struct lane_source lanes[BLOCK_MAX];
            for (int32_t l = 0; l < s.block; l++) {
                const int32_t inside = p % blocks * s.block + l;
                if (inside < channels[part])
                    source_channel(&lanes[l], dy, p / blocks, s.c, begin + inside, pixels, s.block);
                else
                    source_zero(&lanes[l]);
            }
            fill_plane((float *)dx[part] + (size_t)p * pixels * (size_t)s.block, lanes, pixels, s.block);
        }
    }
}

/* ---- bf16: pixel by pixel ---- */

/* Values between pixels of a part. */
static size_t part_stride(int32_t channels)
{
    return ((size_t)channels + BLOCK_MAX - 1) / BLOCK_MAX * BLOCK_MAX;
}

static void concat_pixels(struct cpu_shape s, int32_t count, const int32_t *channels, const void *const *x,
                          uint16_t *y)
{
    const size_t pixels = (size_t)s.n * (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < pixels; i++) {
        uint16_t *to = y + i * block;
        for (int32_t part = 0; part < count; to += channels[part++])
            memcpy(to, (const uint16_t *)x[part] + i * part_stride(channels[part]),
                   (size_t)channels[part] * sizeof(*to));
        memset(to, 0, (block - (size_t)s.c) * sizeof(*to));
    }
}

static void split_pixels(struct cpu_shape s, int32_t count, const int32_t *channels, const uint16_t *dy,
                         void *const *dx)
{
    const size_t pixels = (size_t)s.n * (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < pixels; i++) {
        const uint16_t *from = dy + i * block;
        for (int32_t part = 0; part < count; from += channels[part++]) {
            const size_t there = (size_t)channels[part], stride = part_stride(channels[part]);
            uint16_t *to = (uint16_t *)dx[part] + i * stride;
            memcpy(to, from, there * sizeof(*to));
            memset(to + there, 0, (stride - there) * sizeof(*to));
        }
    }
}

void cpu_kernel_concat(struct cpu_shape s, int32_t count, const int32_t *channels, const void *const *x,
                       void *y)
{
    if (s.type == CPU_BF16)
        concat_pixels(s, count, channels, x, y);
    else
        concat_blocks(s, count, channels, x, y);
}

void cpu_kernel_split(struct cpu_shape s, int32_t count, const int32_t *channels, const void *dy,
                      void *const *dx)
{
    if (s.type == CPU_BF16)
        split_pixels(s, count, channels, dy, dx);
    else
        split_blocks(s, count, channels, dy, dx);
}

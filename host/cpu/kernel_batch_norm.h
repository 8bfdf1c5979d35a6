/* What batch norm's two directions share: how they walk a tensor, and their sums.
 *
 * Both are two passes over the tensor: sums, then values; between them the sums are joined channel by channel, always
 * in the same order. The second pass walks backwards: what the first one touched last is still in the cache. */
#ifndef NASRUN_CPU_KERNEL_BATCH_NORM_H
#define NASRUN_CPU_KERNEL_BATCH_NORM_H

#include "host/cpu/kernel_lanes.h"

enum {
    GROUP_MAX = 16,         /* channels that are done at once */
    RUN_PIXELS_FLOAT = 128, /* summed in float, then joined in double */
    RUN_PIXELS_BF16 = 32,   /* fewer: the pixels of all groups are to stay in the first cache */
    VALUES_PIXELS_BF16 = 8, /* the same for the pass that writes, which keeps no sums */
};

/* A tensor is cut into parts, each of which one thread does alone: planes in float32, in bf16 some pixels with all
 * their channels. The channels of a part are cut into groups. */
struct norm_walk {
    enum cpu_type type;
    size_t pixels,
        part_pixels; /* of the tensor, or in float32 of a plane; of a part, but the last one may have fewer */
    size_t block;    /* values from a pixel of a part to the next */
    int32_t parts, part_groups; /* all parts have as many groups */
    int32_t groups, width;      /* of all channels; channels of a group: 8 or 16 */
    int32_t repeats;            /* parts with the same channels */
};

/* Two sums per channel of one group in one part. Forward: of x and of x * x. Backward: of dy and of dy * (x - mean).
 * The ones of a part's groups lie together, part after part. Channels stand in the order of LANES_LOAD16, here as in
 * struct norm_values. */
struct norm_sums {
    _Alignas(64) double first[GROUP_MAX], second[GROUP_MAX];
    float pilot[GROUP_MAX]; /* forward: what is subtracted from x before it is summed */
};

/* What pass two needs of a group, padded with zeros. */
struct norm_values {
    _Alignas(64) float mean[GROUP_MAX], scale[GROUP_MAX], shift[GROUP_MAX], slope[GROUP_MAX];
};

struct norm_walk norm_walk_of(struct cpu_shape s);

/* Scratch of the size that cpu_kernel_batch_norm_scratch() tells: values of all groups, then sums of all parts. */
static inline struct norm_values *norm_scratch_values(void *scratch)
{
    return scratch;
}
static inline struct norm_sums *norm_scratch_sums(const struct norm_walk *walk, void *scratch)
{
    return (struct norm_sums *)(norm_scratch_values(scratch) + walk->groups);
}

/* A part's first value in the tensor, its pixels, and its first group of all. */
static inline size_t norm_part_first(const struct norm_walk *walk, int32_t part)
{
    return (size_t)part * walk->part_pixels * walk->block;
}
static inline size_t norm_part_pixels(const struct norm_walk *walk, int32_t part)
{
    if (walk->type == CPU_FLOAT)
        return walk->part_pixels;
    const size_t begin = (size_t)part * walk->part_pixels;
    return walk->pixels - begin < walk->part_pixels ? walk->pixels - begin : walk->part_pixels;
}
static inline int32_t norm_part_group(const struct norm_walk *walk, int32_t part)
{
    return walk->part_groups == walk->groups ? 0 : part % walk->groups;
}

/* The sums of a group over all parts, in their order. */
struct norm_sums norm_join(const struct norm_walk *walk, const struct norm_sums *sums, int32_t group);

/* `pixels` pixels of a group as steps of sixteen values, `step` values from one to the next. In a group of eight a step
 * is two pixels, and half a step may be left. */
struct norm_strip {
    size_t steps, step;
    bool half;
};

CPU_INLINE struct norm_strip norm_strip_of(const struct norm_walk *walk, size_t pixels)
{
    if (walk->width == LANES)
        return (struct norm_strip){pixels / 2, 16, pixels % 2 != 0};
    return (struct norm_strip){pixels, walk->block, false};
}

/* Adds sixteen float sums into the group's doubles: in a group of eight both eights belong to the same channels. */
CPU_INLINE void norm_join_run(double *sums, const float *even, const float *odd, int32_t width)
{
    double *odd_sums = width == LANES ? sums : sums + LANES;
    for (int32_t lane = 0; lane < LANES; lane += LANES_HALF) {
        *(lanes_double *)(sums + lane) += LANES_WIDEN(even + lane);
        *(lanes_double *)(odd_sums + lane) += LANES_WIDEN(odd + lane);
    }
}

/* The channel that stands in a lane of a group. */
static inline int32_t norm_channel(const struct norm_walk *walk, int32_t group, int32_t lane)
{
    return group * walk->width + lanes_value(walk->type, lane);
}

/* Copies the group's of values[channels], zeros beyond. */
static inline void norm_load(float *out, const float *values, int32_t channels, const struct norm_walk *walk,
                             int32_t group)
{
    for (int32_t lane = 0; lane < GROUP_MAX; lane++) {
        const int32_t c = norm_channel(walk, group, lane);
        out[lane] = lane < walk->width && c < channels ? values[c] : 0.0f;
    }
}

#endif

/* Which sample a row of a batch is, how it is augmented and how it is made smaller: pure functions of seed, epoch and
 * position, shared by all devices (this header is compiled for the host and for CUDA devices alike). */
#ifndef NASRUN_DEVICE_AUGMENT_H
#define NASRUN_DEVICE_AUGMENT_H

#include "host/base/random.h"

#include <stdbool.h>

struct augment {
    /* shifts by -translate .. translate pixels in both directions; what comes in is the edge reflected (without
     * repeating the edge pixel) */
    int32_t translate;
    int32_t flip; /* 1: mirrored left to right in every second epoch; which half begins is drawn per sample
                          (alternating flip, Jordan 2024) */
    /* side of a square set to the mean (0 after normalisation), clipped by the border; 0: none */
    int32_t cutout;
};

/* What was drawn for one sample in one epoch. */
struct augment_draw {
    int32_t shift_y, shift_x; /* pixel (y, x) of the result reads (y + shift_y, x + shift_x), reflected */
    int32_t mirrored;         /* then column x reads width - 1 - x (applied before the shift is looked up) */
    int32_t cut_top, cut_left, cut_side; /* square in the result; side 0: none */
};

/* How an image is looked at, whatever is drawn: fields as those of struct augment_draw. All zero: as it is. */
struct augment_view {
    int32_t shift_y, shift_x, mirrored;
};

/* `sample`: the image's index in the dataset. */
RANDOM_INLINE struct augment_draw augment_sample(struct augment a, uint64_t seed, uint32_t epoch,
                                                 uint32_t sample, int32_t height, int32_t width)
{
    struct augment_draw d = {0, 0, 0, 0, 0, 0};
    struct random4 r = random_draw(seed, RANDOM_AUGMENT, ((uint64_t)epoch << 32) | sample, 0);
    if (a.translate > 0) {
        uint32_t span = 2 * (uint32_t)a.translate + 1;
        d.shift_y = (int32_t)random_below(r.v[0], span) - a.translate;
        d.shift_x = (int32_t)random_below(r.v[1], span) - a.translate;
    }
    if (a.flip) {
        struct random4 first = random_draw(seed, RANDOM_AUGMENT, sample, 1);
        d.mirrored = (int32_t)((first.v[0] ^ epoch) & 1);
    }
    if (a.cutout > 0) {
        d.cut_side = a.cutout;
        d.cut_top = (int32_t)random_below(r.v[2], (uint32_t)height) - a.cutout / 2;
        d.cut_left = (int32_t)random_below(r.v[3], (uint32_t)width) - a.cutout / 2;
    }
    return d;
}

/* What was drawn, looked at that way. */
RANDOM_INLINE struct augment_draw augment_look(struct augment_draw d, struct augment_view view)
{
    d.shift_y += view.shift_y;
    d.shift_x += view.shift_x;
    d.mirrored ^= view.mirrored;
    return d;
}

/* Whether row or column `i` lies in the `side` from `first` on that are cut out. */
RANDOM_INLINE bool augment_is_cut(int32_t i, int32_t first, int32_t side)
{
    return i >= first && i < first + side;
}

/* Index `i` mirrored at the borders into [0, n): -1 -> 1, n -> n - 2. */
RANDOM_INLINE int32_t augment_reflect(int32_t i, int32_t n)
{
    if (n == 1)
        return 0;
    int32_t period = 2 * (n - 1);
    i %= period;
    if (i < 0)
        i += period;
    return i < n ? i : period - i;
}

/* A side of `from` pixels made one of `to`, which is not larger: pixel i of the result is the mean of the pixels from
 * augment_area_first() to before augment_area_end(), each counted by its augment_area_part(), the part of it that pixel
 * i covers, in units of 1 / to: they sum to `from`. */
RANDOM_INLINE int32_t augment_area_first(int32_t i, int32_t from, int32_t to)
{
    return i * from / to;
}

RANDOM_INLINE int32_t augment_area_end(int32_t i, int32_t from, int32_t to)
{
    return ((i + 1) * from + to - 1) / to;
}

RANDOM_INLINE int32_t augment_area_part(int32_t i, int32_t pixel, int32_t from, int32_t to)
{
    const int32_t low = pixel * to > i * from ? pixel * to : i * from;
    const int32_t high = (pixel + 1) * to < (i + 1) * from ? (pixel + 1) * to : (i + 1) * from;
    return high - low;
}

/* Position in the bound sample list that row `row` of the step reads. Shuffled: a new permutation each epoch. */
RANDOM_INLINE uint32_t gather_position(uint64_t seed, uint32_t epoch, uint32_t first, uint32_t row,
                                       uint32_t count, int32_t shuffled)
{
    uint32_t i = first + row;
    return shuffled ? random_permute(seed, epoch, i, count) : i;
}

#endif

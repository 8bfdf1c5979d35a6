/* Drop path (stochastic depth: Huang et al. 2016, arXiv 1603.09382; scheduled: Zoph et al. 2018, arXiv 1707.07012): the
 * branch of a residual block is left out for some images of a batch. Which ones is a pure function of seed, step, layer
 * and the image's place in the batch, shared by all devices, the host's and CUDA's. */
#ifndef NASRUN_DEVICE_DROP_PATH_H
#define NASRUN_DEVICE_DROP_PATH_H

#include "host/base/random.h"

/* What the branch of the image in row `row` of step `number` is multiplied by: 0 for a share `rate` of them, below 1;
 * else 1 / (1 - rate), so that its mean is as in inference. */
RANDOM_INLINE float drop_path_factor(uint64_t seed, uint32_t number, uint32_t row, uint32_t layer_id,
                                     float rate)
{
    const struct random4 draw = random_draw(seed, RANDOM_DROP_PATH, (uint64_t)number << 32 | row, layer_id);
    return random_unit(draw.v[0]) >= rate ? 1.0f / (1.0f - rate) : 0.0f;
}

#endif

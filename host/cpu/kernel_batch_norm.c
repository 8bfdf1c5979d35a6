/* Batch norm over blocked tensors: training, its gradient, inference; with ReLU and residual addition fused.
 *
 * Both directions of training are two passes over planes: sums, then values; between them the planes' sums
 * are joined channel by channel, always in the order of images. The second pass walks the planes backwards:
 * what the first pass touched last is still in the cache. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

#include <math.h>
#include <string.h>

enum {
    PILOT_PIXELS = 32, /* their mean is what a plane's sums are taken about */
    RUN_PIXELS = 128,  /* summed in float, then joined in double */
    BLOCK_MAX = 16,
};

/* Two sums per channel of one plane. Forward: of x and of x * x. Backward: of dy and of dy * (x - mean). */
struct plane_sums {
    _Alignas(64) double first[BLOCK_MAX], second[BLOCK_MAX];
};

/* What pass two needs of a channel block, padded with zeros. */
struct block_values {
    _Alignas(32) float mean[BLOCK_MAX], scale[BLOCK_MAX], shift[BLOCK_MAX], slope[BLOCK_MAX];
};

size_t cpu_kernel_batch_norm_scratch(struct cpu_shape s)
{
    return (size_t)s.n * (size_t)cpu_shape_blocks(s) * sizeof(struct plane_sums);
}

/* Copies channels first .. first + block - 1 of values[count], zeros beyond. */
static void load_block(float *out, const float *values, int32_t count, int32_t first, int32_t block)
{
    for (int32_t lane = 0; lane < BLOCK_MAX; lane++)
        out[lane] = lane < block && first + lane < count ? values[first + lane] : 0.0f;
}

/* Adds sixteen float sums into the block's doubles: with a block of 8 both eights belong to the same
 * channels. */
CPU_INLINE void join_run(double *sums, const float *even, const float *odd, int32_t block)
{
    double *odd_sums = block == LANES ? sums : sums + LANES;
    for (int32_t lane = 0; lane < LANES; lane += LANES_HALF) {
        *(lanes_double *)(sums + lane) += LANES_WIDEN(even + lane);
        *(lanes_double *)(odd_sums + lane) += LANES_WIDEN(odd + lane);
    }
}

/* ---- training ---- */

/* Sums of one plane of `count` floats. The pilot (a float mean of the first pixels) is subtracted from every
 * value before it is squared and summed, and put back in double. */
CPU_KERNEL static void plane_moments(const float *x, size_t count, int32_t block, struct plane_sums *out)
{
    const size_t pixels = count / (size_t)block;
    const size_t pilot_pixels = pixels < PILOT_PIXELS ? pixels : PILOT_PIXELS;
    const size_t pilot_count = pilot_pixels * (size_t)block;
    _Alignas(32) float pilot[BLOCK_MAX], a[LANES], b[LANES];
    lanes pilot_even = LANES_ZERO, pilot_odd = LANES_ZERO;
    memset(out, 0, sizeof(*out));
    size_t j = 0;
    for (; j + 16 <= pilot_count; j += 16) {
        pilot_even += LANES_IN(x + j);
        pilot_odd += LANES_IN(x + j + 8);
    }
    if (j < pilot_count)
        pilot_even += LANES_IN(x + j);
    if (block == LANES)
        pilot_even = pilot_odd = pilot_even + pilot_odd;
    pilot_even /= LANES_ALL((float)pilot_pixels);
    pilot_odd /= LANES_ALL((float)pilot_pixels);
    LANES_AT(pilot) = pilot_even;
    LANES_AT(pilot + LANES) = pilot_odd;

    for (size_t begin = 0; begin < count;) {
        size_t end = begin + (size_t)RUN_PIXELS * (size_t)block;
        if (end > count)
            end = count;
        lanes s0 = LANES_ZERO, s1 = LANES_ZERO, s2 = LANES_ZERO, s3 = LANES_ZERO;
        lanes q0 = LANES_ZERO, q1 = LANES_ZERO, q2 = LANES_ZERO, q3 = LANES_ZERO;
        size_t i = begin;
        for (; i + 32 <= end; i += 32) {
            lanes v0 = LANES_IN(x + i) - pilot_even, v1 = LANES_IN(x + i + 8) - pilot_odd;
            lanes v2 = LANES_IN(x + i + 16) - pilot_even, v3 = LANES_IN(x + i + 24) - pilot_odd;
            s0 += v0;
            q0 += v0 * v0;
            s1 += v1;
            q1 += v1 * v1;
            s2 += v2;
            q2 += v2 * v2;
            s3 += v3;
            q3 += v3 * v3;
        }
        for (; i + 16 <= end; i += 16) {
            lanes v0 = LANES_IN(x + i) - pilot_even, v1 = LANES_IN(x + i + 8) - pilot_odd;
            s0 += v0;
            q0 += v0 * v0;
            s1 += v1;
            q1 += v1 * v1;
        }
        if (i < end) { /* one pixel is left of a block of 8 */
            lanes v0 = LANES_IN(x + i) - pilot_even;
            s0 += v0;
            q0 += v0 * v0;
        }
        LANES_AT(a) = s0 + s2;
        LANES_AT(b) = s1 + s3;
        join_run(out->first, a, b, block);
        LANES_AT(a) = q0 + q2;
        LANES_AT(b) = q1 + q3;
        join_run(out->second, a, b, block);
        begin = end;
    }
    const double number = (double)pixels;
    for (int32_t lane = 0; lane < block; lane += LANES_HALF) {
        lanes_double *first = (lanes_double *)(out->first + lane),
                     *second = (lanes_double *)(out->second + lane);
        const lanes_double m = LANES_WIDEN(pilot + lane);
        *second += 2.0 * m * *first + number * m * m;
        *first += number * m;
    }
}

/* A plane of the second pass: `count` floats of each array. */
struct plane {
    const float *x, *addend; /* addend NULL: none */
    float *y;
    size_t count;
    int32_t block;
};

/* y = (x - mean) * scale + shift (+ addend), ReLU or not. */
CPU_INLINE void apply_body(struct plane plane, const struct block_values *v, const int has_addend,
                           const int relu)
{
    const float *x = plane.x, *addend = plane.addend;
    float *y = plane.y;
    const size_t count = plane.count;
    const size_t odd = plane.block == LANES ? 0 : LANES;
    const lanes m0 = LANES_IN(v->mean), g0 = LANES_IN(v->scale), h0 = LANES_IN(v->shift);
    const lanes m1 = LANES_IN(v->mean + odd), g1 = LANES_IN(v->scale + odd), h1 = LANES_IN(v->shift + odd);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        lanes r0 = (LANES_IN(x + i) - m0) * g0 + h0, r1 = (LANES_IN(x + i + 8) - m1) * g1 + h1;
        if (has_addend) {
            r0 += LANES_IN(addend + i);
            r1 += LANES_IN(addend + i + 8);
        }
        if (relu) {
            r0 = LANES_RELU(r0);
            r1 = LANES_RELU(r1);
        }
        LANES_AT(y + i) = r0;
        LANES_AT(y + i + 8) = r1;
    }
    if (i < count) {
        lanes r0 = (LANES_IN(x + i) - m0) * g0 + h0;
        if (has_addend)
            r0 += LANES_IN(addend + i);
        if (relu)
            r0 = LANES_RELU(r0);
        LANES_AT(y + i) = r0;
    }
}

CPU_KERNEL static void plane_apply(const struct plane *plane, const struct block_values *v, bool relu)
{
    if (plane->addend && relu)
        apply_body(*plane, v, 1, 1);
    else if (plane->addend)
        apply_body(*plane, v, 1, 0);
    else if (relu)
        apply_body(*plane, v, 0, 1);
    else
        apply_body(*plane, v, 0, 0);
}

/* Mean and deviation of each channel from the planes' sums; zeros beyond. */
static void join_moments(const struct cpu_batch_norm *norm, const struct plane_sums *sums)
{
    const struct cpu_shape s = norm->shape;
    const int32_t blocks = cpu_shape_blocks(s), padded = cpu_shape_padded(s);
    const double samples = (double)s.n * s.h * s.w;
    const float momentum = norm->momentum;
#pragma omp parallel for schedule(static)
    for (int32_t c = 0; c < padded; c++) {
        norm->mean[c] = 0.0f;
        norm->invstd[c] = 0.0f;
        if (c >= s.c)
            continue;
        double first = 0.0, second = 0.0;
        for (int32_t n = 0; n < s.n; n++) {
            first += sums[n * blocks + c / s.block].first[c % s.block];
            second += sums[n * blocks + c / s.block].second[c % s.block];
        }
        const double m = first / samples;
        double variance = second / samples - m * m;
        if (variance < 0.0) /* rounding; written so that NaN stays */
            variance = 0.0;
        norm->mean[c] = (float)m;
        norm->invstd[c] = (float)(1.0 / sqrt(variance + (double)norm->epsilon));
        norm->running_mean[c] = (1.0f - momentum) * norm->running_mean[c] + momentum * (float)m;
        norm->running_var[c] = (1.0f - momentum) * norm->running_var[c] + momentum * (float)variance;
    }
}

void cpu_kernel_batch_norm(const struct cpu_batch_norm *norm)
{
    const struct cpu_shape s = norm->shape;
    struct plane_sums *sums = norm->scratch;
    const int32_t blocks = cpu_shape_blocks(s), planes = s.n * blocks;
    const size_t count = (size_t)s.h * (size_t)s.w * (size_t)s.block;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++)
        plane_moments((const float *)norm->x + (size_t)p * count, count, s.block, &sums[p]);

    join_moments(norm, sums);

#pragma omp parallel for schedule(static)
    for (int32_t i = 0; i < planes; i++) {
        const int32_t p = planes - 1 - i, channel = p % blocks * s.block;
        const size_t at = (size_t)p * count;
        struct block_values v;
        load_block(v.mean, norm->mean, s.c, channel, s.block);
        load_block(v.scale, norm->scale, s.c, channel, s.block);
        load_block(v.shift, norm->shift, s.c, channel, s.block);
        for (int32_t lane = 0; lane < s.block; lane++)
            v.scale[lane] *= norm->invstd[channel + lane];
        const struct plane plane = {(const float *)norm->x + at,
                                    norm->addend ? (const float *)norm->addend + at : NULL,
                                    (float *)norm->y + at, count, s.block};
        plane_apply(&plane, &v, norm->relu);
    }
}

void cpu_kernel_batch_norm_inference(const struct cpu_batch_norm_inference *norm)
{
    const struct cpu_shape s = norm->shape;
    const int32_t blocks = cpu_shape_blocks(s), planes = s.n * blocks;
    const size_t count = (size_t)s.h * (size_t)s.w * (size_t)s.block;
    const double epsilon = (double)norm->epsilon;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        const int32_t channel = p % blocks * s.block;
        const size_t at = (size_t)p * count;
        struct block_values v;
        load_block(v.mean, norm->running_mean, s.c, channel, s.block);
        load_block(v.scale, norm->scale, s.c, channel, s.block);
        load_block(v.shift, norm->shift, s.c, channel, s.block);
        for (int32_t lane = 0; lane < s.block && channel + lane < s.c; lane++)
            v.scale[lane] =
                (float)((double)v.scale[lane] / sqrt((double)norm->running_var[channel + lane] + epsilon));
        const struct plane plane = {(const float *)norm->x + at,
                                    norm->addend ? (const float *)norm->addend + at : NULL,
                                    (float *)norm->y + at, count, s.block};
        plane_apply(&plane, &v, norm->relu);
    }
}

/* ---- gradient ----
 * With d = dy where y > 0 (all of dy without ReLU), u = x - mean, M values a channel:
 *     dshift = sum(d), dscale = invstd * sum(d * u),
 *     dx = scale * invstd * (d - sum(d) / M - u * invstd^2 * sum(d * u) / M)
 *        = scale * d - (slope * u + shift),  the three in struct block_values. */

/* d at one element; a macro since vectors are not handed through functions. */
#define GATED(dy, y, relu) ((relu) ? LANES_WHERE(LANES_IN(dy), LANES_IN(y) > LANES_ZERO) : LANES_IN(dy))

/* A plane of the gradient's passes: `count` floats of each array. */
struct gradient_plane {
    const float *x, *y, *dy; /* y NULL: without ReLU */
    float *dx, *daddend;     /* daddend NULL: not wanted */
    size_t count;
    int32_t block;
};

CPU_INLINE void gradient_sums_body(struct gradient_plane plane, const float *mean, struct plane_sums *out,
                                   const int relu)
{
    const float *x = plane.x, *y = plane.y, *dy = plane.dy;
    const size_t count = plane.count;
    const int32_t block = plane.block;
    _Alignas(32) float a[LANES], b[LANES];
    const lanes m0 = LANES_IN(mean), m1 = LANES_IN(mean + (block == LANES ? 0 : LANES));
    memset(out, 0, sizeof(*out));
    for (size_t begin = 0; begin < count;) {
        size_t end = begin + (size_t)RUN_PIXELS * (size_t)block;
        if (end > count)
            end = count;
        lanes s0 = LANES_ZERO, s1 = LANES_ZERO, q0 = LANES_ZERO, q1 = LANES_ZERO;
        size_t i = begin;
        for (; i + 16 <= end; i += 16) {
            lanes d0 = GATED(dy + i, y + i, relu), d1 = GATED(dy + i + 8, y + i + 8, relu);
            s0 += d0;
            q0 += d0 * (LANES_IN(x + i) - m0);
            s1 += d1;
            q1 += d1 * (LANES_IN(x + i + 8) - m1);
        }
        if (i < end) {
            lanes d0 = GATED(dy + i, y + i, relu);
            s0 += d0;
            q0 += d0 * (LANES_IN(x + i) - m0);
        }
        LANES_AT(a) = s0;
        LANES_AT(b) = s1;
        join_run(out->first, a, b, block);
        LANES_AT(a) = q0;
        LANES_AT(b) = q1;
        join_run(out->second, a, b, block);
        begin = end;
    }
}

CPU_KERNEL static void plane_gradient_sums(const struct gradient_plane *plane, const float *mean,
                                           struct plane_sums *out)
{
    if (plane->y)
        gradient_sums_body(*plane, mean, out, 1);
    else
        gradient_sums_body(*plane, mean, out, 0);
}

CPU_INLINE void gradient_apply_body(struct gradient_plane plane, const struct block_values *v, const int relu,
                                    const int has_addend)
{
    const float *x = plane.x, *y = plane.y, *dy = plane.dy;
    float *dx = plane.dx, *daddend = plane.daddend;
    const size_t count = plane.count;
    const size_t odd = plane.block == LANES ? 0 : LANES;
    const lanes m0 = LANES_IN(v->mean), g0 = LANES_IN(v->scale), h0 = LANES_IN(v->shift),
                k0 = LANES_IN(v->slope);
    const lanes m1 = LANES_IN(v->mean + odd), g1 = LANES_IN(v->scale + odd);
    const lanes h1 = LANES_IN(v->shift + odd), k1 = LANES_IN(v->slope + odd);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        lanes d0 = GATED(dy + i, y + i, relu), d1 = GATED(dy + i + 8, y + i + 8, relu);
        LANES_AT(dx + i) = g0 * d0 - (k0 * (LANES_IN(x + i) - m0) + h0);
        LANES_AT(dx + i + 8) = g1 * d1 - (k1 * (LANES_IN(x + i + 8) - m1) + h1);
        if (has_addend) {
            LANES_AT(daddend + i) = d0;
            LANES_AT(daddend + i + 8) = d1;
        }
    }
    if (i < count) {
        lanes d0 = GATED(dy + i, y + i, relu);
        LANES_AT(dx + i) = g0 * d0 - (k0 * (LANES_IN(x + i) - m0) + h0);
        if (has_addend)
            LANES_AT(daddend + i) = d0;
    }
}

CPU_KERNEL static void plane_gradient_apply(const struct gradient_plane *plane, const struct block_values *v)
{
    if (plane->y && plane->daddend)
        gradient_apply_body(*plane, v, 1, 1);
    else if (plane->y)
        gradient_apply_body(*plane, v, 1, 0);
    else if (plane->daddend)
        gradient_apply_body(*plane, v, 0, 1);
    else
        gradient_apply_body(*plane, v, 0, 0);
}

static struct gradient_plane gradient_plane_of(const struct cpu_batch_norm_backward *norm, int32_t p)
{
    const struct cpu_shape s = norm->shape;
    const size_t count = (size_t)s.h * (size_t)s.w * (size_t)s.block, at = (size_t)p * count;
    return (struct gradient_plane){
        .x = (const float *)norm->x + at,
        .y = norm->y ? (const float *)norm->y + at : NULL,
        .dy = (const float *)norm->dy + at,
        .dx = (float *)norm->dx + at,
        .daddend = norm->daddend ? (float *)norm->daddend + at : NULL,
        .count = count,
        .block = s.block,
    };
}

void cpu_kernel_batch_norm_backward(const struct cpu_batch_norm_backward *norm)
{
    const struct cpu_shape s = norm->shape;
    struct plane_sums *sums = norm->scratch;
    const int32_t blocks = cpu_shape_blocks(s), planes = s.n * blocks;
    const double samples = (double)s.n * s.h * s.w;
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < planes; p++) {
        const struct gradient_plane plane = gradient_plane_of(norm, p);
        plane_gradient_sums(&plane, norm->mean + p % blocks * s.block, &sums[p]);
    }

#pragma omp parallel for schedule(static)
    for (int32_t c = 0; c < s.c; c++) {
        double first = 0.0, second = 0.0;
        for (int32_t n = 0; n < s.n; n++) {
            first += sums[n * blocks + c / s.block].first[c % s.block];
            second += sums[n * blocks + c / s.block].second[c % s.block];
        }
        norm->dshift[c] = (float)first;
        norm->dscale[c] = (float)(second * (double)norm->invstd[c]);
    }

#pragma omp parallel for schedule(static)
    for (int32_t i = 0; i < planes; i++) {
        const int32_t p = planes - 1 - i, channel = p % blocks * s.block;
        const struct gradient_plane plane = gradient_plane_of(norm, p);
        struct block_values v;
        load_block(v.mean, norm->mean, s.c, channel, s.block);
        load_block(v.scale, norm->scale, s.c, channel, s.block);
        load_block(v.shift, norm->dshift, s.c, channel, s.block);
        load_block(v.slope, norm->dscale, s.c, channel, s.block);
        for (int32_t lane = 0; lane < s.block; lane++) {
            const double r = (double)norm->invstd[channel + lane], g = r * (double)v.scale[lane] / samples;
            v.shift[lane] = (float)(g * (double)v.shift[lane]);
            v.slope[lane] = (float)(g * r * (double)v.slope[lane]);
            v.scale[lane] = (float)(r * (double)v.scale[lane]);
        }
        plane_gradient_apply(&plane, &v);
    }
}

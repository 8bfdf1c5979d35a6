/* Batch norm over blocked tensors, forward: training and inference; with ReLU and residual addition fused. */
#include "host/cpu/kernel_batch_norm.h"

#include <math.h>

enum {
    PILOT_PIXELS = 32,  /* their mean is what a part's sums are taken about */
    PARTS_WANTED = 256, /* of a bf16 tensor: many for the threads to share, few to be joined */
};

struct norm_walk norm_walk_of(struct cpu_shape s)
{
    const size_t plane = (size_t)s.h * (size_t)s.w;
    struct norm_walk walk = {.type = s.type, .block = (size_t)s.block};
    if (s.type == CPU_FLOAT) {
        walk.pixels = walk.part_pixels = plane;
        walk.groups = cpu_shape_blocks(s);
        walk.part_groups = 1;
        walk.width = s.block;
        walk.repeats = s.n;
        walk.parts = s.n * walk.groups;
        return walk;
    }
    enum { UNIT = RUN_PIXELS_BF16 * 2 };
    walk.pixels = (size_t)s.n * plane;
    walk.part_pixels = (walk.pixels / PARTS_WANTED + UNIT - 1) / UNIT * UNIT;
    if (walk.part_pixels == 0)
        walk.part_pixels = UNIT;
    walk.width = GROUP_MAX;
    walk.groups = walk.part_groups = s.block / GROUP_MAX;
    walk.parts = walk.repeats = (int32_t)((walk.pixels + walk.part_pixels - 1) / walk.part_pixels);
    return walk;
}

size_t cpu_kernel_batch_norm_scratch(struct cpu_shape s)
{
    const struct norm_walk walk = norm_walk_of(s);
    return (size_t)walk.groups * sizeof(struct norm_values) +
           (size_t)walk.parts * (size_t)walk.part_groups * sizeof(struct norm_sums);
}

static CPU_KERNEL void join_sums(const struct norm_walk *walk, const struct norm_sums *sums,
                                 struct norm_sums *out)
{
    for (int32_t lane = 0; lane < GROUP_MAX; lane += LANES_HALF) {
        lanes_double first = {0.0, 0.0, 0.0, 0.0}, second = first;
        for (int32_t r = 0; r < walk->repeats; r++) {
            const struct norm_sums *one = sums + (size_t)r * (size_t)walk->groups;
            first += *(const lanes_double *)(one->first + lane);
            second += *(const lanes_double *)(one->second + lane);
        }
        *(lanes_double *)(out->first + lane) = first;
        *(lanes_double *)(out->second + lane) = second;
    }
}

struct norm_sums norm_join(const struct norm_walk *walk, const struct norm_sums *sums, int32_t group)
{
    struct norm_sums out;
    memset(&out, 0, sizeof(out));
    join_sums(walk, sums + group, &out);
    return out;
}

/* ---- training: sums ---- */

/* The mean of the group's first pixels. */
CPU_INLINE void group_pilot(const enum cpu_type type, const struct norm_walk *walk, size_t pixels,
                            const void *x, float *pilot)
{
    const size_t count = pixels < PILOT_PIXELS ? pixels : PILOT_PIXELS;
    const struct norm_strip strip = norm_strip_of(walk, count);
    lanes even = LANES_ZERO, odd = LANES_ZERO, v[2];
    size_t i = 0;
    for (size_t j = 0; j < strip.steps; j++, i += strip.step) {
        LANES_LOAD16(type, x, i, v);
        even += v[0];
        odd += v[1];
    }
    if (type == CPU_FLOAT && strip.half)
        even += LANES_IN((const float *)x + i);
    if (walk->width == LANES)
        even = odd = even + odd;
    LANES_AT(pilot) = even / LANES_ALL((float)count);
    LANES_AT(pilot + LANES) = odd / LANES_ALL((float)count);
}

/* Adds what a run has of a group. */
CPU_INLINE void group_moments(const enum cpu_type type, const struct norm_walk *walk, size_t pixels,
                              const void *x, struct norm_sums *out)
{
    _Alignas(32) float a[LANES], b[LANES];
    const struct norm_strip strip = norm_strip_of(walk, pixels);
    const lanes even = LANES_IN(out->pilot), odd = LANES_IN(out->pilot + LANES);
    lanes s0 = LANES_ZERO, s1 = LANES_ZERO, s2 = LANES_ZERO, s3 = LANES_ZERO;
    lanes q0 = LANES_ZERO, q1 = LANES_ZERO, q2 = LANES_ZERO, q3 = LANES_ZERO;
    size_t i = 0, j = 0;
    for (; j + 2 <= strip.steps; j += 2, i += 2 * strip.step) {
        lanes v[2], w[2];
        LANES_LOAD16(type, x, i, v);
        LANES_LOAD16(type, x, i + strip.step, w);
        const lanes v0 = v[0] - even, v1 = v[1] - odd, v2 = w[0] - even, v3 = w[1] - odd;
        s0 += v0;
        q0 += v0 * v0;
        s1 += v1;
        q1 += v1 * v1;
        s2 += v2;
        q2 += v2 * v2;
        s3 += v3;
        q3 += v3 * v3;
    }
    if (j < strip.steps) {
        lanes v[2];
        LANES_LOAD16(type, x, i, v);
        const lanes v0 = v[0] - even, v1 = v[1] - odd;
        s0 += v0;
        q0 += v0 * v0;
        s1 += v1;
        q1 += v1 * v1;
        i += strip.step;
    }
    if (type == CPU_FLOAT && strip.half) {
        const lanes v0 = LANES_IN((const float *)x + i) - even;
        s0 += v0;
        q0 += v0 * v0;
    }
    LANES_AT(a) = s0 + s2;
    LANES_AT(b) = s1 + s3;
    norm_join_run(out->first, a, b, walk->width);
    LANES_AT(a) = q0 + q2;
    LANES_AT(b) = q1 + q3;
    norm_join_run(out->second, a, b, walk->width);
}

/* Sums of one part. The pilot is subtracted from every value before it is squared and summed, and put back in
 * double. */
CPU_INLINE void moments_body(const enum cpu_type type, const struct norm_walk *walk, size_t pixels,
                             const void *x, struct norm_sums *out)
{
    const size_t run = type == CPU_BF16 ? RUN_PIXELS_BF16 : RUN_PIXELS_FLOAT;
    for (int32_t g = 0; g < walk->part_groups; g++) {
        memset(&out[g], 0, sizeof(out[g]));
        group_pilot(type, walk, pixels, cpu_read_from(type, x, (size_t)g * GROUP_MAX), out[g].pilot);
    }
    for (size_t begin = 0; begin < pixels; begin += run) {
        const size_t left = pixels - begin < run ? pixels - begin : run;
        for (int32_t g = 0; g < walk->part_groups; g++)
            group_moments(type, walk, left,
                          cpu_read_from(type, x, begin * walk->block + (size_t)g * GROUP_MAX), &out[g]);
    }
    const double number = (double)pixels;
    for (int32_t g = 0; g < walk->part_groups; g++)
        for (int32_t lane = 0; lane < walk->width; lane += LANES_HALF) {
            lanes_double *first = (lanes_double *)(out[g].first + lane),
                         *second = (lanes_double *)(out[g].second + lane);
            const lanes_double m = LANES_WIDEN(out[g].pilot + lane);
            *second += 2.0 * m * *first + number * m * m;
            *first += number * m;
        }
}

CPU_KERNEL static void part_moments(const struct norm_walk *walk, size_t pixels, const void *x,
                                    struct norm_sums *out)
{
    CPU_BY_TYPE(walk->type, moments_body, walk, pixels, x, out);
}

/* ---- training and inference: values ---- */

/* A part of the second pass. */
struct part {
    const struct norm_values *values; /* of its groups */
    const void *x, *addend;           /* addend NULL: none */
    void *y;
    size_t pixels;
};

/* y = (x - mean) * scale + shift (+ addend), ReLU or not. */
CPU_INLINE void apply_body(const enum cpu_type type, const struct norm_walk *walk, const struct part *part,
                           const int has_addend, const int relu)
{
    const void *x = part->x, *addend = part->addend;
    void *y = part->y;
    const size_t run = type == CPU_BF16 ? VALUES_PIXELS_BF16 : part->pixels;
    const size_t odd = walk->width == LANES ? 0 : LANES;
    for (size_t begin = 0; begin < part->pixels; begin += run) {
        const struct norm_strip strip =
            norm_strip_of(walk, part->pixels - begin < run ? part->pixels - begin : run);
        for (int32_t g = 0; g < walk->part_groups; g++) {
            const struct norm_values *v = &part->values[g];
            const lanes m0 = LANES_IN(v->mean), g0 = LANES_IN(v->scale), h0 = LANES_IN(v->shift);
            const lanes m1 = LANES_IN(v->mean + odd), g1 = LANES_IN(v->scale + odd),
                        h1 = LANES_IN(v->shift + odd);
            size_t i = begin * walk->block + (size_t)g * GROUP_MAX;
            for (size_t j = 0; j < strip.steps; j++, i += strip.step) {
                lanes r[2], a[2];
                LANES_LOAD16(type, x, i, r);
                r[0] = (r[0] - m0) * g0 + h0;
                r[1] = (r[1] - m1) * g1 + h1;
                if (has_addend) {
                    LANES_LOAD16(type, addend, i, a);
                    r[0] += a[0];
                    r[1] += a[1];
                }
                if (relu) {
                    r[0] = LANES_RELU(r[0]);
                    r[1] = LANES_RELU(r[1]);
                }
                LANES_STORE16(type, y, i, r);
            }
            if (type == CPU_FLOAT && strip.half) {
                lanes r0 = (LANES_IN((const float *)x + i) - m0) * g0 + h0;
                if (has_addend)
                    r0 += LANES_IN((const float *)addend + i);
                if (relu)
                    r0 = LANES_RELU(r0);
                LANES_AT((float *)y + i) = r0;
            }
        }
    }
}

CPU_KERNEL static void part_apply(const struct norm_walk *walk, const struct part *part, bool relu)
{
    if (part->addend && relu)
        CPU_BY_TYPE(walk->type, apply_body, walk, part, 1, 1);
    else if (part->addend)
        CPU_BY_TYPE(walk->type, apply_body, walk, part, 1, 0);
    else if (relu)
        CPU_BY_TYPE(walk->type, apply_body, walk, part, 0, 1);
    else
        CPU_BY_TYPE(walk->type, apply_body, walk, part, 0, 0);
}

/* Part `number` of the arrays, whose groups have those values. */
static void apply(const struct norm_walk *walk, int32_t number, const struct norm_values *values,
                  const void *x, const void *addend, void *y, bool relu)
{
    const size_t at = norm_part_first(walk, number);
    const struct part part = {
        .values = &values[norm_part_group(walk, number)],
        .x = cpu_read_from(walk->type, x, at),
        .addend = addend ? cpu_read_from(walk->type, addend, at) : NULL,
        .y = cpu_write_to(walk->type, y, at),
        .pixels = norm_part_pixels(walk, number),
    };
    part_apply(walk, &part, relu);
}

/* Mean and deviation of a group's channels from the parts' sums, zeros beyond, and what pass two needs of it. */
static void group_statistics(const struct cpu_batch_norm *norm, const struct norm_walk *walk,
                             const struct norm_sums *sums, int32_t group, struct norm_values *v)
{
    const struct cpu_shape s = norm->shape;
    const double samples = (double)s.n * s.h * s.w;
    const float momentum = norm->momentum;
    const struct norm_sums joined = norm_join(walk, sums, group);
    for (int32_t lane = 0; lane < walk->width; lane++) {
        const int32_t c = norm_channel(walk, group, lane);
        norm->mean[c] = 0.0f;
        norm->invstd[c] = 0.0f;
        if (c >= s.c)
            continue;
        const double m = joined.first[lane] / samples;
        double variance = joined.second[lane] / samples - m * m;
        if (variance < 0.0) /* rounding; written so that NaN stays */
            variance = 0.0;
        norm->mean[c] = (float)m;
        norm->invstd[c] = (float)(1.0 / sqrt(variance + (double)norm->epsilon));
        norm->running_mean[c] = (1.0f - momentum) * norm->running_mean[c] + momentum * (float)m;
        norm->running_var[c] = (1.0f - momentum) * norm->running_var[c] + momentum * (float)variance;
    }
    norm_load(v->mean, norm->mean, s.c, walk, group);
    norm_load(v->scale, norm->scale, s.c, walk, group);
    norm_load(v->shift, norm->shift, s.c, walk, group);
    for (int32_t lane = 0; lane < walk->width; lane++)
        v->scale[lane] *= norm->invstd[norm_channel(walk, group, lane)];
}

void cpu_kernel_batch_norm(const struct cpu_batch_norm *norm)
{
    const struct norm_walk walk = norm_walk_of(norm->shape);
    struct norm_values *values = norm_scratch_values(norm->scratch);
    struct norm_sums *sums = norm_scratch_sums(&walk, norm->scratch);
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < walk.parts; p++)
        part_moments(&walk, norm_part_pixels(&walk, p),
                     cpu_read_from(walk.type, norm->x, norm_part_first(&walk, p)),
                     &sums[p * walk.part_groups]);

#pragma omp parallel for schedule(static)
    for (int32_t g = 0; g < walk.groups; g++)
        group_statistics(norm, &walk, sums, g, &values[g]);

#pragma omp parallel for schedule(static)
    for (int32_t i = 0; i < walk.parts; i++)
        apply(&walk, walk.parts - 1 - i, values, norm->x, norm->addend, norm->y, norm->relu);
}

/* What a group is multiplied by and so on, from the running statistics. */
static struct norm_values group_inference(const struct cpu_batch_norm_inference *norm,
                                          const struct norm_walk *walk, int32_t group)
{
    const struct cpu_shape s = norm->shape;
    struct norm_values v;
    norm_load(v.mean, norm->running_mean, s.c, walk, group);
    norm_load(v.scale, norm->scale, s.c, walk, group);
    norm_load(v.shift, norm->shift, s.c, walk, group);
    for (int32_t lane = 0; lane < walk->width; lane++) {
        const int32_t c = norm_channel(walk, group, lane);
        if (c < s.c)
            v.scale[lane] =
                (float)((double)v.scale[lane] / sqrt((double)norm->running_var[c] + (double)norm->epsilon));
    }
    return v;
}

void cpu_kernel_batch_norm_inference(const struct cpu_batch_norm_inference *norm)
{
    const struct norm_walk walk = norm_walk_of(norm->shape);
    struct norm_values *values = norm_scratch_values(norm->scratch);
    for (int32_t g = 0; g < walk.groups; g++)
        values[g] = group_inference(norm, &walk, g);
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < walk.parts; p++)
        apply(&walk, p, values, norm->x, norm->addend, norm->y, norm->relu);
}

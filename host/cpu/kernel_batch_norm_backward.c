/* Batch norm's gradient. With d = dy where y > 0 (all of dy without ReLU), u = x - mean, M values a channel:
 *     dshift = sum(d), dscale = invstd * sum(d * u),
 *     dx = scale * invstd * (d - sum(d) / M - u * invstd^2 * sum(d * u) / M)
 *        = scale * d - (slope * u + shift),  the three in struct norm_values. */
#include "host/cpu/kernel_batch_norm.h"

/* d at element i; a macro since vectors are not handed through functions. */
#define GATED(type, dy, y, i, relu)                                                                          \
    ((relu) ? LANES_WHERE(LANES_LOAD(type, dy, i), LANES_LOAD(type, y, i) > LANES_ZERO)                      \
            : LANES_LOAD(type, dy, i))

/* A part. */
struct part {
    const void *x, *y, *dy; /* y NULL: without ReLU */
    void *dx, *daddend;     /* daddend NULL: not wanted */
    size_t pixels;
};

CPU_INLINE void sums_body(const enum cpu_type type, const struct norm_walk *walk, const struct part *part,
                          const float *mean, struct norm_sums *out, const int relu)
{
    const void *x = part->x, *y = part->y, *dy = part->dy;
    const size_t run = type == CPU_BF16 ? RUN_PIXELS_BF16 : RUN_PIXELS_FLOAT;
    const size_t second = walk->width == LANES ? 0 : LANES;
    _Alignas(32) float a[LANES], b[LANES];
    memset(out, 0, (size_t)walk->part_groups * sizeof(*out));
    for (size_t begin = 0; begin < part->pixels; begin += run) {
        const struct norm_strip strip =
            norm_strip_of(walk, part->pixels - begin < run ? part->pixels - begin : run);
        for (int32_t g = 0; g < walk->part_groups; g++) {
            const float *m = mean + g * walk->width;
            const lanes m0 = LANES_IN(m), m1 = LANES_IN(m + second);
            lanes s0 = LANES_ZERO, s1 = LANES_ZERO, q0 = LANES_ZERO, q1 = LANES_ZERO;
            size_t i = begin * walk->block + (size_t)g * GROUP_MAX;
            for (size_t j = 0; j < strip.steps; j++, i += strip.step) {
                const lanes d0 = GATED(type, dy, y, i, relu), d1 = GATED(type, dy, y, i + 8, relu);
                s0 += d0;
                q0 += d0 * (LANES_LOAD(type, x, i) - m0);
                s1 += d1;
                q1 += d1 * (LANES_LOAD(type, x, i + 8) - m1);
            }
            if (strip.half) {
                const lanes d0 = GATED(type, dy, y, i, relu);
                s0 += d0;
                q0 += d0 * (LANES_LOAD(type, x, i) - m0);
            }
            LANES_AT(a) = s0;
            LANES_AT(b) = s1;
            norm_join_run(out[g].first, a, b, walk->width);
            LANES_AT(a) = q0;
            LANES_AT(b) = q1;
            norm_join_run(out[g].second, a, b, walk->width);
        }
    }
}

CPU_KERNEL static void part_sums(const struct norm_walk *walk, const struct part *part, const float *mean,
                                 struct norm_sums *out)
{
    if (part->y)
        CPU_BY_TYPE(walk->type, sums_body, walk, part, mean, out, 1);
    else
        CPU_BY_TYPE(walk->type, sums_body, walk, part, mean, out, 0);
}

CPU_INLINE void apply_body(const enum cpu_type type, const struct norm_walk *walk, const struct part *part,
                           const struct norm_values *values, const int relu, const int has_addend)
{
    const void *x = part->x, *y = part->y, *dy = part->dy;
    void *dx = part->dx, *daddend = part->daddend;
    const size_t run = type == CPU_BF16 ? VALUES_PIXELS_BF16 : part->pixels;
    const size_t odd = walk->width == LANES ? 0 : LANES;
    for (size_t begin = 0; begin < part->pixels; begin += run) {
        const struct norm_strip strip =
            norm_strip_of(walk, part->pixels - begin < run ? part->pixels - begin : run);
        for (int32_t g = 0; g < walk->part_groups; g++) {
            const struct norm_values *v = &values[g];
            const lanes m0 = LANES_IN(v->mean), g0 = LANES_IN(v->scale), h0 = LANES_IN(v->shift),
                        k0 = LANES_IN(v->slope);
            const lanes m1 = LANES_IN(v->mean + odd), g1 = LANES_IN(v->scale + odd),
                        h1 = LANES_IN(v->shift + odd), k1 = LANES_IN(v->slope + odd);
            size_t i = begin * walk->block + (size_t)g * GROUP_MAX;
            for (size_t j = 0; j < strip.steps; j++, i += strip.step) {
                const lanes d0 = GATED(type, dy, y, i, relu), d1 = GATED(type, dy, y, i + 8, relu);
                LANES_STORE(type, dx, i, g0 * d0 - (k0 * (LANES_LOAD(type, x, i) - m0) + h0));
                LANES_STORE(type, dx, i + 8, g1 * d1 - (k1 * (LANES_LOAD(type, x, i + 8) - m1) + h1));
                if (has_addend) {
                    LANES_STORE(type, daddend, i, d0);
                    LANES_STORE(type, daddend, i + 8, d1);
                }
            }
            if (strip.half) {
                const lanes d0 = GATED(type, dy, y, i, relu);
                LANES_STORE(type, dx, i, g0 * d0 - (k0 * (LANES_LOAD(type, x, i) - m0) + h0));
                if (has_addend)
                    LANES_STORE(type, daddend, i, d0);
            }
        }
    }
}

CPU_KERNEL static void part_apply(const struct norm_walk *walk, const struct part *part,
                                  const struct norm_values *values)
{
    if (part->y && part->daddend)
        CPU_BY_TYPE(walk->type, apply_body, walk, part, values, 1, 1);
    else if (part->y)
        CPU_BY_TYPE(walk->type, apply_body, walk, part, values, 1, 0);
    else if (part->daddend)
        CPU_BY_TYPE(walk->type, apply_body, walk, part, values, 0, 1);
    else
        CPU_BY_TYPE(walk->type, apply_body, walk, part, values, 0, 0);
}

static struct part part_of(const struct cpu_batch_norm_backward *norm, const struct norm_walk *walk,
                           int32_t p)
{
    const size_t at = norm_part_first(walk, p);
    return (struct part){
        .x = cpu_read_from(walk->type, norm->x, at),
        .y = norm->y ? cpu_read_from(walk->type, norm->y, at) : NULL,
        .dy = cpu_read_from(walk->type, norm->dy, at),
        .dx = cpu_write_to(walk->type, norm->dx, at),
        .daddend = norm->daddend ? cpu_write_to(walk->type, norm->daddend, at) : NULL,
        .pixels = norm_part_pixels(walk, p),
    };
}

/* A group's gradients of scale and shift from the parts' sums, and what pass two needs of it. */
static void group_gradients(const struct cpu_batch_norm_backward *norm, const struct norm_walk *walk,
                            const struct norm_sums *sums, int32_t group, struct norm_values *v)
{
    const struct cpu_shape s = norm->shape;
    const double samples = (double)s.n * s.h * s.w;
    const struct norm_sums joined = norm_join(walk, sums, group);
    const int32_t first = group * walk->width;
    for (int32_t lane = 0; lane < walk->width && first + lane < s.c; lane++) {
        norm->dshift[first + lane] = (float)joined.first[lane];
        norm->dscale[first + lane] = (float)(joined.second[lane] * (double)norm->invstd[first + lane]);
    }
    norm_load(v->mean, norm->mean, s.c, group, walk->width);
    norm_load(v->scale, norm->scale, s.c, group, walk->width);
    norm_load(v->shift, norm->dshift, s.c, group, walk->width);
    norm_load(v->slope, norm->dscale, s.c, group, walk->width);
    for (int32_t lane = 0; lane < walk->width; lane++) {
        const double r = (double)norm->invstd[first + lane], g = r * (double)v->scale[lane] / samples;
        v->shift[lane] = (float)(g * (double)v->shift[lane]);
        v->slope[lane] = (float)(g * r * (double)v->slope[lane]);
        v->scale[lane] = (float)(r * (double)v->scale[lane]);
    }
}

void cpu_kernel_batch_norm_backward(const struct cpu_batch_norm_backward *norm)
{
    const struct norm_walk walk = norm_walk_of(norm->shape);
    struct norm_values *values = norm_scratch_values(norm->scratch);
    struct norm_sums *sums = norm_scratch_sums(&walk, norm->scratch);
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < walk.parts; p++) {
        const struct part part = part_of(norm, &walk, p);
        part_sums(&walk, &part, norm->mean + norm_part_group(&walk, p) * walk.width,
                  &sums[p * walk.part_groups]);
    }

#pragma omp parallel for schedule(static)
    for (int32_t g = 0; g < walk.groups; g++)
        group_gradients(norm, &walk, sums, g, &values[g]);

#pragma omp parallel for schedule(static)
    for (int32_t i = 0; i < walk.parts; i++) {
        const int32_t p = walk.parts - 1 - i;
        const struct part part = part_of(norm, &walk, p);
        part_apply(&walk, &part, &values[norm_part_group(&walk, p)]);
    }
}

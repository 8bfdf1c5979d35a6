/* Batch norm's gradient. With d = dy where y > 0 (all of dy without ReLU), u = x - mean, M values a channel:
 *     dshift = sum(d), dscale = invstd * sum(d * u),
 *     dx = scale * invstd * (d - sum(d) / M - u * invstd^2 * sum(d * u) / M)
 *        = scale * d - (slope * u + shift),  the three in struct norm_values. */
#include "host/cpu/kernel_batch_norm.h"

/* d of sixteen values from element i on, and of eight in float32; macros since vectors are not handed through
 * functions. */
#define LOAD_GATED(type, dy, y, i, relu, d)                                                                  \
    do {                                                                                                     \
        LANES_LOAD16(type, dy, i, d);                                                                        \
        if (relu) {                                                                                          \
            lanes seen[2];                                                                                   \
            LANES_LOAD16(type, y, i, seen);                                                                  \
            (d)[0] = LANES_WHERE((d)[0], seen[0] > LANES_ZERO);                                              \
            (d)[1] = LANES_WHERE((d)[1], seen[1] > LANES_ZERO);                                              \
        }                                                                                                    \
    } while (0)
#define GATED_HALF(dy, y, i, relu)                                                                           \
    ((relu)                                                                                                  \
         ? LANES_WHERE(LANES_IN((const float *)(dy) + (i)), LANES_IN((const float *)(y) + (i)) > LANES_ZERO) \
         : LANES_IN((const float *)(dy) + (i)))

/* A part. */
struct part {
    const void *x, *y, *dy; /* y NULL: without ReLU */
    void *dx, *daddend;     /* daddend NULL: not wanted */
    size_t pixels;
};

CPU_INLINE void sums_body(const enum cpu_type type, const struct norm_walk *walk, const struct part *part,
                          const struct norm_values *values, struct norm_sums *out, const int relu)
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
            const lanes m0 = LANES_IN(values[g].mean), m1 = LANES_IN(values[g].mean + second);
            lanes s0 = LANES_ZERO, s1 = LANES_ZERO, q0 = LANES_ZERO, q1 = LANES_ZERO;
            size_t i = begin * walk->block + (size_t)g * GROUP_MAX;
            for (size_t j = 0; j < strip.steps; j++, i += strip.step) {
                lanes d[2], u[2];
                LOAD_GATED(type, dy, y, i, relu, d);
                LANES_LOAD16(type, x, i, u);
                s0 += d[0];
                q0 += d[0] * (u[0] - m0);
                s1 += d[1];
                q1 += d[1] * (u[1] - m1);
            }
            if (type == CPU_FLOAT && strip.half) {
                const lanes d0 = GATED_HALF(dy, y, i, relu);
                s0 += d0;
                q0 += d0 * (LANES_IN((const float *)x + i) - m0);
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

CPU_KERNEL static void part_sums(const struct norm_walk *walk, const struct part *part,
                                 const struct norm_values *values, struct norm_sums *out)
{
    if (part->y)
        CPU_BY_TYPE(walk->type, sums_body, walk, part, values, out, 1);
    else
        CPU_BY_TYPE(walk->type, sums_body, walk, part, values, out, 0);
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
                lanes d[2], u[2];
                LOAD_GATED(type, dy, y, i, relu, d);
                LANES_LOAD16(type, x, i, u);
                u[0] = g0 * d[0] - (k0 * (u[0] - m0) + h0);
                u[1] = g1 * d[1] - (k1 * (u[1] - m1) + h1);
                LANES_STORE16(type, dx, i, u);
                if (has_addend)
                    LANES_STORE16(type, daddend, i, d);
            }
            if (type == CPU_FLOAT && strip.half) {
                const lanes d0 = GATED_HALF(dy, y, i, relu);
                LANES_AT((float *)dx + i) = g0 * d0 - (k0 * (LANES_IN((const float *)x + i) - m0) + h0);
                if (has_addend)
                    LANES_AT((float *)daddend + i) = d0;
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

/* A group's gradients of scale and shift from the parts' sums, and what pass two needs of it beside the mean. */
static void group_gradients(const struct cpu_batch_norm_backward *norm, const struct norm_walk *walk,
                            const struct norm_sums *sums, int32_t group, struct norm_values *v)
{
    const struct cpu_shape s = norm->shape;
    const double samples = (double)s.n * s.h * s.w;
    const struct norm_sums joined = norm_join(walk, sums, group);
    for (int32_t lane = 0; lane < walk->width; lane++) {
        const int32_t c = norm_channel(walk, group, lane);
        if (c >= s.c)
            continue;
        norm->dshift[c] = (float)joined.first[lane];
        norm->dscale[c] = (float)(joined.second[lane] * (double)norm->invstd[c]);
    }
    norm_load(v->scale, norm->scale, s.c, walk, group);
    norm_load(v->shift, norm->dshift, s.c, walk, group);
    norm_load(v->slope, norm->dscale, s.c, walk, group);
    for (int32_t lane = 0; lane < walk->width; lane++) {
        const double r = (double)norm->invstd[norm_channel(walk, group, lane)],
                     g = r * (double)v->scale[lane] / samples;
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
    for (int32_t g = 0; g < walk.groups; g++)
        norm_load(values[g].mean, norm->mean, norm->shape.c, &walk, g);
#pragma omp parallel for schedule(static)
    for (int32_t p = 0; p < walk.parts; p++) {
        const struct part part = part_of(norm, &walk, p);
        part_sums(&walk, &part, &values[norm_part_group(&walk, p)], &sums[p * walk.part_groups]);
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

/* Batch norm's kernels against plain loops in double. */
#include "tests/support/kernel_case.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 60 };

/* Rounding of a sum of one run in float: at most 64 additions one after another, then two more roundings. */
#define SUM_ROUNDING (66.0 * (double)FLT_EPSILON)
#define EPSILON      1e-5f
#define MOMENTUM     0.1f

/* The tensors of one case. */
struct norm_case {
    struct cpu_shape s;
    bool relu, with_addend;
    void *x, *addend, *dy, *y, *dx, *daddend; /* of the shape's type */
    float *scale, *shift, *running_mean, *running_var;
    float *mean, *invstd, *dscale, *dshift;
    void *scratch;
};

static size_t padded_bytes(struct cpu_shape s)
{
    return (size_t)cpu_shape_padded(s) * sizeof(float);
}

static struct norm_case norm_case_new(int32_t index, struct cpu_shape s, float center, float width)
{
    struct norm_case t = {.s = s, .relu = index % 2, .with_addend = index / 2 % 2};
    t.x = kernel_random(s, index, 1, center, width);
    t.addend = t.with_addend ? kernel_random(s, index, 2, 0.0f, 1.0f) : NULL;
    t.dy = kernel_random(s, index, 3, 0.1f, 1.0f);
    t.scale = kernel_vector(s.c, index, 4, 1.0f, 0.5f);
    t.shift = kernel_vector(s.c, index, 5, 0.0f, 0.5f);
    t.running_mean = kernel_vector(s.c, index, 6, 0.0f, 1.0f);
    t.running_var = kernel_vector(s.c, index, 7, 1.5f, 1.0f);
    t.y = kernel_tensor(s);
    t.dx = kernel_tensor(s);
    t.daddend = t.with_addend ? kernel_tensor(s) : NULL;
    t.mean = kernel_alloc(padded_bytes(s));
    t.invstd = kernel_alloc(padded_bytes(s));
    t.dscale = kernel_alloc((size_t)s.c * sizeof(float));
    t.dshift = kernel_alloc((size_t)s.c * sizeof(float));
    t.scratch = kernel_alloc(cpu_kernel_batch_norm_scratch(s));
    return t;
}

static void norm_case_free(struct norm_case *t)
{
    void *all[] = {t->x,           t->dy,     t->scale,   t->shift,  t->running_mean,
                   t->running_var, t->y,      t->dx,      t->mean,   t->invstd,
                   t->dscale,      t->dshift, t->scratch, t->addend, t->daddend};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (all[i])
            kernel_free(all[i]);
}

static void norm_case_run(struct norm_case *t)
{
    cpu_kernel_batch_norm(&(struct cpu_batch_norm){
        .shape = t->s,
        .relu = t->relu,
        .momentum = MOMENTUM,
        .epsilon = EPSILON,
        .x = t->x,
        .scale = t->scale,
        .shift = t->shift,
        .addend = t->addend,
        .running_mean = t->running_mean,
        .running_var = t->running_var,
        .y = t->y,
        .mean = t->mean,
        .invstd = t->invstd,
        .scratch = t->scratch,
    });
    cpu_kernel_batch_norm_backward(&(struct cpu_batch_norm_backward){
        .shape = t->s,
        .x = t->x,
        .y = t->relu ? t->y : NULL,
        .dy = t->dy,
        .scale = t->scale,
        .mean = t->mean,
        .invstd = t->invstd,
        .dx = t->dx,
        .dscale = t->dscale,
        .dshift = t->dshift,
        .daddend = t->daddend,
        .scratch = t->scratch,
    });
}

/* Elements of a channel, and the offset of each. */
static int32_t channel_count(struct cpu_shape s)
{
    return s.n * s.h * s.w;
}

static size_t channel_offset(struct cpu_shape s, int32_t c, int32_t element)
{
    const int32_t pixel = element % (s.h * s.w);
    return kernel_offset(s, element / (s.h * s.w), c, pixel / s.w, pixel % s.w);
}

static void check_forward(const struct norm_case *t, int32_t index, int32_t c, double old_mean,
                          double old_var)
{
    const double samples = (double)t->s.n * t->s.h * t->s.w;
    double mean = 0.0, variance = 0.0;
    for (int32_t e = 0; e < channel_count(t->s); e++) {
        const size_t i = channel_offset(t->s, c, e);
        mean += kernel_at(t->s, t->x, i) / samples;
    }
    for (int32_t e = 0; e < channel_count(t->s); e++) {
        const size_t i = channel_offset(t->s, c, e);
        const double u = kernel_at(t->s, t->x, i) - mean;
        variance += u * u / samples;
    }
    const double invstd = 1.0 / sqrt(variance + (double)EPSILON), deviation = sqrt(variance);

    /* The pilot lies within a few deviations of the mean; sums about it are rounded relative to that. */
    const double mean_error = 8.0 * SUM_ROUNDING * deviation + (double)FLT_EPSILON * fabs(mean);
    const double invstd_error = 16.0 * SUM_ROUNDING * invstd;
    kernel_check_close((double)t->mean[c], mean, mean_error, "mean", index, (size_t)c);
    kernel_check_close((double)t->invstd[c], invstd, invstd_error, "invstd", index, (size_t)c);
    kernel_check_close((double)t->running_mean[c],
                       (1.0 - (double)MOMENTUM) * old_mean + (double)MOMENTUM * mean,
                       mean_error + 4.0 * (double)FLT_EPSILON * (fabs(old_mean) + fabs(mean)), "running mean",
                       index, (size_t)c);
    kernel_check_close((double)t->running_var[c],
                       (1.0 - (double)MOMENTUM) * old_var + (double)MOMENTUM * variance,
                       32.0 * SUM_ROUNDING * variance + 4.0 * (double)FLT_EPSILON * old_var, "running var",
                       index, (size_t)c);
    const double scale = (double)t->scale[c], shift = (double)t->shift[c];
    for (int32_t e = 0; e < channel_count(t->s); e++) {
        const size_t i = channel_offset(t->s, c, e);
        const double normal = (kernel_at(t->s, t->x, i) - mean) * invstd,
                     extra = t->addend ? kernel_at(t->s, t->addend, i) : 0.0;
        double y = scale * normal + shift + extra;
        if (t->relu && y < 0.0)
            y = 0.0;
        const double error = scale * (invstd * mean_error + fabs(normal) * 17.0 * SUM_ROUNDING) +
                             4.0 * (double)FLT_EPSILON * (scale * fabs(normal) + fabs(shift) + fabs(extra));
        kernel_check_at(t->s, t->y, i, y, error, "y", index);
    }
}

/* The gradient behind the ReLU. */
static double gated(const struct norm_case *t, size_t i)
{
    return t->relu && !(kernel_at(t->s, t->y, i) > 0.0) ? 0.0 : kernel_at(t->s, t->dy, i);
}

static void check_backward(const struct norm_case *t, int32_t index, int32_t c)
{
    const double samples = (double)t->s.n * t->s.h * t->s.w;
    const double mean = (double)t->mean[c], r = (double)t->invstd[c], scale = (double)t->scale[c];
    double sum = 0.0, product = 0.0, sum_size = 0.0, product_size = 0.0;
    for (int32_t e = 0; e < channel_count(t->s); e++) {
        const size_t i = channel_offset(t->s, c, e);
        const double d = gated(t, i), u = kernel_at(t->s, t->x, i) - mean;
        sum += d;
        product += d * u;
        sum_size += fabs(d);
        product_size += fabs(d * u);
    }
    kernel_check_close((double)t->dshift[c], sum, SUM_ROUNDING * sum_size, "dshift", index, (size_t)c);
    kernel_check_close((double)t->dscale[c], r * product, 2.0 * SUM_ROUNDING * r * product_size, "dscale",
                       index, (size_t)c);
    for (int32_t e = 0; e < channel_count(t->s); e++) {
        const size_t i = channel_offset(t->s, c, e);
        const double d = gated(t, i), u = kernel_at(t->s, t->x, i) - mean;
        const double dx = scale * r * (d - sum / samples - u * r * r * product / samples);
        const double size = scale * r * (sum_size / samples + fabs(u) * r * r * product_size / samples);
        kernel_check_at(t->s, t->dx, i, dx,
                        2.0 * SUM_ROUNDING * size + 4.0 * (double)FLT_EPSILON * scale * r * fabs(d), "dx",
                        index);
        if (t->daddend)
            kernel_check_close(kernel_at(t->s, t->daddend, i), d, 0.0, "daddend", index, i);
    }
}

static void check_case(int32_t index, struct cpu_shape s, float center, float width)
{
    struct norm_case t = norm_case_new(index, s, center, width);
    float *old_mean = kernel_vector(s.c, index, 6, 0.0f, 1.0f),
          *old_var = kernel_vector(s.c, index, 7, 1.5f, 1.0f);
    norm_case_run(&t);
    for (int32_t c = 0; c < s.c; c++) {
        check_forward(&t, index, c, (double)old_mean[c], (double)old_var[c]);
        check_backward(&t, index, c);
    }
    kernel_check_padding(s, t.y, "y");
    kernel_check_padding(s, t.dx, "dx");
    if (t.daddend)
        kernel_check_padding(s, t.daddend, "daddend");
    for (int32_t c = s.c; c < cpu_shape_padded(s); c++)
        assert_true(fabsf(t.mean[c]) <= 0.0f && fabsf(t.invstd[c]) <= 0.0f);
    kernel_free(old_mean);
    kernel_free(old_var);
    norm_case_free(&t);
}

static void test_against_loops(void **state)
{
    (void)state;
    for (int32_t index = 0; index < CASES; index++) {
        check_case(index, kernel_case_shape(CPU_FLOAT, index), 0.3f, 1.0f);
        check_case(index, kernel_case_shape(CPU_BF16, index), 0.3f, 1.0f);
    }
}

/* Planes of several runs, with a tail. */
static void test_large_images(void **state)
{
    (void)state;
    check_case(100, (struct cpu_shape){2, 5, 37, 41, 8, CPU_FLOAT}, 0.3f, 1.0f);
    check_case(101, (struct cpu_shape){2, 19, 41, 37, 16, CPU_FLOAT}, 0.3f, 1.0f);
    check_case(102, (struct cpu_shape){2, 19, 41, 37, 32, CPU_BF16}, 0.3f, 1.0f);
    check_case(103, (struct cpu_shape){5, 9, 64, 67, 16, CPU_BF16}, 0.3f,
               1.0f); /* parts of more than the least */
}

/* A mean a thousand deviations from zero: sums about zero would lose the variance in float. */
static void test_far_mean(void **state)
{
    (void)state;
    for (int32_t index = 200; index < 208; index++)
        check_case(index, (struct cpu_shape){4, 9, 24, 25, index % 2 ? 16 : 8, CPU_FLOAT}, 1000.0f, 1.0f);
}

/* Constant channels: variance 0, never negative, and finite results. */
static void test_constant(void **state)
{
    (void)state;
    check_case(300, (struct cpu_shape){3, 11, 9, 7, 8, CPU_FLOAT}, 7.7f, 0.0f);
    check_case(301, (struct cpu_shape){1, 11, 1, 1, 16, CPU_FLOAT}, -3.3f, 0.0f);
    check_case(302, (struct cpu_shape){3, 11, 9, 7, 16, CPU_BF16}, 7.7f, 0.0f);
}

static void test_inference(void **state)
{
    (void)state;
    for (int32_t index = 0; index < 2 * CASES; index++) {
        struct cpu_shape s = kernel_case_shape(index < CASES ? CPU_FLOAT : CPU_BF16, index);
        struct norm_case t = norm_case_new(index, s, 0.3f, 1.0f);
        cpu_kernel_batch_norm_inference(&(struct cpu_batch_norm_inference){
            .shape = s,
            .relu = t.relu,
            .epsilon = EPSILON,
            .x = t.x,
            .scale = t.scale,
            .shift = t.shift,
            .running_mean = t.running_mean,
            .running_var = t.running_var,
            .addend = t.addend,
            .y = t.y,
            .scratch = t.scratch,
        });
        for (int32_t c = 0; c < s.c; c++) {
            const double mean = (double)t.running_mean[c], scale = (double)t.scale[c],
                         shift = (double)t.shift[c];
            const double r = 1.0 / sqrt((double)t.running_var[c] + (double)EPSILON);
            for (int32_t e = 0; e < channel_count(s); e++) {
                const size_t i = channel_offset(s, c, e);
                const double normal = (kernel_at(s, t.x, i) - mean) * r,
                             extra = t.addend ? kernel_at(s, t.addend, i) : 0.0;
                double y = scale * normal + shift + extra;
                if (t.relu && y < 0.0)
                    y = 0.0;
                kernel_check_at(s, t.y, i, y,
                                4.0 * (double)FLT_EPSILON *
                                    (scale * fabs(normal) + fabs(shift) + fabs(extra)),
                                "inference", index);
            }
        }
        kernel_check_padding(s, t.y, "inference");
        norm_case_free(&t);
    }
}

/* FNV-1a. */
static uint64_t hash_of(uint64_t hash, const void *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const uint8_t *)memory)[i]) * UINT64_C(1099511628211);
    return hash;
}

/* The same bits again, for one thread and for three, and on every machine. */
static void test_same_bits(void **state)
{
    (void)state;
    const int threads = omp_get_max_threads();
    uint64_t hash[2] = {0, 0}; /* of each type's results */
    for (int32_t index = 0; index < 24; index++) {
        struct cpu_shape s = kernel_case_shape(index < 12 ? CPU_FLOAT : CPU_BF16, index);
        struct norm_case a = norm_case_new(index, s, 0.3f, 1.0f), b = norm_case_new(index, s, 0.3f, 1.0f);
        omp_set_num_threads(1);
        norm_case_run(&a);
        omp_set_num_threads(3);
        norm_case_run(&b);
        const size_t bytes = cpu_shape_bytes(s), vector = (size_t)s.c * sizeof(float);
        assert_memory_equal(a.y, b.y, bytes);
        assert_memory_equal(a.dx, b.dx, bytes);
        assert_memory_equal(a.mean, b.mean, padded_bytes(s));
        assert_memory_equal(a.invstd, b.invstd, padded_bytes(s));
        assert_memory_equal(a.dscale, b.dscale, vector);
        assert_memory_equal(a.dshift, b.dshift, vector);
        assert_memory_equal(a.running_mean, b.running_mean, vector);
        assert_memory_equal(a.running_var, b.running_var, vector);
        hash[s.type] = hash_of(hash_of(hash[s.type], a.y, bytes), a.dx, bytes);
        hash[s.type] = hash_of(hash_of(hash[s.type], a.running_var, vector), a.dscale, vector);
        norm_case_free(&a);
        norm_case_free(&b);
    }
    omp_set_num_threads(threads);
    assert_int_equal(hash[CPU_FLOAT], UINT64_C(0x10519445b5e31355));
    assert_int_equal(hash[CPU_BF16], UINT64_C(0x6a5986d1224f9147));
}

/* A NaN reaches its channel's results, with ReLU too, and no other channel's. */
static void test_nan(void **state)
{
    (void)state;
    for (int type = CPU_FLOAT; type <= CPU_BF16; type++) {
        struct cpu_shape s = kernel_shape((enum cpu_type)type, 2, 9, 5, 3, 8);
        struct norm_case t = norm_case_new(1, s, 0.3f, 1.0f);
        assert_true(t.relu);
        cpu_set_value(s.type, t.x, kernel_offset(s, 1, 4, 2, 1), NAN);
        norm_case_run(&t);
        for (int32_t c = 0; c < s.c; c++)
            for (int32_t e = 0; e < channel_count(s); e++)
                assert_true(isnan(kernel_at(s, t.y, channel_offset(s, c, e))) == (c == 4));
        norm_case_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_loops), cmocka_unit_test(test_large_images),
        cmocka_unit_test(test_far_mean),      cmocka_unit_test(test_constant),
        cmocka_unit_test(test_inference),     cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests_name("cpu kernels: batch norm", tests, NULL, NULL);
}

/* The CPU's kernels over the weights' flat arrays, the optimizers and the average, against plain loops. */
#include "tests/support/kernel_case.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct cpu_weight_range ranges[] = {
    {0, 27, 0, false, OPTIMIZER_KERNEL, 1.0f},        {32, 5, 32, false, OPTIMIZER_BIAS, 1.0f},
    {48, 40001, 48, false, OPTIMIZER_KERNEL, 0.5f},   {40064, 1, 40064, false, OPTIMIZER_SCALE, 1.0f},
    {40080, 20000, 16, true, OPTIMIZER_HIDDEN, 1.0f}, /* its update lies among the others' gradients */
};
enum { FLOATS = 60080, RANGES = sizeof(ranges) / sizeof(*ranges) };

static const struct cpu_weight_range *range_of(int32_t i)
{
    for (int32_t r = 0; r < RANGES; r++)
        if ((size_t)i >= ranges[r].offset && (size_t)i < ranges[r].offset + ranges[r].count)
            return &ranges[r];
    return NULL;
}

/* Ten steps; the expectation is carried on in double. Floats outside of ranges (gaps, untrained weights)
 * stay. */
static void check_optimizer(struct optimizer o, int32_t index)
{
    float *value = kernel_vector(FLOATS, index, 1, 0.0f, 1.0f),
          *gradient = kernel_vector(FLOATS, index, 2, 0.0f, 1.0f);
    float *first = kernel_zeros(FLOATS * sizeof(float)), *second = kernel_zeros(FLOATS * sizeof(float));
    double *w = calloc(FLOATS, sizeof(*w)), *m = calloc(FLOATS, sizeof(*m)), *s = calloc(FLOATS, sizeof(*s));
    assert_true(w && m && s);
    for (int32_t i = 0; i < FLOATS; i++)
        w[i] = (double)value[i];
    const double rate = (double)0.05f, b1 = (double)o.momentum, b2 = (double)o.second;
    for (uint32_t number = 0; number < 10; number++) {
        cpu_kernel_optimizer(&(struct cpu_optimizer){
            .ranges = ranges,
            .range_count = RANGES,
            .optimizer = &o,
            .rate = 0.05f,
            .number = number,
            .gradients = gradient,
            .value = value,
            .first = first,
            .second = o.kind == OPTIMIZER_ADAMW ? second : NULL,
        });
        for (int32_t i = 0; i < FLOATS; i++) {
            const struct cpu_weight_range *range = range_of(i);
            if (!range)
                continue;
            const bool bias = range->part == OPTIMIZER_BIAS, hidden = range->part == OPTIMIZER_HIDDEN,
                       kernel = range->part == OPTIMIZER_KERNEL || hidden;
            const double g = (double)gradient[(size_t)i - range->offset + range->gradient],
                         decay = kernel ? (double)o.decay
                                 : bias ? (double)o.bias_decay
                                        : 0.0;
            const double times = bias                                 ? (double)o.bias_rate
                                 : hidden && o.kind == OPTIMIZER_MUON ? (double)o.muon_rate
                                                                      : 1.0;
            const double own = rate * (double)range->rate * times;
            w[i] *= 1.0 - rate * decay;
            if (range->orthogonal) {
                w[i] -= own * g;
            } else if (o.kind != OPTIMIZER_ADAMW) {
                m[i] = b1 * m[i] + g;
                w[i] -= own * (g + b1 * m[i]);
            } else {
                m[i] = b1 * m[i] + (1.0 - b1) * g;
                s[i] = b2 * s[i] + (1.0 - b2) * g * g;
                w[i] -= own * (m[i] / (1.0 - pow(b1, number + 1.0))) /
                        (sqrt(s[i] / (1.0 - pow(b2, number + 1.0))) + (double)OPTIMIZER_ADAM_EPSILON);
            }
        }
    }
    for (int32_t i = 0; i < FLOATS; i++) {
        /* Ten steps of a few roundings each; the value and its way lie below 6. */
        kernel_check_close((double)value[i], w[i], 10.0 * 6.0 * 4.0 * (double)FLT_EPSILON, "value", index,
                           (size_t)i);
        kernel_check_close((double)first[i], m[i], 10.0 * 4.0 * (double)FLT_EPSILON * (1.0 + fabs(m[i])),
                           "first", index, (size_t)i);
        kernel_check_close((double)second[i], s[i], 10.0 * 4.0 * (double)FLT_EPSILON * s[i], "second", index,
                           (size_t)i);
    }
    free(s);
    free(m);
    free(w);
    kernel_free(second);
    kernel_free(first);
    kernel_free(gradient);
    kernel_free(value);
}

static void test_optimizer(void **state)
{
    (void)state;
    check_optimizer((struct optimizer){OPTIMIZER_SGD, 0.9f, 0.0f, 0.01f, 1.0f, 0.0f, 0.0f}, 0);
    check_optimizer((struct optimizer){OPTIMIZER_SGD, 0.0f, 0.0f, 0.0f, 1.5f, 0.02f, 0.0f}, 1);
    check_optimizer((struct optimizer){OPTIMIZER_ADAMW, 0.9f, 0.999f, 0.01f, 1.5f, 0.02f, 0.0f}, 2);
    check_optimizer((struct optimizer){OPTIMIZER_MUON, 0.9f, 0.0f, 0.01f, 1.5f, 0.02f, 0.25f}, 3);
}

/* Lengths that fill no vector, no share, several. */
static void test_momentum(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 7, 8, 1003, 16384, 40001};
    for (int32_t k = 0; k < (int32_t)(sizeof(counts) / sizeof(counts[0])); k++) {
        const size_t count = counts[k];
        float *gradient = kernel_vector((int32_t)count, k, 1, 0.0f, 1.0f),
              *velocity = kernel_vector((int32_t)count, k, 2, 0.0f, 1.0f),
              *before = kernel_vector((int32_t)count, k, 2, 0.0f, 1.0f),
              *update = kernel_zeros(count * sizeof(float));
        double *sums = kernel_alloc(cpu_kernel_momentum_sums(count) * sizeof(double)), squares = 0;
        const double found = cpu_kernel_momentum(count, 0.75f, gradient, velocity, update, sums);
        cpu_kernel_scale(count, 0.5f, update);
        for (size_t i = 0; i < count; i++) {
            const double g = (double)gradient[i], v = 0.75 * (double)before[i] + g, x = g + 0.75 * v;
            kernel_check_close((double)velocity[i], v, 2.0 * (double)FLT_EPSILON * (1.0 + fabs(v)),
                               "velocity", k, i);
            kernel_check_close((double)update[i], 0.5 * x, 4.0 * (double)FLT_EPSILON * (1.0 + fabs(x)),
                               "update", k, i);
            squares += x * x;
        }
        /* a lane's sum has at most 2,048 terms, all of them positive */
        kernel_check_close(found, squares, 2100.0 * (double)FLT_EPSILON * squares, "squares", k, 0);
        kernel_free(sums);
        kernel_free(update);
        kernel_free(before);
        kernel_free(velocity);
        kernel_free(gradient);
    }
}

static void test_weight_average(void **state)
{
    (void)state;
    float *value = kernel_vector(FLOATS, 0, 1, 0.0f, 1.0f),
          *average = kernel_vector(FLOATS, 0, 2, 0.0f, 1.0f);
    float *before = kernel_vector(FLOATS, 0, 2, 0.0f, 1.0f);
    float *values = kernel_vector(FLOATS, 0, 1, 0.0f, 1.0f);
    cpu_kernel_weight_average(FLOATS, 0.875f, false, value, average);
    for (int32_t i = 0; i < FLOATS; i++)
        kernel_check_close((double)average[i], 0.875 * (double)before[i] + 0.125 * (double)value[i],
                           (double)FLT_EPSILON, "average", 0, (size_t)i);
    assert_memory_equal(value, values, FLOATS * sizeof(float));
    cpu_kernel_weight_average(FLOATS, 0.875f, true, value, average);
    for (int32_t i = 0; i < FLOATS; i++)
        kernel_check_close((double)average[i], 0.765625 * (double)before[i] + 0.234375 * (double)values[i],
                           (double)FLT_EPSILON * 2.0, "average", 1, (size_t)i);
    assert_memory_equal(value, average, FLOATS * sizeof(float));
    kernel_free(values);
    kernel_free(before);
    kernel_free(average);
    kernel_free(value);
}

/* The same bits for one thread and for three, where threads share out ranges. */
static void test_same_bits(void **state)
{
    (void)state;
    const int threads = omp_get_max_threads();
    const struct optimizer o = {OPTIMIZER_ADAMW, 0.9f, 0.999f, 0.01f, 2.0f, 0.0f, 0.0f};
    float *gradient = kernel_vector(FLOATS, 0, 2, 0.0f, 1.0f);
    float *value[2], *first[2], *second[2];
    for (int run = 0; run < 2; run++) {
        omp_set_num_threads(run ? 3 : 1);
        value[run] = kernel_vector(FLOATS, 0, 1, 0.0f, 1.0f);
        first[run] = kernel_zeros(FLOATS * sizeof(float));
        second[run] = kernel_zeros(FLOATS * sizeof(float));
        cpu_kernel_optimizer(&(struct cpu_optimizer){
            .ranges = ranges,
            .range_count = RANGES,
            .optimizer = &o,
            .rate = 0.05f,
            .number = 2,
            .gradients = gradient,
            .value = value[run],
            .first = first[run],
            .second = second[run],
        });
    }
    omp_set_num_threads(threads);
    assert_memory_equal(value[0], value[1], FLOATS * sizeof(float));
    assert_memory_equal(first[0], first[1], FLOATS * sizeof(float));
    assert_memory_equal(second[0], second[1], FLOATS * sizeof(float));
    for (int run = 0; run < 2; run++) {
        kernel_free(value[run]);
        kernel_free(first[run]);
        kernel_free(second[run]);
    }
    kernel_free(gradient);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimizer),
        cmocka_unit_test(test_momentum),
        cmocka_unit_test(test_weight_average),
        cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests_name("cpu kernels, weights", tests, NULL, NULL);
}

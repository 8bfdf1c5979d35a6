/* The gradient of a depthwise kernel against plain loops. Inputs are whole numbers, so that sums are exact in any
 * order. */
#include "tests/support/kernel_case.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct depthwise_case {
    const char *why;
    int32_t n, c, h, w;
    struct cpu_window k;
} cases[] = {
    {"the usual one", 3, 19, 9, 8, {5, 5, 1, 2, 2}},
    {"more images than slices", 37, 8, 6, 5, {3, 3, 1, 1, 1}},
    {"with a stride", 2, 16, 11, 12, {5, 5, 2, 2, 2}},
    {"a stride above the kernel", 2, 5, 9, 10, {2, 2, 3, 0, 0}},
    {"more columns than are summed at a time", 2, 9, 8, 13, {3, 9, 1, 1, 4}},
    {"twice as many", 1, 9, 3, 20, {1, 14, 1, 0, 6}},
    {"no column with all taps in the image", 2, 9, 3, 3, {7, 7, 1, 3, 3}},
    {"taps that only ever see padding", 1, 4, 2, 2, {5, 5, 1, 4, 4}},
    {"padding on one side and a stride", 2, 33, 7, 7, {4, 6, 2, 3, 5}},
    {"a single row", 2, 21, 1, 9, {1, 4, 2, 0, 2}},
    {"a single tap", 2, 21, 4, 3, {1, 1, 1, 0, 0}},
    {"a single pixel", 1, 1, 1, 1, {1, 1, 1, 0, 0}},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static struct cpu_shape case_in(const struct depthwise_case *t, enum cpu_type type, int32_t block)
{
    return kernel_shape(type, t->n, t->c, t->h, t->w, block);
}

/* What one weight, or with row -1 the bias, gets. */
static double expected(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const void *x,
                       const void *dy, int32_t c, int32_t row, int32_t column)
{
    double sum = 0.0;
    for (int32_t n = 0; n < in.n; n++)
        for (int32_t i = 0; i < out.h; i++)
            for (int32_t j = 0; j < out.w; j++) {
                const int32_t u = i * k.stride - k.pad_h + row, v = j * k.stride - k.pad_w + column;
                const double gradient = kernel_at(out, dy, kernel_offset(out, n, c, i, j));
                if (row < 0)
                    sum += gradient;
                else if (u >= 0 && u < in.h && v >= 0 && v < in.w)
                    sum += gradient * kernel_at(in, x, kernel_offset(in, n, c, u, v));
            }
    return sum;
}

static void check(const struct depthwise_case *t, int32_t index, enum cpu_type type, int32_t block)
{
    const struct cpu_shape in = case_in(t, type, block), out = kernel_windowed(in, t->k);
    const struct cpu_window k = t->k;
    const size_t taps = (size_t)k.kernel_h * (size_t)k.kernel_w, count = (size_t)t->c * taps;
    void *x = kernel_whole(in, index, 1, 9), *dy = kernel_whole(out, index, 2, 9);
    float *dkernel = kernel_alloc(count * sizeof(float)), *dbias = kernel_alloc((size_t)t->c * sizeof(float)),
          *alone = kernel_alloc(count * sizeof(float));
    void *scratch = kernel_alloc(cpu_kernel_depthwise_scratch(in, k));
    struct cpu_depthwise_weights d = {in, out, k, x, dy, dkernel, dbias, scratch};
    cpu_kernel_depthwise_weights(&d);
    d.dkernel = alone;
    d.dbias = NULL;
    cpu_kernel_depthwise_weights(&d);
    assert_memory_equal(alone, dkernel, count * sizeof(float));
    for (int32_t c = 0; c < t->c; c++) {
        kernel_check_close((double)dbias[c], expected(in, out, k, x, dy, c, -1, 0), 0.0, t->why, index,
                           (size_t)c);
        for (size_t tap = 0; tap < taps; tap++) {
            const size_t at = (size_t)c * taps + tap;
            kernel_check_close(
                (double)dkernel[at],
                expected(in, out, k, x, dy, c, (int32_t)tap / k.kernel_w, (int32_t)tap % k.kernel_w), 0.0,
                t->why, index, at);
        }
    }
    kernel_free(scratch);
    kernel_free(alone);
    kernel_free(dbias);
    kernel_free(dkernel);
    kernel_free(dy);
    kernel_free(x);
}

static void test_weights(void **state)
{
    (void)state;
    for (int32_t i = 0; i < CASES; i++) {
        check(&cases[i], i, CPU_FLOAT, 8);
        check(&cases[i], i, CPU_FLOAT, 16);
        check(&cases[i], i, CPU_BF16, 0);
    }
}

/* One thread and three: the same bits. */
static void test_same_bits(void **state)
{
    (void)state;
    enum { CHANNELS = 40, TAPS = 25 };
    const struct cpu_shape shape = kernel_shape(CPU_BF16, 21, CHANNELS, 9, 7, 0);
    const struct cpu_window k = {5, 5, 1, 2, 2};
    void *x = kernel_random(shape, 1, 1, 0.0f, 1.0f), *dy = kernel_random(shape, 1, 2, 0.0f, 1.0f);
    void *scratch = kernel_alloc(cpu_kernel_depthwise_scratch(shape, k));
    float dkernel[2][CHANNELS * TAPS];
    const int threads = omp_get_max_threads();
    for (int run = 0; run < 2; run++) {
        omp_set_num_threads(run == 0 ? 1 : 3);
        cpu_kernel_depthwise_weights(
            &(struct cpu_depthwise_weights){shape, shape, k, x, dy, dkernel[run], NULL, scratch});
    }
    omp_set_num_threads(threads);
    assert_memory_equal(dkernel[0], dkernel[1], sizeof(dkernel[0]));
    kernel_free(scratch);
    kernel_free(dy);
    kernel_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights), cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests_name("cpu kernels: depthwise", tests, NULL, NULL);
}

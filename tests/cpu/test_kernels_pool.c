/* Pooling kernels against plain loops. Inputs are whole numbers, so that sums are exact in any order and
 * equal values are frequent: max pool and the gradients of whole numbers must then be exact. */
#include "tests/support/kernel_case.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct pool_case {
    const char *why;
    int32_t n, c, h, w;
    struct cpu_window k;
} cases[] = {
    {"the usual halving", 2, 16, 8, 8, {2, 2, 2, 0, 0}},
    {"halving with an odd row and column", 3, 19, 7, 11, {2, 2, 2, 0, 0}},
    {"halving down to a single pixel", 1, 3, 2, 3, {2, 2, 2, 0, 0}},
    {"overlap and padding", 3, 5, 7, 11, {3, 3, 2, 1, 1}},
    {"stride 1", 1, 9, 6, 5, {3, 3, 1, 1, 1}},
    {"2x2 at stride 1", 2, 8, 6, 5, {2, 2, 1, 0, 0}},
    {"2x2 with padding", 2, 8, 6, 5, {2, 2, 2, 1, 1}},
    {"stride above the kernel: pixels never read", 2, 3, 9, 8, {2, 2, 3, 0, 0}},
    {"window as large as the image", 2, 3, 5, 5, {5, 5, 1, 0, 0}},
    {"not square", 2, 21, 6, 9, {2, 4, 2, 1, 2}},
    {"a single row", 2, 21, 6, 9, {1, 4, 2, 0, 2}},
    {"the largest that bytes can index", 1, 2, 17, 16, {15, 15, 1, 7, 7}},
    {"a single pixel", 1, 1, 1, 1, {1, 1, 1, 0, 0}},
    {"a row that is summed in parts", 1, 9, 5, 150, {3, 3, 1, 1, 1}},
    {"the same with a stride", 1, 3, 6, 131, {4, 5, 3, 2, 2}},
};

enum { CASES = sizeof(cases) / sizeof(*cases), SHAPES = 40 };

/* All layouts. */
static const struct layout {
    enum cpu_type type;
    int32_t block;
} layouts[] = {{CPU_FLOAT, 8}, {CPU_FLOAT, 16}, {CPU_BF16, 0}};

enum { LAYOUTS = sizeof(layouts) / sizeof(*layouts) };

static struct cpu_shape case_in(const struct pool_case *t, struct layout layout)
{
    return kernel_shape(layout.type, t->n, t->c, t->h, t->w, layout.block);
}

/* Calls visit(data, offset in x, offset in y) for every pixel inside every window, window by window, row by
 * row. */
typedef void visit_function(void *data, size_t from, size_t to);

static void visit_windows(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                          visit_function *visit, void *data)
{
    for (int32_t n = 0; n < in.n; n++)
        for (int32_t c = 0; c < in.c; c++)
            for (int32_t i = 0; i < out.h * out.w; i++)
                for (int32_t j = 0; j < k.kernel_h * k.kernel_w; j++) {
                    const int32_t row = i / out.w * k.stride - k.pad_h + j / k.kernel_w;
                    const int32_t column = i % out.w * k.stride - k.pad_w + j % k.kernel_w;
                    if (row >= 0 && row < in.h && column >= 0 && column < in.w)
                        visit(data, kernel_offset(in, n, c, row, column),
                              kernel_offset(out, n, c, i / out.w, i % out.w));
                }
}

/* What the reference gathers: per output the winner and its position, or the pixels' sum and number. */
struct expected {
    enum cpu_type type;
    const void *x;
    double *value;
    size_t *winner;
    int32_t *pixels;
};

static struct expected expected_new(enum cpu_type type, const void *x, size_t count)
{
    struct expected e = {type, x, calloc(count, sizeof(*e.value)), calloc(count, sizeof(*e.winner)),
                         calloc(count, sizeof(*e.pixels))};
    assert_true(e.value && e.winner && e.pixels);
    return e;
}

static void expected_free(struct expected *e)
{
    free(e->value);
    free(e->winner);
    free(e->pixels);
}

static void visit_max(void *data, size_t from, size_t to)
{
    struct expected *e = data;
    const double value = (double)cpu_value(e->type, e->x, from);
    if (e->pixels[to]++ == 0 || value > e->value[to]) {
        e->value[to] = value;
        e->winner[to] = from;
    }
}

static void visit_sum(void *data, size_t from, size_t to)
{
    struct expected *e = data;
    e->value[to] += (double)cpu_value(e->type, e->x, from);
    e->pixels[to]++;
}

static void check_max_pool(const struct pool_case *t, int32_t index, struct layout layout, int32_t span)
{
    const struct cpu_shape in = case_in(t, layout), out = kernel_windowed(in, t->k);
    const size_t in_count = cpu_shape_count(in), out_count = cpu_shape_count(out);
    void *x = kernel_whole(in, index, 1, span), *dy = kernel_whole(out, index, 2, 9);
    void *y = kernel_tensor(out), *dx = kernel_tensor(in), *alone = kernel_tensor(out);
    double *expected_dx = kernel_zeros(in_count * sizeof(*expected_dx));
    uint8_t *winners = kernel_alloc(out_count);
    struct expected e = expected_new(in.type, x, out_count);

    cpu_kernel_max_pool(in, out, t->k, x, y, winners);
    cpu_kernel_max_pool(in, out, t->k, x, alone, NULL);
    cpu_kernel_max_pool_backward(in, out, t->k, dy, winners, dx);
    visit_windows(in, out, t->k, visit_max, &e);
    for (size_t i = 0; i < out_count; i++) {
        kernel_check_close(kernel_at(out, y, i), e.value[i], 0.0, t->why, index, i);
        if (e.pixels[i])
            expected_dx[e.winner[i]] += kernel_at(out, dy, i);
    }
    for (size_t i = 0; i < in_count; i++)
        kernel_check_at(in, dx, i, expected_dx[i], 0.0, t->why, index);
    assert_memory_equal(alone, y, cpu_shape_bytes(out));
    kernel_check_padding(out, y, "y");
    kernel_check_padding(in, dx, "dx");

    expected_free(&e);
    kernel_free(winners);
    kernel_free(alone);
    kernel_free(expected_dx);
    kernel_free(dx);
    kernel_free(y);
    kernel_free(dy);
    kernel_free(x);
}

/* Once with many values, once with few, once all equal. */
static void test_max_pool(void **state)
{
    (void)state;
    for (int32_t index = 0; index < CASES; index++)
        for (int32_t k = 0; k < LAYOUTS; k++) {
            check_max_pool(&cases[index], index, layouts[k], 1000);
            check_max_pool(&cases[index], index, layouts[k], 1);
            check_max_pool(&cases[index], index, layouts[k], 0);
        }
}

/* Windows of NaN: the gradient stays inside the image (the guards tell) and none of it is lost. */
static void test_max_pool_nan(void **state)
{
    (void)state;
    for (int32_t index = 0; index < CASES * LAYOUTS; index++) {
        const struct pool_case *t = &cases[index / LAYOUTS];
        const struct cpu_shape in = case_in(t, layouts[index % LAYOUTS]), out = kernel_windowed(in, t->k);
        void *x = kernel_tensor(in), *dy = kernel_whole(out, index, 2, 9);
        void *y = kernel_tensor(out), *dx = kernel_tensor(in);
        uint8_t *winners = kernel_alloc(cpu_shape_count(out));
        cpu_kernel_max_pool(in, out, t->k, x, y, winners);
        cpu_kernel_max_pool_backward(in, out, t->k, dy, winners, dx);
        double given = 0.0, received = 0.0, sizes = 0.0;
        for (size_t i = 0; i < cpu_shape_count(out); i++)
            given += kernel_at(out, dy, i);
        for (size_t i = 0; i < cpu_shape_count(in); i++) {
            received += kernel_at(in, dx, i);
            sizes += fabs(kernel_at(in, dx, i));
        }
        kernel_check_close(received, given, in.type == CPU_BF16 ? 0x1p-8 * sizes : 0.0, t->why, index, 0);
        kernel_free(winners);
        kernel_free(dx);
        kernel_free(y);
        kernel_free(dy);
        kernel_free(x);
    }
}

/* The gradient of visit_sum: every pixel inside receives an equal share. `value` holds dy's shares, `sum`
 * their sums. */
struct spread {
    const struct expected *forward;
    const void *dy;
    double *dx, *size;
};

static void visit_spread(void *data, size_t from, size_t to)
{
    struct spread *s = data;
    const double share = (double)cpu_value(s->forward->type, s->dy, to) / s->forward->pixels[to];
    s->dx[from] += share;
    s->size[from] += fabs(share);
}

static void check_average_pool(const struct pool_case *t, int32_t index, struct layout layout)
{
    const struct cpu_shape in = case_in(t, layout), out = kernel_windowed(in, t->k);
    const size_t in_count = cpu_shape_count(in), out_count = cpu_shape_count(out);
    const double windows = (double)t->k.kernel_h * t->k.kernel_w; /* that hold one pixel, at most */
    void *x = kernel_whole(in, index, 1, 1000), *dy = kernel_whole(out, index, 2, 9);
    void *y = kernel_tensor(out), *dx = kernel_tensor(in);
    struct expected e = expected_new(in.type, x, out_count);
    struct spread s = {&e, dy, calloc(in_count, sizeof(*s.dx)), calloc(in_count, sizeof(*s.size))};
    assert_true(s.dx && s.size);

    cpu_kernel_average_pool(in, out, t->k, x, y);
    cpu_kernel_average_pool_backward(in, out, t->k, dy, dx);
    visit_windows(in, out, t->k, visit_sum, &e);
    visit_windows(in, out, t->k, visit_spread, &s);
    for (size_t i = 0; i < out_count; i++) {
        const double mean = e.pixels[i] ? e.value[i] / e.pixels[i] : 0.0; /* no pixels: padding lanes */
        kernel_check_at(out, y, i, mean, (double)FLT_EPSILON * fabs(mean), t->why, index);
    }
    for (size_t i = 0; i < in_count; i++)
        kernel_check_at(in, dx, i, s.dx[i], (windows + 1.0) * (double)FLT_EPSILON * s.size[i], t->why, index);
    kernel_check_padding(out, y, "y");
    kernel_check_padding(in, dx, "dx");

    free(s.dx);
    free(s.size);
    expected_free(&e);
    kernel_free(dx);
    kernel_free(y);
    kernel_free(dy);
    kernel_free(x);
}

static void test_average_pool(void **state)
{
    (void)state;
    for (int32_t index = 0; index < CASES; index++)
        for (int32_t k = 0; k < LAYOUTS; k++)
            check_average_pool(&cases[index], index, layouts[k]);
}

/* Shapes of both types, one after another; the first one has more pixels than one run. */
static struct cpu_shape shape_of(int32_t index)
{
    const enum cpu_type type = index < SHAPES ? CPU_FLOAT : CPU_BF16;
    return index % SHAPES == 0 ? kernel_shape(type, 2, 5, 37, 41, 8) : kernel_case_shape(type, index);
}

/* Beside the C library's e^x; activation.h tells how far its own is from that. */
static void test_gate(void **state)
{
    (void)state;
    for (int32_t index = 0; index < 2 * SHAPES; index++) {
        const struct cpu_shape s = shape_of(index);
        const struct cpu_shape one = {s.n, s.c, 1, 1, s.block, s.type};
        const int32_t pixels = s.h * s.w;
        void *x = kernel_whole(s, index, 1, 8), *dy = kernel_whole(s, index, 2, 8);
        void *gate = kernel_whole(one, index, 3, 6);
        void *y = kernel_tensor(s), *dx = kernel_tensor(s), *dgate = kernel_tensor(one);
        cpu_kernel_gate(s, x, gate, y);
        cpu_kernel_gate_backward(&(struct cpu_gate_backward){
            .shape = s, .x = x, .gate = gate, .dy = dy, .dx = dx, .dgate = dgate});
        for (int32_t plane = 0; plane < s.n * s.c; plane++) {
            const int32_t n = plane / s.c, c = plane % s.c;
            const size_t at = kernel_offset(one, n, c, 0, 0);
            const double share = 1.0 / (1.0 + exp(-kernel_at(one, gate, at))),
                         slope = 2.0 * share * (1.0 - share);
            double sum = 0.0, sizes = 0.0;
            for (int32_t i = 0; i < pixels; i++) {
                const size_t offset = kernel_offset(s, n, c, i / s.w, i % s.w);
                const double value = kernel_at(s, x, offset), g = kernel_at(s, dy, offset);
                sum += g * value;
                sizes += fabs(g * value);
                kernel_check_at(s, y, offset, 2.0 * share * value, 0x1p-20 * fabs(value), "y", index);
                kernel_check_at(s, dx, offset, 2.0 * share * g, 0x1p-20 * fabs(g), "dx", index);
            }
            kernel_check_at(one, dgate, at, slope * sum, 0x1p-20 * slope * sizes, "dgate", index);
        }
        kernel_check_padding(s, y, "y");
        kernel_check_padding(s, dx, "dx");
        kernel_check_padding(one, dgate, "dgate");
        kernel_free(dgate);
        kernel_free(dx);
        kernel_free(y);
        kernel_free(gate);
        kernel_free(dy);
        kernel_free(x);
    }
}

static void test_global_pool(void **state)
{
    (void)state;
    for (int32_t index = 0; index < 2 * SHAPES; index++) {
        const struct cpu_shape s = shape_of(index);
        const struct cpu_shape one = {s.n, s.c, 1, 1, s.block, s.type};
        const int32_t pixels = s.h * s.w;
        void *x = kernel_whole(s, index, 1, 1000), *dy = kernel_whole(one, index, 2, 1000);
        void *y = kernel_tensor(one), *dx = kernel_tensor(s);
        cpu_kernel_global_pool(s, x, y);
        cpu_kernel_global_pool_backward(s, dy, dx);
        for (int32_t plane = 0; plane < s.n * s.c; plane++) {
            const int32_t n = plane / s.c, c = plane % s.c;
            const size_t at = kernel_offset(one, n, c, 0, 0);
            double sum = 0.0;
            for (int32_t i = 0; i < pixels; i++) {
                const size_t offset = kernel_offset(s, n, c, i / s.w, i % s.w);
                const double share = kernel_at(one, dy, at) / pixels;
                sum += kernel_at(s, x, offset);
                kernel_check_at(s, dx, offset, share, (double)FLT_EPSILON * fabs(share), "dx", index);
            }
            kernel_check_at(one, y, at, sum / pixels, (double)FLT_EPSILON * fabs(sum / pixels), "y", index);
        }
        kernel_check_padding(one, y, "y");
        kernel_check_padding(s, dx, "dx");
        kernel_free(dx);
        kernel_free(y);
        kernel_free(dy);
        kernel_free(x);
    }
}

/* Inputs that round: the same bits for one thread and for three, gradients of overlapping windows among them. */
static void check_same_bits(struct layout layout)
{
    const int threads = omp_get_max_threads();
    const struct pool_case t = {"same bits", 3, 21, 13, 11, {3, 3, 2, 1, 1}};
    const struct cpu_shape in = case_in(&t, layout), out = kernel_windowed(in, t.k),
                           one = kernel_shape(layout.type, 3, 21, 1, 1, layout.block);
    void *x = kernel_random(in, 0, 1, 0.0f, 1.0f), *dy = kernel_random(out, 0, 2, 0.0f, 1.0f);
    void *y[2], *dx[2], *average[2], *spread[2], *mean[2];
    uint8_t *winners[2];
    for (int run = 0; run < 2; run++) {
        omp_set_num_threads(run ? 3 : 1);
        y[run] = kernel_tensor(out);
        dx[run] = kernel_tensor(in);
        average[run] = kernel_tensor(out);
        spread[run] = kernel_tensor(in);
        mean[run] = kernel_tensor(one);
        winners[run] = kernel_alloc(cpu_shape_count(out));
        cpu_kernel_max_pool(in, out, t.k, x, y[run], winners[run]);
        cpu_kernel_max_pool_backward(in, out, t.k, dy, winners[run], dx[run]);
        cpu_kernel_average_pool(in, out, t.k, x, average[run]);
        cpu_kernel_average_pool_backward(in, out, t.k, dy, spread[run]);
        cpu_kernel_global_pool(in, x, mean[run]);
    }
    omp_set_num_threads(threads);
    assert_memory_equal(y[0], y[1], cpu_shape_bytes(out));
    assert_memory_equal(winners[0], winners[1], cpu_shape_count(out));
    assert_memory_equal(dx[0], dx[1], cpu_shape_bytes(in));
    assert_memory_equal(average[0], average[1], cpu_shape_bytes(out));
    assert_memory_equal(spread[0], spread[1], cpu_shape_bytes(in));
    assert_memory_equal(mean[0], mean[1], cpu_shape_bytes(one));
    for (int run = 0; run < 2; run++) {
        kernel_free(winners[run]);
        kernel_free(mean[run]);
        kernel_free(spread[run]);
        kernel_free(average[run]);
        kernel_free(dx[run]);
        kernel_free(y[run]);
    }
    kernel_free(dy);
    kernel_free(x);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int32_t k = 0; k < LAYOUTS; k++)
        check_same_bits(layouts[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_pool),     cmocka_unit_test(test_max_pool_nan),
        cmocka_unit_test(test_average_pool), cmocka_unit_test(test_global_pool),
        cmocka_unit_test(test_gate),         cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests_name("cpu kernels: pooling", tests, NULL, NULL);
}

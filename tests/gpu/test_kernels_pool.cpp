/* Pooling and its gradients against plain loops in double. Max only copies and compares, so it is exact. */
#include "tests/gpu/cuda_on_cpu.h"

#include "cuda/kernels/divide.cuh"
#include "tests/gpu/kernel_check.h"

#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

enum { CASES = 48, X = 1, DY, WINDOW, GATE };

static const double FLOAT = (double)FLT_EPSILON;

struct pool_case {
    cuda_shape in, out;
    cuda_window k;
};

/* A window that fits the image: pad < kernel, at least one window. */
static pool_case pool_case_of(const kernel_run &run)
{
    pool_case t;
    t.in = kernel_shape(run);
    t.k = {1 + kernel_below(run, WINDOW, 0, 4), 1 + kernel_below(run, WINDOW, 1, 4),
           1 + kernel_below(run, WINDOW, 2, 3), 0, 0};
    if (run.index % 4 == 0)
        t.k = {2, 2, 2, 0, 0};
    t.k.pad_h = kernel_below(run, WINDOW, 3, t.k.kernel_h);
    t.k.pad_w = kernel_below(run, WINDOW, 4, t.k.kernel_w);
    while (t.in.h + 2 * t.k.pad_h < t.k.kernel_h)
        t.in.h++;
    while (t.in.w + 2 * t.k.pad_w < t.k.kernel_w)
        t.in.w++;
    t.out = t.in;
    t.out.h = (t.in.h + 2 * t.k.pad_h - t.k.kernel_h) / t.k.stride + 1;
    t.out.w = (t.in.w + 2 * t.k.pad_w - t.k.kernel_w) / t.k.stride + 1;
    return t;
}

/* Calls visit(row, column) for each pixel inside the image under window (i, j), row by row. */
template <class V> static void window_walk(const pool_case &t, int32_t i, int32_t j, V visit)
{
    for (int32_t u = 0; u < t.k.kernel_h; u++)
        for (int32_t v = 0; v < t.k.kernel_w; v++) {
            const int32_t row = i * t.k.stride - t.k.pad_h + u, column = j * t.k.stride - t.k.pad_w + v;
            if (row >= 0 && row < t.in.h && column >= 0 && column < t.in.w)
                visit(row, column);
        }
}

template <class V> static void outputs_walk(cuda_shape s, V visit)
{
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t c = 0; c < s.c; c++)
            for (int32_t i = 0; i < s.h; i++)
                for (int32_t j = 0; j < s.w; j++)
                    visit(n, c, i, j);
}

static void check_max(const kernel_run &run)
{
    const pool_case t = pool_case_of(run);
    activation x(run.type, t.in), y(run.type, t.out), dy(run.type, t.out), dx(run.type, t.in),
        again(run.type, t.out);
    device_memory index(cuda_shape_count(t.out));
    /* Few whole numbers: equals are frequent, sums of gradients exact. */
    x.whole(run, X, run.index % 3 ? 2 : 100);
    dy.whole(run, DY, 3);
    const cuda_pool pool = {t.in, t.out, t.k, x.data, y.data, static_cast<uint8_t *>(index.data)};
    kernel_launched(run, cuda_launch_max_pool(NULL, run.type, &pool), "max pool");
    const cuda_pool without_index = {t.in, t.out, t.k, x.data, again.data, NULL};
    kernel_launched(run, cuda_launch_max_pool(NULL, run.type, &without_index), "max pool");
    const cuda_pool_backward backward = {t.in, t.out, t.k, dy.data, pool.index, dx.data};
    kernel_launched(run, cuda_launch_max_pool_backward(NULL, run.type, &backward), "max pool backward");
    std::vector<double> gradient(cuda_shape_count(t.in), 0.0);
    outputs_walk(t.out, [&](int32_t n, int32_t c, int32_t i, int32_t j) {
        int32_t best_row = -1, best_column = -1;
        window_walk(t, i, j, [&](int32_t row, int32_t column) {
            if (best_row < 0 || x.at(n, c, row, column) > x.at(n, c, best_row, best_column)) {
                best_row = row;
                best_column = column;
            }
        });
        const size_t at = y.offset(n, c, i, j);
        kernel_close(run, y.at(at), x.at(n, c, best_row, best_column), 0.0, "y", at);
        kernel_close(run, again.at(at), y.at(at), 0.0, "y without index", at);
        gradient[dx.offset(n, c, best_row, best_column)] += dy.at(at);
    });
    for (size_t at = 0; at < gradient.size(); at++)
        kernel_close(run, dx.at(at), gradient[at], 0.0, "dx", at);
    y.check_padding(run, "padding of y");
}

static void test_max(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_max);
}

static void check_average(const kernel_run &run)
{
    const pool_case t = pool_case_of(run);
    activation x(run.type, t.in), y(run.type, t.out), dy(run.type, t.out), dx(run.type, t.in);
    x.random(run, X, 0.2, 1.0);
    dy.random(run, DY, 0.1, 1.0);
    const cuda_pool pool = {t.in, t.out, t.k, x.data, y.data, NULL};
    const cuda_pool_backward backward = {t.in, t.out, t.k, dy.data, NULL, dx.data};
    kernel_launched(run, cuda_launch_average_pool(NULL, run.type, &pool), "average pool");
    kernel_launched(run, cuda_launch_average_pool_backward(NULL, run.type, &backward),
                    "average pool backward");
    std::vector<double> gradient(cuda_shape_count(t.in), 0.0), size(cuda_shape_count(t.in), 0.0);
    outputs_walk(t.out, [&](int32_t n, int32_t c, int32_t i, int32_t j) {
        double sum = 0.0;
        int32_t pixels = 0;
        window_walk(t, i, j, [&](int32_t row, int32_t column) {
            sum += x.at(n, c, row, column);
            pixels++;
        });
        const size_t at = y.offset(n, c, i, j);
        const double error = 20.0 * FLOAT * 1.2 + kernel_rounding(run.type) * std::fabs(sum / pixels);
        kernel_close(run, y.at(at), sum / pixels, error, "y", at);
        window_walk(t, i, j, [&](int32_t row, int32_t column) {
            gradient[dx.offset(n, c, row, column)] += dy.at(at) / pixels;
            size[dx.offset(n, c, row, column)] += std::fabs(dy.at(at) / pixels);
        });
    });
    for (size_t at = 0; at < gradient.size(); at++)
        kernel_close(run, dx.at(at), gradient[at],
                     20.0 * FLOAT * size[at] + kernel_rounding(run.type) * std::fabs(gradient[at]), "dx", at);
    y.check_padding(run, "padding of y");
}

static void test_average(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_average);
}

static void check_global(const kernel_run &run)
{
    const cuda_shape s = kernel_shape(run), pooled = {s.n, s.c, 1, 1};
    activation x(run.type, s), y(run.type, pooled), dy(run.type, pooled), dx(run.type, s);
    x.random(run, X, 0.2, 1.0);
    dy.random(run, DY, 0.1, 1.0);
    kernel_launched(run, cuda_launch_global_pool(NULL, run.type, s, x.data, y.data), "global pool");
    kernel_launched(run, cuda_launch_global_pool_backward(NULL, run.type, s, dy.data, dx.data),
                    "global pool backward");
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t c = 0; c < s.c; c++) {
            double sum = 0.0, size = 0.0;
            const double share = dy.at(n, c, 0, 0) / (s.h * s.w);
            for (int32_t i = 0; i < s.h; i++)
                for (int32_t j = 0; j < s.w; j++) {
                    sum += x.at(n, c, i, j) / (s.h * s.w);
                    size += std::fabs(x.at(n, c, i, j)) / (s.h * s.w);
                    kernel_close(run, dx.at(n, c, i, j), share, kernel_rounding(run.type) * std::fabs(share),
                                 "dx", dx.offset(n, c, i, j));
                }
            kernel_close(run, y.at(n, c, 0, 0), sum,
                         64.0 * FLOAT * size + kernel_rounding(run.type) * std::fabs(sum), "y",
                         y.offset(n, c, 0, 0));
        }
    y.check_padding(run, "padding of y");
    dx.check_padding(run, "padding of dx");
}

static void test_global(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_global);
}

/* Beside the C library's e^x; activation.h tells how far its own is from that. */
static void check_gate(const kernel_run &run)
{
    const cuda_shape s = kernel_shape(run), one = {s.n, s.c, 1, 1};
    activation x(run.type, s), gate(run.type, one), dy(run.type, s), y(run.type, s), dx(run.type, s),
        dgate(run.type, one);
    x.random(run, X, 0.2, 1.0);
    gate.random(run, GATE, 0.0, 3.0);
    dy.random(run, DY, 0.1, 1.0);
    kernel_launched(run, cuda_launch_gate(NULL, run.type, s, x.data, gate.data, y.data), "gate");
    const cuda_gate_backward backward = {s, x.data, gate.data, dy.data, dx.data, dgate.data};
    kernel_launched(run, cuda_launch_gate_backward(NULL, run.type, &backward), "gate backward");
    const double rounding = kernel_rounding(run.type) + 0x1p-20;
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t c = 0; c < s.c; c++) {
            const double share = 1.0 / (1.0 + std::exp(-gate.at(n, c, 0, 0)));
            const double slope = 2.0 * share * (1.0 - share);
            double sum = 0.0, size = 0.0;
            for (int32_t i = 0; i < s.h; i++)
                for (int32_t j = 0; j < s.w; j++) {
                    const double value = 2.0 * share * x.at(n, c, i, j), g = 2.0 * share * dy.at(n, c, i, j);
                    sum += dy.at(n, c, i, j) * x.at(n, c, i, j);
                    size += std::fabs(dy.at(n, c, i, j) * x.at(n, c, i, j));
                    kernel_close(run, y.at(n, c, i, j), value, rounding * std::fabs(value), "y",
                                 y.offset(n, c, i, j));
                    kernel_close(run, dx.at(n, c, i, j), g, rounding * std::fabs(g), "dx",
                                 dx.offset(n, c, i, j));
                }
            kernel_close(run, dgate.at(n, c, 0, 0), slope * sum,
                         64.0 * FLOAT * slope * size + rounding * std::fabs(slope * sum), "dgate",
                         dgate.offset(n, c, 0, 0));
        }
    y.check_padding(run, "padding of y");
    dx.check_padding(run, "padding of dx");
    dgate.check_padding(run, "padding of dgate");
}

static void test_gate(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_gate);
}

/* A window of NaN: y is NaN, and the gradient still lands inside the image. */
static void check_nan(const kernel_run &run)
{
    const pool_case t = pool_case_of(run);
    activation x(run.type, t.in), y(run.type, t.out), dy(run.type, t.out), dx(run.type, t.in);
    device_memory index(cuda_shape_count(t.out));
    dy.whole(run, DY, 3); /* x stays as it came: NaN everywhere */
    const cuda_pool pool = {t.in, t.out, t.k, x.data, y.data, static_cast<uint8_t *>(index.data)};
    kernel_launched(run, cuda_launch_max_pool(NULL, run.type, &pool), "max pool");
    const cuda_pool_backward backward = {t.in, t.out, t.k, dy.data, pool.index, dx.data};
    kernel_launched(run, cuda_launch_max_pool_backward(NULL, run.type, &backward), "max pool backward");
    double handed = 0.0, arrived = 0.0;
    outputs_walk(t.out, [&](int32_t n, int32_t c, int32_t i, int32_t j) { handed += dy.at(n, c, i, j); });
    outputs_walk(t.in, [&](int32_t n, int32_t c, int32_t i, int32_t j) { arrived += dx.at(n, c, i, j); });
    kernel_close(run, arrived, handed, 0.0, "sum of dx", 0);
    assert_true(std::isnan(y.at(0)));
}

static void test_nan(void **state)
{
    (void)state;
    kernel_sweep(8, check_nan);
}

/* Divisors of any size, dividends about their multiples and at the end of the range. */
static void test_division(void **state)
{
    (void)state;
    kernel_run run = {0, CUDA_FLOAT, 32, 1, 0};
    for (uint64_t i = 0; i < 20000; i++) {
        const uint32_t by = 1 + (kernel_bits(run, 1, i) & 0x7fffffffu) % (1u << kernel_bits(run, 2, i) % 32);
        const divisor d = divisor_of(by);
        const uint32_t most = 0x7fffffffu, multiple = kernel_bits(run, 3, i) % (most / by + 1) * by;
        const uint32_t tried[] = {
            0, by - 1, by, multiple, multiple ? multiple - 1 : 0, most, most - most % by - 1};
        for (uint32_t n : tried)
            if (n <= most && divided(n, d) != n / by)
                fail_msg("%u / %u is not %u", n, by, divided(n, d));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_division), cmocka_unit_test(test_max),  cmocka_unit_test(test_average),
        cmocka_unit_test(test_global),   cmocka_unit_test(test_gate), cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

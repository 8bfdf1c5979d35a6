/* Activations, add, dropout, bias, concat and split against plain loops. Nearly all is exact: copies, comparisons,
 * one rounding. */
#include "host/device/drop_path.h"
#include "tests/gpu/kernel_check.h"
#include "tests/support/activations.h"

#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

enum { CASES = 40, A = 1, B, BIAS, PARTS };

/* Whole numbers in every second case: zeros and kinks are then frequent. */
static void check_activation(const kernel_run &run, enum activation_kind function)
{
    const struct activation_traits &traits = *::activation_traits(function);
    const cuda_shape s = kernel_shape(run);
    const size_t count = cuda_shape_count(s);
    const double rounding = function == ACTIVATION_RELU ? 0.0 : kernel_rounding(run.type);
    activation x(run.type, s), dy(run.type, s), y(run.type, s), dx(run.type, s);
    if (run.index % 2)
        x.whole(run, A, 3);
    else
        x.random(run, A, 0.0, 6.0);
    dy.random(run, B, 0.0, 1.0);
    kernel_launched(run, cuda_launch_activation(NULL, run.type, function, count, x.data, y.data),
                    traits.name);
    const void *seen = traits.reads == ACTIVATION_READS_INPUT ? x.data : y.data;
    kernel_launched(run,
                    cuda_launch_activation_backward(NULL, run.type, function, count, seen, dy.data, dx.data),
                    traits.name);
    for (size_t i = 0; i < count; i++) {
        const double value = activation_value(function, x.at(i)),
                     gradient = activation_slope(function, x.at(i)) * dy.at(i);
        kernel_close(run, y.at(i), value, activation_error(function, x.at(i)) + rounding * std::fabs(value),
                     "y", i);
        kernel_close(run, dx.at(i), gradient,
                     activation_backward_error(function, dy.at(i)) + rounding * std::fabs(gradient), "dx", i);
    }
    y.check_padding(run, "padding of y");
    dx.check_padding(run, "padding of dx");
    /* In place, and NaN handed on. */
    memset(x.data, 0xFF, cuda_type_size(run.type));
    kernel_launched(run, cuda_launch_activation(NULL, run.type, function, count, x.data, x.data),
                    traits.name);
    assert_true(std::isnan(x.at(0)));
    for (size_t i = 1; i < count; i++)
        kernel_close(run, x.at(i), y.at(i), 0.0, "in place", i);
}

static void check_activations(const kernel_run &run)
{
    for (int function = 0; function < ACTIVATION_COUNT; function++)
        check_activation(run, (enum activation_kind)function);
}

static void test_activations(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_activations);
}

static void check_add(const kernel_run &run)
{
    const cuda_shape s = kernel_shape(run);
    const size_t count = cuda_shape_count(s);
    activation x(run.type, s), b(run.type, s), sum(run.type, s), expected(run.type, s);
    x.whole(run, A, 3);
    b.random(run, B, 0.0, 1.0);
    kernel_launched(run, cuda_launch_add(NULL, run.type, count, x.data, b.data, sum.data), "add");
    for (size_t i = 0; i < count; i++) {
        expected.set(i, x.at(i) + b.at(i));
        kernel_close(run, sum.at(i), expected.at(i), 0.0, "sum", i);
    }
}

static void test_add(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_add);
}

/* The mask of program.h, element by element in N,C,H,W order. */
static void check_dropout(const kernel_run &run)
{
    const cuda_shape s = kernel_shape(run);
    activation x(run.type, s), y(run.type, s);
    device_memory memory(sizeof(cuda_step));
    cuda_step *step = static_cast<cuda_step *>(memory.data);
    const float rate = 0.1f + 0.1f * (float)(run.index % 7);
    const uint32_t layer = 5u + (uint32_t)run.index;
    *step = kernel_step(run);
    x.random(run, A, 2.0, 1.0); /* no zeros */
    const cuda_dropout dropout = {s, rate, layer, step, x.data, y.data};
    kernel_launched(run, cuda_launch_dropout(NULL, run.type, &dropout), "dropout");
    uint64_t element = (uint64_t)step->row * (uint64_t)s.c * (uint64_t)s.h * (uint64_t)s.w;
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t c = 0; c < s.c; c++)
            for (int32_t i = 0; i < s.h; i++)
                for (int32_t j = 0; j < s.w; j++, element++) {
                    const random4 draw = random_draw(step->seed, RANDOM_DROPOUT,
                                                     (uint64_t)step->number << 24 | element / 4, layer);
                    const bool kept = random_unit(draw.v[element % 4]) >= rate;
                    const double value = kept ? x.at(n, c, i, j) / (1.0 - (double)rate) : 0.0;
                    kernel_close(run, y.at(n, c, i, j), value,
                                 kernel_rounding(run.type) * 2.0 * std::fabs(value), "y",
                                 y.offset(n, c, i, j));
                }
    y.check_padding(run, "padding of y");
}

static void test_dropout(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_dropout);
}

/* Whole images, by the factors that all devices have. */
static void check_drop_path(const kernel_run &run)
{
    const cuda_shape s = kernel_shape(run);
    activation x(run.type, s), y(run.type, s), expected(run.type, s);
    device_memory memory(sizeof(cuda_step));
    cuda_step *step = static_cast<cuda_step *>(memory.data);
    const float rate = 0.1f * (float)(run.index % 9);
    const uint32_t layer = 5u + (uint32_t)run.index;
    *step = kernel_step(run);
    step->drop_path = 0.75f;
    x.random(run, A, 2.0, 1.0); /* no zeros */
    const cuda_dropout drop_path = {s, rate, layer, step, x.data, y.data};
    kernel_launched(run, cuda_launch_drop_path(NULL, run.type, &drop_path), "drop path");
    for (int32_t n = 0; n < s.n; n++) {
        const float factor =
            drop_path_factor(step->seed, step->number, step->row + (uint32_t)n, layer, rate * 0.75f);
        for (int32_t c = 0; c < s.c; c++)
            for (int32_t i = 0; i < s.h; i++)
                for (int32_t j = 0; j < s.w; j++) {
                    const size_t at = y.offset(n, c, i, j);
                    expected.set(at, (double)((float)x.at(at) * factor));
                    kernel_close(run, y.at(at), expected.at(at), 0.0, "y", at);
                }
    }
    y.check_padding(run, "padding of y");
}

static void test_drop_path(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_drop_path);
}

static void check_bias(const kernel_run &run)
{
    const cuda_shape s = kernel_shape(run);
    activation x(run.type, s), y(run.type, s), expected(run.type, s);
    vector bias((size_t)s.c);
    x.random(run, A, 0.0, 1.0);
    bias.random(run, BIAS, 0.0, 1.0);
    memcpy(y.data, x.data, x.bytes);
    kernel_launched(run, cuda_launch_add_bias(NULL, run.type, s, bias.floats(), y.data), "bias");
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t c = 0; c < s.c; c++)
            for (int32_t i = 0; i < s.h; i++)
                for (int32_t j = 0; j < s.w; j++) {
                    const size_t at = y.offset(n, c, i, j);
                    expected.set(at, (double)((float)x.at(at) + bias[(size_t)c]));
                    kernel_close(run, y.at(at), expected.at(at), 0.0, "y", at);
                }
    y.check_padding(run, "padding of y");
}

static void test_bias(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_bias);
}

/* Parts of 1 to 20 channels, every third case of multiples of eight. */
static void check_join(const kernel_run &run)
{
    const cuda_shape s = kernel_shape(run);
    const int32_t count = 2 + kernel_below(run, PARTS, 0, CUDA_MAX_PARTS - 1);
    std::vector<activation *> parts, back;
    cuda_concat concat = {};
    cuda_split split = {};
    cuda_shape whole = {s.n, 0, s.h, s.w};
    for (int32_t k = 0; k < count; k++) {
        const int32_t drawn = 1 + kernel_below(run, PARTS, 1 + (uint64_t)k, 20);
        const cuda_shape part = {s.n, run.index % 3 ? drawn : 8 * (1 + drawn % 3), s.h, s.w};
        concat.channels[k] = split.channels[k] = part.c;
        whole.c += part.c;
        parts.push_back(new activation(run.type, part));
        back.push_back(new activation(run.type, part));
        parts.back()->random(run, 10 + (uint32_t)k, 0.0, 1.0);
        concat.x[k] = parts.back()->data;
        split.dx[k] = back.back()->data;
    }
    activation joined(run.type, whole);
    concat.whole = split.whole = whole;
    concat.count = split.count = count;
    concat.y = joined.data;
    split.dy = joined.data;
    kernel_launched(run, cuda_launch_concat(NULL, run.type, &concat), "concat");
    kernel_launched(run, cuda_launch_split(NULL, run.type, &split), "split");
    int32_t first = 0;
    for (int32_t k = 0; k < count; k++) {
        const activation &part = *parts[(size_t)k];
        for (int32_t n = 0; n < s.n; n++)
            for (int32_t c = 0; c < part.shape.c; c++)
                for (int32_t i = 0; i < s.h; i++)
                    for (int32_t j = 0; j < s.w; j++) {
                        kernel_close(run, joined.at(n, first + c, i, j), part.at(n, c, i, j), 0.0, "joined",
                                     joined.offset(n, first + c, i, j));
                        kernel_close(run, back[(size_t)k]->at(n, c, i, j), part.at(n, c, i, j), 0.0, "split",
                                     part.offset(n, c, i, j));
                    }
        back[(size_t)k]->check_padding(run, "padding of a part");
        first += part.shape.c;
    }
    joined.check_padding(run, "padding of the whole");
    for (int32_t k = 0; k < count; k++) {
        delete parts[(size_t)k];
        delete back[(size_t)k];
    }
}

static void test_join(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_join);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations), cmocka_unit_test(test_add),  cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_drop_path),   cmocka_unit_test(test_bias), cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

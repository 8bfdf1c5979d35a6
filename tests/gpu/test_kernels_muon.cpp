/* Muon's own kernels against plain loops: momentum, norm, and the ways into and out of padded rows. */
#include "tests/gpu/kernel_check.h"

#include "cuda/kernels/half.h"

#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

enum { CASES = 60, SETTINGS = 1, GRADIENT, VELOCITY, ROWS };

static const double FLOAT = (double)FLT_EPSILON;
static const size_t LEAD = 2 * CUDA_CHUNK; /* of other weights before the one in question */

struct momentum_case {
    int32_t out, in, taps, columns, stride;
    size_t count, total;
    bool copied;   /* the gradient lies in the copy's order and type */
    double factor; /* of the gradient; -1: it is not scaled */
    cuda_weight weight;

    explicit momentum_case(const kernel_run &run);
};

momentum_case::momentum_case(const kernel_run &run) : copied(run.index % 2 == 0), factor(-1.0), weight()
{
    static const double factors[] = {-1.0, 0.25, 0.0};
    out = 1 + kernel_below(run, SETTINGS, 0, 40);
    in = 1 + kernel_below(run, SETTINGS, 1, 20);
    taps = 1 + kernel_below(run, SETTINGS, 2, 9);
    if (run.index % 3 == 0)
        in = cuda_padded(in);
    columns = in * taps;
    stride = cuda_padded(columns);
    count = (size_t)out * (size_t)columns;
    total = LEAD + cuda_chunk_count(count) * CUDA_CHUNK;
    factor = factors[run.index / 2 % 3];
    weight.offset = LEAD;
    weight.count = count;
    weight.trained = 1;
    weight.out = out, weight.in = in, weight.taps = taps;
    weight.rows = copied ? cuda_padded(out) : 0;
    weight.depth = cuda_padded(in);
    weight.blocks = 1;
}

/* Element `at` of the master in the copy. */
static size_t in_copy(const momentum_case &c, size_t at)
{
    return at / (size_t)c.in * (size_t)c.weight.depth + at % (size_t)c.in;
}

/* Flat, or in the copy; zeros in the gap behind, NaN in the copy's padding. Returns what is stored. */
static std::vector<double> draw_gradient(const kernel_run &run, const momentum_case &c, vector *flat,
                                         activation *copy)
{
    std::vector<double> stored(c.count);
    for (size_t i = 0; i < c.total; i++)
        (*flat)[i] = 0.0f;
    for (size_t i = 0; i < c.count; i++) {
        (*flat)[LEAD + i] = c.copied ? NAN : kernel_unit(run, GRADIENT, i);
        if (c.copied)
            copy->set(in_copy(c, i), (double)kernel_unit(run, GRADIENT, i));
        stored[i] = c.copied ? copy->at(in_copy(c, i)) : (double)(*flat)[LEAD + i];
    }
    return stored;
}

static void check_momentum(const kernel_run &run)
{
    const momentum_case c(run);
    vector flat(c.total), velocity(c.total), x((size_t)c.out * (size_t)c.stride);
    activation copy(run.type, cuda_shape{1, (int32_t)cuda_copy_count(&c.weight) + CUDA_CHANNELS, 1, 1});
    device_memory scaling(sizeof(cuda_scaling)), scratch(cuda_momentum_scratch());
    ticket_memory tickets;
    static_cast<cuda_scaling *>(scaling.data)->factor = (float)c.factor;
    const std::vector<double> g = draw_gradient(run, c, &flat, &copy);
    for (size_t i = 0; i < c.total; i++)
        velocity[i] = i >= LEAD && i < LEAD + c.count ? kernel_unit(run, VELOCITY, i) : 0.0f;
    for (size_t i = 0; i < x.count; i++)
        x[i] = 0.0f;
    const std::vector<float> before(velocity.floats(), velocity.floats() + c.total);
    cuda_momentum m = {};
    m.weight = c.weight;
    m.momentum = 0.75f;
    m.scaling = c.factor < 0.0 ? NULL : static_cast<const cuda_scaling *>(scaling.data);
    m.kernel_gradients = copy.data;
    m.gradients = flat.floats();
    m.velocity = velocity.floats();
    m.columns = c.columns, m.stride = c.stride;
    m.x = x.floats();
    m.scratch = scratch.data;
    m.tickets = tickets.get();
    kernel_launched(run, cuda_launch_momentum(NULL, run.type, &m), "momentum");
    tickets.check(run);
    const double factor = c.factor < 0.0 ? 1.0 : c.factor;
    std::vector<double> v(before.begin(), before.end()), expected(c.count, 0.0);
    double squares = 0.0;
    for (size_t i = 0; factor > 0.0 && i < c.count; i++) {
        v[LEAD + i] = 0.75 * v[LEAD + i] + factor * g[i];
        expected[i] = factor * g[i] + 0.75 * v[LEAD + i];
        squares += expected[i] * expected[i];
    }
    for (size_t i = 0; i < c.total; i++)
        kernel_close(run, (double)velocity[i], v[i], factor > 0.0 ? 4.0 * FLOAT : 0.0, "velocity", i);
    for (size_t i = 0; i < x.count; i++) {
        const size_t row = i / (size_t)c.stride, column = i % (size_t)c.stride;
        const double value = column < (size_t)c.columns ? expected[row * (size_t)c.columns + column] : 0.0;
        /* elements are below 3, their roundings and the norm's relative ones a few each */
        kernel_close(run, (double)x[i], value / (std::sqrt(squares) + (double)MUON_EPSILON),
                     squares > 0.0 ? 24.0 * FLOAT / std::sqrt(squares) * (1.0 + std::fabs(value)) : 0.0, "x",
                     i);
    }
}

static void test_momentum(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_momentum);
}

static void check_close_rows(const kernel_run &run)
{
    const momentum_case c(run);
    vector x((size_t)c.out * (size_t)c.stride), update(cuda_chunk_count(c.count) * CUDA_CHUNK);
    for (size_t i = 0; i < x.count; i++)
        x[i] = kernel_unit(run, ROWS, i);
    kernel_launched(run,
                    cuda_launch_close_rows(NULL, c.count, c.columns, c.stride, x.floats(), update.floats()),
                    "close rows");
    for (size_t i = 0; i < c.count; i++) {
        const size_t at = i / (size_t)c.columns * (size_t)c.stride + i % (size_t)c.columns;
        kernel_close(run, (double)update[i], (double)x[at], 0.0, "update", i);
    }
    for (size_t i = c.count; i < update.count; i++)
        kernel_close(run, (double)update[i], 0.0, 0.0, "gap behind the update", i);
}

static void test_close_rows(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_close_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_momentum), cmocka_unit_test(test_close_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Batch norm and the bias gradient against plain loops in double, on grids for devices of 1 to 8192 multiprocessors. */
#include "tests/gpu/cuda_on_cpu.h"

#include "cuda/kernels/columns.cuh"
#include "tests/gpu/kernel_check.h"

#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

enum { CASES = 40, X = 1, ADDEND, DY, SCALE, SHIFT, MEAN, VAR };

static const double EPSILON = 1e-5, MOMENTUM = 0.1;
static const double FLOAT = (double)FLT_EPSILON;
/* Roundings that a sum may go through one after another: rows of a thread, lines of a block, slices. */
static const double SUM = 96.0 * FLOAT;

struct norm_case {
    cuda_shape s;
    bool relu, with_addend;
    bool anew; /* backward makes y anew */
    int index;
    double centre;
    activation x, addend, dy, y, dx, daddend;
    vector scale, shift, running_mean, running_var, mean, invstd, dscale, dshift;
    device_memory scratch;
    ticket_memory tickets;

    explicit norm_case(const kernel_run &run)
        : s(kernel_shape(run)), relu(run.index % 2), with_addend(run.index / 2 % 2),
          anew(relu && !with_addend && run.index / 4 % 2 == 0), index(run.index),
          centre(run.index % 5 ? 0.3 : 60.0), x(run.type, s), addend(run.type, s), dy(run.type, s),
          y(run.type, s), dx(run.type, s), daddend(run.type, s), scale((size_t)s.c), shift((size_t)s.c),
          running_mean((size_t)s.c), running_var((size_t)s.c), mean((size_t)s.c), invstd((size_t)s.c),
          dscale((size_t)s.c), dshift((size_t)s.c), scratch(cuda_batch_norm_scratch(s, run.blocks))
    {
        x.random(run, X, centre, 1.0);
        addend.random(run, ADDEND, 0.0, 1.0);
        dy.random(run, DY, 0.1, 1.0);
        scale.random(run, SCALE, 1.0, 0.5);
        shift.random(run, SHIFT, 0.0, 0.5);
        running_mean.random(run, MEAN, 0.0, 1.0);
        running_var.random(run, VAR, 1.5, 1.0);
    }

    /* An addend that is not trained has a part in y, but no gradient. */
    bool wants_addend() const
    {
        return with_addend && index % 3 != 0;
    }
};

static int32_t rows_of(cuda_shape s)
{
    return s.n * s.h * s.w;
}

/* Place of row `row`, channel c. */
static size_t place_of(cuda_shape s, int32_t row, int32_t c)
{
    return (size_t)row * (size_t)cuda_padded(s.c) + (size_t)c;
}

static double normalised(norm_case &t, size_t at, int32_t c, double mean, double invstd)
{
    const double y = (double)t.scale[(size_t)c] * (t.x.at(at) - mean) * invstd + (double)t.shift[(size_t)c] +
                     (t.with_addend ? t.addend.at(at) : 0.0);
    return t.relu && y < 0.0 ? 0.0 : y;
}

static void check_forward(const kernel_run &run, norm_case &t, int32_t c, double old_mean, double old_var)
{
    const size_t k = (size_t)c;
    const int32_t rows = rows_of(t.s);
    double mean = 0.0, var = 0.0;
    for (int32_t row = 0; row < rows; row++)
        mean += t.x.at(place_of(t.s, row, c)) / rows;
    for (int32_t row = 0; row < rows; row++)
        var += std::pow(t.x.at(place_of(t.s, row, c)) - mean, 2.0) / rows;
    const double mean_error = FLOAT * (16.0 * std::fabs(mean) + 96.0);
    const double var_error = SUM * (var + std::fabs(mean) * std::sqrt(var)) + mean_error * mean_error;
    const double invstd = 1.0 / std::sqrt(var + EPSILON);
    const double invstd_error = invstd * (var_error / (var + EPSILON) + 8.0 * FLOAT);
    kernel_close(run, (double)t.mean[k], mean, mean_error, "mean", k);
    kernel_close(run, (double)t.invstd[k], invstd, invstd_error, "invstd", k);
    kernel_close(run, (double)t.running_mean[k], (1.0 - MOMENTUM) * old_mean + MOMENTUM * mean,
                 mean_error + 4.0 * FLOAT * (std::fabs(old_mean) + std::fabs(mean)), "running mean", k);
    kernel_close(run, (double)t.running_var[k], (1.0 - MOMENTUM) * old_var + MOMENTUM * var,
                 var_error + 4.0 * FLOAT * (old_var + var), "running var", k);
    for (int32_t row = 0; row < rows; row++) {
        const size_t at = place_of(t.s, row, c);
        const double y = normalised(t, at, c, mean, invstd), distance = std::fabs(t.x.at(at) - mean);
        const double error = 1.5 * (invstd * mean_error + distance * invstd_error) +
                             8.0 * FLOAT * (1.5 * distance * invstd + 2.0) +
                             kernel_rounding(run.type) * std::fabs(y);
        kernel_close(run, t.y.at(at), y, error, "y", at);
    }
}

static void check_backward(const kernel_run &run, norm_case &t, int32_t c)
{
    const size_t k = (size_t)c;
    const int32_t rows = rows_of(t.s);
    const double mean = (double)t.mean[k], invstd = (double)t.invstd[k], scale = (double)t.scale[k];
    double sum = 0.0, product = 0.0, sum_size = 0.0, product_size = 0.0;
    for (int32_t row = 0; row < rows; row++) {
        const size_t at = place_of(t.s, row, c);
        const double g = t.relu && !(t.y.at(at) > 0.0) ? 0.0 : t.dy.at(at), d = t.x.at(at) - mean;
        sum += g;
        product += g * d;
        sum_size += std::fabs(g);
        product_size += std::fabs(g * d);
    }
    kernel_close(run, (double)t.dshift[k], sum, SUM * sum_size, "dshift", k);
    kernel_close(run, (double)t.dscale[k], invstd * product, 2.0 * SUM * invstd * product_size, "dscale", k);
    for (int32_t row = 0; row < rows; row++) {
        const size_t at = place_of(t.s, row, c);
        const double g = t.relu && !(t.y.at(at) > 0.0) ? 0.0 : t.dy.at(at), d = t.x.at(at) - mean;
        const double dx = scale * invstd * (g - (sum + d * invstd * invstd * product) / rows);
        const double size =
            scale * invstd *
            (std::fabs(g) + (sum_size + std::fabs(d) * invstd * invstd * product_size) / rows);
        kernel_close(run, t.dx.at(at), dx, 3.0 * SUM * size + kernel_rounding(run.type) * std::fabs(dx), "dx",
                     at);
        if (t.wants_addend())
            kernel_close(run, t.daddend.at(at), g, 0.0, "daddend", at);
    }
}

static void check_training(const kernel_run &run)
{
    norm_case t(run);
    std::vector<float> old_mean(t.running_mean.floats(), t.running_mean.floats() + t.s.c);
    std::vector<float> old_var(t.running_var.floats(), t.running_var.floats() + t.s.c);
    cuda_batch_norm forward = {};
    forward.multiprocessors = run.blocks;
    forward.shape = t.s;
    forward.relu = t.relu;
    forward.momentum = (float)MOMENTUM;
    forward.epsilon = (float)EPSILON;
    forward.x = t.x.data;
    forward.scale = t.scale.floats();
    forward.shift = t.shift.floats();
    forward.addend = t.with_addend ? t.addend.data : NULL;
    forward.running_mean = t.running_mean.floats();
    forward.running_var = t.running_var.floats();
    forward.y = t.y.data;
    forward.mean = t.mean.floats();
    forward.invstd = t.invstd.floats();
    forward.scratch = t.scratch.data;
    forward.tickets = t.tickets.get();
    cuda_batch_norm_backward backward = {};
    backward.multiprocessors = run.blocks;
    backward.shape = t.s;
    backward.x = t.x.data;
    backward.y = t.relu && !t.anew ? t.y.data : NULL;
    backward.shift = t.anew ? t.shift.floats() : NULL;
    backward.dy = t.dy.data;
    backward.scale = t.scale.floats();
    backward.mean = t.mean.floats();
    backward.invstd = t.invstd.floats();
    backward.dx = t.dx.data;
    backward.dscale = t.dscale.floats();
    backward.dshift = t.dshift.floats();
    backward.daddend = t.wants_addend() ? t.daddend.data : NULL;
    backward.scratch = t.scratch.data;
    backward.tickets = t.tickets.get();
    kernel_launched(run, cuda_launch_batch_norm(NULL, run.type, &forward), "batch norm");
    t.tickets.check(run);
    kernel_launched(run, cuda_launch_batch_norm_backward(NULL, run.type, &backward), "batch norm backward");
    t.tickets.check(run);
    for (int32_t c = 0; c < t.s.c; c++) {
        check_forward(run, t, c, (double)old_mean[(size_t)c], (double)old_var[(size_t)c]);
        check_backward(run, t, c);
    }
    t.y.check_padding(run, "padding of y");
    t.dx.check_padding(run, "padding of dx");
    if (t.wants_addend())
        t.daddend.check_padding(run, "padding of daddend");
}

static void test_training(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_training);
}

static void check_inference(const kernel_run &run)
{
    norm_case t(run);
    cuda_batch_norm_inference norm = {};
    norm.multiprocessors = run.blocks;
    norm.shape = t.s;
    norm.relu = t.relu;
    norm.epsilon = (float)EPSILON;
    norm.x = t.x.data;
    norm.scale = t.scale.floats();
    norm.shift = t.shift.floats();
    norm.running_mean = t.running_mean.floats();
    norm.running_var = t.running_var.floats();
    norm.addend = t.with_addend ? t.addend.data : NULL;
    norm.y = t.y.data;
    kernel_launched(run, cuda_launch_batch_norm_inference(NULL, run.type, &norm), "batch norm inference");
    for (int32_t c = 0; c < t.s.c; c++) {
        const double mean = (double)t.running_mean[(size_t)c];
        const double invstd = 1.0 / std::sqrt((double)t.running_var[(size_t)c] + EPSILON);
        for (int32_t row = 0; row < rows_of(t.s); row++) {
            const size_t at = place_of(t.s, row, c);
            const double y = normalised(t, at, c, mean, invstd);
            const double size = 1.5 * std::fabs(t.x.at(at) - mean) * invstd + 2.0;
            kernel_close(run, t.y.at(at), y, 8.0 * FLOAT * size + kernel_rounding(run.type) * std::fabs(y),
                         "y", at);
        }
    }
    t.y.check_padding(run, "padding of y");
}

static void test_inference(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_inference);
}

/* Whole numbers: the sums are exact in any order. */
static void check_bias_gradient(const kernel_run &run, cuda_shape s)
{
    activation dy(run.type, s);
    vector dbias((size_t)s.c);
    device_memory scratch(cuda_bias_gradient_scratch(s, run.blocks));
    ticket_memory tickets;
    dy.whole(run, DY, 5);
    cuda_bias_gradient bias = {};
    bias.multiprocessors = run.blocks;
    bias.shape = s;
    bias.dy = dy.data;
    bias.dbias = dbias.floats();
    bias.scratch = scratch.data;
    bias.tickets = tickets.get();
    kernel_launched(run, cuda_launch_bias_gradient(NULL, run.type, &bias), "bias gradient");
    tickets.check(run);
    for (int32_t c = 0; c < s.c; c++) {
        double sum = 0.0;
        for (int32_t row = 0; row < rows_of(s); row++)
            sum += dy.at(place_of(s, row, c));
        kernel_close(run, (double)dbias[(size_t)c], sum, 0.0, "dbias", (size_t)c);
    }
}

static void check_any_bias_gradient(const kernel_run &run)
{
    check_bias_gradient(run, kernel_shape(run));
}

/* More packs side by side than there are tickets for groups of the usual width. */
static void check_wide_bias_gradient(const kernel_run &run)
{
    check_bias_gradient(run, cuda_shape{3, 4 * 8 * CUDA_TICKETS + 1 + 1000 * run.index, 1, 1});
}

static void test_bias_gradient(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_any_bias_gradient);
    kernel_sweep(2, check_wide_bias_gradient);
}

/* Many rows in many slices, mean far from zero: the variance keeps its digits. */
static void check_far_mean(const kernel_run &run)
{
    const cuda_shape s = {16, 3, 40, 24};
    activation x(CUDA_FLOAT, s), y(CUDA_FLOAT, s);
    vector scale(3), shift(3), running_mean(3), running_var(3), mean(3), invstd(3);
    device_memory scratch(cuda_batch_norm_scratch(s, run.blocks));
    ticket_memory tickets;
    x.random(run, X, 3000.0, 1.0);
    for (size_t c = 0; c < 3; c++)
        scale[c] = 1.0f, shift[c] = running_mean[c] = running_var[c] = 0.0f;
    cuda_batch_norm norm = {};
    norm.multiprocessors = run.blocks;
    norm.shape = s;
    norm.momentum = 1.0f;
    norm.epsilon = (float)EPSILON;
    norm.x = x.data;
    norm.scale = scale.floats();
    norm.shift = shift.floats();
    norm.running_mean = running_mean.floats();
    norm.running_var = running_var.floats();
    norm.y = y.data;
    norm.mean = mean.floats();
    norm.invstd = invstd.floats();
    norm.scratch = scratch.data;
    norm.tickets = tickets.get();
    kernel_launched(run, cuda_launch_batch_norm(NULL, CUDA_FLOAT, &norm), "batch norm");
    for (int32_t c = 0; c < 3; c++) {
        double m = 0.0, v = 0.0;
        for (int32_t row = 0; row < rows_of(s); row++)
            m += x.at(place_of(s, row, c)) / rows_of(s);
        for (int32_t row = 0; row < rows_of(s); row++)
            v += std::pow(x.at(place_of(s, row, c)) - m, 2.0) / rows_of(s);
        kernel_close(run, (double)running_mean[(size_t)c], m, 2e-3, "mean", (size_t)c);
        kernel_close(run, (double)running_var[(size_t)c], v, 1e-4, "variance", (size_t)c);
    }
}

static void test_far_mean(void **state)
{
    (void)state;
    kernel_sweep(3, check_far_mean);
}

/* No more blocks than the device holds at once, unless there are more column groups; all of them where there is work for all;
 * a ticket for every group of several blocks. */
static void check_wave(const columns &k, int32_t multiprocessors)
{
    const int64_t blocks = (int64_t)k.slices * k.groups, wave = (int64_t)multiprocessors * COLUMNS_RESIDENT;
    assert_true(blocks <= (k.groups > wave ? k.groups : wave));
    assert_true(k.slices == 1 || k.groups <= CUDA_TICKETS);
    assert_true((int64_t)k.columns.by * k.groups >= k.vectors &&
                (int64_t)k.columns.by * k.lines <= LAUNCH_THREADS);
    assert_true((int64_t)k.rounds * k.slices * k.lines + k.rest == (int64_t)k.rows);
    assert_true(k.rest < (uint32_t)(k.slices * k.lines));
    if (k.rounds >= COLUMNS_ALONE && k.groups <= CUDA_TICKETS)
        assert_true(blocks + k.groups > wave);
}

static void test_waves(void **state)
{
    static const cuda_shape shapes[] = {{512, 32, 32, 32}, {512, 128, 8, 8}, {128, 512, 4, 4},
                                        {512, 10, 1, 1},   {2, 40000, 3, 3}, {1, 8, 1, 1},
                                        {64, 40, 56, 56},  {4096, 3, 40, 40}};
    static const int32_t devices[] = {1, 40, 108, 132, 148};
    (void)state;
    cuda_on_cpu.threads = 256;
    for (const cuda_shape &s : shapes)
        for (int32_t multiprocessors : devices) {
            check_wave(columns_to_sum(s, multiprocessors), multiprocessors);
            check_wave(columns_to_write(s, multiprocessors), multiprocessors);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),      cmocka_unit_test(test_inference),
        cmocka_unit_test(test_bias_gradient), cmocka_unit_test(test_far_mean),
        cmocka_unit_test(test_waves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

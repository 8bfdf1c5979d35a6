/* The ends of a step against plain loops in double: batch gather and loss. */
#include "tests/gpu/kernel_check.h"

#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

enum { CASES = 40, PIXELS = 1, LABELS, LOGITS, SETTINGS };

static const double FLOAT = (double)FLT_EPSILON;

/* A step in memory of its own. */
struct step_memory : device_memory {
    explicit step_memory(const cuda_step &step) : device_memory(sizeof(cuda_step))
    {
        *get() = step;
    }
    cuda_step *get()
    {
        return static_cast<cuda_step *>(data);
    }
};

/* ---- gather ---- */

/* What an augmented image of those pixels holds. */
static double gathered(const cuda_gather &g, const augment_draw &d, int32_t image, const double *mean_of,
                       const double *deviation_of, int32_t c, int32_t y, int32_t x)
{
    const int32_t column = d.mirrored ? g.width - 1 - x : x;
    const size_t plane = (size_t)g.height * (size_t)g.width,
                 at = (size_t)augment_reflect(y + d.shift_y, g.height) * (size_t)g.width +
                      (size_t)augment_reflect(column + d.shift_x, g.width);
    const bool cut =
        y >= d.cut_top && y < d.cut_top + d.cut_side && x >= d.cut_left && x < d.cut_left + d.cut_side;
    const double value = g.pixels[((size_t)image * (size_t)g.channels + (size_t)c) * plane + at] / 255.0;
    return cut ? 0.0 : (value - mean_of[c]) / deviation_of[c];
}

/* The mean over the area of the result's pixel, found by going over all pixels. */
static double gathered_smaller(const cuda_gather &g, const augment_draw &d, int32_t image,
                               const double *mean_of, const double *deviation_of, int32_t c, int32_t y,
                               int32_t x)
{
    const double tall = (double)g.height / g.made_height, wide = (double)g.width / g.made_width;
    double sum = 0.0;
    for (int32_t row = 0; row < g.height; row++)
        for (int32_t column = 0; column < g.width; column++) {
            const double part_y = std::fmin(row + 1, (y + 1) * tall) - std::fmax(row, y * tall);
            const double part_x = std::fmin(column + 1, (x + 1) * wide) - std::fmax(column, x * wide);
            if (part_y > 0.0 && part_x > 0.0)
                sum += part_y * part_x * gathered(g, d, image, mean_of, deviation_of, c, row, column);
        }
    return sum / (tall * wide);
}

/* Images of whole bytes come out exactly: the host's formula, rounded once to the type. Where they are made smaller,
 * sums of some bytes' values are rounded, too. */
static void check_gather(const kernel_run &run)
{
    const int32_t images = 7, rows = 1 + kernel_below(run, SETTINGS, 0, 6),
                  channels = 1 + kernel_below(run, SETTINGS, 1, 4);
    const int32_t height = 1 + kernel_below(run, SETTINGS, 2, 20),
                  width = 1 + kernel_below(run, SETTINGS, 3, 20);
    const size_t plane = (size_t)height * (size_t)width, image_bytes = plane * (size_t)channels;
    device_memory pixels((size_t)images * image_bytes), labels((size_t)images * 4), samples(5 * 4),
        made((size_t)rows * 4);
    vector levels((size_t)channels * 256);
    uint8_t *bytes = static_cast<uint8_t *>(pixels.data);
    int32_t *label = static_cast<int32_t *>(labels.data), *sample = static_cast<int32_t *>(samples.data);
    const float mean[4] = {0.1f, 0.4f, 0.5f, 0.7f}, deviation[4] = {0.2f, 0.3f, 0.25f, 0.5f};
    const double mean_of[4] = {(double)mean[0], (double)mean[1], (double)mean[2], (double)mean[3]};
    const double deviation_of[4] = {(double)deviation[0], (double)deviation[1], (double)deviation[2],
                                    (double)deviation[3]};
    cuda_gather_levels(channels, mean, deviation, levels.floats());
    for (size_t i = 0; i < pixels.bytes; i++)
        bytes[i] = (uint8_t)kernel_bits(run, PIXELS, i);
    for (int32_t i = 0; i < images; i++)
        label[i] = kernel_below(run, LABELS, (uint64_t)i, 100);
    for (int32_t i = 0; i < 5; i++)
        sample[i] = kernel_below(run, SETTINGS, 10 + (uint64_t)i, images);

    cuda_gather g = {};
    g.pixels = bytes;
    g.labels = label;
    g.levels = levels.floats();
    g.samples = sample;
    g.sample_count = 5;
    g.shuffled = run.index % 2;
    g.channels = channels;
    g.height = height;
    g.width = width;
    const bool smaller = run.index % 4 > 1;
    g.made_height = smaller ? 1 + kernel_below(run, SETTINGS, 11, height) : height;
    g.made_width = smaller ? 1 + kernel_below(run, SETTINGS, 12, width) : width;
    if (run.index % 3)
        g.augment = {kernel_below(run, SETTINGS, 4, 5), run.index / 3 % 2, kernel_below(run, SETTINGS, 5, 9)};
    cuda_step step = kernel_step(run);
    step.valid = 1 + kernel_below(run, SETTINGS, 6, rows < 5 ? rows : 5);
    step.first = (uint32_t)kernel_below(run, SETTINGS, 7, 5 - step.valid + 1);
    step.view = {kernel_below(run, SETTINGS, 8, 3) - 1, kernel_below(run, SETTINGS, 9, 3) - 1,
                 run.index / 2 % 2};
    step_memory memory(cuda_step{});
    kernel_launched(run, cuda_launch_step(NULL, &step, memory.get()), "step");
    activation image(run.type, cuda_shape{rows, channels, g.made_height, g.made_width}),
        expected(run.type, image.shape);
    g.rows = rows;
    g.step = memory.get();
    g.image = image.data;
    g.image_labels = static_cast<int32_t *>(made.data);
    kernel_launched(run, cuda_launch_gather(NULL, run.type, &g), "gather");
    for (int32_t r = 0; r < rows; r++) {
        const uint32_t row = r < step.valid ? (uint32_t)r : 0;
        const int32_t from = sample[gather_position(step.seed, step.epoch, step.first, row, 5, g.shuffled)];
        const augment_draw d = augment_look(
            augment_sample(g.augment, step.seed, step.epoch, (uint32_t)from, height, width), step.view);
        assert_int_equal(static_cast<int32_t *>(made.data)[r], label[from]);
        for (int32_t c = 0; c < channels; c++)
            for (int32_t y = 0; y < g.made_height; y++)
                for (int32_t x = 0; x < g.made_width; x++) {
                    const size_t to = image.offset(r, c, y, x);
                    expected.set(to, smaller ? gathered_smaller(g, d, from, mean_of, deviation_of, c, y, x)
                                             : gathered(g, d, from, mean_of, deviation_of, c, y, x));
                    const double rounded =
                        smaller ? kernel_rounding(run.type) * std::fabs(expected.at(to)) + 128.0 * FLOAT
                                : 0.0;
                    kernel_close(run, image.at(to), expected.at(to), rounded, "image", to);
                }
    }
    image.check_padding(run, "padding of the image");
}

static void test_gather(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_gather);
}

/* ---- loss ---- */

struct row_expectation {
    double normaliser; /* log of the sum of exponentials */
    double loss;
    double slope; /* of the focal loss, over all classes; 1 without */
    int32_t best;
};

static double focal_slope(double log_p, double gamma)
{
    const double rest = -std::expm1(log_p);
    return gamma > 0.0 ? std::pow(rest, gamma) - gamma * std::pow(rest, gamma - 1.0) * std::exp(log_p) * log_p
                       : 1.0;
}

static row_expectation expect_row(const activation &logits, int32_t row, int32_t classes, int32_t label,
                                  double smoothing, double gamma)
{
    row_expectation e = {0.0, 0.0, 0.0, 0};
    for (int32_t c = 1; c < classes; c++)
        if (logits.at(row, c, 0, 0) > logits.at(row, e.best, 0, 0))
            e.best = c;
    const double shift = logits.at(row, e.best, 0, 0);
    for (int32_t c = 0; c < classes; c++)
        e.normaliser += std::exp(logits.at(row, c, 0, 0) - shift);
    e.normaliser = shift + std::log(e.normaliser);
    for (int32_t c = 0; c < classes; c++) {
        const double target = (c == label ? 1.0 - smoothing : 0.0) + smoothing / classes;
        const double log_p = logits.at(row, c, 0, 0) - e.normaliser;
        e.loss -= target * std::pow(-std::expm1(log_p), gamma) * log_p;
        e.slope += target * focal_slope(log_p, gamma);
    }
    return e;
}

static void check_loss(const kernel_run &run)
{
    static const int32_t sizes[] = {2, 10, 1, 33, 100, 7, 257, 64};
    const int32_t rows = 1 + kernel_below(run, SETTINGS, 0, 40), classes = sizes[run.index % 8];
    const bool probable = run.index % 3 != 1, trained = run.index % 3 != 2;
    const double smoothing = (double)(run.index % 2 ? 0.1f : 0.0f);
    const double gamma = run.index % 5 == 2 ? 2.0 : run.index % 5 == 3 ? 1.0 : 0.0;
    const bool weighted = run.index % 7 < 3;
    device_memory class_weights((size_t)classes * sizeof(float));
    float *weights = static_cast<float *>(class_weights.data);
    for (int32_t c = 0; c < classes; c++)
        weights[c] = 0.25f * (float)(c % 8);
    activation logits(run.type, cuda_shape{rows, classes, 1, 1}), dlogits(run.type, logits.shape);
    device_memory labels((size_t)rows * 4), metrics(5 * sizeof(double)), scratch(cuda_loss_scratch(rows));
    ticket_memory tickets;
    vector probabilities((size_t)rows * (size_t)classes);
    int32_t *label = static_cast<int32_t *>(labels.data);
    double *sums = static_cast<double *>(metrics.data);
    if (run.index % 4 == 0)
        logits.whole(run, LOGITS, 2); /* equals are frequent */
    else
        logits.random(run, LOGITS, 0.0, run.index % 4 == 1 ? 60.0 : 4.0);
    for (int32_t r = 0; r < rows; r++)
        label[r] = kernel_below(run, LABELS, (uint64_t)r, classes);
    cuda_step step = kernel_step(run);
    step.valid = run.index % 5 ? rows : 1 + kernel_below(run, SETTINGS, 1, rows);
    step_memory memory(step);
    double loss = 100.0, correct = 20.0, size = 0.0;
    sums[0] = loss, sums[1] = correct, sums[2] = 30.0;
    sums[CUDA_METRIC_SCALE] = run.index % 6 == 5 ? 0.0 : (double)(1 << run.index % 6);
    sums[CUDA_METRIC_GOOD] = 0.0;
    const double scale = run.type != CUDA_HALF ? 1.0
                         : run.index % 6 == 5  ? (double)CUDA_SCALE_FIRST
                                               : sums[CUDA_METRIC_SCALE];
    cuda_loss launched = {};
    launched.rows = rows;
    launched.classes = classes;
    launched.smoothing = (float)smoothing;
    launched.focal = (float)gamma;
    launched.class_weights = weighted ? weights : NULL;
    launched.step = memory.get();
    launched.logits = logits.data;
    launched.labels = label;
    launched.metrics = sums;
    launched.probabilities = probable ? probabilities.floats() : NULL;
    launched.dlogits = trained ? dlogits.data : NULL;
    launched.scratch = scratch.data;
    launched.tickets = tickets.get();
    kernel_launched(run, cuda_launch_loss(NULL, run.type, &launched), "loss");
    tickets.check(run);
    for (int32_t r = 0; r < rows; r++) {
        const row_expectation e = expect_row(logits, r, classes, label[r], smoothing, gamma);
        const double weight = weighted ? (double)weights[label[r]] : 1.0;
        if (r < step.valid) {
            loss += weight * e.loss;
            size += std::fmax(weight, 1.0) * (std::fabs(e.loss) + 130.0 + (double)classes * 0.1);
            correct += e.best == label[r];
        }
        for (int32_t c = 0; c < classes; c++) {
            const double p = std::exp(logits.at(r, c, 0, 0) - e.normaliser);
            const double target = (c == label[r] ? 1.0 - smoothing : 0.0) + smoothing / classes;
            const double log_p = logits.at(r, c, 0, 0) - e.normaliser;
            const double gradient =
                r < step.valid
                    ? scale * weight * (p * e.slope - target * focal_slope(log_p, gamma)) / step.valid
                    : 0.0;
            /* The exponential's argument, up to 120, is rounded before it is taken. */
            const double p_error = p * 128.0 * FLOAT + FLOAT;
            /* So is that of a slope, which is at most 2 and changes by less than 2 times as much, and the two slopes
             * of a gradient are no larger together than twice that. */
            const double error = weight * (gamma > 0.0 ? 2.0 * p_error + 4.0 * 128.0 * FLOAT : p_error);
            if (probable)
                kernel_close(run, (double)probabilities[(size_t)r * (size_t)classes + (size_t)c], p, p_error,
                             "probability", (size_t)(r * classes + c));
            if (trained)
                kernel_close(run, dlogits.at(r, c, 0, 0), gradient,
                             r < step.valid ? 2.0 * scale * error / step.valid +
                                                  kernel_rounding(run.type) * std::fabs(gradient)
                                            : 0.0,
                             "dlogits", dlogits.offset(r, c, 0, 0));
        }
    }
    kernel_close(run, sums[0], loss, 16.0 * FLOAT * size, "loss", 0);
    kernel_close(run, sums[1], correct, 0.0, "correct", 1);
    kernel_close(run, sums[2], 30.0 + step.valid, 0.0, "samples", 2);
    if (trained)
        dlogits.check_padding(run, "padding of dlogits");
}

static void test_loss(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_loss);
}

/* The loss of a class that is an answer of its own, and its slope, from its logit. */
struct binary_expectation {
    double p, loss, slope;
};

static binary_expectation expect_binary(double logit, double target, double weight, double gamma)
{
    const double p = 1.0 / (1.0 + std::exp(-logit)), rest = 1.0 / (1.0 + std::exp(logit));
    const double log_p = -std::log1p(std::exp(-logit)), log_rest = -std::log1p(std::exp(logit));
    return {p,
            -weight * target * std::pow(rest, gamma) * log_p - (1.0 - target) * std::pow(p, gamma) * log_rest,
            (1.0 - target) * std::pow(p, gamma) * (p - gamma * rest * log_rest) -
                weight * target * std::pow(rest, gamma) * (rest - gamma * p * log_p)};
}

static void check_sets(const kernel_run &run)
{
    static const int32_t sizes[] = {2, 10, 1, 33, 100, 7, 1000, 64};
    enum { SETS = 4 };
    const int32_t rows = 1 + kernel_below(run, SETTINGS, 0, 40), classes = sizes[run.index % 8];
    const bool probable = run.index % 3 != 1, trained = run.index % 3 != 2;
    const double smoothing = (double)(run.index % 2 ? 0.125f : 0.0f);
    const double gamma = run.index % 5 == 2 ? 2.0 : run.index % 5 == 3 ? 1.0 : run.index % 5 == 4 ? 0.5 : 0.0;
    const bool weighted = run.index % 7 < 3;
    device_memory class_weights((size_t)classes * sizeof(float)), sets((size_t)SETS * (size_t)classes);
    float *weights = static_cast<float *>(class_weights.data);
    uint8_t *set = static_cast<uint8_t *>(sets.data);
    for (int32_t c = 0; c < classes; c++)
        weights[c] = 0.25f * (float)(c % 8);
    for (int32_t i = 0; i < SETS * classes; i++)
        set[i] = i >= classes && kernel_below(run, PIXELS, (uint64_t)i, 2); /* the first is empty */
    activation logits(run.type, cuda_shape{rows, classes, 1, 1}), dlogits(run.type, logits.shape);
    device_memory labels((size_t)rows * 4), metrics(5 * sizeof(double)), scratch(cuda_loss_scratch(rows));
    ticket_memory tickets;
    vector probabilities((size_t)rows * (size_t)classes);
    int32_t *label = static_cast<int32_t *>(labels.data);
    double *sums = static_cast<double *>(metrics.data);
    if (run.index % 4 == 0)
        logits.whole(run, LOGITS, 2); /* 0, which is just enough, is frequent */
    else
        logits.random(run, LOGITS, 0.0, run.index % 4 == 1 ? 60.0 : 4.0);
    for (int32_t r = 0; r < rows; r++) {
        label[r] = kernel_below(run, LABELS, (uint64_t)r, SETS);
        for (int32_t c = 0; r % 3 == 2 && c < classes; c++) /* right, or nearly */
            logits.set(logits.offset(r, c, 0, 0),
                       (set[label[r] * classes + c] != 0) == (r % 2 || c > 0) ? (double)(c % 3) : -0.5);
    }
    cuda_step step = kernel_step(run);
    step.valid = run.index % 5 ? rows : 1 + kernel_below(run, SETTINGS, 1, rows);
    step_memory memory(step);
    double loss = 100.0, correct = 20.0, size = 0.0;
    sums[0] = loss, sums[1] = correct, sums[2] = 30.0;
    sums[CUDA_METRIC_SCALE] = run.index % 6 == 5 ? 0.0 : (double)(1 << run.index % 6);
    sums[CUDA_METRIC_GOOD] = 0.0;
    const double scale = run.type != CUDA_HALF ? 1.0
                         : run.index % 6 == 5  ? (double)CUDA_SCALE_FIRST
                                               : sums[CUDA_METRIC_SCALE];
    cuda_loss launched = {};
    launched.rows = rows;
    launched.classes = classes;
    launched.smoothing = (float)smoothing;
    launched.focal = (float)gamma;
    launched.class_weights = weighted ? weights : NULL;
    launched.label_sets = set;
    launched.step = memory.get();
    launched.logits = logits.data;
    launched.labels = label;
    launched.metrics = sums;
    launched.probabilities = probable ? probabilities.floats() : NULL;
    launched.dlogits = trained ? dlogits.data : NULL;
    launched.scratch = scratch.data;
    launched.tickets = tickets.get();
    kernel_launched(run, cuda_launch_loss(NULL, run.type, &launched), "loss of sets");
    tickets.check(run);
    for (int32_t r = 0; r < rows; r++) {
        int32_t wrong = 0;
        for (int32_t c = 0; c < classes; c++) {
            const bool has = set[label[r] * classes + c] != 0;
            const double logit = logits.at(r, c, 0, 0), weight = weighted ? (double)weights[c] : 1.0;
            const double target = (has ? 1.0 - smoothing : 0.0) + smoothing / 2.0;
            const binary_expectation e = expect_binary(logit, target, weight, gamma);
            wrong += (logit >= 0.0) != has;
            if (r < step.valid) {
                loss += e.loss;
                size += std::fabs(e.loss) + std::fmax(weight, 1.0);
            }
            if (probable)
                kernel_close(run, (double)probabilities[(size_t)r * (size_t)classes + (size_t)c], e.p,
                             e.p * 128.0 * FLOAT, "probability of a set", (size_t)(r * classes + c));
            /* Each part is below 2 times its weight; the exponential's argument, up to 60, is rounded before it is
             * taken. */
            const double gradient = r < step.valid ? scale * e.slope / step.valid : 0.0;
            const double error = 128.0 * FLOAT * std::fmax(weight, 1.0) * scale / step.valid;
            if (trained)
                kernel_close(run, dlogits.at(r, c, 0, 0), gradient,
                             r < step.valid ? error + kernel_rounding(run.type) * std::fabs(gradient) : 0.0,
                             "dlogits of a set", dlogits.offset(r, c, 0, 0));
        }
        correct += r < step.valid && wrong == 0;
    }
    kernel_close(run, sums[0], loss, 16.0 * FLOAT * size, "loss of sets", 0);
    kernel_close(run, sums[1], correct, 0.0, "correct sets", 1);
    kernel_close(run, sums[2], 30.0 + step.valid, 0.0, "samples", 2);
    if (trained)
        dlogits.check_padding(run, "padding of the dlogits of sets");
}

static void test_sets(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The CPU's kernels that have no file of their own (test_kernels_NAME.c), against plain loops. */
#include "tests/support/activations.h"
#include "tests/support/kernel_case.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 40 };

/* Values near 0 and exactly 0 matter, so every second case has whole numbers. Sizes pass the share of a thread. */
static void check_activation(enum activation_kind function, struct cpu_shape s, int32_t index)
{
    const struct activation_traits *traits = activation_traits(function);
    const size_t count = cpu_shape_count(s);
    void *x = index % 2 ? kernel_whole(s, index, 1, 2) : kernel_random(s, index, 1, 0.0f, 6.0f);
    void *d = kernel_random(s, index, 2, 0.0f, 1.0f), *y = kernel_tensor(s), *dx = kernel_tensor(s);
    cpu_kernel_activation(function, s.type, count, x, y);
    cpu_kernel_activation_backward(function, s.type, count, traits->reads == ACTIVATION_READS_INPUT ? x : y,
                                   d, dx);
    for (size_t i = 0; i < count; i++) {
        const double value = kernel_at(s, x, i), given = kernel_at(s, d, i);
        kernel_check_at(s, y, i, activation_value(function, value), activation_error(function, value),
                        traits->name, index);
        kernel_check_at(s, dx, i, activation_slope(function, value) * given,
                        activation_backward_error(function, given), traits->name, index);
    }
    kernel_check_padding(s, y, traits->name);
    kernel_check_padding(s, dx, traits->name);
    cpu_set_value(s.type, x, 0, NAN);
    cpu_kernel_activation(function, s.type, count, x, y);
    assert_true(isnan(kernel_at(s, y, 0)) && !isnan(kernel_at(s, y, 1)));
    kernel_free(dx);
    kernel_free(y);
    kernel_free(d);
    kernel_free(x);
}

/* Shapes of both types, one after another; the first is of several shares. */
static struct cpu_shape shape_of(int32_t index)
{
    const enum cpu_type type = index < CASES ? CPU_FLOAT : CPU_BF16;
    return index % CASES == 0 ? kernel_shape(type, 3, 20, 31, 33, 8) : kernel_case_shape(type, index % CASES);
}

static void test_activations(void **state)
{
    (void)state;
    for (int32_t index = 0; index < 2 * CASES; index++)
        for (int function = 0; function < ACTIVATION_COUNT; function++)
            check_activation((enum activation_kind)function, shape_of(index), index);
}

static void test_add(void **state)
{
    (void)state;
    for (int32_t index = 0; index < 2 * CASES; index++) {
        const struct cpu_shape s = shape_of(index);
        const size_t count = cpu_shape_count(s);
        void *x = kernel_whole(s, index, 1, 2), *d = kernel_random(s, index, 2, 0.0f, 1.0f);
        void *sum = kernel_tensor(s), *twice = kernel_tensor(s);
        cpu_kernel_add(s.type, count, x, d, sum);
        memcpy(twice, sum, cpu_shape_bytes(s));
        cpu_kernel_add(s.type, count, twice, d, twice); /* in place */
        for (size_t i = 0; i < count; i++) {
            const float a = cpu_value(s.type, x, i), b = cpu_value(s.type, d, i);
            kernel_check_at(s, sum, i, (double)(a + b), 0.0, "add", index);
            kernel_check_at(s, twice, i, (double)(cpu_value(s.type, sum, i) + b), 0.0, "add in place", index);
        }
        kernel_check_padding(s, sum, "add");
        kernel_free(twice);
        kernel_free(sum);
        kernel_free(d);
        kernel_free(x);
    }
}

/* Every bf16 is the float that it is half of, and the way back finds the nearest, of two the even one: by its unit
 * roundoff, 2^-8, at most. Scalars and vectors agree. */
static void test_rounding(void **state)
{
    (void)state;
    enum { EACH = 5, HALVES = 1 << 16 };
    static const uint32_t tails[EACH] = {0, 1, 0x7fff, 0x8000, 0x8001};
    float *values = kernel_alloc((size_t)HALVES * EACH * sizeof(float));
    double farthest = 0.0; /* relative, of numbers that are not subnormal */
    for (uint32_t i = 0; i < HALVES * EACH; i++) {
        const uint32_t bits = (i / EACH) << 16 | tails[i % EACH];
        memcpy(&values[i], &bits, sizeof(bits));
    }
    for (uint32_t i = 0; i < HALVES * EACH; i++) {
        const uint16_t half = (uint16_t)(i / EACH), rounded = cpu_to_bf16(values[i]);
        const uint32_t tail = tails[i % EACH];
        if (isnan(values[i])) {
            assert_true(isnan(cpu_from_bf16(rounded)));
            continue;
        }
        assert_int_equal(rounded, half + (tail > 0x8000 || (tail == 0x8000 && half % 2)));
        if (isnormal(values[i]) && isfinite(cpu_from_bf16(rounded)))
            farthest = fmax(farthest, fabs((double)cpu_from_bf16(rounded) / (double)values[i] - 1.0));
    }
    assert_true(farthest <= 0x1p-8 && farthest > 0.99 * 0x1p-8);
    const struct cpu_shape s = {1, 16, 1, 1, 16, CPU_BF16};
    uint16_t *x = kernel_tensor(s), *d = kernel_tensor(s), *sum = kernel_tensor(s);
    for (uint32_t first = 0; first < HALVES; first += 16) {
        for (uint32_t i = 0; i < 16; i++) {
            x[i] = (uint16_t)(first + i);
            d[i] = (uint16_t)((first + i) * 40503u); /* any other, exponents alike and far off */
        }
        cpu_kernel_add(CPU_BF16, 16, x, d, sum);
        for (uint32_t i = 0; i < 16; i++) {
            const float expected = cpu_from_bf16(x[i]) + cpu_from_bf16(d[i]);
            if (isnan(expected))
                assert_true(isnan(cpu_from_bf16(sum[i])));
            else
                assert_int_equal(sum[i], cpu_to_bf16(expected));
        }
    }
    kernel_free(sum);
    kernel_free(d);
    kernel_free(x);
    kernel_free(values);
}

static void test_dropout(void **state)
{
    (void)state;
    const float rates[] = {0.0f, 0.25f, 0.5f, 0.9f};
    for (int32_t index = 0; index < 2 * CASES; index++) {
        const struct cpu_shape s = kernel_case_shape(index < CASES ? CPU_FLOAT : CPU_BF16, index);
        const float rate = rates[index % 4];
        const struct step step = {.seed = 77, .number = 3 + (uint32_t)index};
        const uint32_t layer = 12;
        void *x = kernel_random(s, index, 1, 3.0f, 1.0f), *y = kernel_tensor(s);
        cpu_kernel_dropout(s, x, rate, &step, layer, y);
        uint64_t e = 0;
        for (int32_t n = 0; n < s.n; n++)
            for (int32_t c = 0; c < s.c; c++)
                for (int32_t i = 0; i < s.h * s.w; i++, e++) {
                    const size_t offset = kernel_offset(s, n, c, i / s.w, i % s.w);
                    const struct random4 r =
                        random_draw(step.seed, RANDOM_DROPOUT, (uint64_t)step.number << 24 | e / 4, layer);
                    const bool kept = random_unit(r.v[e % 4]) >= rate;
                    const double expected = kept ? kernel_at(s, x, offset) / (1.0 - (double)rate) : 0.0;
                    kernel_check_at(s, y, offset, expected, 2.0 * (double)FLT_EPSILON * expected, "dropout",
                                    index);
                }
        kernel_check_padding(s, y, "dropout");
        kernel_free(y);
        kernel_free(x);
    }
}

/* Joins parts of several kinds and splits them again. */
static void test_concat_and_split(void **state)
{
    (void)state;
    static const struct {
        int32_t count, channels[PROG_MAX_INPUTS];
    } joins[] = {
        {2, {16, 32}},                 /* whole blocks of either size */
        {2, {8, 8}},                   /* whole blocks of 8, half a block of 16 */
        {3, {16, 16, 5}},              /* the last one ends within a block */
        {3, {5, 16, 3}},               /* nothing aligned */
        {2, {3, 13}},                  /* parts with padding fill a block exactly */
        {8, {1, 2, 3, 4, 5, 6, 7, 8}}, /* as many as there may be */
        {2, {1, 1}},
    };
    for (int32_t index = 0; index < (int32_t)(sizeof(joins) / sizeof(*joins)) * 6; index++) {
        const int32_t *channels = joins[index / 6].channels, count = joins[index / 6].count;
        const enum cpu_type type = index % 3 == 2 ? CPU_BF16 : CPU_FLOAT;
        struct cpu_shape s = kernel_case_shape(type, index);
        const int32_t block = index % 3 == 1 ? 16 : 8;
        int32_t all = 0;
        void *x[PROG_MAX_INPUTS] = {0}, *dx[PROG_MAX_INPUTS] = {0};
        struct cpu_shape part[PROG_MAX_INPUTS];
        for (int32_t i = 0; i < count; i++) {
            part[i] = kernel_shape(type, s.n, channels[i], s.h, s.w, block);
            all += channels[i];
            x[i] = kernel_random(part[i], index, (uint32_t)i, 5.0f, 1.0f);
            dx[i] = kernel_tensor(part[i]);
        }
        s = kernel_shape(type, s.n, all, s.h, s.w, block);
        void *y = kernel_tensor(s);
        cpu_kernel_concat(s, count, channels, (const void *const *)x, y);
        cpu_kernel_split(s, count, channels, y, dx);
        for (int32_t i = 0, first = 0; i < count; first += channels[i++])
            for (int32_t n = 0; n < s.n; n++)
                for (int32_t c = 0; c < channels[i]; c++)
                    for (int32_t q = 0; q < s.h * s.w; q++) {
                        const size_t from = kernel_offset(part[i], n, c, q / s.w, q % s.w);
                        const size_t to = kernel_offset(s, n, first + c, q / s.w, q % s.w);
                        const double value = kernel_at(s, x[i], from);
                        kernel_check_close(kernel_at(s, y, to), value, 0.0, "concat", index, to);
                        kernel_check_close(kernel_at(s, dx[i], from), value, 0.0, "split", index, from);
                    }
        kernel_check_padding(s, y, "concat");
        for (int32_t i = 0; i < count; i++) {
            kernel_check_padding(part[i], dx[i], "split");
            kernel_free(dx[i]);
            kernel_free(x[i]);
        }
        kernel_free(y);
    }
}

/* What a class of probability e^log_p adds to the focal loss, and what stands for 1 in its derivative. */
static double focal_part(double log_p, double gamma)
{
    return -pow(-expm1(log_p), gamma) * log_p;
}
static double focal_part_slope(double log_p, double gamma)
{
    const double rest = -expm1(log_p);
    if (gamma == 0.0)
        return 1.0;
    return rest == 0.0 ? 0.0 : pow(rest, gamma) - gamma * pow(rest, gamma - 1.0) * exp(log_p) * log_p;
}

/* Of three cases one has a focal loss of 2 and one of 0.5; odd ones have class weights. */
static void check_loss(enum cpu_type type, int32_t index, int32_t rows, int32_t classes, int32_t valid,
                       float smoothing, float width)
{
    const float focal = index % 3 == 1 ? 2.0f : index % 3 == 2 ? 0.5f : 0.0f;
    const double gamma = (double)focal, most = 3.0 + gamma; /* of a slope, about, times the largest weight */
    float *weights = index % 2 ? kernel_alloc((size_t)classes * sizeof(*weights)) : NULL;
    for (int32_t k = 0; weights != NULL && k < classes; k++)
        weights[k] = 0.25f * (float)(k % 8);
    const struct cpu_shape s = kernel_shape(type, rows, classes, 1, 1, index % 2 ? 16 : 8);
    const int32_t padded = cpu_shape_padded(s);
    /* Whole numbers at width 0: then largest logits are often equal and the first must count. */
    void *logits = width > 0.0f ? kernel_random(s, index, 1, 0.0f, width) : kernel_whole(s, index, 1, 1);
    void *dlogits = kernel_tensor(s);
    float *probabilities = kernel_alloc((size_t)rows * (size_t)classes * sizeof(float));
    int32_t *labels = kernel_alloc((size_t)rows * sizeof(*labels));
    void *scratch = kernel_alloc(cpu_kernel_loss_scratch(rows));
    double metrics[METRIC_COUNT] = {1.0, 2.0, 3.0}, again[METRIC_COUNT] = {1.0, 2.0, 3.0};
    for (int32_t r = 0; r < rows; r++)
        labels[r] = kernel_case_below(index, 2, (size_t)r, classes);
    struct cpu_loss loss_case = {
        .rows = rows,
        .classes = classes,
        .padded = padded,
        .valid = valid,
        .smoothing = smoothing,
        .focal = focal,
        .class_weights = weights,
        .type = type,
        .logits = logits,
        .labels = labels,
        .metrics = metrics,
        .probabilities = probabilities,
        .dlogits = dlogits,
        .scratch = scratch,
    };
    cpu_kernel_loss(&loss_case);
    loss_case.metrics = again;
    loss_case.probabilities = loss_case.dlogits = NULL;
    cpu_kernel_loss(&loss_case);
    assert_memory_equal(metrics, again, sizeof(metrics));

    double loss = 1.0, correct = 2.0;
    for (int32_t r = 0; r < rows; r++) {
        const void *z = (const char *)logits + (size_t)r * (size_t)padded * cpu_type_size(type);
        const double weight = weights != NULL ? (double)weights[labels[r]] : 1.0;
        double total = 0.0, slope = 0.0;
        int32_t first = 0;
        for (int32_t k = 0; k < classes; k++) {
            total += exp(kernel_at(s, z, (size_t)k));
            if (kernel_at(s, z, (size_t)k) > kernel_at(s, z, (size_t)first))
                first = k;
        }
        for (int32_t k = 0; k < classes; k++)
            slope += ((k == labels[r] ? 1.0 - (double)smoothing : 0.0) + (double)smoothing / classes) *
                     focal_part_slope(kernel_at(s, z, (size_t)k) - log(total), gamma);
        for (int32_t k = 0; k < classes; k++) {
            const double p = exp(kernel_at(s, z, (size_t)k)) / total;
            const double target =
                (k == labels[r] ? 1.0 - (double)smoothing : 0.0) + (double)smoothing / classes;
            const size_t offset = (size_t)r * (size_t)padded + (size_t)k;
            kernel_check_close((double)probabilities[r * classes + k], p,
                               (double)FLT_EPSILON * p + (double)FLT_TRUE_MIN, "probability", index, offset);
            const double log_p = kernel_at(s, z, (size_t)k) - log(total);
            const double gradient = weight * (p * slope - target * focal_part_slope(log_p, gamma));
            kernel_check_at(s, dlogits, offset, r < valid ? gradient / valid : 0.0,
                            (double)FLT_EPSILON * (gamma > 0.0 || weights != NULL ? most : 1.0) / valid,
                            "dlogits", index);
            if (r < valid)
                loss += weight * target * focal_part(log_p, gamma);
        }
        correct += r < valid && first == labels[r];
    }
    kernel_check_close(metrics[METRIC_LOSS], loss, 1e-12 * loss, "loss", index, 0);
    kernel_check_close(metrics[METRIC_CORRECT], correct, 0.0, "correct", index, 0);
    kernel_check_close(metrics[METRIC_SAMPLES], 3.0 + valid, 0.0, "samples", index, 0);
    kernel_check_padding(s, dlogits, "dlogits");
    if (weights != NULL)
        kernel_free(weights);
    kernel_free(scratch);
    kernel_free(labels);
    kernel_free(probabilities);
    kernel_free(dlogits);
    kernel_free(logits);
}

static void test_loss(void **state)
{
    (void)state;
    for (int k = CPU_FLOAT; k <= CPU_BF16; k++) {
        const enum cpu_type type = (enum cpu_type)k;
        check_loss(type, 0, 5, 10, 5, 0.0f, 3.0f);
        check_loss(type, 1, 5, 10, 3, 0.1f, 3.0f);
        check_loss(type, 2, 1, 2, 1, 0.2f, 20.0f);
        check_loss(type, 3, 33, 101, 32, 0.1f, 50.0f);
        check_loss(type, 4, 64, 8, 64, 0.0f, 0.0f);
        check_loss(type, 5, 64, 3, 1, 0.3f, 0.0f);
    }
}

/* A class of probability p that is an answer of its own: what it adds to the loss, and the slope of that by its logit.
 * From the logit, so that neither p nor 1 - p loses digits. */
static double binary_part(double logit, double target, double weight, double gamma, double *slope)
{
    const double p = 1.0 / (1.0 + exp(-logit)), rest = 1.0 / (1.0 + exp(logit));
    const double log_p = -log1p(exp(-logit)), log_rest = -log1p(exp(logit));
    *slope = (1.0 - target) * pow(p, gamma) * (p - gamma * rest * log_rest) -
             weight * target * pow(rest, gamma) * (rest - gamma * p * log_p);
    return -weight * target * pow(rest, gamma) * log_p - (1.0 - target) * pow(p, gamma) * log_rest;
}

/* Labels are sets; focal and weights as above. */
static void check_sets(enum cpu_type type, int32_t index, int32_t rows, int32_t classes, int32_t valid,
                       float smoothing, float width)
{
    enum { SETS = 5 };
    const float focal = index % 3 == 1 ? 2.0f : index % 3 == 2 ? 0.5f : 0.0f;
    const struct cpu_shape s = kernel_shape(type, rows, classes, 1, 1, index % 2 ? 16 : 8);
    const int32_t padded = cpu_shape_padded(s);
    void *logits = width > 0.0f ? kernel_random(s, index, 1, 0.0f, width) : kernel_whole(s, index, 1, 1);
    void *dlogits = kernel_tensor(s);
    float *weights = index % 2 ? kernel_alloc((size_t)classes * sizeof(*weights)) : NULL;
    float *probabilities = kernel_alloc((size_t)rows * (size_t)classes * sizeof(float));
    uint8_t *sets = kernel_alloc((size_t)SETS * (size_t)classes);
    int32_t *labels = kernel_alloc((size_t)rows * sizeof(*labels));
    void *scratch = kernel_alloc(cpu_kernel_loss_scratch(rows));
    double metrics[METRIC_COUNT] = {1.0, 2.0, 3.0}, again[METRIC_COUNT] = {1.0, 2.0, 3.0};
    for (int32_t k = 0; weights != NULL && k < classes; k++)
        weights[k] = 0.25f * (float)(k % 8);
    for (int32_t i = 0; i < SETS * classes; i++)
        sets[i] = i >= classes && kernel_case_below(index, 3, (size_t)i, 2); /* the first is empty */
    for (int32_t r = 0; r < rows; r++) {
        labels[r] = kernel_case_below(index, 2, (size_t)r, SETS);
        for (int32_t k = 0; r % 4 == 3 && k < classes; k++) /* right; 0 is just enough */
            cpu_set_value(type, logits, (size_t)r * (size_t)padded + (size_t)k,
                          sets[labels[r] * classes + k] ? (float)(k % 3) : -0x1p-10f);
    }
    struct cpu_loss loss_case = {
        .rows = rows,
        .classes = classes,
        .padded = padded,
        .valid = valid,
        .smoothing = smoothing,
        .focal = focal,
        .class_weights = weights,
        .label_sets = sets,
        .type = type,
        .logits = logits,
        .labels = labels,
        .metrics = metrics,
        .probabilities = probabilities,
        .dlogits = dlogits,
        .scratch = scratch,
    };
    cpu_kernel_loss(&loss_case);
    loss_case.metrics = again;
    loss_case.probabilities = loss_case.dlogits = NULL;
    cpu_kernel_loss(&loss_case);
    assert_memory_equal(metrics, again, sizeof(metrics));

    double loss = 1.0, correct = 2.0;
    for (int32_t r = 0; r < rows; r++) {
        int32_t wrong = 0;
        for (int32_t k = 0; k < classes; k++) {
            const size_t offset = (size_t)r * (size_t)padded + (size_t)k;
            const double z = kernel_at(s, logits, offset), p = 1.0 / (1.0 + exp(-z));
            const bool has = sets[labels[r] * classes + k];
            const double target = has * (1.0 - (double)smoothing) + (double)smoothing / 2.0;
            double slope;
            const double part =
                binary_part(z, target, weights ? (double)weights[k] : 1.0, (double)focal, &slope);
            kernel_check_close((double)probabilities[r * classes + k], p, (double)FLT_EPSILON * p,
                               "probability of a set", index, offset);
            kernel_check_at(s, dlogits, offset, r < valid ? slope / valid : 0.0,
                            (double)FLT_EPSILON * fabs(slope) / valid, "dlogits of a set", index);
            loss += r < valid ? part : 0.0;
            wrong += (z >= 0.0) != has;
        }
        assert_true(r % 4 != 3 || wrong == 0);
        correct += r < valid && wrong == 0;
    }
    kernel_check_close(metrics[METRIC_LOSS], loss, 1e-12 * loss, "loss of sets", index, 0);
    kernel_check_close(metrics[METRIC_CORRECT], correct, 0.0, "correct sets", index, 0);
    kernel_check_close(metrics[METRIC_SAMPLES], 3.0 + valid, 0.0, "samples", index, 0);
    kernel_check_padding(s, dlogits, "dlogits of sets");
    if (weights != NULL)
        kernel_free(weights);
    kernel_free(scratch);
    kernel_free(labels);
    kernel_free(sets);
    kernel_free(probabilities);
    kernel_free(dlogits);
    kernel_free(logits);
}

static void test_loss_of_sets(void **state)
{
    (void)state;
    for (int k = CPU_FLOAT; k <= CPU_BF16; k++) {
        const enum cpu_type type = (enum cpu_type)k;
        check_sets(type, 0, 5, 10, 5, 0.0f, 3.0f);
        check_sets(type, 1, 5, 10, 3, 0.125f, 3.0f);
        check_sets(type, 2, 9, 2, 8, 0.25f, 20.0f);
        check_sets(type, 3, 33, 101, 32, 0.125f, 50.0f);
        check_sets(type, 4, 64, 1, 64, 0.0f, 4.0f);
        check_sets(type, 5, 64, 3, 1, 0.5f, 0.0f);
        check_sets(type, 7, 8, 1000, 7, 0.0f, 8.0f);
    }
}

/* Huge logits don't overflow, and a NaN shows in the loss: with a focal loss and with sets of labels too. */
static void test_loss_edges(void **state)
{
    (void)state;
    float *logits = kernel_zeros(8 * sizeof(*logits));
    int32_t label = 1;
    double metrics[METRIC_COUNT] = {0}, scratch[2];
    logits[0] = 1e4f;
    logits[1] = -1e4f;
    const struct cpu_loss one_row = {.rows = 1,
                                     .classes = 3,
                                     .padded = 8,
                                     .valid = 1,
                                     .logits = logits,
                                     .labels = &label,
                                     .metrics = metrics,
                                     .scratch = scratch};
    cpu_kernel_loss(&one_row);
    kernel_check_close(metrics[METRIC_LOSS], 2e4, 1e-8, "loss", 0, 0);
    static const uint8_t sets[] = {0, 0, 0, 0, 1, 0};
    struct cpu_loss of_sets = one_row;
    of_sets.label_sets = sets;
    metrics[METRIC_LOSS] = 0.0;
    cpu_kernel_loss(&of_sets); /* both are wrong; and of the third nothing is known */
    kernel_check_close(metrics[METRIC_LOSS], 2e4 + log(2.0), 1e-8, "loss of sets", 0, 0);
    of_sets.focal = 2.0f;
    cpu_kernel_loss(&of_sets);
    kernel_check_close(metrics[METRIC_LOSS], 4e4 + 1.25 * log(2.0), 1e-8, "focal loss of sets", 0, 0);
    logits[2] = NAN;
    for (int of = 0; of < 4; of++) {
        struct cpu_loss diverged = of / 2 ? of_sets : one_row;
        diverged.focal = of % 2 ? 2.0f : 0.0f;
        metrics[METRIC_LOSS] = 0.0;
        cpu_kernel_loss(&diverged);
        assert_true(isnan(metrics[METRIC_LOSS]));
    }
    kernel_free(logits);
}

static void test_drop_path(void **state)
{
    (void)state;
    for (int32_t index = 0; index < 2 * CASES; index++) {
        const struct cpu_shape s = kernel_case_shape(index < CASES ? CPU_FLOAT : CPU_BF16, index);
        const float rate = 0.1f * (float)(index % 9);
        const struct step step = {.seed = 77, .number = 3 + (uint32_t)index, .row = (uint32_t)index % 3};
        void *x = kernel_random(s, index, 1, 3.0f, 1.0f), *y = kernel_tensor(s);
        cpu_kernel_drop_path(s, x, rate, &step, 12, y);
        for (int32_t n = 0; n < s.n; n++) {
            const struct random4 r = random_draw(step.seed, RANDOM_DROP_PATH,
                                                 (uint64_t)step.number << 32 | (step.row + (uint32_t)n), 12);
            const bool kept = random_unit(r.v[0]) >= rate;
            for (int32_t c = 0; c < s.c; c++)
                for (int32_t i = 0; i < s.h * s.w; i++) {
                    const size_t offset = kernel_offset(s, n, c, i / s.w, i % s.w);
                    const double expected = kept ? kernel_at(s, x, offset) / (1.0 - (double)rate) : 0.0;
                    kernel_check_at(s, y, offset, expected, 4.0 * (double)FLT_EPSILON * fabs(expected),
                                    "drop path", index);
                }
        }
        kernel_check_padding(s, y, "drop path");
        kernel_free(y);
        kernel_free(x);
    }
}

enum { IMAGES = 23, ROWS = 9 };

/* Largest normalised value of check_gather's images, times the roundings of a mean. */
static const double MOST_LEVEL = 8.0 * 8.0;

/* Value of pixel (y, x), channel c of sample `sample`, by the contract's words. */
static double gathered(const struct dataset_view *v, const struct augment *a, const struct step *step,
                       int32_t sample, int32_t c, int32_t y, int32_t x)
{
    struct augment_draw d = {0, 0, 0, 0, 0, 0};
    if (a)
        d = augment_sample(*a, step->seed, step->epoch, (uint32_t)sample, v->height, v->width);
    d = augment_look(d, step->view);
    if (y >= d.cut_top && y < d.cut_top + d.cut_side && x >= d.cut_left && x < d.cut_left + d.cut_side)
        return 0.0;
    const int32_t column = augment_reflect((d.mirrored ? v->width - 1 - x : x) + d.shift_x, v->width);
    const int32_t row = augment_reflect(y + d.shift_y, v->height);
    const size_t offset =
        (((size_t)sample * (size_t)v->channels + (size_t)c) * (size_t)v->height + (size_t)row) *
            (size_t)v->width +
        (size_t)column;
    return (v->pixels[offset] / 255.0 - (double)v->mean[c]) / (double)v->deviation[c];
}

/* The same of a result of `made`'s size: the mean over the pixel's area, found by going over all pixels. */
static double gathered_smaller(const struct dataset_view *v, const struct augment *a, const struct step *step,
                               int32_t sample, struct cpu_shape made, int32_t c, int32_t y, int32_t x)
{
    const double tall = (double)v->height / made.h, wide = (double)v->width / made.w;
    double sum = 0.0;
    for (int32_t row = 0; row < v->height; row++)
        for (int32_t column = 0; column < v->width; column++) {
            const double part_y = fmin(row + 1, (y + 1) * tall) - fmax(row, y * tall);
            const double part_x = fmin(column + 1, (x + 1) * wide) - fmax(column, x * wide);
            if (part_y > 0.0 && part_x > 0.0)
                sum += part_y * part_x * gathered(v, a, step, sample, c, row, column);
        }
    return sum / (tall * wide);
}

static void check_gather(enum cpu_type type, int32_t index, int32_t channels, int32_t height, int32_t width,
                         int32_t block)
{
    const size_t bytes = (size_t)IMAGES * (size_t)(channels * height * width);
    uint8_t *pixels = kernel_alloc(bytes);
    int32_t all_labels[IMAGES], samples[IMAGES - 3], labels[ROWS];
    for (size_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)kernel_case_below(index, 1, i, 256);
    for (int32_t i = 0; i < IMAGES; i++)
        all_labels[i] = (i * 7) % 10;
    for (int32_t i = 0; i < IMAGES - 3; i++)
        samples[i] = (i * 5 + 2) % IMAGES;
    const struct dataset_view view = {.count = IMAGES,
                                      .channels = channels,
                                      .height = height,
                                      .width = width,
                                      .classes = 10,
                                      .pixels = pixels,
                                      .labels = all_labels,
                                      .mean = {.5f, .4f, .3f, .2f},
                                      .deviation = {.25f, .3f, .2f, .1f}};
    const struct augment augment = {4, 1, 5};
    const struct augment *wanted = index % 2 ? &augment : NULL;
    const struct step step = {.seed = 5,
                              .epoch = (uint32_t)index,
                              .first = 8,
                              .valid = index % 3 ? ROWS : 4,
                              .view = {index / 2 % 3 - 1, index / 3 % 3 - 1, index / 2 % 2}};
    const bool shuffled = index % 2;

    const bool smaller = index % 4 > 1;
    const struct cpu_shape s = {
        ROWS, channels, smaller ? (height + 2) / 2 : height, smaller ? width - 5 : width, block ? block : 1,
        type};
    void *image = kernel_tensor(s);
    cpu_kernel_gather(&(struct cpu_gather){
        .view = &view,
        .samples = samples,
        .sample_count = IMAGES - 3,
        .shuffled = shuffled,
        .augment = wanted,
        .step = &step,
        .height = s.h,
        .width = s.w,
        .rows = ROWS,
        .block = block,
        .type = type,
        .image = image,
        .labels = labels,
    });
    for (int32_t r = 0; r < ROWS; r++) {
        const uint32_t row = r < step.valid ? (uint32_t)r : 0;
        const int32_t sample = samples[gather_position(5, step.epoch, step.first, row, IMAGES - 3, shuffled)];
        assert_int_equal(labels[r], all_labels[sample]);
        for (int32_t c = 0; c < channels; c++)
            for (int32_t i = 0; i < s.h * s.w; i++) {
                const int32_t y = i / s.w, x = i % s.w;
                const double expected = smaller ? gathered_smaller(&view, wanted, &step, sample, s, c, y, x)
                                                : gathered(&view, wanted, &step, sample, c, y, x);
                const size_t offset = kernel_offset(s, r, c, y, x); /* block 1 is plain */
                kernel_check_at(s, image, offset, expected,
                                (double)FLT_EPSILON * (smaller ? MOST_LEVEL : fabs(expected)), "gather",
                                index);
            }
    }
    kernel_check_padding(s, image, "gather");
    kernel_free(image);
    kernel_free(pixels);
}

static void test_gather(void **state)
{
    (void)state;
    for (int32_t index = 0; index < 12; index++)
        for (int32_t block = 0; block <= 16; block += 8) {
            check_gather(CPU_FLOAT, index, 1 + index % 4, 7 + index, 12, block);
            if (block != 8)
                check_gather(CPU_BF16, index, 1 + index % 4, 7 + index, 12, block);
        }
    check_gather(CPU_FLOAT, 13, 1, 1, 3, 0); /* shifts beyond the image's size are reflected more than once */
}

/* The same bits for one thread and for three, where threads share out rows. */
static void test_same_bits(void **state)
{
    (void)state;
    const int threads = omp_get_max_threads();
    const struct cpu_shape s = {37, 10, 1, 1, 8, CPU_FLOAT};
    float *logits = kernel_random(s, 0, 3, 0.0f, 4.0f), *dlogits[2], *dropped[2];
    double metrics[2][METRIC_COUNT] = {{0}};
    int32_t *labels = kernel_zeros(37 * sizeof(*labels));
    void *scratch = kernel_alloc(cpu_kernel_loss_scratch(37));
    for (int run = 0; run < 2; run++) {
        omp_set_num_threads(run ? 3 : 1);
        dlogits[run] = kernel_tensor(s);
        dropped[run] = kernel_tensor(s);
        cpu_kernel_loss(&(struct cpu_loss){
            .rows = 37,
            .classes = 10,
            .padded = 16,
            .valid = 37,
            .smoothing = 0.1f,
            .logits = logits,
            .labels = labels,
            .metrics = metrics[run],
            .dlogits = dlogits[run],
            .scratch = scratch,
        });
        cpu_kernel_dropout(s, logits, 0.5f, &(struct step){.seed = 1, .number = 2}, 3, dropped[run]);
    }
    omp_set_num_threads(threads);
    assert_memory_equal(dlogits[0], dlogits[1], cpu_shape_count(s) * sizeof(float));
    assert_memory_equal(dropped[0], dropped[1], cpu_shape_count(s) * sizeof(float));
    assert_memory_equal(metrics[0], metrics[1], sizeof(metrics[0]));
    for (int run = 0; run < 2; run++) {
        kernel_free(dlogits[run]);
        kernel_free(dropped[run]);
    }
    kernel_free(scratch);
    kernel_free(labels);
    kernel_free(logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),     cmocka_unit_test(test_activations),
        cmocka_unit_test(test_add),          cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_drop_path),    cmocka_unit_test(test_concat_and_split),
        cmocka_unit_test(test_loss),         cmocka_unit_test(test_loss_edges),
        cmocka_unit_test(test_loss_of_sets), cmocka_unit_test(test_gather),
        cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests_name("cpu kernels", tests, NULL, NULL);
}

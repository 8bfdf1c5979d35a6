/* The reference device's step against answers worked out by hand: gather and augmentation, loss and metrics,
 * optimizers, weight average, and the interface around them. */
#include "tests/support/device_orthogonal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 5 };

/* Images of 1 x 1 x WIDTH, a batch norm with ReLU and a dense layer of two classes. */
static void open_small(struct device_session *session, enum prog_purpose purpose, int32_t batch,
                       int32_t images)
{
    struct error err;
    struct graph graph;
    struct layer norm = {.kind = LAYER_BATCH_NORM, .input_count = 1, .stride = 1, .groups = 1};
    struct layer relu = {.kind = LAYER_RELU, .input_count = 1, .inputs = {1}, .stride = 1, .groups = 1};
    struct layer dense = {
        .kind = LAYER_DENSE, .input_count = 1, .inputs = {2}, .out_channels = 2, .bias = true};
    struct lower_options options = {.purpose = purpose,
                                    .batch = batch,
                                    .augment = true,
                                    .weight_average = true,
                                    .label_smoothing = 0.1f,
                                    .batch_norm_momentum = 0.1f};
    dense.stride = dense.groups = 1;
    assert_int_equal(graph_new(&graph, 1, 1, WIDTH, &err), ST_OK);
    if (graph_append(&graph, norm, NULL, &err) != ST_OK || graph_append(&graph, relu, NULL, &err) != ST_OK ||
        graph_append(&graph, dense, NULL, &err) != ST_OK || graph_infer(&graph, &err) != ST_OK)
        fail_msg("%s", err.message);
    session_open(session, &ref_device_ops, &graph, &options, images, 1);
    graph_free(&graph);
}

static int32_t find(const struct device_session *session, enum prog_op_kind kind)
{
    return session_find_op(session, kind, 0);
}

/* What gather makes, as pixel values again. The caller frees. */
static float *gathered(struct device_session *session, const struct step *step)
{
    int32_t op = find(session, PROG_OP_GATHER);
    session_run_op(session, op, step);
    return session_read(session, session->program.ops[op].outputs[GATHER_OUT_IMAGE]);
}

static double normal(int32_t pixel)
{
    return (pixel / 255.0 - (double)0.5f) / (double)0.25f; /* random_images' mean and deviation */
}

static void rows_behind_the_valid_repeat_the_first(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 3, 7);
    const uint8_t *pixels = session.images.pixels;
    struct step step = {.first = 4, .valid = 2};
    const int32_t samples[] = {4, 5, 4};
    float *images = gathered(&session, &step);
    float *labels = session_read(&session, session.program.ops[0].outputs[GATHER_OUT_LABELS]);
    for (int32_t row = 0; row < 3; row++) {
        assert_true((int32_t)labels[row] == session.images.labels[samples[row]]);
        for (int32_t x = 0; x < WIDTH; x++)
            assert_true(fabs((double)images[row * WIDTH + x] - normal(pixels[samples[row] * WIDTH + x])) <=
                        1e-6);
    }
    free(images);
    free(labels);
    session_close(&session);
}

static void a_shuffled_epoch_visits_each_sample_once(void **state)
{
    (void)state;
    enum { IMAGES = 23, BATCH = 5 };
    struct device_session session;
    open_small(&session, PROG_TRAIN, BATCH, IMAGES);
    for (int32_t i = 0; i < IMAGES; i++) /* an image's first pixel says which it is */
        session.images.pixels[i * WIDTH] = (uint8_t)i;
    ref_device_ops.dataset_free(session.device, session.dataset);
    assert_int_equal(
        ref_device_ops.dataset_upload(session.device, &session.images.view, &session.dataset, &session.err),
        ST_OK);
    session.binding.dataset = session.dataset;
    session.binding.shuffled = 1;
    session_bind(&session);
    int32_t order[2][IMAGES];
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        int32_t seen[IMAGES] = {0};
        for (int32_t first = 0; first < IMAGES; first += BATCH) {
            int32_t valid = IMAGES - first < BATCH ? IMAGES - first : BATCH;
            struct step step = {.seed = 3, .epoch = epoch, .first = (uint32_t)first, .valid = valid};
            float *images = gathered(&session, &step);
            for (int32_t row = 0; row < valid; row++) {
                int32_t image = (int32_t)lround(((double)images[row * WIDTH] * 0.25 + 0.5) * 255);
                seen[image]++;
                order[epoch][first + row] = image;
            }
            free(images);
        }
        for (int32_t i = 0; i < IMAGES; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(order[0], order[1], sizeof(order[0]));
    session_close(&session);
}

/* Every result is one of the shifts and mirrors written out here, in the frequency expected, and mirrors
 * alternate. */
static void shift_and_mirror_by_hand(void **state)
{
    (void)state;
    static const int32_t reads[3][WIDTH] = {
        {1, 0, 1, 2, 3}, {0, 1, 2, 3, 4}, {1, 2, 3, 4, 3}}; /* shifts -1, 0, 1 */
    enum { EPOCHS = 60 };
    struct device_session session;
    open_small(&session, PROG_TRAIN, 1, 2);
    const uint8_t pixels[WIDTH] = {0, 40, 90, 150, 220};
    memcpy(session.images.pixels, pixels, sizeof(pixels));
    ref_device_ops.dataset_free(session.device, session.dataset);
    assert_int_equal(
        ref_device_ops.dataset_upload(session.device, &session.images.view, &session.dataset, &session.err),
        ST_OK);
    session.binding.dataset = session.dataset;
    session.binding.augment = (struct augment){.translate = 1, .flip = 1};
    session_bind(&session);
    int32_t shifts[3] = {0}, mirrored_before = -1;
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        struct step step = {.seed = 9, .epoch = epoch, .valid = 1};
        float *image = gathered(&session, &step);
        int32_t found_shift = -1, found_mirror = -1;
        for (int32_t shift = 0; shift < 3; shift++)
            for (int32_t mirror = 0; mirror < 2; mirror++) {
                bool same = true;
                for (int32_t x = 0; x < WIDTH; x++) {
                    int32_t from = reads[shift][mirror ? WIDTH - 1 - x : x];
                    same = same && fabs((double)image[x] - normal(pixels[from])) <= 1e-6;
                }
                if (same) {
                    found_shift = shift;
                    found_mirror = mirror;
                }
            }
        assert_in_range(found_shift, 0, 2);
        shifts[found_shift]++;
        assert_int_not_equal(found_mirror, mirrored_before);
        mirrored_before = found_mirror;
        free(image);
    }
    for (int32_t shift = 0; shift < 3; shift++)
        assert_in_range(shifts[shift], 5, 40); /* 20 expected */
    session_close(&session);
}

/* An evaluation reads what its step says: shifted with the edge reflected, and mirrored behind that. */
static void views_by_hand(void **state)
{
    (void)state;
    static const struct {
        struct augment_view view;
        int32_t reads[WIDTH];
    } cases[] = {{{0, 0, 0}, {0, 1, 2, 3, 4}}, {{0, -1, 0}, {1, 0, 1, 2, 3}},  {{1, 1, 0}, {1, 2, 3, 4, 3}},
                 {{0, 0, 1}, {4, 3, 2, 1, 0}}, {{-1, -1, 1}, {3, 2, 1, 0, 1}}, {{1, 1, 1}, {3, 4, 3, 2, 1}}};
    struct device_session session;
    open_small(&session, PROG_EVALUATE, 1, 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct step step = {.seed = 9, .epoch = 1, .valid = 1, .view = cases[i].view};
        float *image = gathered(&session, &step);
        for (int32_t x = 0; x < WIDTH; x++)
            assert_true(fabs((double)image[x] - normal(session.images.pixels[cases[i].reads[x]])) <= 1e-6);
        free(image);
    }
    session_close(&session);
}

static void cutout_clears_a_clipped_square(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 1, 2);
    session.binding.augment = (struct augment){.cutout = 3};
    session_bind(&session);
    int32_t widths[WIDTH + 1] = {0};
    for (uint32_t epoch = 0; epoch < 50; epoch++) {
        struct step step = {.seed = 2, .epoch = epoch, .valid = 1};
        float *image = gathered(&session, &step);
        int32_t cut = 0, first = -1, last = -1;
        for (int32_t x = 0; x < WIDTH; x++)
            if (image[x] == 0) { /* no pixel value lies at the mean: 0.5 * 255 is no whole number */
                cut++;
                first = first < 0 ? x : first;
                last = x;
            }
        assert_int_equal(last - first + 1, cut);
        assert_true(cut == 3 || first == 0 || last == WIDTH - 1);
        widths[cut]++;
        free(image);
    }
    assert_int_equal(widths[2] + widths[3],
                     50); /* the middle lies in the image, so at most one column is clipped */
    assert_true(widths[2] > 5 && widths[3] > 5);
    session_close(&session);
}

static void loss_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 3, 3);
    int32_t op = find(&session, PROG_OP_LOSS);
    const struct prog_op *loss = &session.program.ops[op];
    const float three = logf(3.0f);
    const float logits[] = {0, three, 2, 2, 50, -50}, labels[] = {1, 1, 0}; /* the last row does not count */
    session_write(&session, loss->inputs[LOSS_IN_LOGITS], logits);
    session_write(&session, loss->inputs[LOSS_IN_LABELS], labels);
    struct step step = {.valid = 2};
    double metrics[METRIC_COUNT];
    double row_loss[2] = {-(0.05 * log(0.25) + 0.95 * log(0.75)), log(2)};
    for (int32_t run = 1; run <= 2; run++) { /* metrics add up */
        session_run_op(&session, op, &step);
        assert_int_equal(
            ref_device_ops.program_metrics(session.device, session.prepared, metrics, &session.err), ST_OK);
        assert_true(fabs(metrics[METRIC_LOSS] - run * (row_loss[0] + row_loss[1])) <= 1e-6);
        assert_true(metrics[METRIC_CORRECT] == run); /* of equal logits the first counts: row 1 is wrong */
        assert_true(metrics[METRIC_SAMPLES] == 2 * run);
    }
    const double expected[] = {
        (0.25 - 0.05) / 2, (0.75 - 0.95) / 2, (0.5 - 0.05) / 2, (0.5 - 0.95) / 2, 0, 0};
    float *dlogits = session_read(&session, loss->outputs[LOSS_OUT_DLOGITS]);
    for (int32_t i = 0; i < 6; i++)
        assert_true(fabs((double)dlogits[i] - expected[i]) <= 1e-7);
    free(dlogits);
    session_close(&session);
}

/* Of two classes, each an answer of its own: smoothed by 0.1, the second's positive part counts half. */
static void loss_of_sets_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = 4, .label_smoothing = 0.1f, .weighted = true, .sets = true};
    struct graph graph = {0};
    struct error err;
    assert_int_equal(graph_new(&graph, 1, 1, 1, &err), ST_OK);
    const struct layer dense = {
        .kind = LAYER_DENSE, .input_count = 1, .out_channels = 2, .stride = 1, .groups = 1};
    assert_int_equal(graph_append(&graph, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    session_open(&session, &ref_device_ops, &graph, &options, 4, 1);
    graph_free(&graph);
    static const uint8_t sets[] = {0, 0, 1, 0, 1, 1};
    static const float weights[] = {1.0f, 0.5f};
    session.images.view.label_sets = sets;
    session.images.view.label_set_count = 3;
    session.images.view.class_weights = weights;
    for (int32_t i = 0; i < 4; i++)
        session.images.labels[i] = 0;
    session.ops->dataset_free(session.device, session.dataset);
    assert_int_equal(
        session.ops->dataset_upload(session.device, &session.images.view, &session.dataset, &err), ST_OK);
    session.binding.dataset = session.dataset;
    session_bind(&session);

    const int32_t op = find(&session, PROG_OP_LOSS);
    const struct prog_op *loss = &session.program.ops[op];
    const float three = logf(3.0f); /* 3/4 */
    const float logits[] = {three, -three, 0, three, -three, -three, 50, -50}, labels[] = {1, 2, 0, 2};
    session_write(&session, loss->inputs[LOSS_IN_LOGITS], logits);
    session_write(&session, loss->inputs[LOSS_IN_LABELS], labels);
    session_run_op(&session, op, &(struct step){.valid = 3}); /* the last row does not count */
    double metrics[METRIC_COUNT];
    assert_int_equal(ref_device_ops.program_metrics(session.device, session.prepared, metrics, &session.err),
                     ST_OK);
    const double sure = -log(0.75), unsure = -log(0.25), even = log(2), yes = 0.95, no = 0.05;
    const double rows[] = {yes * sure + no * unsure + 0.5 * no * unsure + yes * sure,
                           even + 0.5 * yes * sure + no * unsure,
                           no * unsure + yes * sure + 0.5 * no * unsure + yes * sure};
    assert_true(fabs(metrics[METRIC_LOSS] - (rows[0] + rows[1] + rows[2])) <= 1e-6);
    assert_true(metrics[METRIC_CORRECT] == 3); /* 0 is just enough */
    assert_true(metrics[METRIC_SAMPLES] == 3);
    const double expected[] = {no * 0.75 - yes * 0.25,
                               yes * 0.25 - 0.5 * no * 0.75,
                               no * 0.5 - yes * 0.5,
                               no * 0.75 - 0.5 * yes * 0.25,
                               yes * 0.25 - no * 0.75,
                               yes * 0.25 - 0.5 * no * 0.75,
                               0,
                               0};
    float *dlogits = session_read(&session, loss->outputs[LOSS_OUT_DLOGITS]);
    for (int32_t i = 0; i < 8; i++)
        assert_true(fabs((double)dlogits[i] - expected[i] / 3) <= 1e-7);
    free(dlogits);
    session_close(&session);
}

/* The gradient and the values of one weight of each kind, through two updates. */
struct followed {
    size_t kernel, bias; /* offsets in the flat array */
    int32_t kernel_gradient, bias_gradient;
};

static struct followed follow(const struct device_session *session)
{
    struct followed followed;
    const struct weight_table *table = &session->program.weights;
    const struct prog_op *op = &session->program.ops[find(session, PROG_OP_DENSE_BACKWARD_WEIGHTS)];
    followed.kernel_gradient = op->outputs[DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL];
    followed.bias_gradient = op->outputs[DENSE_BACKWARD_WEIGHTS_OUT_DBIAS];
    followed.kernel = table->tensors[session->program.tensors[followed.kernel_gradient].weight].offset;
    followed.bias = table->tensors[session->program.tensors[followed.bias_gradient].weight].offset;
    return followed;
}

static void update(struct device_session *session, struct followed followed, float gradient,
                   const struct step *step, enum weight_slot slot, float *values)
{
    float gradients[2 * WIDTH];
    for (int32_t i = 0; i < 2 * WIDTH; i++)
        gradients[i] = gradient;
    session_write(session, followed.kernel_gradient, gradients);
    session_write(session, followed.bias_gradient, gradients);
    session_run_op(session, find(session, PROG_OP_OPTIMIZER), step);
    assert_int_equal(
        ref_device_ops.weights_download(session->device, session->weights, slot, values, &session->err),
        ST_OK);
}

static void sgd_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 2, 2);
    struct followed at = follow(&session);
    float *values = malloc(session.program.weights.total * sizeof(*values));
    assert_non_null(values);
    session.values[at.kernel] = session.values[at.bias] = 1;
    session_upload(&session);
    session.binding.optimizer = (struct optimizer){OPTIMIZER_SGD, 0.5f, 0, 0.25f, 2.0f, 0.125f, 0.0f};
    session_bind(&session);
    struct step step = {.valid = 2, .learning_rate = 0.5f};
    /* v = 1: kernel 1 (1 - 1/8) - 0.5 (1 + 0.5) = 0.125, bias 1 (1 - 1/16) - 1.5 = -0.5625 */
    update(&session, at, 1, &step, SLOT_VALUE, values);
    assert_true(values[at.kernel] == 0.125f);
    assert_true(values[at.bias] == -0.5625f);
    /* v = 0.5 + 2 = 2.5: kernel 0.125 * 0.875 - 0.5 (2 + 1.25), bias -0.5625 * 0.9375 - 3.25 */
    update(&session, at, 2, &step, SLOT_VALUE, values);
    assert_true(values[at.kernel] == 0.109375f - 1.625f);
    assert_true(values[at.bias] == -0.52734375f - 3.25f);
    update(&session, at, 0, &step, SLOT_FIRST, values);
    assert_true(values[at.kernel] == 1.25f);
    free(values);
    session_close(&session);
}

static void adamw_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 2, 2);
    struct followed at = follow(&session);
    float *values = malloc(session.program.weights.total * sizeof(*values));
    assert_non_null(values);
    session.values[at.kernel] = session.values[at.bias] = 1;
    session_upload(&session);
    session.binding.optimizer = (struct optimizer){OPTIMIZER_ADAMW, 0.5f, 0.75f, 0.25f, 2.0f, 0.125f, 0.0f};
    session_bind(&session);
    struct step step = {.valid = 2, .learning_rate = 0.5f};
    /* Step 0: both moments are g and g^2 after the correction, so the move is rate * sign(g). */
    update(&session, at, -3, &step, SLOT_VALUE, values);
    assert_true(fabs((double)values[at.kernel] - (0.875 + 0.5)) <= 1e-6);
    assert_true(fabs((double)values[at.bias] - (0.9375 + 1.0)) <= 1e-6);
    /* Step 1: m = 0.5 * -1.5 + 0.5 = -0.25, / 0.75; s = 0.75 * 2.25 + 0.25 = 1.9375, / 0.4375 */
    step.number = 1;
    update(&session, at, 1, &step, SLOT_VALUE, values);
    double move = 0.5 * (-0.25 / 0.75) / sqrt(1.9375 / 0.4375);
    assert_true(fabs((double)values[at.kernel] - (1.375 * 0.875 - move)) <= 1e-6);
    assert_true(fabs((double)values[at.bias] - (1.9375 * 0.9375 - 2.0 * move)) <= 1e-6);
    free(values);
    session_close(&session);
}

static void muon_makes_updates_orthogonal(void **state)
{
    (void)state;
    for (int32_t k = 0; k < orthogonal_kernel_count; k++)
        free(device_orthogonal_check(&ref_device_ops, &(struct device_options){.threads = 1},
                                     &orthogonal_kernels[k], false));
}

/* One weight: X = g / |g| in each step, so that what comes out is the polynomial's five values from 1 on; the momentum
 * turns the sign of the second update only when it has to. */
static void muon_by_hand(void **state)
{
    (void)state;
    struct error err;
    struct graph graph;
    struct layer first = {
        .kind = LAYER_CONV, .input_count = 1, .out_channels = 1, .kernel_h = 1, .kernel_w = 1};
    struct layer second = first,
                 dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {2}, .out_channels = 2};
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = 1, .orthogonalise = true};
    const struct step step = {.valid = 1, .learning_rate = 0.5f};
    struct device_session session;
    second.inputs[0] = 1;
    first.stride = first.groups = second.stride = second.groups = dense.stride = dense.groups = 1;
    assert_int_equal(graph_new(&graph, 1, 1, 1, &err), ST_OK);
    if (graph_append(&graph, first, NULL, &err) != ST_OK ||
        graph_append(&graph, second, NULL, &err) != ST_OK ||
        graph_append(&graph, dense, NULL, &err) != ST_OK || graph_infer(&graph, &err) != ST_OK)
        fail_msg("%s", err.message);
    session_open(&session, &ref_device_ops, &graph, &options, 1, 1);
    session.binding.optimizer =
        (struct optimizer){.kind = OPTIMIZER_MUON, .momentum = 0.5f, .decay = 0.25f, .muon_rate = 0.125f};
    const int32_t at = find(&session, PROG_OP_ORTHOGONALISE);
    const int32_t gradient = session.program.ops[at].inputs[ORTHOGONALISE_IN_DKERNEL];
    const size_t kernel = session.program.weights.tensors[session.program.tensors[gradient].weight].offset;
    session.values[kernel] = 1;
    session_upload(&session);
    session_bind(&session);
    double x = 1, w = 1, velocity = 0;
    for (int k = 0; k < 5; k++)
        x = 3.4445 * x - 4.7750 * x * x * x + 2.0315 * x * x * x * x * x;
    static const float gradients[] = {-3, 1, 1}; /* g + v / 2: -4.5, 0.75, 1.375 */
    static const double signs[] = {-1, 1, 1};
    float *values = malloc(session.program.weights.total * sizeof(*values));
    assert_non_null(values);
    for (int k = 0; k < 3; k++) {
        session_write(&session, gradient, &gradients[k]);
        session_run_op(&session, at, &step);
        session_run_op(&session, find(&session, PROG_OP_OPTIMIZER), &step);
        velocity = 0.5 * velocity + (double)gradients[k];
        w = w * (1 - 0.5 * 0.25) - 0.5 * 0.125 * signs[k] * x;
        assert_int_equal(
            ref_device_ops.weights_download(session.device, session.weights, SLOT_VALUE, values, &err),
            ST_OK);
        assert_true(fabs((double)values[kernel] - w) <= 1e-6);
        assert_int_equal(
            ref_device_ops.weights_download(session.device, session.weights, SLOT_FIRST, values, &err),
            ST_OK);
        assert_true(fabs((double)values[kernel] - velocity) <= 1e-6);
    }
    free(values);
    session_close(&session);
    graph_free(&graph);
}

/* A whole step: trained weights move, running statistics by the batch norm alone, the average follows all of
 * them. */
static void a_step_moves_weights_and_average(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 4, 6);
    size_t total = session.program.weights.total;
    float *values = malloc(total * sizeof(*values)), *average = malloc(total * sizeof(*average));
    assert_non_null(values);
    assert_non_null(average);
    struct step step = {.valid = 4, .learning_rate = 0.1f, .average_decay = 0.75f};
    session_run(&session, &step);
    const struct device_ops *ops = &ref_device_ops;
    assert_int_equal(ops->weights_download(session.device, session.weights, SLOT_VALUE, values, &session.err),
                     ST_OK);
    assert_int_equal(
        ops->weights_download(session.device, session.weights, SLOT_AVERAGE, average, &session.err), ST_OK);
    for (int32_t k = 0; k < session.program.weights.count; k++) {
        const struct weight_tensor *tensor = &session.program.weights.tensors[k];
        size_t i = tensor->offset;
        assert_true(fabs((double)values[i] - (double)session.values[i]) > 1e-6);
        double expected = 0.75 * (double)session.values[i] + 0.25 * (double)values[i];
        assert_true(fabs((double)average[i] - expected) <= 1e-6);
    }
    free(values);
    free(average);
    session_close(&session);
}

static void evaluation_reads_the_average_when_asked(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_EVALUATE, 2, 2);
    float probabilities[2][4];
    struct step step = {.valid = 2};
    for (size_t i = 0; i < session.program.weights.total; i++)
        session.values[i] *= 0.5f; /* the average keeps what it has */
    session_upload(&session);
    for (int32_t average = 0; average < 2; average++) {
        session.binding.use_average = average;
        session_bind(&session);
        session_run(&session, &step);
        assert_int_equal(ref_device_ops.program_probabilities(session.device, session.prepared,
                                                              probabilities[average], &session.err),
                         ST_OK);
        for (int32_t row = 0; row < 2; row++)
            assert_true(fabs((double)probabilities[average][2 * row] +
                             (double)probabilities[average][2 * row + 1] - 1) <= 1e-6);
    }
    assert_true(fabsf(probabilities[0][0] - probabilities[1][0]) > 1e-4f);
    session_close(&session);
}

static void weights_come_back_bit_for_bit(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 2, 2);
    const struct device_ops *ops = &ref_device_ops;
    size_t total = session.program.weights.total;
    float *values = malloc(total * sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < total; i++) /* subnormals and large numbers too */
        session.values[i] = ldexpf(1.0f + (float)i / 128, (int)(i % 200) - 140) * (i % 2 ? -1.0f : 1.0f);
    for (int32_t slot = SLOT_VALUE; slot < SLOT_GRADIENT; slot++) {
        enum weight_slot s = (enum weight_slot)slot;
        assert_int_equal(
            ops->weights_upload(session.device, session.weights, s, session.values, &session.err), ST_OK);
        assert_int_equal(ops->weights_download(session.device, session.weights, s, values, &session.err),
                         ST_OK);
        assert_memory_equal(values, session.values, total * sizeof(*values));
    }
    free(values);
    session_close(&session);
}

static void remap_fills_the_child(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 2, 2);
    const struct device_ops *ops = &ref_device_ops;
    const struct weight_table *table = &session.program.weights;
    struct remap_list remaps;
    struct device_weights *child;
    float *values = malloc(table->total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(remap_list_new(&remaps, table, table, &session.err), ST_OK);
    assert_int_equal(ops->weights_new(session.device, table, SLOT_GRADIENT, &child, &session.err), ST_OK);
    assert_int_equal(ops->weights_upload(session.device, child, SLOT_FIRST, session.values, &session.err),
                     ST_OK);
    assert_int_equal(
        ops->weights_remap(session.device, child, session.weights, SLOT_AVERAGE, &remaps, 1, &session.err),
        ST_OK);
    for (int32_t slot = SLOT_VALUE; slot < SLOT_GRADIENT; slot++) {
        assert_int_equal(
            ops->weights_download(session.device, child, (enum weight_slot)slot, values, &session.err),
            ST_OK);
        for (size_t i = 0; i < table->total; i++)
            assert_true(values[i] == (slot <= SLOT_AVERAGE ? session.values[i] : 0));
    }
    ops->weights_free(session.device, child);
    remap_list_free(&remaps);
    free(values);
    session_close(&session);
}

static void memory_holds_the_gradients(void **state)
{
    (void)state;
    struct device_session session;
    open_small(&session, PROG_TRAIN, 3, 5);
    assert_true(session.ops->program_bytes(session.prepared) >
                session.program.weights.total * sizeof(double));
    session_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_behind_the_valid_repeat_the_first),
        cmocka_unit_test(a_shuffled_epoch_visits_each_sample_once),
        cmocka_unit_test(shift_and_mirror_by_hand),
        cmocka_unit_test(views_by_hand),
        cmocka_unit_test(cutout_clears_a_clipped_square),
        cmocka_unit_test(loss_by_hand),
        cmocka_unit_test(loss_of_sets_by_hand),
        cmocka_unit_test(sgd_by_hand),
        cmocka_unit_test(adamw_by_hand),
        cmocka_unit_test(muon_by_hand),
        cmocka_unit_test(muon_makes_updates_orthogonal),
        cmocka_unit_test(a_step_moves_weights_and_average),
        cmocka_unit_test(evaluation_reads_the_average_when_asked),
        cmocka_unit_test(weights_come_back_bit_for_bit),
        cmocka_unit_test(remap_fills_the_child),
        cmocka_unit_test(memory_holds_the_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

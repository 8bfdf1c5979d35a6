/* The reference device's layers against answers worked out by hand: padding, ties, groups, fused batch norm,
 * dropout. */
#include "tests/support/device_session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CLASSES = 2 };

/* A 1x1 convolution (so that a gradient is wanted), `layer`, and the classifier; opened for training. */
static void open_with(struct device_session *session, struct shape image, int32_t batch, struct layer layer)
{
    struct error err;
    struct graph graph;
    struct layer conv = {
        .kind = LAYER_CONV, .input_count = 1, .out_channels = image.c, .kernel_h = 1, .kernel_w = 1};
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {2}, .out_channels = CLASSES};
    struct lower_options options = {.purpose = PROG_TRAIN, .batch = batch, .batch_norm_momentum = 0.1f};
    conv.stride = conv.groups = dense.stride = dense.groups = 1;
    dense.bias = true;
    layer.inputs[0] = layer.input_count == 2 ? 0 : 1;
    layer.inputs[1] = layer.input_count == 2 ? 1 : 0;
    assert_int_equal(graph_new(&graph, image.c, image.h, image.w, &err), ST_OK);
    if (graph_append(&graph, conv, NULL, &err) != ST_OK || graph_append(&graph, layer, NULL, &err) != ST_OK ||
        graph_append(&graph, dense, NULL, &err) != ST_OK || graph_infer(&graph, &err) != ST_OK)
        fail_msg("%s", err.message);
    session_open(session, &ref_device_ops, &graph, &options, batch, 1);
    graph_free(&graph);
}

static const struct step plain_step = {.seed = 5, .number = 7, .valid = 1};

static const struct prog_op *op_at(const struct device_session *session, int32_t op)
{
    return &session->program.ops[op];
}

/* Runs the kind's nth operation on `input` as its input at `position`, the others as they are. */
static void run_on(struct device_session *session, enum prog_op_kind kind, int32_t nth, int32_t position,
                   const float *input)
{
    int32_t op = session_find_op(session, kind, nth);
    assert_true(op >= 0);
    session_write(session, op_at(session, op)->inputs[position], input);
    session_run_op(session, op, &plain_step);
}

/* The output at `position` of the kind's nth operation, within `tolerance` of what is expected. */
static void expect(struct device_session *session, enum prog_op_kind kind, int32_t nth, int32_t position,
                   const double *expected, double tolerance)
{
    int32_t tensor = op_at(session, session_find_op(session, kind, nth))->outputs[position];
    float *found = session_read(session, tensor);
    for (size_t i = 0; i < session_count(session, tensor); i++)
        if (!(fabs((double)found[i] - expected[i]) <= tolerance))
            fail_msg("%s, output %d, element %zu: %.9g, expected %.9g", prog_op_name(kind), position, i,
                     (double)found[i], expected[i]);
    free(found);
}

static struct layer window_layer(enum layer_kind kind, int32_t kernel, int32_t stride, int32_t pad)
{
    return (struct layer){.kind = kind,
                          .input_count = 1,
                          .kernel_h = kernel,
                          .kernel_w = kernel,
                          .stride = stride,
                          .pad_h = pad,
                          .pad_w = pad,
                          .groups = 1};
}

static void ties_in_a_max_pool_go_to_the_first(void **state)
{
    (void)state;
    struct device_session session;
    const float x[] = {2, 2, 0, 1, 2, 2, 1, 0, -3, -1, 5, 5, -1, -3, 5, 5}, dy[] = {1, 2, 3, 4};
    const double y[] = {2, 1, -1, 5};
    const double dx[] = {1, 0, 0, 2, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0};
    open_with(&session, (struct shape){0, 1, 4, 4}, 1, window_layer(LAYER_MAX_POOL, 2, 2, 0));
    run_on(&session, PROG_OP_MAX_POOL, 0, MAX_POOL_IN_X, x);
    expect(&session, PROG_OP_MAX_POOL, 0, MAX_POOL_OUT_Y, y, 0);
    run_on(&session, PROG_OP_MAX_POOL_BACKWARD, 0, MAX_POOL_BACKWARD_IN_DY, dy);
    expect(&session, PROG_OP_MAX_POOL_BACKWARD, 0, MAX_POOL_BACKWARD_OUT_DX, dx, 0);
    session_close(&session);
}

/* Padding never wins, even over negative values, and overlapping windows add up in dx. */
static void padding_of_a_max_pool_never_wins(void **state)
{
    (void)state;
    struct device_session session;
    const float x[] = {-4, -3, -2, -1}, dy[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const double y[] = {-4, -3, -3, -2, -1, -1, -2, -1, -1};
    const double dx[] = {1, 2 + 3, 4 + 7, 5 + 6 + 8 + 9};
    open_with(&session, (struct shape){0, 1, 2, 2}, 1, window_layer(LAYER_MAX_POOL, 2, 1, 1));
    run_on(&session, PROG_OP_MAX_POOL, 0, MAX_POOL_IN_X, x);
    expect(&session, PROG_OP_MAX_POOL, 0, MAX_POOL_OUT_Y, y, 0);
    run_on(&session, PROG_OP_MAX_POOL_BACKWARD, 0, MAX_POOL_BACKWARD_IN_DY, dy);
    expect(&session, PROG_OP_MAX_POOL_BACKWARD, 0, MAX_POOL_BACKWARD_OUT_DX, dx, 0);
    session_close(&session);
}

static void padding_does_not_count_in_an_average_pool(void **state)
{
    (void)state;
    struct device_session session;
    const float x[] = {1, 2, 3, 4}, dy[] = {1, 2, 3, 4, 4, 6, 6, 8, 4};
    const double y[] = {1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4};
    /* dx[0] = dy[0] + dy[1] / 2 + dy[3] / 2 + dy[4] / 4, and alike in the other corners. */
    const double dx[] = {1 + 1 + 2 + 1.0, 1 + 3 + 3 + 1.0, 2 + 6 + 4 + 1.0, 3 + 4 + 4 + 1.0};
    open_with(&session, (struct shape){0, 1, 2, 2}, 1, window_layer(LAYER_AVERAGE_POOL, 2, 1, 1));
    run_on(&session, PROG_OP_AVERAGE_POOL, 0, AVERAGE_POOL_IN_X, x);
    expect(&session, PROG_OP_AVERAGE_POOL, 0, AVERAGE_POOL_OUT_Y, y, 0);
    run_on(&session, PROG_OP_AVERAGE_POOL_BACKWARD, 0, AVERAGE_POOL_BACKWARD_IN_DY, dy);
    expect(&session, PROG_OP_AVERAGE_POOL_BACKWARD, 0, AVERAGE_POOL_BACKWARD_OUT_DX, dx, 0);
    session_close(&session);
}

static void convolution_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    struct layer conv = window_layer(LAYER_CONV, 2, 2, 1);
    conv.out_channels = 1;
    conv.bias = true;
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, kernel[] = {1, 2, 3, 4}, bias[] = {0.5f};
    const float dy[] = {1, 10, 100, 1000};
    const double y[] = {4.5, 18.5, 36.5, 77.5};
    /* Tap (u, v) meets the pixels (2i - 1 + u, 2j - 1 + v): 5 for (0,0); 4, 6 for (0,1); 2, 8 ; 1, 3, 7, 9.
     */
    const double dkernel[] = {1000 * 5, 100 * 4 + 1000 * 6, 10 * 2 + 1000 * 8,
                              1 + 10 * 3 + 100 * 7 + 1000 * 9};
    const double dbias[] = {1111};
    const double dx[] = {4, 30, 40, 200, 1000, 2000, 400, 3000, 4000};
    open_with(&session, (struct shape){0, 1, 3, 3}, 1, conv);
    const struct prog_op *op = op_at(&session, session_find_op(&session, PROG_OP_CONV, 1));
    session_write(&session, op->inputs[CONV_IN_KERNEL], kernel);
    session_write(&session, op->inputs[CONV_IN_BIAS], bias);
    run_on(&session, PROG_OP_CONV, 1, CONV_IN_X, x);
    expect(&session, PROG_OP_CONV, 1, CONV_OUT_Y, y, 0);
    int32_t back = session_find_op(&session, PROG_OP_CONV_BACKWARD_WEIGHTS, 0);
    session_write(&session, op_at(&session, back)->inputs[CONV_BACKWARD_WEIGHTS_IN_X], x);
    run_on(&session, PROG_OP_CONV_BACKWARD_WEIGHTS, 0, CONV_BACKWARD_WEIGHTS_IN_DY, dy);
    expect(&session, PROG_OP_CONV_BACKWARD_WEIGHTS, 0, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL, dkernel, 0);
    expect(&session, PROG_OP_CONV_BACKWARD_WEIGHTS, 0, CONV_BACKWARD_WEIGHTS_OUT_DBIAS, dbias, 0);
    run_on(&session, PROG_OP_CONV_BACKWARD_DATA, 0, CONV_BACKWARD_DATA_IN_DY, dy);
    expect(&session, PROG_OP_CONV_BACKWARD_DATA, 0, CONV_BACKWARD_DATA_OUT_DX, dx, 0);
    session_close(&session);
}

static void groups_read_their_own_channels(void **state)
{
    (void)state;
    struct device_session session;
    struct layer conv = window_layer(LAYER_CONV, 1, 1, 0);
    conv.out_channels = 4;
    conv.groups = 2;
    const float x[] = {1, 10, 100, 1000};            /* four channels of one pixel */
    const float kernel[] = {1, 2, 3, 4, 5, 6, 7, 8}; /* [4, 2, 1, 1] */
    const double y[] = {21, 43, 6500, 8700};         /* two outputs a group */
    open_with(&session, (struct shape){0, 4, 1, 1}, 1, conv);
    session_write(&session,
                  op_at(&session, session_find_op(&session, PROG_OP_CONV, 1))->inputs[CONV_IN_KERNEL],
                  kernel);
    run_on(&session, PROG_OP_CONV, 1, CONV_IN_X, x);
    expect(&session, PROG_OP_CONV, 1, CONV_OUT_Y, y, 0);
    session_close(&session);
}

static void batch_norm_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    struct layer norm = {.kind = LAYER_BATCH_NORM, .input_count = 1, .stride = 1, .groups = 1};
    const float x[] = {1, 3, 3, 1}, scale[] = {2}, shift[] = {0.5f}, mean[] = {10},
                variance[] = {20}; /* mean 2, var 1 */
    const float dy[] = {1, 2, 3, 4};
    double r = 1 / sqrt(1 + (double)GRAPH_BATCH_NORM_EPSILON);
    const double y[] = {0.5 - 2 * r, 0.5 + 2 * r, 0.5 + 2 * r, 0.5 - 2 * r};
    const double saved_mean[] = {2}, saved_invstd[] = {r};
    const double running_mean = 0.9 * 10 + 0.1 * 2,
                 running_variance = 0.9 * 20 + 0.1 * 1; /* biased: 4 / 4, not 4 / 3 */
    /* Sum of dy is 10; sum of dy * normal is (-1 + 2 + 3 - 4) r = 0. */
    const double dx[] = {2 * r * (1 - 2.5), 2 * r * (2 - 2.5), 2 * r * (3 - 2.5), 2 * r * (4 - 2.5)};
    const double dscale[] = {0}, dshift[] = {10};
    open_with(&session, (struct shape){0, 1, 2, 1}, 2, norm);
    const struct prog_op *op = op_at(&session, session_find_op(&session, PROG_OP_BATCH_NORM, 0));
    session_write(&session, op->inputs[BATCH_NORM_IN_SCALE], scale);
    session_write(&session, op->inputs[BATCH_NORM_IN_SHIFT], shift);
    session_write(&session, op->inputs[BATCH_NORM_IN_RUNNING_MEAN], mean);
    session_write(&session, op->inputs[BATCH_NORM_IN_RUNNING_VAR], variance);
    run_on(&session, PROG_OP_BATCH_NORM, 0, BATCH_NORM_IN_X, x);
    expect(&session, PROG_OP_BATCH_NORM, 0, BATCH_NORM_OUT_Y, y, 1e-6);
    expect(&session, PROG_OP_BATCH_NORM, 0, BATCH_NORM_OUT_MEAN, saved_mean, 0);
    expect(&session, PROG_OP_BATCH_NORM, 0, BATCH_NORM_OUT_INVSTD, saved_invstd, 1e-7);
    float *after_mean = session_read(&session, op->inputs[BATCH_NORM_IN_RUNNING_MEAN]),
          *after_var = session_read(&session, op->inputs[BATCH_NORM_IN_RUNNING_VAR]);
    assert_true(fabs((double)after_mean[0] - running_mean) <= 1e-6);
    assert_true(fabs((double)after_var[0] - running_variance) <= 2e-6);
    free(after_mean);
    free(after_var);
    run_on(&session, PROG_OP_BATCH_NORM_BACKWARD, 0, BATCH_NORM_BACKWARD_IN_DY, dy);
    expect(&session, PROG_OP_BATCH_NORM_BACKWARD, 0, BATCH_NORM_BACKWARD_OUT_DX, dx, 1e-6);
    expect(&session, PROG_OP_BATCH_NORM_BACKWARD, 0, BATCH_NORM_BACKWARD_OUT_DSCALE, dscale, 1e-6);
    expect(&session, PROG_OP_BATCH_NORM_BACKWARD, 0, BATCH_NORM_BACKWARD_OUT_DSHIFT, dshift, 0);
    session_close(&session);
}

/* input -> conv -> batch norm, + input, ReLU: one operation, of which the ReLU cuts what the addend decides.
 */
static void fused_batch_norm_by_hand(void **state)
{
    (void)state;
    struct error err;
    struct graph graph;
    struct device_session session;
    struct layer conv = window_layer(LAYER_CONV, 1, 1, 0),
                 norm = {.kind = LAYER_BATCH_NORM, .input_count = 1};
    struct layer bias_conv = conv, add = {.kind = LAYER_ADD, .input_count = 2, .inputs = {1, 3}};
    struct layer relu = {.kind = LAYER_RELU, .input_count = 1, .inputs = {4}};
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {5}, .out_channels = CLASSES};
    bias_conv.out_channels = conv.out_channels = 1;
    conv.inputs[0] = 1;
    norm.inputs[0] = 2;
    norm.stride = norm.groups = add.stride = add.groups = relu.stride = relu.groups = dense.stride =
        dense.groups = 1;
    const struct layer layers[] = {bias_conv, conv, norm, add, relu, dense};
    assert_int_equal(graph_new(&graph, 1, 2, 1, &err), ST_OK);
    for (size_t i = 0; i < sizeof(layers) / sizeof(*layers); i++)
        if (graph_append(&graph, layers[i], NULL, &err) != ST_OK)
            fail_msg("%s", err.message);
    struct lower_options options = {.purpose = PROG_TRAIN, .batch = 1, .batch_norm_momentum = 0.1f};
    session_open(&session, &ref_device_ops, &graph, &options, 1, 1);
    const float x[] = {-1, 1}, one[] = {1}, zero[] = {0}, addend[] = {3, -3}, dy[] = {5, 7};
    double r = 1 / sqrt(1 + (double)GRAPH_BATCH_NORM_EPSILON);
    const double y[] = {3 - r, 0}, daddend[] = {5, 0};
    const double dx[] = {r * (5 - (5 - r * -5 * r) / 2), r * (0 - (5 + r * -5 * r) / 2)};
    const struct prog_op *op = op_at(&session, session_find_op(&session, PROG_OP_BATCH_NORM, 0));
    session_write(&session, op->inputs[BATCH_NORM_IN_SCALE], one);
    session_write(&session, op->inputs[BATCH_NORM_IN_SHIFT], zero);
    session_write(&session, op->inputs[BATCH_NORM_IN_ADDEND], addend);
    run_on(&session, PROG_OP_BATCH_NORM, 0, BATCH_NORM_IN_X, x);
    expect(&session, PROG_OP_BATCH_NORM, 0, BATCH_NORM_OUT_Y, y, 1e-6);
    run_on(&session, PROG_OP_BATCH_NORM_BACKWARD, 0, BATCH_NORM_BACKWARD_IN_DY, dy);
    expect(&session, PROG_OP_BATCH_NORM_BACKWARD, 0, BATCH_NORM_BACKWARD_OUT_DX, dx, 1e-6);
    expect(&session, PROG_OP_BATCH_NORM_BACKWARD, 0, BATCH_NORM_BACKWARD_OUT_DADDEND, daddend, 0);
    session_close(&session);
    graph_free(&graph);
}

static void dropout_scales_what_it_keeps(void **state)
{
    (void)state;
    enum { COUNT = 2 * 3 * 20 * 20 };
    struct device_session session;
    struct layer dropout = {.kind = LAYER_DROPOUT, .input_count = 1, .rate = 0.2f, .stride = 1, .groups = 1};
    open_with(&session, (struct shape){0, 3, 20, 20}, 2, dropout);
    float *ones = malloc(COUNT * sizeof(*ones));
    assert_non_null(ones);
    for (int32_t i = 0; i < COUNT; i++)
        ones[i] = 1;
    run_on(&session, PROG_OP_DROPOUT, 0, DROPOUT_IN_X, ones);
    int32_t op = session_find_op(&session, PROG_OP_DROPOUT, 0);
    float *kept = session_read(&session, op_at(&session, op)->outputs[DROPOUT_OUT_Y]);
    uint32_t layer_id = op_at(&session, op)->layer_id;
    int32_t kept_count = 0;
    for (int32_t i = 0; i < COUNT; i++) {
        struct random4 draw = random_draw(5, RANDOM_DROPOUT, ((uint64_t)7 << 24) + (uint64_t)i / 4, layer_id);
        double expected = random_unit(draw.v[i % 4]) >= 0.2f ? 1.25 : 0;
        assert_true(fabs((double)kept[i] - expected) <= 1e-6);
        kept_count += kept[i] > 0;
    }
    assert_in_range(kept_count, COUNT * 76 / 100, COUNT * 84 / 100); /* five deviations either way */
    run_on(&session, PROG_OP_DROPOUT_BACKWARD, 0, DROPOUT_BACKWARD_IN_DY, ones);
    int32_t back = session_find_op(&session, PROG_OP_DROPOUT_BACKWARD, 0);
    float *gradient = session_read(&session, op_at(&session, back)->outputs[DROPOUT_BACKWARD_OUT_DX]);
    assert_memory_equal(gradient, kept, COUNT * sizeof(*kept));
    free(gradient);
    struct step next = plain_step; /* another step draws another mask */
    next.number++;
    session_write(&session, op_at(&session, back)->inputs[DROPOUT_BACKWARD_IN_DY], ones);
    session_run_op(&session, back, &next);
    gradient = session_read(&session, op_at(&session, back)->outputs[DROPOUT_BACKWARD_OUT_DX]);
    int32_t changed = 0;
    for (int32_t i = 0; i < COUNT; i++)
        changed += gradient[i] != kept[i];
    assert_in_range(changed, COUNT / 5, COUNT / 2); /* 2 * 0.2 * 0.8 = 32 % expected */
    free(gradient);
    free(kept);
    free(ones);
    session_close(&session);
}

/* Concat in order of inputs, within each image; split undoes it. Here [image; conv] of one channel each. */
static void concat_and_split_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    struct layer concat = {.kind = LAYER_CONCAT, .input_count = 2, .stride = 1, .groups = 1};
    const float image[] = {1, 2, 3, 4}, conv[] = {5, 6, 7, 8}, dy[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const double joined[] = {1, 2, 5, 6, 3, 4, 7, 8}, first[] = {1, 2, 5, 6}, second[] = {3, 4, 7, 8};
    open_with(&session, (struct shape){0, 1, 1, 2}, 2, concat);
    int32_t op = session_find_op(&session, PROG_OP_CONCAT, 0);
    session_write(&session, op_at(&session, op)->inputs[CONCAT_IN_X], image);
    run_on(&session, PROG_OP_CONCAT, 0, CONCAT_IN_X + 1, conv);
    expect(&session, PROG_OP_CONCAT, 0, CONCAT_OUT_Y, joined, 0);
    run_on(&session, PROG_OP_SPLIT, 0, SPLIT_IN_DY, dy);
    expect(&session, PROG_OP_SPLIT, 0, SPLIT_OUT_DX, first, 0);
    expect(&session, PROG_OP_SPLIT, 0, SPLIT_OUT_DX + 1, second, 0);
    session_close(&session);
}

/* Gates in the middle of an image of two channels and one pixel: x is the image, the gate the convolution's output. At
 * 0 a gate multiplies by exactly 1; its slope there is a half. log 3: 2 / (1 + 1 / 3) = 3 / 2, slope 2 * 3 / 4 * 1 / 4.
 */
static void gate_by_hand(void **state)
{
    (void)state;
    struct device_session session;
    const struct layer gate = {.kind = LAYER_GATE, .input_count = 2, .stride = 1, .groups = 1};
    const float x[] = {0.3f, 4}, opening[] = {0, logf(3)}, dy[] = {2, 8};
    const double y[] = {(double)x[0], 6}, dx[] = {2, 12}, dgate[] = {2 * (double)x[0] / 2, 8 * 4 * 3.0 / 8};
    open_with(&session, (struct shape){0, 2, 1, 1}, 1, gate);
    session_write(&session, op_at(&session, session_find_op(&session, PROG_OP_GATE, 0))->inputs[GATE_IN_X],
                  x);
    run_on(&session, PROG_OP_GATE, 0, GATE_IN_GATE, opening);
    expect(&session, PROG_OP_GATE, 0, GATE_OUT_Y, y, 1e-6);
    const double first = y[0];
    int32_t op = session_find_op(&session, PROG_OP_GATE, 0);
    float *found = session_read(&session, op_at(&session, op)->outputs[GATE_OUT_Y]);
    assert_true((double)found[0] == first);
    free(found);
    run_on(&session, PROG_OP_GATE_BACKWARD, 0, GATE_BACKWARD_IN_DY, dy);
    expect(&session, PROG_OP_GATE_BACKWARD, 0, GATE_BACKWARD_OUT_DX, dx, 1e-6);
    expect(&session, PROG_OP_GATE_BACKWARD, 0, GATE_BACKWARD_OUT_DGATE, dgate, 1e-6);
    session_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_in_a_max_pool_go_to_the_first),
        cmocka_unit_test(padding_of_a_max_pool_never_wins),
        cmocka_unit_test(padding_does_not_count_in_an_average_pool),
        cmocka_unit_test(convolution_by_hand),
        cmocka_unit_test(groups_read_their_own_channels),
        cmocka_unit_test(batch_norm_by_hand),
        cmocka_unit_test(fused_batch_norm_by_hand),
        cmocka_unit_test(dropout_scales_what_it_keeps),
        cmocka_unit_test(concat_and_split_by_hand),
        cmocka_unit_test(gate_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

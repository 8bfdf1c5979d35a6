/* Costs against sums worked out by hand. */
#include "host/net/cost.h"
#include "tests/support/activations.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int32_t append(struct graph *graph, struct layer layer)
{
    struct error err;
    int32_t index;
    if (layer.input_count == 0) {
        layer.input_count = 1;
        layer.inputs[0] = graph->count - 1;
    }
    if (graph_append(graph, layer, &index, &err) != ST_OK)
        fail_msg("%s", err.message);
    return index;
}

static const struct layer conv = {.kind = LAYER_CONV,
                                  .out_channels = 8,
                                  .kernel_h = 3,
                                  .kernel_w = 3,
                                  .stride = 1,
                                  .pad_h = 1,
                                  .pad_w = 1,
                                  .groups = 1};
static const struct layer norm = {.kind = LAYER_BATCH_NORM}, relu = {.kind = LAYER_RELU},
                          dense = {.kind = LAYER_DENSE, .out_channels = 10, .bias = true};

static void assert_close(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * expected))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

/* input 4 x 6 x 6, conv 8, batch norm, relu, dense 10 */
static void test_chain(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    assert_int_equal(graph_new(&graph, 4, 6, 6, &err), ST_OK);
    append(&graph, conv);
    append(&graph, norm);
    append(&graph, relu);
    append(&graph, dense);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    struct cost cost = cost_of_graph(&graph);
    double plane = 8 * 36;
    assert_int_equal(cost.parameters, 8 * 4 * 9 + 2 * 8 + 10 * 8 * 36 + 10);
    assert_close(cost.forward_flops, plane * 36 * 2 + plane * 2 + plane + 10 * (plane * 2 + 1));
    /* The first convolution makes no gradient of the image. */
    assert_close(cost.train_flops, 2 * plane * 72 + 15 * plane + 2 * plane + 3 * 10 * (plane * 2 + 1));
    /* The ReLU fuses with the batch norm. */
    assert_close(cost.train_bytes, 4 * (2 * (4 * 36 + plane) + 8 * plane + 3 * (plane + 10)));
    assert_close(cost.activation_bytes, 4 * (4 * 36 + 3 * plane + 10));
    graph_free(&graph);
}

/* Behind the image, which has no gradient, and behind a convolution, where backward reads two tensors and writes one. A
 * ReLU alone fuses with a batch norm. */
static void test_activations(void **state)
{
    (void)state;
    for (int a = 0; a < ACTIVATION_COUNT; a++) {
        const struct activation_traits *traits = activation_traits((enum activation_kind)a);
        struct layer activation = {.kind = activation_layer((enum activation_kind)a)};
        struct graph graph;
        struct error err;
        assert_int_equal(graph_new(&graph, 4, 6, 6, &err), ST_OK);
        append(&graph, activation);
        append(&graph, conv);
        append(&graph, activation);
        append(&graph, norm);
        append(&graph, activation);
        append(&graph, dense);
        assert_int_equal(graph_infer(&graph, &err), ST_OK);
        double image = 4 * 36, plane = 8 * 36;
        struct cost cost = cost_of_graph(&graph);
        assert_true(traits->forward > 0 && traits->backward > 0);
        assert_close(cost.forward_flops, traits->forward * (image + 2 * plane) + plane * 36 * 2 + 2 * plane +
                                             10 * (plane * 2 + 1));
        assert_close(cost.train_flops, traits->forward * (image + 2 * plane) + traits->backward * 2 * plane +
                                           2 * 2 * plane * 36 + 15 * plane + 3 * 10 * (plane * 2 + 1));
        double behind_norm = activation.kind == LAYER_RELU ? 0 : 5 * plane;
        assert_close(cost.train_bytes, 4 * (2 * image + 2 * (image + plane) + 5 * plane + 8 * plane +
                                            behind_norm + 3 * (plane + 10)));
        graph_free(&graph);
    }
}

/* A ReLU whose batch norm something else reads too moves its own bytes. */
static void test_fusion_needs_one_reader(void **state)
{
    (void)state;
    double bytes[2];
    for (int shared = 0; shared < 2; shared++) {
        struct graph graph;
        struct error err;
        assert_int_equal(graph_new(&graph, 4, 6, 6, &err), ST_OK);
        int32_t first = append(&graph, conv);
        int32_t normed = append(&graph, norm);
        int32_t cut = append(&graph, relu);
        append(&graph,
               (struct layer){.kind = LAYER_ADD, .input_count = 2, .inputs = {cut, shared ? normed : first}});
        append(&graph, dense);
        assert_int_equal(graph_infer(&graph, &err), ST_OK);
        bytes[shared] = cost_of_graph(&graph).train_bytes;
        graph_free(&graph);
    }
    assert_close(bytes[1] - bytes[0], 4.0 * 5 * 8 * 36);
}

/* Groups divide the operations, not the bytes. */
static void test_groups(void **state)
{
    (void)state;
    struct cost cost[2];
    for (int i = 0; i < 2; i++) {
        struct graph graph;
        struct error err;
        struct layer grouped = conv;
        grouped.groups = i == 0 ? 1 : 8;
        assert_int_equal(graph_new(&graph, 8, 6, 6, &err), ST_OK);
        append(&graph, grouped);
        append(&graph, (struct layer){.kind = LAYER_GLOBAL_POOL});
        append(&graph, dense);
        assert_int_equal(graph_infer(&graph, &err), ST_OK);
        cost[i] = cost_of_graph(&graph);
        graph_free(&graph);
    }
    assert_close(cost[0].forward_flops - cost[1].forward_flops, 7.0 / 8.0 * (8 * 36) * (8 * 9 * 2));
    assert_close(cost[1].train_bytes, cost[0].train_bytes);
    assert_int_equal(cost[0].parameters - cost[1].parameters, 7 * 8 * 9);
}

/* A frozen kernel has no gradient: behind the image one product is left, behind a trained layer two. A batch norm
 * without a trained scale still has its shift. */
static void test_frozen(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    struct layer frozen = conv, shifted = norm;
    frozen.frozen = shifted.frozen = true;
    assert_int_equal(graph_new(&graph, 4, 6, 6, &err), ST_OK);
    append(&graph, frozen);
    append(&graph, (struct layer){.kind = LAYER_GELU});
    append(&graph, shifted);
    append(&graph, frozen);
    append(&graph, dense);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    const struct activation_traits *gelu = activation_traits(layer_traits(LAYER_GELU)->activation);
    const double plane = 8 * 36, product = plane * 72, logits = 10 * (plane * 2 + 1);
    struct cost cost = cost_of_graph(&graph);
    assert_close(cost.forward_flops, product + gelu->forward * plane + 2 * plane + 2 * product + logits);
    assert_close(cost.train_flops,
                 product + gelu->forward * plane + 15 * plane + 2 * 2 * product + 3 * logits);
    assert_close(cost.train_bytes,
                 4 * (4 * 36 + plane + 2 * plane + 8 * plane + 2 * 2 * plane + 3 * (plane + 10)));
    graph_free(&graph);
}

static double by_rates(const struct graph *graph, double flops, double bytes)
{
    const struct cost_rates rates = cost_rates_of(flops, bytes);
    return cost_seconds(graph, &rates);
}

static void test_seconds(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    assert_int_equal(graph_new(&graph, 4, 6, 6, &err), ST_OK);
    append(&graph, conv);
    append(&graph, norm);
    append(&graph, relu);
    append(&graph, dense);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    struct cost cost = cost_of_graph(&graph);
    assert_close(by_rates(&graph, 1e9, 0.0), cost.train_flops / 1e9);
    assert_close(by_rates(&graph, 0.0, 1e9), cost.train_bytes / 1e9);
    assert_true(by_rates(&graph, 0.0, 0.0) == 0.0);
    /* Layer by layer the larger: above each of the two sums, below both together. */
    double seconds = by_rates(&graph, 8e9, 1e9);
    assert_true(seconds > cost.train_flops / 8e9 && seconds > cost.train_bytes / 1e9);
    assert_true(seconds < cost.train_flops / 8e9 + cost.train_bytes / 1e9);
    graph_free(&graph);
}

/* Every layer is counted once, in its own unit. */
static void test_units(void **state)
{
    enum { BATCH = 8 };
    struct graph graph;
    struct error err;
    (void)state;
    struct layer deep = conv, depthwise = conv, grouped = conv, pointwise = conv, large = conv, pool = conv;
    deep.out_channels = 24; /* of 8: 16 x 32 in whole blocks */
    depthwise.out_channels = depthwise.groups = 24;
    grouped.out_channels = 24;
    grouped.groups = 3;
    pointwise.out_channels = 16;
    pointwise.kernel_h = pointwise.kernel_w = 1;
    pointwise.pad_h = pointwise.pad_w = 0;
    large.out_channels = 16;
    large.kernel_h = large.kernel_w = 5;
    large.pad_h = large.pad_w = 2;
    pool.kind = LAYER_MAX_POOL;
    pool.kernel_h = pool.kernel_w = pool.stride = 2;
    pool.pad_h = pool.pad_w = pool.out_channels = pool.groups = 0;
    assert_int_equal(graph_new(&graph, 4, 6, 6, &err), ST_OK);
    append(&graph, conv);
    append(&graph, deep);
    append(&graph, depthwise);
    append(&graph, grouped);
    append(&graph, norm);
    append(&graph, relu);
    append(&graph, pointwise);
    append(&graph, (struct layer){.kind = LAYER_GELU});
    append(&graph, large);
    append(&graph, pool);
    pool.kind = LAYER_AVERAGE_POOL;
    append(&graph, pool);
    append(&graph, (struct layer){.kind = LAYER_DROPOUT, .rate = 0.5f});
    append(&graph, dense);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    const struct cost_units units = cost_units_of(&graph, BATCH);
    const struct cost cost = cost_of_graph(&graph);
    const double deep_flops = 3 * 2.0 * 36 * 8 * 9 * 24;
    assert_close(units.of[COST_PIXELS], 4 * 36);
    assert_close(units.of[COST_CONV_IMAGE], 2 * 2.0 * 36 * 4 * 9 * 8);
    assert_close(units.of[COST_CONV_3X3], deep_flops);
    assert_close(units.of[COST_DEPTHWISE], 3 * 2.0 * 36 * 9 * 24);
    assert_close(units.of[COST_DEPTHWISE_BYTES], 3 * 4.0 * 36 * (24 + 24));
    assert_close(units.of[COST_CONV_GROUPED], 3 * 2.0 * 36 * 9 * 24 * 8);
    assert_close(units.of[COST_CONV_BYTES],
                 4.0 * 36 * (2 * (4 + 8) + 3 * (8 + 24 + 24 + 24 + 24 + 16 + 16 + 16)));
    assert_close(units.of[COST_CONV_1X1], 3 * 2.0 * 36 * 24 * 16);
    assert_close(units.of[COST_CONV_LARGE], 3 * 2.0 * 36 * 16 * 25 * 16);
    assert_close(units.of[COST_CONV_PADDING],
                 deep_flops * (16.0 * 32 / (8 * 24) - 1) + units.of[COST_CONV_1X1] * (32.0 / 24 - 1));
    assert_close(units.of[COST_BATCH_NORM], 4 * 8 * 24 * 36);
    assert_close(units.of[COST_ACTIVATION_BYTES], 4 * 5 * 16 * 36); /* the ReLU is part of the batch norm */
    assert_close(units.of[COST_MAX_POOL], 4 * 2 * 16 * (36 + 9));
    assert_close(units.of[COST_AVERAGE_POOL], 4 * 2 * 16 * (9 + 1));
    assert_close(units.of[COST_DROPOUT], 2 * 16);
    assert_true(units.of[COST_ADD] == 0.0 && units.of[COST_COPY] == 0.0);
    assert_close(units.of[COST_PARAMETERS], cost.parameters / (double)BATCH);
    assert_close(units.of[COST_LAYERS], graph.count / (double)BATCH);
    /* 5 (4 s r c + 2 s^3) with the smaller side s of each kernel but those in groups and that which reads the image:
     * 24 x 72, 16 x 24, 16 x 400 */
    assert_close(units.of[COST_ORTHOGONAL] * BATCH,
                 5 * (4.0 * 24 * 24 * 72 + 2.0 * 24 * 24 * 24 + 4.0 * 16 * 16 * 24 + 2.0 * 16 * 16 * 16 +
                      4.0 * 16 * 16 * 400 + 2.0 * 16 * 16 * 16));
    /* Their sum is what the network takes. */
    struct cost_rates rates = cost_rates_of(1e9, 1e9);
    rates.batch = BATCH;
    double seconds = 0.0;
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++) {
        rates.seconds[unit] = 1e-9 * (unit + 1);
        seconds += rates.seconds[unit] * units.of[unit];
    }
    assert_close(cost_seconds(&graph, &rates), seconds);
    assert_string_equal(cost_unit_name(COST_CONV_3X3), "conv_3x3");
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_fusion_needs_one_reader),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

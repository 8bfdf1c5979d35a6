#include "tests/support/device_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int32_t between(struct random_sequence *random, int32_t low, int32_t high)
{
    return low + (int32_t)random_next_below(random, (uint32_t)(high - low + 1));
}

static void compare_graph(const struct graph *graph, uint64_t seed, enum prog_purpose purpose, int32_t batch,
                          device_case_compare *compare, struct device_tally *tally)
{
    const bool train = purpose == PROG_TRAIN;
    const enum optimizer_kind optimizer = (enum optimizer_kind)(seed % 3);
    struct device_case c = {.graph = graph,
                            .options = {.purpose = purpose,
                                        .batch = batch,
                                        .augment = train,
                                        .weight_average = train,
                                        .orthogonalise = train && optimizer == OPTIMIZER_MUON,
                                        .drop_path = train && seed % 2 == 0 ? 0.5f : 0.0f,
                                        .label_smoothing = train ? 0.125f : 0.0f,
                                        .focal = train && seed % 4 == 1 ? 2.0f : 0.0f,
                                        .weighted = train && seed % 3 == 1,
                                        .sets = seed % 8 >= 4,
                                        .batch_norm_momentum = 0.25f},
                            .images = 7,
                            .larger = seed % 3 == 0 ? 1 + (int32_t)(seed % 7) : 0,
                            .valid = seed % 5 == 0 && batch > 1 ? batch - 1 : batch,
                            .steps = 2,
                            .augment = {.translate = 2, .flip = 1, .cutout = 2},
                            .optimizer = optimizer,
                            .use_average = !train && seed % 2 == 0,
                            .seed = seed};
    compare(&c, tally);
}

void device_cases_random_graphs(int32_t graphs, device_case_compare *compare)
{
    struct device_tally tally = {0};
    for (uint64_t seed = 1; seed <= (uint64_t)graphs; seed++) {
        struct graph graph = {0};
        struct error err;
        assert_int_equal(random_graph_make(&graph, seed, &err), ST_OK);
        compare_graph(&graph, seed, PROG_TRAIN, (int32_t)(seed % 4) + 1, compare, &tally);
        compare_graph(&graph, seed, PROG_EVALUATE, (int32_t)(seed % 4) + 1, compare, &tally);
        graph_free(&graph);
    }
    /* Collectives need a group: tests/support/crowd.h. */
    for (int kind = 0; kind < PROG_OP_KIND_COUNT; kind++)
        if (kind != PROG_OP_ALL_REDUCE && (tally.alive[kind] == 0 || tally.alive[kind] * 3 < tally.ops[kind]))
            fail_msg("%s: compared %d times, %d times with a result other than zeros",
                     prog_op_name((enum prog_op_kind)kind), (int)tally.ops[kind], (int)tally.alive[kind]);
    for (int a = 0; a < ACTIVATION_COUNT; a++)
        if (tally.activations[a] == 0 || tally.gradients[a] == 0)
            fail_msg("%s: never compared with a result other than zeros",
                     activation_traits((enum activation_kind)a)->name);
}

/* Image, convolution to `channels`, the convolution in question, dense: the second has gradients of data and
 * weights. */
static void make_convolution(struct graph *graph, uint64_t seed, enum status *st, struct error *err)
{
    struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST, .part = 77};
    int32_t groups = 1, multiple = 1;
    switch (seed % 4) {
    case 0: /* depthwise, sometimes with several outputs a channel */
        groups = between(&random, 2, 40);
        multiple = between(&random, 1, 2);
        break;
    case 1: /* groups that do not fill blocks */
        groups = between(&random, 2, 5);
        break;
    default:
        break;
    }
    int32_t per_group = seed % 4 == 0 ? 1 : between(&random, 1, 24);
    int32_t out_per_group = seed % 4 == 0 ? multiple : between(&random, 1, 24);
    int32_t side = between(&random, 5, 13);
    struct layer expand = {.kind = LAYER_CONV, .input_count = 1, .out_channels = groups * per_group};
    expand.kernel_h = between(&random, 1, 3);
    expand.kernel_w = between(&random, 1, 3);
    expand.stride = expand.groups = 1;
    expand.pad_h = expand.kernel_h / 2;
    expand.pad_w = expand.kernel_w / 2;
    expand.bias = seed % 2 == 0;
    struct layer layer = {.kind = LAYER_CONV, .input_count = 1, .inputs = {1}, .groups = groups};
    layer.out_channels = groups * out_per_group;
    layer.kernel_h = between(&random, 1, 7);
    layer.kernel_w = seed % 5 == 0 ? between(&random, 1, 5) : layer.kernel_h;
    layer.stride = between(&random, 1, 3);
    layer.pad_h = between(&random, (layer.kernel_h - 1) / 2, layer.kernel_h - 1);
    layer.pad_w = between(&random, (layer.kernel_w - 1) / 2, layer.kernel_w - 1);
    layer.bias = between(&random, 0, 1) == 1;
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {2}, .bias = true};
    dense.out_channels = between(&random, 2, 19);
    dense.stride = dense.groups = 1;
    *st = graph_new(graph, between(&random, 1, 4), side, between(&random, 5, 13), err);
    if (*st == ST_OK)
        *st = graph_append(graph, expand, NULL, err);
    if (*st == ST_OK)
        *st = graph_append(graph, layer, NULL, err);
    if (*st == ST_OK)
        *st = graph_append(graph, dense, NULL, err);
    if (*st == ST_OK)
        *st = graph_infer(graph, err);
}

void device_cases_convolutions(int32_t convolutions, device_case_compare *compare)
{
    struct device_tally tally = {0};
    for (uint64_t seed = 1; seed <= (uint64_t)convolutions; seed++) {
        struct graph graph = {0};
        struct error err;
        enum status st = ST_OK;
        make_convolution(&graph, seed, &st, &err);
        if (st != ST_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
        compare_graph(&graph, seed, PROG_TRAIN, (int32_t)(seed % 3) + 1, compare, &tally);
        graph_free(&graph);
    }
    assert_int_equal(tally.alive[PROG_OP_CONV_BACKWARD_DATA], 2 * convolutions);
    assert_int_equal(tally.alive[PROG_OP_CONV_BACKWARD_WEIGHTS], 4 * convolutions);
    assert_int_equal(tally.alive[PROG_OP_DENSE_BACKWARD_DATA], 2 * convolutions);
}

static void make_dense(struct graph *graph, int32_t channels, int32_t height, int32_t width, int32_t hidden,
                       int32_t classes, enum status *st, struct error *err)
{
    const struct layer expand = {.kind = LAYER_CONV,
                                 .input_count = 1,
                                 .out_channels = channels,
                                 .kernel_h = 1,
                                 .kernel_w = 1,
                                 .stride = 1,
                                 .groups = 1};
    struct layer dense = {.kind = LAYER_DENSE,
                          .input_count = 1,
                          .inputs = {1},
                          .bias = true,
                          .out_channels = hidden,
                          .stride = 1,
                          .groups = 1};
    *st = graph_new(graph, 3, height, width, err);
    if (*st == ST_OK)
        *st = graph_append(graph, expand, NULL, err);
    if (*st == ST_OK)
        *st = graph_append(graph, dense, NULL, err);
    dense.inputs[0] = 2;
    dense.bias = false;
    dense.out_channels = classes;
    if (*st == ST_OK)
        *st = graph_append(graph, dense, NULL, err);
    if (*st == ST_OK)
        *st = graph_infer(graph, err);
}

void device_cases_dense(device_case_compare *compare)
{
    static const struct {
        int32_t channels, height, width, hidden, classes, batch;
    } shapes[] = {
        {1, 1, 1, 1, 2, 1},   {1, 3, 2, 7, 1, 2},   {5, 4, 4, 9, 1000, 1}, {8, 1, 1, 8, 8, 7},
        {20, 2, 5, 33, 3, 5}, {64, 1, 1, 1, 10, 7}, {3, 7, 1, 100, 17, 1}, {16, 3, 3, 24, 40, 6},
    };
    const int32_t count = sizeof(shapes) / sizeof(shapes[0]);
    struct device_tally tally = {0};
    for (int32_t i = 0; i < count; i++) {
        struct graph graph = {0};
        struct error err;
        enum status st = ST_OK;
        make_dense(&graph, shapes[i].channels, shapes[i].height, shapes[i].width, shapes[i].hidden,
                   shapes[i].classes, &st, &err);
        if (st != ST_OK)
            fail_msg("shape %d: %s", (int)i, err.message);
        compare_graph(&graph, (uint64_t)i + 1, PROG_TRAIN, shapes[i].batch, compare, &tally);
        compare_graph(&graph, (uint64_t)i + 1, PROG_EVALUATE, shapes[i].batch, compare, &tally);
        graph_free(&graph);
    }
    /* Two steps of a training and two of an evaluation; a softmax over one class has no gradient. */
    assert_int_equal(tally.alive[PROG_OP_DENSE], 8 * count);
    assert_int_equal(tally.alive[PROG_OP_DENSE_BACKWARD_DATA], 2 * 2 * (count - 1));
    assert_int_equal(tally.alive[PROG_OP_DENSE_BACKWARD_WEIGHTS], 2 * 2 * (count - 1));
}

void device_cases_sets(device_case_compare *compare)
{
    static const struct {
        int32_t classes, batch, valid;
        float smoothing, focal;
        bool weighted;
    } losses[] = {
        {1, 3, 3, 0.0f, 0.0f, false},   {2, 5, 4, 0.125f, 0.0f, true},   {33, 9, 9, 0.0f, 2.0f, true},
        {1000, 4, 3, 0.0f, 0.0f, true}, {33, 2, 1, 0.25f, 0.5f, false},  {1000, 3, 3, 0.125f, 2.0f, false},
        {2, 8, 7, 0.0f, 1.0f, true},    {17, 33, 32, 0.5f, 0.0f, false},
    };
    const int32_t count = sizeof(losses) / sizeof(losses[0]);
    struct device_tally tally = {0};
    for (int32_t i = 0; i < count; i++) {
        struct graph graph = {0};
        struct error err;
        enum status st = ST_OK;
        make_dense(&graph, 6, 2, 3, 11, losses[i].classes, &st, &err);
        if (st != ST_OK)
            fail_msg("loss %d: %s", (int)i, err.message);
        struct device_case c = {.graph = &graph,
                                .options = {.batch = losses[i].batch, .sets = true},
                                .images = losses[i].batch + 1,
                                .valid = losses[i].valid,
                                .steps = 2,
                                .seed = (uint64_t)i + 1};
        c.options.purpose = PROG_EVALUATE;
        compare(&c, &tally);
        c.options.purpose = PROG_TRAIN;
        c.steps =
            1; /* behind it a thousand classes' logits are so far from 0 that gradients are denormal numbers */
        c.options.label_smoothing = losses[i].smoothing;
        c.options.focal = losses[i].focal;
        c.options.weighted = losses[i].weighted;
        compare(&c, &tally);
        graph_free(&graph);
    }
    /* Each has a gradient: of one class as well. */
    assert_int_equal(tally.alive[PROG_OP_LOSS], 3 * count);
    assert_int_equal(tally.alive[PROG_OP_DENSE_BACKWARD_WEIGHTS], 2 * count);
}

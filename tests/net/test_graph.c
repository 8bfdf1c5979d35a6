/* Graphs: building, shape inference, and each refusal once. */
#include "host/net/graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct layer conv8 = {.kind = LAYER_CONV,
                                   .out_channels = 8,
                                   .kernel_h = 3,
                                   .kernel_w = 3,
                                   .stride = 1,
                                   .pad_h = 1,
                                   .pad_w = 1,
                                   .groups = 1};

static struct layer reading(struct layer layer, int32_t first)
{
    layer.input_count = 1;
    layer.inputs[0] = first;
    return layer;
}

static struct layer reading_two(enum layer_kind kind, int32_t first, int32_t second)
{
    return (struct layer){.kind = kind, .input_count = 2, .inputs = {first, second}};
}

/* 0 input 4 x 9 x 7, 1 conv 8, 2 relu, 3 conv 8, 4 add(2, 3), 5 global pool, 6 dense 5 */
static void make(struct graph *graph)
{
    struct error err;
    assert_int_equal(graph_new(graph, 4, 9, 7, &err), ST_OK);
    assert_int_equal(graph_append(graph, reading(conv8, 0), NULL, &err), ST_OK);
    assert_int_equal(graph_append(graph, reading((struct layer){.kind = LAYER_RELU}, 1), NULL, &err), ST_OK);
    assert_int_equal(graph_append(graph, reading(conv8, 2), NULL, &err), ST_OK);
    assert_int_equal(graph_append(graph, reading_two(LAYER_ADD, 2, 3), NULL, &err), ST_OK);
    assert_int_equal(graph_append(graph, reading((struct layer){.kind = LAYER_GLOBAL_POOL}, 4), NULL, &err),
                     ST_OK);
    int32_t last;
    struct layer dense = {.kind = LAYER_DENSE, .out_channels = 5, .bias = true};
    assert_int_equal(graph_append(graph, reading(dense, 5), &last, &err), ST_OK);
    assert_int_equal(last, 6);
    assert_int_equal(graph_infer(graph, &err), ST_OK);
}

static void assert_shape(const struct graph *graph, int32_t index, int32_t c, int32_t h, int32_t w)
{
    struct shape s = graph->layers[index].shape;
    assert_int_equal(s.n, 0);
    assert_int_equal(s.c, c);
    assert_int_equal(s.h, h);
    assert_int_equal(s.w, w);
}

static void test_ids_and_shapes(void **state)
{
    (void)state;
    struct graph graph;
    make(&graph);
    for (int32_t i = 0; i < graph.count; i++) {
        assert_int_equal(graph.layers[i].id, i);
        assert_int_equal(graph_find(&graph, (uint32_t)i), i);
    }
    assert_int_equal(graph.next_id, 7);
    assert_int_equal(graph_find(&graph, 7), -1);
    assert_shape(&graph, 1, 8, 9, 7);
    assert_shape(&graph, 4, 8, 9, 7);
    assert_shape(&graph, 5, 8, 1, 1);
    assert_shape(&graph, 6, 5, 1, 1);
    graph_free(&graph);
    graph_free(&graph); /* a zeroed graph */
}

static void test_window_shapes(void **state)
{
    (void)state;
    static const struct {
        int32_t kernel_h, kernel_w, stride, pad_h, pad_w, h, w;
    } cases[] = {
        {2, 2, 2, 0, 0, 4, 3},                                               /* halving drops the odd row */
        {3, 3, 2, 1, 1, 5, 4}, {1, 1, 3, 0, 0, 3, 3}, {9, 7, 1, 0, 0, 1, 1}, /* as large as the image */
        {5, 3, 4, 4, 2, 4, 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int kind = LAYER_CONV; kind <= LAYER_AVERAGE_POOL; kind++) {
            if (kind == LAYER_BATCH_NORM || kind == LAYER_RELU)
                continue;
            struct graph graph;
            struct error err;
            assert_int_equal(graph_new(&graph, 4, 9, 7, &err), ST_OK);
            struct layer layer = {.kind = (enum layer_kind)kind,
                                  .out_channels = 6,
                                  .groups = 2,
                                  .kernel_h = cases[i].kernel_h,
                                  .kernel_w = cases[i].kernel_w,
                                  .stride = cases[i].stride,
                                  .pad_h = cases[i].pad_h,
                                  .pad_w = cases[i].pad_w};
            assert_int_equal(graph_append(&graph, reading(layer, 0), NULL, &err), ST_OK);
            assert_shape(&graph, 1, kind == LAYER_CONV ? 6 : 4, cases[i].h, cases[i].w);
            graph_free(&graph);
        }
    }
}

static void test_concat(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    make(&graph);
    struct layer concat = {.kind = LAYER_CONCAT, .input_count = 3, .inputs = {0, 2, 3}};
    assert_int_equal(graph_append(&graph, concat, NULL, &err), ST_OK);
    assert_shape(&graph, 7, 4 + 8 + 8, 9, 7);
    graph_free(&graph);
}

static void test_insert_shifts(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    make(&graph);
    /* Batch norm behind layer 2; the add keeps reading the ReLU at 2 and the convolution, now at 4. */
    assert_int_equal(graph_insert(&graph, 3, reading((struct layer){.kind = LAYER_BATCH_NORM}, 2), &err),
                     ST_OK);
    assert_int_equal(graph.count, 8);
    assert_int_equal(graph.layers[3].kind, LAYER_BATCH_NORM);
    assert_int_equal(graph.layers[3].id, 7);
    assert_int_equal(graph.next_id, 8);
    assert_shape(&graph, 3, 8, 9, 7);
    assert_int_equal(graph.layers[4].id, 3);
    assert_int_equal(graph.layers[4].inputs[0], 2);
    assert_int_equal(graph.layers[5].inputs[0], 2);
    assert_int_equal(graph.layers[5].inputs[1], 4);
    assert_int_equal(graph.layers[6].inputs[0], 5);
    assert_int_equal(graph.layers[7].inputs[0], 6);
    /* Not read yet. */
    assert_int_equal(graph_infer(&graph, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "layer 7 (batch_norm)"));
    graph.layers[4].inputs[0] = 3;
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    graph_free(&graph);
}

static void test_copy_is_apart(void **state)
{
    (void)state;
    struct graph graph, copy;
    struct error err;
    make(&graph);
    assert_int_equal(graph_copy(&copy, &graph, &err), ST_OK);
    assert_int_equal(copy.count, graph.count);
    assert_int_equal(copy.next_id, graph.next_id);
    copy.layers[1].out_channels = 99;
    assert_int_equal(graph.layers[1].out_channels, 8);
    graph_free(&graph);
    assert_int_equal(copy.layers[6].out_channels, 5);
    graph_free(&copy);
}

/* Appending a faulty layer is refused, names it and leaves the graph alone. */
static void test_append_refuses(void **state)
{
    (void)state;
    struct layer dense = {.kind = LAYER_DENSE, .out_channels = 5};
    struct layer pool = {.kind = LAYER_MAX_POOL, .kernel_h = 2, .kernel_w = 2, .stride = 2};
    struct layer grouped = conv8;
    grouped.groups = 2;
    struct {
        struct layer layer;
        const char *message;
    } cases[28];
    int count = 0;
#define CASE(base, first, change, text)                                                                      \
    do {                                                                                                     \
        struct layer l = reading(base, first);                                                               \
        l.change;                                                                                            \
        cases[count].layer = l;                                                                              \
        cases[count++].message = text;                                                                       \
    } while (0)
    CASE(conv8, 0, out_channels = 0, "out_channels is 0, expected 1 to 65536");
    CASE(conv8, 0, out_channels = 65537, "out_channels is 65537");
    CASE(conv8, 0, groups = 0, "groups is 0, expected 1 to 4");
    CASE(conv8, 0, groups = 3, "groups is 3, expected a divisor of 4 input and 8 output channels");
    CASE(grouped, 0, out_channels = 9, "groups is 2, expected a divisor of 4 input and 9 output channels");
    CASE(grouped, 0, init = LAYER_INIT_WHITEN, "init is whiten in 2 groups, expected one group");
    CASE(conv8, 0, stride = 0, "stride is 0");
    CASE(conv8, 0, kernel_w = 0, "kernel width is 0");
    CASE(conv8, 0, pad_h = 3, "padding height is 3, expected 0 to 2");
    CASE(conv8, 0, pad_w = -1, "padding width is -1");
    CASE(conv8, 0, kernel_h = 12, "kernel height is 12, expected at most 11 (input 9, padding 1)");
    CASE(conv8, 7, kind = LAYER_CONV, "index of an input is 7, expected 0 to 6");
    CASE(conv8, -1, kind = LAYER_CONV, "index of an input is -1");
    CASE(conv8, 0, input_count = 2, "number of inputs is 2, expected 1 to 1");
    CASE(conv8, 0, kind = LAYER_INPUT, "kind is 0 (input)");
    CASE(conv8, 0, kind = LAYER_KIND_COUNT, "(unknown)");
    CASE(conv8, 0, id = 3, "the id is in use");
    CASE(conv8, 0, id = GRAPH_MAX_ID + 1, "id is 536870911");
    CASE(pool, 5, stride = 1, "kernel height is 2, expected at most 1");
    CASE(dense, 0, out_channels = -5, "out_channels is -5");
    CASE(((struct layer){.kind = LAYER_DROPOUT}), 0, rate = 1.0f,
         "rate is 1, expected at least 0 and below 1");
    CASE(((struct layer){.kind = LAYER_DROPOUT}), 0, rate = (float)NAN, "rate is");
    CASE(conv8, 0, frozen = l.bias = true, "a frozen kernel has a bias, expected none");
    CASE(conv8, 0, init = LAYER_INIT_COUNT, "init is 3, expected 0 to 2");
    CASE(dense, 0, gain = -0.5f, "gain is -0.5, expected above 0 and at most 16");
    CASE(dense, 0, gain = 16.5f, "gain is 16.5");
    CASE(dense, 0, gain = (float)INFINITY, "gain is inf");
    CASE(dense, 0, gain = (float)NAN, "gain is nan");
#undef CASE
    for (int i = 0; i < count; i++) {
        struct graph graph;
        struct error err;
        make(&graph);
        int32_t index = 77;
        assert_int_equal(graph_append(&graph, cases[i].layer, &index, &err), ST_RANGE);
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("found \"%s\", expected \"%s\"", err.message, cases[i].message);
        assert_memory_equal(err.message, "layer ", 6);
        assert_int_equal(graph.count, 7);
        assert_int_equal(graph.next_id, 7);
        assert_int_equal(index, 77);
        graph_free(&graph);
    }
}

/* How weights begin and whether they are trained: what is taken, and what is taken for nothing said. */
static void test_training_of_layers(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    int32_t index;
    struct layer conv = reading(conv8, 0), norm = reading((struct layer){.kind = LAYER_BATCH_NORM}, 0);
    struct layer dense = reading((struct layer){.kind = LAYER_DENSE, .out_channels = 5, .bias = true}, 0);
    make(&graph);
    conv.frozen = norm.frozen = true;
    for (int init = 0; init < LAYER_INIT_COUNT; init++) {
        conv.init = (enum layer_init)init;
        assert_int_equal(graph_append(&graph, conv, &index, &err), ST_OK);
        assert_int_equal(graph.layers[index].init, init);
        assert_true(graph.layers[index].frozen);
    }
    assert_int_equal(graph_append(&graph, norm, &index, &err), ST_OK);
    assert_true(graph.layers[index].frozen);
    const float gains[][2] = {{0.0f, 1.0f}, {1.0f, 1.0f}, {1e-3f, 1e-3f}, {16.0f, 16.0f}};
    for (size_t i = 0; i < sizeof(gains) / sizeof(gains[0]); i++) {
        dense.gain = gains[i][0];
        assert_int_equal(graph_append(&graph, dense, &index, &err), ST_OK);
        assert_true(graph.layers[index].gain == gains[i][1]);
    }
    const float paces[][2] = {{0.0f, 1.0f}, {1e-3f, 1e-3f}, {1.0f, 1.0f}};
    for (size_t i = 0; i < sizeof(paces) / sizeof(paces[0]); i++) {
        dense.pace = norm.pace = paces[i][0];
        assert_int_equal(graph_append(&graph, dense, &index, &err), ST_OK);
        assert_true(graph.layers[index].pace == paces[i][1]);
        assert_int_equal(graph_append(&graph, norm, &index, &err), ST_OK);
        assert_true(graph.layers[index].pace == paces[i][1]);
    }
    norm.pace = 1.5f;
    assert_int_equal(graph_append(&graph, norm, &index, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "(batch_norm): pace is 1.5, expected above 0 and at most 1"));
    graph_free(&graph);
}

static void test_joins_refuse(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    make(&graph);
    assert_int_equal(graph_append(&graph, reading_two(LAYER_ADD, 0, 1), NULL, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "input 1 is 8 x 9 x 7, expected the shape like input 0, 4 x 9 x 7"));
    assert_int_equal(graph_append(&graph, reading_two(LAYER_CONCAT, 4, 5), NULL, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "expected height and width"));
    struct layer narrow = reading(conv8, 0);
    int32_t index;
    narrow.pad_w = 0;
    assert_int_equal(graph_append(&graph, narrow, &index, &err), ST_OK);
    assert_int_equal(graph_append(&graph, reading_two(LAYER_CONCAT, 1, index), NULL, &err), ST_RANGE);
    assert_non_null(
        strstr(err.message, "input 1 is 8 x 9 x 5, expected height and width like input 0, 8 x 9 x 7"));
    struct layer many = {.kind = LAYER_CONCAT, .input_count = GRAPH_MAX_INPUTS + 1};
    assert_int_equal(graph_append(&graph, many, NULL, &err), ST_RANGE);
    graph_free(&graph);
}

/* The gate's opening has a value a channel, of one pixel. */
static void test_gate(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    make(&graph);
    int32_t pooled = 5, gate = -1;
    assert_int_equal(graph_append(&graph, reading_two(LAYER_GATE, 4, pooled), &gate, &err), ST_OK);
    const struct shape shape = graph.layers[gate].shape;
    assert_true(shape.c == 8 && shape.h == 9 && shape.w == 7);
    assert_int_equal(graph_append(&graph, reading_two(LAYER_GATE, 4, 3), NULL, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "(gate): input 1 is 8 x 9 x 7, expected 8 x 1 x 1 like input 0"));
    assert_int_equal(graph_append(&graph, reading_two(LAYER_GATE, 0, pooled), NULL, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "(gate): input 1 is 8 x 1 x 1, expected 4 x 1 x 1 like input 0"));
    graph_free(&graph);
    assert_int_equal(graph_new(&graph, 4, 1, 7, &err), ST_OK);
    assert_int_equal(graph_append(&graph, reading_two(LAYER_GATE, 0, 0), NULL, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "(gate): input 1 is 4 x 1 x 7, expected 4 x 1 x 1 like input 0"));
    graph_free(&graph);
}

/* Sizes that overflow 32 bits are found, not wrapped. */
static void test_sizes(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    assert_int_equal(graph_new(&graph, 65536, 4096, 4096, &err), ST_RANGE);
    assert_int_equal(graph_new(&graph, 0, 8, 8, &err), ST_RANGE);
    assert_int_equal(graph_new(&graph, 3, 4097, 8, &err), ST_RANGE);
    assert_int_equal(graph_new(&graph, 3, 0, 8, &err), ST_RANGE);
    assert_int_equal(graph_new(&graph, 3, 8, 4097, &err), ST_RANGE);
    assert_int_equal(graph_new(&graph, 65536, 4096, 4096, &err), ST_RANGE);
    assert_int_equal(graph_new(&graph, 3, 4096, 4096, &err), ST_OK);
    struct layer conv = reading(conv8, 0), dense = {.kind = LAYER_DENSE, .out_channels = 65536};
    conv.out_channels = 65536;
    assert_int_equal(graph_append(&graph, conv, NULL, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "number of output values is 1099511627776"));
    assert_int_equal(graph_append(&graph, reading(dense, 0), NULL, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "number of weights is 3298534883328"));
    graph_free(&graph);

    assert_int_equal(graph_new(&graph, 1, 1, 1, &err), ST_OK);
    struct layer relu = {.kind = LAYER_RELU};
    for (int32_t i = 1; i < GRAPH_MAX_LAYERS; i++)
        assert_int_equal(graph_append(&graph, reading(relu, i - 1), NULL, &err), ST_OK);
    assert_int_equal(graph_append(&graph, reading(relu, 0), NULL, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "has 2048 layers"));
    graph_free(&graph);
}

static void test_infer_refuses(void **state)
{
    (void)state;
    for (int fault = 0; fault < 8; fault++) {
        static const char *const messages[] = {
            "layer 2 (relu): index of an input is 2, expected 0 to 1",
            "stands at indices 2 and 3",
            "layer 5 (global_pool): stands last, expected a dense",
            "layer 3 (conv): no layer reads it",
            "layer 0: found conv with id 0",
            "id is 6, expected 1 to 5",
            "layer 0: found input with id 9 and 0 inputs",
            "layer 0: found input with id 0 and 1 inputs",
        };
        struct graph graph;
        struct error err;
        make(&graph);
        if (fault == 0)
            graph.layers[2].inputs[0] = 2;
        if (fault == 1)
            graph.layers[3].id = graph.layers[2].id;
        if (fault == 2)
            graph.count--;
        if (fault == 3)
            graph.layers[4].inputs[1] = 2;
        if (fault == 4)
            graph.layers[0].kind = LAYER_CONV;
        if (fault == 5)
            graph.next_id = 6;
        if (fault == 6)
            graph.layers[0].id = 9;
        if (fault == 7)
            graph.layers[0].input_count = 1;
        assert_int_equal(graph_infer(&graph, &err), ST_RANGE);
        if (strstr(err.message, messages[fault]) == NULL)
            fail_msg("found \"%s\", expected \"%s\"", err.message, messages[fault]);
        graph_free(&graph);
    }
}

/* Changed settings reach every later shape. */
static void test_infer_again(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    make(&graph);
    graph.layers[1].out_channels = graph.layers[3].out_channels = 16;
    graph.layers[1].stride = 2;
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_shape(&graph, 4, 16, 5, 4);
    assert_shape(&graph, 5, 16, 1, 1);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_and_shapes), cmocka_unit_test(test_window_shapes),
        cmocka_unit_test(test_concat),         cmocka_unit_test(test_gate),
        cmocka_unit_test(test_insert_shifts),  cmocka_unit_test(test_copy_is_apart),
        cmocka_unit_test(test_append_refuses), cmocka_unit_test(test_training_of_layers),
        cmocka_unit_test(test_joins_refuse),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_infer_refuses),  cmocka_unit_test(test_infer_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

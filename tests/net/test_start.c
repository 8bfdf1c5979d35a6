/* Starting architectures: sizes against published ones, and every name on awkward images. */
#include "host/net/cost.h"
#include "host/net/start.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"lean", "res9", "air", "air_deep", "cnn", "resnet", "densenet"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static struct cost cost_of_start(const char *name, int32_t width)
{
    struct graph graph;
    struct error err;
    if (start_make(&graph, name, width, (struct shape){0, 3, 32, 32}, 10, &err) != ST_OK)
        fail_msg("%s", err.message);
    struct cost cost = cost_of_graph(&graph);
    graph_free(&graph);
    return cost;
}

static void test_parameters(void **state)
{
    (void)state;
    /* ResNet-18 for CIFAR-10 as PyTorch implementations count it. */
    assert_int_equal(cost_of_start("resnet", 0).parameters, 11173962);
    /* Whitening, six convolutions, the last layer, six batch norms. */
    assert_int_equal(cost_of_start("air", 0).parameters,
                     24 * 3 * 4 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 256 * 10 +
                         2 * (2 * 64 + 4 * 256));
    /* Nine, and nine. */
    assert_int_equal(cost_of_start("air_deep", 0).parameters,
                     24 * 3 * 4 +
                         9 * (24 * 64 + 2 * 64 * 64 + 64 * 192 + 2 * 192 * 192 + 192 * 256 + 2 * 256 * 256) +
                         256 * 10 + 2 * 3 * (64 + 192 + 256));
    /* torchvision's DenseNet-121: 6953856 before the classifier, which has 1024 * 10 + 10. */
    assert_int_equal(cost_of_start("densenet", 0).parameters, 6953856 + 10250);
    /* Auto-Keras's has 80720, with batch norms over 3 + 64 + 64 channels instead of 64 each. */
    assert_int_equal(cost_of_start("cnn", 0).parameters, 80720 + 2 * 61);
}

/* The figures that start.c names; the bound that the design asks for. */
static void test_lean_cost(void **state)
{
    (void)state;
    struct cost cost = cost_of_start("lean", 0);
    assert_true(cost.forward_flops >= 67e6 && cost.forward_flops <= 69e6);
    assert_true(cost.train_flops >= 198e6 && cost.train_flops <= 208e6);
    assert_true(cost.parameters >= 540000 && cost.parameters <= 560000);
    struct cost resnet = cost_of_start("resnet", 0);
    assert_true(resnet.train_flops / cost.train_flops >= 15.0);
    /* Twice the width: about four times the work. */
    assert_true(cost_of_start("lean", 64).train_flops / cost.train_flops >= 3.5);
}

/* res9 as start.c says; it and air at equal width between lean and resnet. */
static void test_middle_costs(void **state)
{
    (void)state;
    const double lean = cost_of_start("lean", 0).train_flops, resnet = cost_of_start("resnet", 0).train_flops;
    const struct cost res9 = cost_of_start("res9", 0), air = cost_of_start("air", 0);
    assert_true(res9.train_flops >= 570e6 && res9.train_flops <= 572e6);
    assert_true(res9.parameters >= 1.6e6 && res9.parameters <= 1.7e6);
    /* Three products for each of six convolutions, but no gradient of what the frozen filters give. */
    assert_true(air.train_flops >= 680e6 && air.train_flops <= 695e6);
    const double deep = cost_of_start("air_deep", 0).train_flops;
    assert_true(deep >= 695e6 && deep <= 710e6);
    assert_true(lean < res9.train_flops && res9.train_flops < air.train_flops && air.train_flops < resnet);
    assert_true(cost_of_start("res9", 64).train_flops / res9.train_flops >= 3.5);
    assert_true(cost_of_start("air", 32).train_flops / air.train_flops <= 0.35);
}

static void test_awkward_images(void **state)
{
    (void)state;
    static const struct shape images[] = {
        {0, 1, 1, 1},   {0, 3, 2, 5},     {0, 3, 8, 8},     {0, 1, 28, 28},     {0, 4, 9, 31},
        {0, 3, 16, 16}, {0, 3, 96, 96},   {0, 3, 224, 224}, {0, 3, 4, 4096},    {0, 3, 511, 300},
        {0, 1, 65, 65}, {0, 3, 128, 127}, {0, 3, 64, 64},   {0, 1, 4096, 4096},
    };
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
        for (int n = 0; n < NAMES; n++) {
            struct graph graph;
            struct error err;
            if (start_make(&graph, names[n], 8, images[i], 7, &err) != ST_OK)
                fail_msg("%d x %d x %d: %s", images[i].c, images[i].h, images[i].w, err.message);
            assert_int_equal(graph_infer(&graph, &err), ST_OK);
            struct shape logits = graph.layers[graph.count - 1].shape;
            assert_int_equal(logits.c, 7);
            for (int32_t l = 0; l < graph.count; l++) {
                const struct layer *layer = &graph.layers[l];
                if (layer->kind != LAYER_GLOBAL_POOL)
                    continue;
                struct shape in = graph.layers[layer->inputs[0]].shape;
                int32_t side = in.h < in.w ? in.h : in.w;
                assert_true(side >= (images[i].h < 2 || images[i].w < 2 ? 1 : 2));
                if (strcmp(names[n], "cnn") != 0)
                    assert_true(side <= 8);
            }
            graph_free(&graph);
        }
}

static void test_refuses(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    const struct shape image = {0, 3, 32, 32};
    assert_int_equal(start_make(&graph, "vgg", 0, image, 10, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "found \"vgg\", expected one of \"lean\", \"res9\", \"air\", "
                                        "\"air_deep\", \"cnn\", \"resnet\", \"densenet\""));
    assert_null(graph.layers);
    assert_int_equal(start_make(&graph, "lean", 12, image, 10, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "width is 12"));
    assert_int_equal(start_make(&graph, "lean", 0, image, 0, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "out_channels is 0"));
    assert_null(graph.layers);
    assert_int_equal(start_make(&graph, "lean", 0, (struct shape){0, 3, 0, 32}, 10, &err), ST_RANGE);
    assert_int_equal(start_make(&graph, "densenet", START_MAX_WIDTH, image, 10, &err), ST_UNSUPPORTED);
    assert_null(graph.layers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),   cmocka_unit_test(test_lean_cost),
        cmocka_unit_test(test_middle_costs), cmocka_unit_test(test_awkward_images),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

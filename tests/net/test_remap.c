/* Remaps on the host, against expectations worked out by hand. */
#include "host/base/random.h"
#include "host/net/remap.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 512 };

/* A table of one kernel tensor. */
static struct weight_table one_tensor(struct weight_tensor *tensor, int32_t out, int32_t in, int32_t height,
                                      int32_t width)
{
    *tensor = (struct weight_tensor){.layer_id = 4, .role = WEIGHT_KERNEL, .dims = {out, in, height, width}};
    tensor->count = (size_t)out * (size_t)in * (size_t)height * (size_t)width;
    assert_true(tensor->count <= MOST);
    return (struct weight_table){1, tensor, (tensor->count + 15) / 16 * 16};
}

static void number(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)i + 1.0f;
}

/* Tensors that both have are copied, gaps are zero, others are for the caller. */
static void test_list(void **state)
{
    (void)state;
    struct graph parent, child;
    struct weight_table parent_table, child_table;
    struct remap_list list;
    struct error err;
    struct layer conv = {.kind = LAYER_CONV,
                         .input_count = 1,
                         .out_channels = 5,
                         .kernel_h = 3,
                         .kernel_w = 3,
                         .stride = 1,
                         .groups = 1,
                         .bias = true};
    struct layer norm = {.kind = LAYER_BATCH_NORM, .input_count = 1, .inputs = {1}};
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {1}, .out_channels = 2};
    assert_int_equal(graph_new(&parent, 3, 5, 5, &err), ST_OK);
    assert_int_equal(graph_append(&parent, conv, NULL, &err), ST_OK);
    assert_int_equal(graph_append(&parent, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_copy(&child, &parent, &err), ST_OK);
    assert_int_equal(graph_insert(&child, 2, norm, &err), ST_OK);
    child.layers[3].inputs[0] = 2;
    child.layers[3].out_channels = 4;
    assert_int_equal(graph_infer(&parent, &err), ST_OK);
    assert_int_equal(graph_infer(&child, &err), ST_OK);
    assert_int_equal(weight_table_new(&parent_table, &parent, &err), ST_OK);
    assert_int_equal(weight_table_new(&child_table, &child, &err), ST_OK);
    assert_int_equal(remap_list_new(&list, &child_table, &parent_table, &err), ST_OK);
    assert_int_equal(list.count, 7);
    static const int32_t sources[] = {0, 1, -1, -1, -1, -1, -1};
    for (int32_t r = 0; r < list.count; r++) {
        assert_int_equal(list.remaps[r].child, r);
        assert_int_equal(list.remaps[r].source, sources[r]);
    }
    float *from = malloc(parent_table.total * sizeof(*from)), *to = malloc(child_table.total * sizeof(*to));
    assert_true(from != NULL && to != NULL);
    weight_initialise(&parent_table, &parent, 1, NULL, from);
    memset(to, 0xff, child_table.total * sizeof(*to));
    list.remaps[2].fill = 1.0f;
    remap_apply(&list, &child_table, &parent_table, from, 0, to);
    size_t copied = child_table.tensors[1].offset + child_table.tensors[1].count;
    assert_memory_equal(to, from,
                        copied * sizeof(*to)); /* the gap between the two, zeros in both, included */
    for (size_t i = copied; i < child_table.total; i++) {
        const struct weight_tensor *scale = &child_table.tensors[2];
        assert_true(to[i] == (i >= scale->offset && i < scale->offset + scale->count ? 1.0f : 0.0f));
    }
    free(from);
    free(to);
    remap_list_free(&list);
    remap_list_free(&list); /* a zeroed list */
    weight_table_free(&parent_table);
    weight_table_free(&child_table);
    graph_free(&parent);
    graph_free(&child);
}

static void test_indices_and_scales(void **state)
{
    (void)state;
    struct weight_tensor a, b;
    struct weight_table parent = one_tensor(&a, 2, 3, 1, 2), child = one_tensor(&b, 4, 3, 1, 2);
    int32_t out_index[] = {1, 0, 1, -1}, in_index[] = {2, 0, 7};
    float out_scale[] = {1.0f, 2.0f, 0.5f, 3.0f}, in_scale[] = {1.0f, 4.0f, 1.0f};
    struct remap remap = {.child = 0,
                          .source = 0,
                          .out_index = out_index,
                          .in_index = in_index,
                          .out_scale = out_scale,
                          .in_scale = in_scale,
                          .fill = -9.0f};
    struct remap_list list = {1, &remap};
    float from[MOST], to[MOST];
    number(from, parent.total);
    remap_apply(&list, &child, &parent, from, 0, to);
    /* from[o][i][0][x] = 6 o + 2 i + x + 1 */
    static const float expected[] = {
        11, 12, 28, 32, -9, -9, 10, 12, 8, 16, -9, -9, 5.5f, 6, 14, 16, -9, -9, -9, -9, -9, -9, -9, -9,
    };
    for (size_t i = 0; i < child.total; i++)
        assert_true(to[i] == (i < b.count ? expected[i] : 0.0f));
}

/* A 1 x 3 kernel in the middle of a 3 x 5 one, and back. */
static void test_kernels_are_centred(void **state)
{
    (void)state;
    struct weight_tensor small, large;
    struct weight_table small_table = one_tensor(&small, 1, 2, 1, 3),
                        large_table = one_tensor(&large, 1, 2, 3, 5);
    struct remap remap = {.child = 0, .source = 0};
    struct remap_list list = {1, &remap};
    float from[MOST], grown[MOST], shrunk[MOST];
    number(from, small_table.total);
    remap_apply(&list, &large_table, &small_table, from, 0, grown);
    for (size_t i = 0; i < large.count; i++) {
        size_t channel = i / 15, y = i / 5 % 3, x = i % 5;
        bool inside = y == 1 && x >= 1 && x <= 3;
        assert_true(grown[i] == (inside ? (float)(channel * 3 + x) : 0.0f));
    }
    remap_apply(&list, &small_table, &large_table, grown, 0, shrunk);
    assert_memory_equal(shrunk, from, small.count * sizeof(*from));
}

static void test_identity(void **state)
{
    (void)state;
    struct weight_tensor a, b;
    struct weight_table parent = one_tensor(&a, 1, 1, 1, 1), child = one_tensor(&b, 3, 3, 3, 3);
    int32_t identity[] = {2, -1, 0};
    struct remap remap = {.child = 0, .source = -1, .fill = 0.25f, .identity = identity};
    struct remap_list list = {1, &remap};
    float from[MOST] = {0}, to[MOST];
    remap_apply(&list, &child, &parent, from, 0, to);
    for (size_t i = 0; i < b.count; i++) {
        int32_t out = (int32_t)(i / 27), in = (int32_t)(i / 9 % 3);
        assert_true(to[i] == (identity[out] == in && i % 9 == 4 ? 1.25f : 0.25f));
    }
}

/* Noise goes where values were filled, scaled by the source's deviation; elements draw their own numbers. */
static void test_noise(void **state)
{
    (void)state;
    struct weight_tensor a, b;
    struct weight_table parent = one_tensor(&a, 4, 4, 1, 1), child = one_tensor(&b, 8, 4, 3, 3);
    int32_t out_index[] = {0, 1, 2, 3, -1, -1, -1, -1};
    struct remap remap = {.child = 0, .source = 0, .out_index = out_index, .noise = 0.1f};
    struct remap_list list = {1, &remap};
    float from[MOST], to[MOST], again[MOST], other[MOST];
    double deviation = sqrt((16.0 * 16.0 - 1.0) / 12.0); /* of 1 .. 16 */
    number(from, parent.total);
    remap_apply(&list, &child, &parent, from, 21, to);
    remap_apply(&list, &child, &parent, from, 21, again);
    remap_apply(&list, &child, &parent, from, 22, other);
    assert_memory_equal(to, again, child.total * sizeof(*to));
    for (size_t i = 0; i < b.count; i++) {
        bool copied = i < 4 * 36 && i % 9 == 4;
        double normal, unused;
        random_normal2(random_draw(21, RANDOM_MORPH_NOISE, i, 4 * 8 + WEIGHT_KERNEL), &normal, &unused);
        double expected = copied ? from[i / 9] : 0.1 * deviation * normal;
        assert_true(fabs(to[i] - expected) <= 1e-6 * (1.0 + fabs(expected)));
        assert_true(copied || to[i] != other[i]);
    }
    /* Without a source the noise is absolute. */
    remap.source = -1;
    remap_apply(&list, &child, &parent, from, 21, to);
    for (size_t i = 0; i < b.count; i++) {
        double normal, unused;
        random_normal2(random_draw(21, RANDOM_MORPH_NOISE, i, 4 * 8 + WEIGHT_KERNEL), &normal, &unused);
        assert_true(fabs(to[i] - 0.1 * normal) <= 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_indices_and_scales),
        cmocka_unit_test(test_kernels_are_centred),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

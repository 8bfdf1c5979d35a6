/* Plans of convolutions without a GPU: the real cuDNN plans for devices that are only described
 * (tests/gpu/devices). What is shown is that plans exist, on which units, and in how much workspace; not that
 * they compute or how fast. Started from the root of the sources. */
#include "tests/gpu/plan_shapes.h"
#include "tests/support/random_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 128, GROWN = 80, TANGLED = 40 };

/* ---- geometry ---- */

static void test_channels_are_padded(void **state)
{
    (void)state;
    struct conv_geometry g;
    conv_geometry_of((struct shape){5, 3, 9, 7}, (struct shape){5, 20, 5, 4},
                     &(struct conv_window){3, 1, 2, 1, 0, 1}, &g);
    const struct conv_geometry expected = {5, 8, 9, 7, 24, 8, 3, 1, 2, 1, 0, 1, 1};
    assert_memory_equal(&g, &expected, sizeof(g));
    assert_int_equal(conv_out_height(&g), 5);
    assert_int_equal(conv_out_width(&g), 4);
}

static void test_groups_survive_where_padding_lets_them(void **state)
{
    (void)state;
    static const struct {
        int32_t c, outputs, groups, padded, rows, depth, device_groups, blocks;
    } cases[] = {
        {16, 32, 2, 16, 32, 8, 2, 1},    {12, 12, 12, 16, 16, 1, 16, 1}, /* depthwise */
        {12, 24, 12, 16, 24, 16, 1, 12}, {20, 20, 4, 24, 24, 24, 1, 4},
        {16, 8, 2, 16, 8, 16, 1, 2},     {1, 1, 1, 8, 8, 8, 1, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct conv_geometry g = plan_square(2, cases[i].c, 4, cases[i].outputs, 3, cases[i].groups);
        assert_int_equal(g.c, cases[i].padded);
        assert_int_equal(g.rows, cases[i].rows);
        assert_int_equal(g.depth, cases[i].depth);
        assert_int_equal(g.groups, cases[i].device_groups);
        assert_int_equal(g.blocks, cases[i].blocks);
    }
}

/* ---- plans ---- */

/* Plans all shapes on all profiles. Where there are tensor cores, they must be used. */
static void plan_all(const struct plan_shapes *shapes)
{
    assert_true(shapes->count > 0);
    for (int32_t p = 0; p < PLAN_PROFILES; p++) {
        const struct conv_options options = plan_options(plan_profiles[p].type);
        struct conv_planner *planner = plan_open(&plan_profiles[p], &options);
        size_t largest = 0;
        int32_t compiled = 0, tensor_core = 0, fused = 0, refused = 0;
        for (int32_t i = 0; i < shapes->count; i++) {
            const struct plan_shape *shape = &shapes->list[i];
            size_t workspace;
            struct conv_plan_info info;
            fused += conv_is_fused(shape->kind);
            if (!plan_try(planner, shape->kind, &shape->geometry, &info, &workspace)) {
                refused++;
                continue;
            }
            assert_true(info.deterministic);
            if (workspace > CONV_WORKSPACE_LIMIT)
                fail_msg("%s: %s of %d x %d x %d x %d wants %zu bytes of workspace", plan_profiles[p].name,
                         conv_kind_name(shape->kind), shape->geometry.n, shape->geometry.h, shape->geometry.w,
                         shape->geometry.c, workspace);
            if (!info.tensor_core && plan_profiles[p].type == CUDA_BF16 && shape->geometry.depth > 1)
                fail_msg("%s: %s of %d x %d x %d x %d by %d of %d x %d x %d does not use tensor cores",
                         plan_profiles[p].name, conv_kind_name(shape->kind), shape->geometry.n,
                         shape->geometry.h, shape->geometry.w, shape->geometry.c, shape->geometry.rows,
                         shape->geometry.kernel_h, shape->geometry.kernel_w, shape->geometry.depth);
            assert_false(conv_is_fused(shape->kind) && info.compiled);
            compiled += info.compiled;
            tensor_core += info.tensor_core;
            largest = workspace > largest ? workspace : largest;
        }
        print_message(
            "%-5s %d graphs, %d operations, %d different, %d of them fused: all planned but %d fused "
            "ones, %d on tensor cores, %d compiled, workspace at most %.1f MiB\n",
            plan_profiles[p].name, shapes->graphs, shapes->operations, shapes->count, fused, refused,
            tensor_core, compiled, (double)largest / (1 << 20));
        assert_true(fused > 0 && refused * 100 < fused);
        conv_planner_close(planner);
    }
}

static void test_starts_have_plans(void **state)
{
    (void)state;
    struct plan_shapes shapes = {0};
    plan_shapes_add_starts(&shapes, (struct shape){0, 1, 28, 28}, 10, 0, BATCH);
    plan_shapes_add_starts(&shapes, (struct shape){0, 3, 32, 32}, 100, 0, BATCH);
    plan_shapes_add_starts(&shapes, (struct shape){0, 3, 224, 224}, 1000, 0, BATCH / 4);
    plan_all(&shapes);
    plan_shapes_free(&shapes);
}

/* train.precision: half everywhere, T4 too; TF32 where there is bf16. On tensor cores, that is what they are for;
 * for a few shapes cuDNN has no such plan in TF32. */
static void test_other_precisions_have_plans(void **state)
{
    struct plan_shapes shapes = {0};
    (void)state;
    plan_shapes_add_starts(&shapes, (struct shape){0, 3, 32, 32}, 10, 0, BATCH);
    for (int32_t p = 0; p < PLAN_PROFILES; p++) {
        for (int half = 0; half < 2; half++) {
            struct conv_options options = plan_options(half ? CUDA_HALF : CUDA_FLOAT);
            int32_t tensor_core = 0, wide = 0, refused = 0;
            if (!half && plan_profiles[p].type != CUDA_BF16)
                continue;
            options.tensor_float = !half;
            struct conv_planner *planner = plan_open(&plan_profiles[p], &options);
            for (int32_t i = 0; i < shapes.count; i++) {
                const struct plan_shape *shape = &shapes.list[i];
                struct conv_plan_info info;
                size_t workspace;
                if (!plan_try(planner, shape->kind, &shape->geometry, &info, &workspace)) {
                    refused++;
                    continue;
                }
                assert_true(workspace <= CONV_WORKSPACE_LIMIT);
                tensor_core += info.tensor_core && shape->geometry.depth > 1;
                wide += shape->geometry.depth > 1;
            }
            print_message("%-5s %s: %d operations planned but %d fused ones, %d of %d on tensor cores\n",
                          plan_profiles[p].name, half ? "fp16" : "tf32", shapes.count, refused, tensor_core,
                          wide);
            assert_true(refused * 50 < shapes.count);
            assert_true(half ? tensor_core == wide : tensor_core * 20 >= wide * 19);
            conv_planner_close(planner);
        }
    }
    plan_shapes_free(&shapes);
}

static void test_grown_graphs_have_plans(void **state)
{
    (void)state;
    struct plan_shapes shapes = {0};
    plan_shapes_add_grown(&shapes, GROWN, BATCH);
    plan_all(&shapes);
    plan_shapes_free(&shapes);
}

/* Odd strides, paddings beyond the kernel's half, groups of few channels, tiny images: what no search draws.
 */
static void test_odd_graphs_have_plans(void **state)
{
    (void)state;
    struct plan_shapes shapes = {0};
    for (uint64_t seed = 0; seed < TANGLED; seed++) {
        struct graph graph;
        struct error err = {0};
        if (random_graph_make(&graph, seed, &err) != ST_OK)
            fail_msg("%s", err.message);
        plan_shapes_add(&shapes, &graph, 3);
        graph_free(&graph);
    }
    for (int32_t p = 0; p < PLAN_PROFILES; p++) {
        const struct conv_options options = plan_options(plan_profiles[p].type);
        struct conv_planner *planner = plan_open(&plan_profiles[p], &options);
        for (int32_t i = 0; i < shapes.count; i++) {
            struct conv_plan_info info;
            size_t workspace;
            if (shapes.list[i].geometry.depth > 1 &&
                plan_try(planner, shapes.list[i].kind, &shapes.list[i].geometry, &info, &workspace))
                assert_true(info.deterministic);
        }
        conv_planner_close(planner);
    }
    plan_shapes_free(&shapes);
}

/* cuDNN's own kernels for these are compiled at run time, which takes half a second each. */
static void test_depthwise_has_plans(void **state)
{
    (void)state;
    const struct conv_geometry geometry = plan_square(BATCH, 12, 16, 12, 3, 12);
    for (int32_t p = 0; p < PLAN_PROFILES; p++) {
        const struct conv_options options = plan_options(plan_profiles[p].type);
        struct conv_planner *planner = plan_open(&plan_profiles[p], &options);
        int32_t compiled = 0;
        for (enum conv_kind kind = 0; kind < CONV_BIAS; kind++) {
            size_t workspace;
            struct conv_plan_info info = plan_for(planner, kind, &geometry, &workspace);
            assert_true(info.deterministic);
            assert_true(workspace <= CONV_WORKSPACE_LIMIT);
            compiled += info.compiled;
        }
        assert_true(compiled > 0); /* without the stand-in there would be none */
        conv_planner_close(planner);
    }
}

/* With and without sum and ReLU, depthwise and in groups: on every device, with the library's own kernels. And what was
 * refused is remembered. */
static void test_fused_kinds_have_plans(void **state)
{
    (void)state;
    const struct conv_geometry shapes[] = {
        plan_square(BATCH, 64, 32, 64, 3, 1), plan_square(BATCH, 64, 32, 64, 3, 4),
        plan_square(BATCH, 64, 32, 64, 3, 64), plan_square(BATCH, 3, 32, 24, 3, 1),
        plan_square(BATCH, 24, 8, 40, 1, 1)};
    for (int32_t p = 0; p < PLAN_PROFILES; p++) {
        const struct conv_options options = plan_options(plan_profiles[p].type);
        struct conv_planner *planner = plan_open(&plan_profiles[p], &options);
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
            for (enum conv_kind kind = CONV_BIAS; kind < CONV_KIND_COUNT; kind++) {
                size_t workspace;
                struct conv_plan_info info = plan_for(planner, kind, &shapes[i], &workspace);
                assert_false(info.compiled);
                assert_true(info.deterministic);
                assert_int_equal(info.kind, kind);
            }
        conv_planner_close(planner);
    }
    const struct conv_options bf16 = plan_options(CUDA_BF16);
    struct conv_planner *planner = plan_open(&plan_profiles[PLAN_T4], &bf16); /* no bf16 there */
    for (int i = 0; i < 2; i++) {
        const struct conv_plan *made;
        struct error err = {0};
        assert_int_equal(conv_planner_plan(planner, CONV_ADD_BIAS_RELU, &shapes[0], &made, &err),
                         ST_UNSUPPORTED);
        assert_null(made);
        assert_string_equal(err.message,
                            "cuDNN has no plan for a convolution + add + bias + ReLU of this shape");
    }
    conv_planner_close(planner);
}

static void test_plans_are_remembered(void **state)
{
    (void)state;
    const struct conv_options options = plan_options(plan_profiles[PLAN_H100].type);
    const struct conv_geometry geometry = plan_square(8, 16, 8, 16, 3, 1),
                               other = plan_square(8, 16, 8, 24, 3, 1);
    struct conv_planner *planner = plan_open(&plan_profiles[PLAN_H100], &options);
    const struct conv_plan *first, *again, *different;
    struct error err = {0};
    assert_int_equal(conv_planner_plan(planner, CONV_FORWARD, &geometry, &first, &err), ST_OK);
    assert_int_equal(conv_planner_plan(planner, CONV_FORWARD, &other, &different, &err), ST_OK);
    assert_int_equal(conv_planner_plan(planner, CONV_FORWARD, &geometry, &again, &err), ST_OK);
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, different);
    struct conv_plan_info info = conv_plan_describe(different);
    assert_int_equal(info.kind, CONV_FORWARD);
    assert_memory_equal(&info.geometry, &other, sizeof(other));
    conv_planner_close(planner);
}

static void test_float_is_strict_unless_allowed(void **state)
{
    (void)state;
    const struct conv_geometry geometry = plan_square(BATCH, 64, 32, 64, 3, 1);
    struct conv_options options = plan_options(CUDA_FLOAT);
    size_t workspace;
    for (int allowed = 0; allowed < 2; allowed++) {
        options.tensor_float = allowed;
        struct conv_planner *planner = plan_open(&plan_profiles[PLAN_H100], &options);
        for (enum conv_kind kind = 0; kind < CONV_KIND_COUNT; kind++)
            assert_int_equal(plan_for(planner, kind, &geometry, &workspace).tensor_core, allowed);
        conv_planner_close(planner);
    }
}

/* The T4's ranking puts kernel gradients that are summed in any order first. */
static void test_determinism_is_a_filter(void **state)
{
    (void)state;
    struct conv_options options = plan_options(plan_profiles[PLAN_T4].type);
    const struct conv_geometry geometry = plan_square(BATCH, 64, 32, 64, 3, 1);
    size_t workspace;
    for (int wanted = 0; wanted < 2; wanted++) {
        options.deterministic = wanted;
        struct conv_planner *planner = plan_open(&plan_profiles[PLAN_T4], &options);
        assert_int_equal(plan_for(planner, CONV_BACKWARD_WEIGHTS, &geometry, &workspace).deterministic,
                         wanted);
        conv_planner_close(planner);
    }
}

static void test_workspace_limit(void **state)
{
    (void)state;
    struct conv_options options = plan_options(plan_profiles[PLAN_H100].type);
    const struct conv_geometry geometry = plan_square(BATCH, 64, 32, 64, 3, 1);
    size_t free_choice, none;
    struct conv_planner *planner = plan_open(&plan_profiles[PLAN_H100], &options);
    plan_for(planner, CONV_BACKWARD_WEIGHTS, &geometry, &free_choice);
    conv_planner_close(planner);
    assert_true(free_choice > 0);
    options.workspace_limit = 0;
    planner = plan_open(&plan_profiles[PLAN_H100], &options);
    plan_for(planner, CONV_BACKWARD_WEIGHTS, &geometry, &none);
    conv_planner_close(planner);
    assert_true(none < free_choice);
}

static void test_refusals_say_what_and_why(void **state)
{
    (void)state;
    const struct conv_options options = plan_options(CUDA_BF16);
    const struct conv_geometry geometry = plan_square(4, 16, 8, 24, 3, 1);
    const struct conv_plan *made;
    struct error err = {0};
    struct conv_planner *planner = plan_open(&plan_profiles[PLAN_T4], &options); /* no bf16 there */
    assert_int_equal(conv_planner_plan(planner, CONV_BACKWARD_DATA, &geometry, &made, &err), ST_UNSUPPORTED);
    assert_null(made);
    assert_non_null(strstr(err.message,
                           "convolution backward data of 4 x 8 x 8 x 16 (NHWC) by 24 kernels of 3 x 3 x 16"));
    assert_non_null(strstr(err.message, "bf16"));
    assert_null(strchr(err.message, '\n'));
    conv_planner_close(planner);

    err = (struct error){0};
    assert_int_not_equal(conv_planner_open_described("{\"deviceName\":", &options, &planner, &err), ST_OK);
    assert_null(planner);
    assert_non_null(strstr(err.message, "describe the device"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels_are_padded),
        cmocka_unit_test(test_groups_survive_where_padding_lets_them),
        cmocka_unit_test(test_plans_are_remembered),
        cmocka_unit_test(test_fused_kinds_have_plans),
        cmocka_unit_test(test_float_is_strict_unless_allowed),
        cmocka_unit_test(test_determinism_is_a_filter),
        cmocka_unit_test(test_workspace_limit),
        cmocka_unit_test(test_refusals_say_what_and_why),
        cmocka_unit_test(test_depthwise_has_plans),
        cmocka_unit_test(test_odd_graphs_have_plans),
        cmocka_unit_test(test_starts_have_plans),
        cmocka_unit_test(test_other_precisions_have_plans),
        cmocka_unit_test(test_grown_graphs_have_plans),
    };
    return cmocka_run_group_tests(tests, plan_load_driver, NULL);
}

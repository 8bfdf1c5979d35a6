/* Drawing: what is drawn fits, is what the room promises to prefer, is the same for the same seed, and grows
 * the starting architectures without changing them. */
#include "host/morph/morph.h"
#include "host/net/start.h"
#include "tests/support/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ALL = (1 << MORPH_PRESERVING_COUNT) - 1, EVERY = (1 << MORPH_KIND_COUNT) - 1, DRAWS = 2000 };

static struct graph start(const char *name, int32_t width, int32_t side)
{
    struct graph graph;
    struct error err = {0};
    if (start_make(&graph, name, width, (struct shape){0, 3, side, side}, 10, &err) != ST_OK)
        fail_msg("%s", err.message);
    return graph;
}

static struct random_sequence sequence(uint32_t part)
{
    return (struct random_sequence){.seed = 4, .stream = RANDOM_SEARCH, .part = part};
}

static void test_starting_architectures_grow(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int morphs;
    } cases[] = {{"lean", 20}, {"res9", 20},   {"air", 20},    {"air_deep", 20},
                 {"cnn", 20},  {"resnet", 12}, {"densenet", 6}};
    for (uint32_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        struct random_sequence random = sequence(c);
        struct graph graph = start(cases[c].name, 8, 8);
        struct network network;
        struct logits before, after;
        network_start(&network, &graph, &random);
        network_evaluate(&network, c, &before);
        assert_true(before.values[0][0] != before.values[1][0]);
        for (int i = 0; i < cases[c].morphs; i++) {
            struct morph morph;
            struct error err = {0};
            if (morph_draw(&network.graph, ALL, &random, &morph, &err) != ST_OK ||
                network_grow(&network, &morph, 0.0f, random_next(&random), &err) != ST_OK)
                fail_msg("%s: %s", cases[c].name, err.message);
        }
        network_evaluate(&network, c, &after);
        assert_true(logits_difference(&before, &after) <= 1e-6);
        network_free(&network);
    }
}

static void check_width(const struct graph *graph, const struct morph *morph)
{
    int32_t channels = graph->layers[graph_find(graph, morph->a)].shape.c;
    assert_true(morph->amount * 2 >= channels && (morph->amount <= channels || channels < 8));
    assert_int_equal((channels + morph->amount) % 8, 0);
}

static void check_deepen(const struct graph *graph, const struct morph *morph)
{
    int32_t a = graph_find(graph, morph->a);
    if (morph->variant != DEEPEN_BATCH_NORM)
        return;
    assert_int_not_equal(graph->layers[a].kind, LAYER_BATCH_NORM);
    for (int32_t i = a + 1; i < graph->count; i++)
        assert_true(graph->layers[i].kind != LAYER_BATCH_NORM || graph->layers[i].inputs[0] != a);
}

static void test_draws_are_what_is_promised(void **state)
{
    (void)state;
    struct graph graph = start("resnet", 16, 16);
    struct random_sequence random = sequence(9);
    int kinds[MORPH_KIND_COUNT] = {0}, variants[DEEPEN_VARIANT_COUNT] = {0}, behind_relu = 0;
    for (int i = 0; i < DRAWS; i++) {
        struct morph morph;
        struct error err = {0};
        assert_int_equal(morph_draw(&graph, ALL, &random, &morph, &err), ST_OK);
        assert_true(graph_find(&graph, morph.a) >= 0 && graph_find(&graph, morph.a) < graph.count - 1);
        kinds[morph.kind]++;
        if (morph.kind == MORPH_WIDEN)
            check_width(&graph, &morph);
    }
    for (int kind = 0; kind < MORPH_PRESERVING_COUNT;
         kind++) /* 182 each but for those tried again; deviation 13 */
        assert_in_range(kinds[kind], 90, 270);
    for (int i = 0; i < DRAWS; i++) {
        struct morph morph;
        struct error err = {0};
        assert_int_equal(morph_draw(&graph, 1u << MORPH_DEEPEN, &random, &morph, &err), ST_OK);
        check_deepen(&graph, &morph);
        variants[morph.variant]++;
        behind_relu += graph.layers[graph_find(&graph, morph.a)].kind == LAYER_RELU;
    }
    assert_true(behind_relu * 10 >= DRAWS * 7);
    assert_true(variants[DEEPEN_CONV_RELU] >= DRAWS * 6 / 10);
    assert_true(variants[DEEPEN_BATCH_NORM] > 0 && variants[DEEPEN_DENSE_RELU] > 0);
    graph_free(&graph);
}

static bool is_same(const struct morph *a, const struct morph *b)
{
    return a->kind == b->kind && a->a == b->a && a->b == b->b && a->variant == b->variant &&
           (a->amount == b->amount || (a->kind == MORPH_DEEPEN && a->variant != DEEPEN_CONV_RELU));
}

static bool is_skip(const struct morph *morph)
{
    return morph->kind == MORPH_ADD_SKIP || morph->kind == MORPH_CONCAT_SKIP;
}

/* A stage is widened by any of its layers; the list has the first one's. */
static bool has(const struct graph *graph, const struct morph *list, int32_t count, const struct morph *drawn)
{
    const struct shape *shape = &graph->layers[graph_find(graph, drawn->a)].shape;
    for (int32_t i = 0; i < count; i++) {
        const struct shape *other = &graph->layers[graph_find(graph, list[i].a)].shape;
        if (is_same(&list[i], drawn) ||
            (drawn->kind == MORPH_WIDEN_STAGE && list[i].kind == drawn->kind &&
             list[i].amount == drawn->amount && other->h == shape->h && other->w == shape->w))
            return true;
    }
    return false;
}

/* The list has all kinds, nothing twice, nothing that does not fit, and all that is drawn but for skips from or to
 * other layers than activations. */
static void test_list(void **state)
{
    static const char *const names[] = {"lean", "res9", "air", "resnet"};
    (void)state;
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        struct graph graph = start(names[k], 16, 16);
        struct random_sequence random = sequence(9);
        struct morph *list;
        int32_t count, kinds[MORPH_KIND_COUNT] = {0};
        struct error err = {0};
        assert_int_equal(morph_list(&graph, EVERY, &list, &count, &err), ST_OK);
        for (int32_t i = 0; i < count; i++) {
            struct graph child;
            struct remap_list remaps;
            kinds[list[i].kind]++;
            assert_int_equal(morph_apply(&list[i], &graph, 0.0f, &child, &remaps, &err), ST_OK);
            remap_list_free(&remaps);
            graph_free(&child);
            for (int32_t j = 0; j < i; j++)
                assert_false(is_same(&list[i], &list[j]));
        }
        for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
            assert_true(kinds[kind] > 0 || (kind == MORPH_REMOVE && strncmp(names[k], "res", 3) != 0) ||
                        (kind == MORPH_REPEAT && strcmp(names[k], "lean") == 0) ||
                        (kind == MORPH_REPEAT && strcmp(names[k], "air") == 0));
        for (int i = 0; i < 200; i++) {
            struct morph morph;
            assert_int_equal(morph_draw(&graph, EVERY, &random, &morph, &err), ST_OK);
            assert_true(is_skip(&morph) || has(&graph, list, count, &morph));
        }
        free(list);
        assert_int_equal(morph_list(&graph, 0, &list, &count, &err), ST_OK);
        assert_true(list == NULL && count == 0);
        graph_free(&graph);
    }
}

static void test_the_same_seed_draws_the_same(void **state)
{
    (void)state;
    struct graph graph = start("lean", 16, 16);
    struct random_sequence first = sequence(4), second = sequence(4), other = sequence(5);
    int differing = 0;
    for (int i = 0; i < 50; i++) {
        struct morph a = {0}, b = {0}, c = {0};
        struct error err = {0};
        assert_int_equal(morph_draw(&graph, ALL, &first, &a, &err), ST_OK);
        assert_int_equal(morph_draw(&graph, ALL, &second, &b, &err), ST_OK);
        assert_int_equal(morph_draw(&graph, ALL, &other, &c, &err), ST_OK);
        assert_true(a.kind == b.kind && a.a == b.a && a.b == b.b && a.amount == b.amount &&
                    a.variant == b.variant);
        differing += a.kind != c.kind || a.a != c.a || a.b != c.b;
    }
    assert_true(differing >= 25);
    assert_true(first.counter == second.counter);
    graph_free(&graph);
}

static void test_only_what_is_allowed_and_fits(void **state)
{
    (void)state;
    struct graph graph = start("res9", 16, 16);
    struct random_sequence random = sequence(1);
    struct morph morph;
    struct error err = {0};
    for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
        for (int i = 0; i < 20; i++) {
            assert_int_equal(morph_draw(&graph, 1u << kind, &random, &morph, &err), ST_OK);
            assert_int_equal(morph.kind, kind);
        }
    graph_free(&graph);

    /* the image and the logits leave no room for anything */
    struct layer last = {.kind = LAYER_DENSE, .input_count = 1, .out_channels = 3, .stride = 1, .groups = 1};
    assert_int_equal(graph_new(&graph, 1, 4, 4, &err), ST_OK);
    assert_int_equal(graph_append(&graph, last, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_int_equal(morph_draw(&graph, ALL, &random, &morph, &err), ST_NONE);
    assert_non_null(strstr(err.message, "draw of a morph: none of 64 fits, the last: "));
    graph_free(&graph);

    /* nor does a network that has all the layers it can have */
    struct layer relu = {.kind = LAYER_RELU, .input_count = 1};
    assert_int_equal(graph_new(&graph, 1, 4, 4, &err), ST_OK);
    for (; relu.inputs[0] < GRAPH_MAX_LAYERS - 2; relu.inputs[0]++)
        assert_int_equal(graph_append(&graph, relu, NULL, &err), ST_OK);
    last.inputs[0] = relu.inputs[0];
    assert_int_equal(graph_append(&graph, last, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_int_equal(morph_draw(&graph, 1u << MORPH_DEEPEN, &random, &morph, &err), ST_NONE);
    assert_non_null(strstr(err.message, "the graph has 2048 layers already"));

    /* one that is wrong in itself is no matter of luck */
    graph_free(&graph);
    graph = start("lean", 16, 16);
    graph.next_id = 3;
    assert_int_equal(morph_draw(&graph, ALL, &random, &morph, &err), ST_RANGE);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starting_architectures_grow),
        cmocka_unit_test(test_draws_are_what_is_promised),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_the_same_seed_draws_the_same),
        cmocka_unit_test(test_only_what_is_allowed_and_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

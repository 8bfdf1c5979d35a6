/* Distances between architectures: known values, the properties of a metric, the assignment against all of
 * them. */
#include "host/base/random.h"
#include "host/net/distance.h"
#include "host/net/start.h"
#include "tests/support/activations.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CHAIN = 12, MOST_SKIPS = 5 };

static struct descriptor *describe(const struct graph *graph)
{
    struct descriptor *descriptor;
    struct error err;
    assert_int_equal(descriptor_new(&descriptor, graph, &err), ST_OK);
    return descriptor;
}

static double distance(const struct graph *a, const struct graph *b, double skip_weight)
{
    struct descriptor *x = describe(a), *y = describe(b);
    double found, back;
    struct error err;
    assert_int_equal(descriptor_distance(x, y, skip_weight, &found, &err), ST_OK);
    assert_int_equal(descriptor_distance(y, x, skip_weight, &back, &err), ST_OK);
    assert_true(fabs(found - back) <= 1e-9 * (1.0 + found));
    descriptor_free(x);
    descriptor_free(y);
    return found;
}

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9))
        fail_msg("found %.12g, expected %.12g", found, expected);
}

static void start(struct graph *graph, const char *name)
{
    struct error err;
    assert_int_equal(start_make(graph, name, 0, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
}

/* One change each to the cnn: 1 conv, 2 batch norm, 3 relu, 4 pool, ..., 14 dropout, 15 dense, 16 relu, 17
 * dense. */
static void test_single_changes(void **state)
{
    (void)state;
    struct graph before, after;
    struct error err;
    start(&before, "cnn");
    assert_near(distance(&before, &before, 1.0), 0.0);

    assert_int_equal(graph_copy(&after, &before, &err), ST_OK);
    after.layers[1].out_channels = 128;
    assert_int_equal(graph_infer(&after, &err), ST_OK);
    assert_near(distance(&before, &after, 1.0), 0.5);
    after.layers[1].out_channels = 64;
    assert_int_equal(after.layers[15].kind, LAYER_DENSE);
    after.layers[15].out_channels = 96;
    assert_int_equal(graph_infer(&after, &err), ST_OK);
    assert_near(distance(&before, &after, 1.0), 1.0 / 3.0); /* dense widths count */
    after.layers[15].out_channels = 64;
    after.layers[1].kernel_h = after.layers[1].kernel_w = 5;
    after.layers[1].pad_h = after.layers[1].pad_w = 2;
    assert_int_equal(graph_infer(&after, &err), ST_OK);
    assert_near(distance(&before, &after, 1.0), 2.0 / 5.0 + 2.0 * (1.0 / 3.0) / 16.0);
    graph_free(&after);

    assert_int_equal(graph_copy(&after, &before, &err), ST_OK);
    struct layer relu = {.kind = LAYER_RELU, .input_count = 1, .inputs = {1}};
    assert_int_equal(graph_insert(&after, 2, relu, &err), ST_OK);
    after.layers[3].inputs[0] = 2;
    assert_int_equal(graph_infer(&after, &err), ST_OK);
    assert_near(distance(&before, &after, 1.0), 1.0); /* one insertion */
    graph_free(&after);
    graph_free(&before);
}

/* One activation for another is a substitution, which costs as much as an insertion. */
static void test_activations(void **state)
{
    (void)state;
    struct graph before, after;
    struct error err;
    start(&before, "cnn");
    assert_int_equal(before.layers[3].kind, LAYER_RELU);
    assert_int_equal(graph_copy(&after, &before, &err), ST_OK);
    for (int a = 0; a < ACTIVATION_COUNT; a++) {
        after.layers[3].kind = activation_layer((enum activation_kind)a);
        assert_int_equal(graph_infer(&after, &err), ST_OK);
        assert_near(distance(&before, &after, 1.0), after.layers[3].kind == LAYER_RELU ? 0.0 : 1.0);
    }
    graph_free(&after);
    graph_free(&before);
}

/* How a layer is trained keeps architectures apart, and no more. */
static void test_training_of_layers(void **state)
{
    (void)state;
    struct graph before, after;
    struct error err;
    start(&before, "cnn");
    assert_int_equal(before.layers[1].kind, LAYER_CONV);
    assert_int_equal(before.layers[2].kind, LAYER_BATCH_NORM);
    assert_int_equal(before.layers[17].kind, LAYER_DENSE);
    assert_int_equal(graph_copy(&after, &before, &err), ST_OK);
    after.layers[1].init = LAYER_INIT_DIRAC;
    assert_near(distance(&before, &after, 1.0), 1.0 / 16.0);
    after.layers[1].frozen = true;
    assert_near(distance(&before, &after, 1.0), 2.0 / 16.0);
    after.layers[2].frozen = true;
    assert_near(distance(&before, &after, 1.0), 3.0 / 16.0);
    after.layers[17].gain = 0.25f;
    assert_near(distance(&before, &after, 1.0), 3.75 / 16.0);
    graph_free(&after);
    graph_free(&before);
}

struct span {
    int32_t start, end;
};

/* A chain of batch norms with an add behind index `end` of each skip, from index `start`; ends are distinct.
 */
static void make_chain(struct graph *graph, const struct span *skips, int32_t count)
{
    struct error err;
    int32_t index[CHAIN + 1] = {0};
    assert_int_equal(graph_new(graph, 2, 3, 3, &err), ST_OK);
    for (int32_t i = 1; i <= CHAIN; i++) {
        struct layer norm = {.kind = LAYER_BATCH_NORM, .input_count = 1, .inputs = {index[i - 1]}};
        assert_int_equal(graph_append(graph, norm, &index[i], &err), ST_OK);
        for (int32_t s = 0; s < count; s++) {
            struct layer add = {
                .kind = LAYER_ADD, .input_count = 2, .inputs = {index[i], index[skips[s].start]}};
            if (skips[s].end == i)
                assert_int_equal(graph_append(graph, add, &index[i], &err), ST_OK);
        }
    }
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {index[CHAIN]}, .out_channels = 2};
    assert_int_equal(graph_append(graph, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(graph, &err), ST_OK);
}

static int32_t draw_skips(struct random_sequence *random, struct span *skips)
{
    int32_t count = (int32_t)random_next_below(random, MOST_SKIPS + 1);
    for (int32_t s = 0; s < count; s++) {
        skips[s].end = 2 * s + 2 + (int32_t)random_next_below(random, 2);
        skips[s].start = (int32_t)random_next_below(random, (uint32_t)skips[s].end);
    }
    return count;
}

static double span_distance(struct span a, struct span b)
{
    double a_length = a.end - a.start, b_length = b.end - b.start;
    return (abs(a.start - b.start) + fabs(a_length - b_length)) /
           (fmax(a.start, b.start) + fmax(a_length, b_length));
}

/* The best of all assignments of a's skips from `row` on to b's that are not `taken`. */
static double best_assignment(const struct span *a, int32_t a_count, const struct span *b, int32_t b_count,
                              int32_t row, unsigned taken)
{
    int32_t n = a_count > b_count ? a_count : b_count;
    if (row == n)
        return 0.0;
    double best = INFINITY;
    for (int32_t j = 0; j < n; j++)
        if (!(taken & 1u << j)) {
            double cost = row < a_count && j < b_count ? span_distance(a[row], b[j]) : 1.0;
            best = fmin(best, cost + best_assignment(a, a_count, b, b_count, row + 1, taken | 1u << j));
        }
    return best;
}

static void test_assignment(void **state)
{
    (void)state;
    struct random_sequence random = {.seed = 1, .stream = RANDOM_TEST};
    int shown = 0;
    for (int i = 0; i < 100; i++) {
        struct span a[MOST_SKIPS], b[MOST_SKIPS];
        struct graph x, y;
        int32_t a_count = draw_skips(&random, a), b_count = draw_skips(&random, b);
        make_chain(&x, a, a_count);
        make_chain(&y, b, b_count);
        double expected = best_assignment(a, a_count, b, b_count, 0, 0);
        assert_near(distance(&x, &y, 1.0), expected);
        assert_near(distance(&x, &y, 0.25), 0.25 * expected);
        shown += expected > 0.0;
        graph_free(&x);
        graph_free(&y);
    }
    assert_true(shown > 80);
}

/* What stands inside a skip counts. */
static void test_inside_of_skips(void **state)
{
    (void)state;
    struct graph a, b;
    struct error err;
    start(&a, "resnet");
    assert_int_equal(graph_copy(&b, &a, &err), ST_OK);
    int32_t shortcut = -1;
    for (int32_t l = 1; l < b.count && shortcut < 0; l++)
        if (b.layers[l].kind == LAYER_CONV && b.layers[l].kernel_h == 1)
            shortcut = l;
    assert_true(shortcut > 0);
    b.layers[shortcut].kernel_h = b.layers[shortcut].kernel_w = 3;
    b.layers[shortcut].pad_h = b.layers[shortcut].pad_w = 1;
    assert_int_equal(graph_infer(&b, &err), ST_OK);
    double inside = 2.0 / 3.0 + 2.0 * 0.5 / 16.0; /* of one convolution among two layers */
    assert_near(distance(&a, &b, 1.0), inside / 2.0);
    assert_near(distance(&a, &b, 0.0), 0.0);
    graph_free(&a);
    graph_free(&b);
}

static void test_starts(void **state)
{
    (void)state;
    enum { STARTS = 7 };
    static const char *const names[STARTS] = {"lean", "res9", "air", "air_deep", "cnn", "resnet", "densenet"};
    struct graph graphs[STARTS];
    double d[STARTS][STARTS];
    for (int i = 0; i < STARTS; i++)
        start(&graphs[i], names[i]);
    for (int i = 0; i < STARTS; i++)
        for (int j = 0; j < STARTS; j++)
            d[i][j] = distance(&graphs[i], &graphs[j], 1.0);
    for (int i = 0; i < STARTS; i++)
        for (int j = 0; j < STARTS; j++) {
            assert_true(i == j ? d[i][j] == 0.0 : d[i][j] > 1.0);
            for (int k = 0; k < STARTS; k++)
                assert_true(d[i][j] <= d[i][k] + d[k][j] + 1e-9);
        }
    for (int i = 1; i < STARTS - 1; i++)
        assert_true(d[0][i] < d[0][STARTS - 1]); /* DenseNet is far from all */
    for (int i = 0; i < STARTS; i++)
        graph_free(&graphs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_changes),     cmocka_unit_test(test_activations),
        cmocka_unit_test(test_training_of_layers), cmocka_unit_test(test_assignment),
        cmocka_unit_test(test_inside_of_skips),    cmocka_unit_test(test_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
